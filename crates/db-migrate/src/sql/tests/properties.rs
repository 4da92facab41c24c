//! What holds for every script, tried on random ones.

use db_core::Engine;
use proptest::prelude::*;

use super::scripts::{Noise, Pieces, scripts, write};
use crate::sql::{canonical, checksum, diff, facts, loose, same_meaning, split};

/// An engine and one of its scripts.
fn any_script() -> impl Strategy<Value = (Engine, Pieces)> {
    prop_oneof![
        scripts(Engine::Sqlite).prop_map(|script| (Engine::Sqlite, script)),
        scripts(Engine::Postgres).prop_map(|script| (Engine::Postgres, script)),
    ]
}

/// Asks everything of a text, and checks what must hold whatever the text is.
fn check_anything(engine: Engine, text: &str) -> Result<(), TestCaseError> {
    let sums = checksum(engine, text);
    prop_assert_eq!((sums.raw.len(), sums.tokens.len()), (64, 64));
    prop_assert!(same_meaning(engine, text, &text.replace("\r\n", "\n")));
    let _ = (canonical(engine, text), loose(engine, text));
    prop_assert_eq!(diff(text, text, 3), []);
    let statements = match split(engine, text) {
        Ok(statements) => statements,
        Err(error) => {
            prop_assert_eq!(error.line, 1 + text[..error.offset].matches('\n').count());
            return Ok(());
        }
    };
    let mut end = 0;
    for (index, statement) in statements.iter().enumerate() {
        prop_assert_eq!(statement.number, index + 1);
        prop_assert!(statement.offset >= end && !statement.text.is_empty());
        end = statement.offset + statement.text.len();
        prop_assert_eq!(&text[statement.offset..end], statement.text);
        prop_assert_eq!(
            statement.line,
            1 + text[..statement.offset].matches('\n').count()
        );
        let last_line = statement.line + statement.text.matches('\n').count();
        prop_assert_eq!(statement.line_of_byte(statement.text.len()), last_line);
        prop_assert_eq!(statement.line_of_character(usize::MAX), last_line);
        let _ = facts(engine, statement.text);
        // Sent alone, a statement is read as it was in the script. A byte order mark is part of
        // a name to PostgreSQL, except at the start of a script.
        if statement.text.starts_with('\u{feff}') {
            continue;
        }
        let alone = split(engine, statement.text).unwrap();
        prop_assert_eq!(alone.len(), 1);
        prop_assert_eq!(alone[0].text, statement.text);
    }
    Ok(())
}

proptest! {
    #[test]
    fn a_script_comes_apart_into_the_statements_it_was_made_of(
        (engine, script) in any_script(), noise in any::<u64>()
    ) {
        let (text, places) = write(engine, &script, &mut Noise(noise));
        let statements = split(engine, &text).unwrap();
        let found: Vec<_> = statements.iter().map(|s| (s.offset, s.text)).collect();
        let expected: Vec<_> =
            places.iter().map(|&(start, end)| (start, text[start..end].trim_end())).collect();
        prop_assert_eq!(found, expected);
        check_anything(engine, &text)?;
    }

    #[test]
    fn writing_it_differently_changes_neither_checksum_nor_canonical_form(
        (engine, script) in any_script(), noises in any::<[u64; 2]>(), windows in any::<bool>()
    ) {
        let [(a, _), (b, _)] = noises.map(|noise| write(engine, &script, &mut Noise(noise)));
        let b = if windows { b.replace('\n', "\r\n") } else { b };
        prop_assert!(same_meaning(engine, &a, &b), "{}\n---\n{}", a, b);
        prop_assert_eq!(canonical(engine, &a), canonical(engine, &b));
        prop_assert_eq!(loose(engine, &a), loose(engine, &b));
        prop_assert_eq!(checksum(engine, &a).raw == checksum(engine, &b).raw, a == b);
    }

    #[test]
    fn any_other_change_is_seen(
        (engine, script) in any_script(), noises in any::<[u64; 2]>(),
        at in any::<prop::sample::Index>(), part in any::<prop::sample::Index>(), how in 0..3,
    ) {
        let mut edited = script.clone();
        let at = at.index(edited.len());
        let part = part.index(edited[at].len());
        let piece = edited[at].remove(part);
        // An empty string twice, on two lines, is one empty string to PostgreSQL: another text, and
        // so another checksum, but canonically the same.
        let is_empty_string = matches!(&piece, super::scripts::Piece::Exact(text) if text.ends_with("''"));
        match how {
            0 => edited[at].insert(part, piece.changed()),
            1 => edited[at].splice(part..part, [piece.clone(), piece]).for_each(drop),
            _ => {}
        }
        let [a, b] = [(&script, noises[0]), (&edited, noises[1])]
            .map(|(script, noise)| write(engine, script, &mut Noise(noise)).0);
        // Without its last piece a block may not end any more, so that a `;` behind it counts.
        if how == 0 && (split(engine, &a).is_err() || split(engine, &b).is_err()) {
            return Err(TestCaseError::fail(format!("cannot be split:\n{a}\n---\n{b}")));
        }
        prop_assert!(!same_meaning(engine, &a, &b), "{}\n---\n{}", a, b);
        if how != 1 || !is_empty_string {
            prop_assert_ne!(canonical(engine, &a), canonical(engine, &b));
        }
    }

    #[test]
    fn no_text_is_too_strange(text in any::<String>()) {
        for engine in Engine::ALL {
            check_anything(engine, &text)?;
        }
    }

    #[test]
    fn no_mixture_of_quotes_and_marks_is_too_strange(
        text in "([;'\"`\\[\\]()/*$\\\\. \n\r:=<>!+@#?&|_é\u{feff}\0-]|--|/\\*|\\*/|\\$a\\$|[exnuBX]&?'|\
                 [0-9]|[a-c]| begin atomic | case | end; | create | function | trigger | temp |\
                 copy |from stdin|::|with |as |insert |reindex |index |concurrently |on ){0,40}"
    ) {
        for engine in Engine::ALL {
            check_anything(engine, &text)?;
        }
    }

    #[test]
    fn no_broken_byte_is_too_strange(
        (engine, script) in any_script(), noise in any::<u64>(),
        breaks in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)
    ) {
        let mut bytes = write(engine, &script, &mut Noise(noise)).0.into_bytes();
        for (at, byte) in breaks {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        check_anything(engine, &String::from_utf8_lossy(&bytes))?;
    }
}
