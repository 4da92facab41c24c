//! Random scripts of both engines, and the many ways to write each.

use db_core::Engine;
use proptest::collection::vec;
use proptest::prelude::*;

/// A token of a random statement.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Piece {
    /// A keyword or unquoted name, in lower case.
    Word(String),
    /// A literal, quoted name or number, which is written in one way only.
    Exact(String),
    /// A mark, beside which no space is needed.
    Mark(char),
}

impl Piece {
    /// A piece that means something else.
    pub(super) fn changed(&self) -> Self {
        match self {
            Self::Word(word) => Self::Word(format!("{word}x")),
            Self::Mark(',') => Self::Mark('='),
            Self::Mark(_) => Self::Mark(','),
            Self::Exact(text) => {
                // Just inside the closing quote; a number becomes another number.
                let last = text.len() - 1;
                let digit = text.ends_with(|c: char| c.is_ascii_digit());
                let (head, tail) = text.split_at(if digit { text.len() } else { last });
                // The closing tag of `$tag$…$tag$` is as long as the opening one.
                let (head, tail) = match text.strip_prefix('$').and_then(|rest| rest.find('$')) {
                    Some(tag) if !digit => text.split_at(text.len() - tag - 2),
                    _ => (head, tail),
                };
                Self::Exact(format!("{head}7{tail}"))
            }
        }
    }

    fn is_literal(&self) -> bool {
        matches!(self, Self::Exact(text) if text.contains('\'') || text.starts_with('$'))
    }
}

/// A script as the tokens of its statements.
pub(super) type Pieces = Vec<Vec<Piece>>;

/// Scripts of one to five statements.
pub(super) fn scripts(engine: Engine) -> BoxedStrategy<Pieces> {
    let statement = match engine {
        Engine::Sqlite => prop_oneof![
            3 => plain(engine),
            1 => body(engine, "create trigger if not exists w after insert on w begin", "end"),
            1 => body(engine, "explain query plan create temp trigger w after delete on w when \
                 case when w then w end begin", "end"),
        ]
        .boxed(),
        Engine::Postgres => prop_oneof![
            3 => plain(engine),
            1 => body(engine, "create function w ( ) begin atomic", "end"),
            1 => body(engine, "create or replace procedure w ( ) begin atomic select case when w \
                 then case w when w then w end end = w . end ;", "end"),
            1 => body(engine, "create rule w as on update to w do also ( delete from w ;", "w )"),
        ]
        .boxed(),
    };
    vec(statement, 1..5).boxed()
}

fn plain(engine: Engine) -> BoxedStrategy<Vec<Piece>> {
    (
        prop_oneof![Just("select"), Just("table"), Just("w")],
        vec(piece(engine), 0..8),
    )
        .prop_map(|(head, rest)| apart([Piece::Word(head.to_owned())].into_iter().chain(rest)))
        .boxed()
}

/// Plain statements between a head and a foot, each with its `;`.
fn body(engine: Engine, head: &'static str, foot: &'static str) -> BoxedStrategy<Vec<Piece>> {
    let fixed = |text: &'static str| text.split_whitespace().map(word_or_mark);
    vec(plain(engine), 1..3)
        .prop_map(move |steps| {
            let steps = steps
                .into_iter()
                .flat_map(|step| step.into_iter().chain([Piece::Mark(';')]));
            fixed(head).chain(steps).chain(fixed(foot)).collect()
        })
        .boxed()
}

fn word_or_mark(text: &str) -> Piece {
    match text.chars().next() {
        Some(mark) if !mark.is_alphabetic() => Piece::Mark(mark),
        _ => Piece::Word(text.to_owned()),
    }
}

/// Keeps literals apart: on PostgreSQL two of them are one if a line end stands between.
fn apart(pieces: impl Iterator<Item = Piece>) -> Vec<Piece> {
    let mut result: Vec<Piece> = Vec::new();
    for piece in pieces {
        if piece.is_literal() && result.last().is_some_and(Piece::is_literal) {
            result.push(Piece::Mark(','));
        }
        result.push(piece);
    }
    result
}

/// No random word starts like one that opens or closes a block.
fn piece(engine: Engine) -> BoxedStrategy<Piece> {
    let content = r#"[a-zA-Z;"'/*é\[\] \n\-]{0,8}"#;
    let exact = match engine {
        Engine::Sqlite => prop_oneof![
            content.prop_map(|text| format!("'{}'", text.replace('\'', "''"))),
            content.prop_map(|text| format!("\"{}\"", text.replace('"', "\"\""))),
            "[a-zA-Z;'\"/* -]{0,8}".prop_map(|text| format!("`{text}`")),
            "[a-zA-Z;'\"/* -]{0,8}".prop_map(|text| format!("[{text}]")),
            "[0-9a-f]{0,4}".prop_map(|text| format!("x'{text}'")),
            r"[1-9][0-9]{0,3}(\.[0-9]{1,2})?(e[+-]?[0-9])?",
        ]
        .boxed(),
        Engine::Postgres => prop_oneof![
            content.prop_map(|text| format!("'{}'", text.replace('\'', "''"))),
            content.prop_map(|text| format!("\"{}\"", text.replace('"', "\"\""))),
            r"([a-z;/*\- ]|\\'|\\\\|'')*".prop_map(|text| format!("E'{text}'")),
            r"([a-z;]|\\'|'')*".prop_map(|text| format!("e'{text}'\n -- c'\n'{text}'")),
            content.prop_map(|text| format!("$${text}$$")),
            content.prop_map(|text| format!("$a1é${text}$$ $b$ $a1é$")),
            content.prop_map(|text| format!("U&'{}'", text.replace('\'', "''"))),
            r"[1-9][0-9]{0,3}(\.[0-9]{1,2})?(e[+-]?[0-9])?",
        ]
        .boxed(),
    };
    prop_oneof![
        3 => "[wé][a-z0-9_$é]{0,5}".prop_map(Piece::Word),
        3 => exact.prop_map(Piece::Exact),
        2 => prop_oneof![Just('='), Just(','), Just('*'), Just('<')].prop_map(Piece::Mark),
    ]
    .boxed()
}

/// Cheap repeatable choices.
pub(super) struct Noise(pub(super) u64);

impl Noise {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % end
    }

    fn gap(&mut self, engine: Engine, at_least: usize) -> String {
        const GAPS: [&str; 9] = [
            " ",
            "\n",
            "\t",
            "\r\n",
            "/* c;'\n */",
            "-- c;'\"\n",
            "/**/",
            "/* a /* b */",
            "--\r\n",
        ];
        let count = at_least + self.below(3);
        let gaps = (0..count).map(|_| match (GAPS[self.below(GAPS.len())], engine) {
            ("/* a /* b */", Engine::Postgres) => "/* a /* ; */ ' */",
            (gap, _) => gap,
        });
        gaps.collect()
    }

    fn recased(&mut self, word: &str) -> String {
        let letters = word.chars().map(|letter| match self.below(2) {
            0 => letter.to_ascii_uppercase(),
            _ => letter,
        });
        letters.collect()
    }
}

/// Where a statement stands in a written script: its start, and where its `;` is.
pub(super) type Place = (usize, usize);

/// Writes a script in one of the many ways that mean the same.
pub(super) fn write(engine: Engine, script: &Pieces, noise: &mut Noise) -> (String, Vec<Place>) {
    let mut text = if noise.below(2) == 0 {
        "\u{feff}".to_owned()
    } else {
        String::new()
    };
    let mut places = Vec::new();
    for (index, statement) in script.iter().enumerate() {
        text += &noise.gap(engine, 0);
        let start = text.len();
        for (at, piece) in statement.iter().enumerate() {
            if at > 0 {
                let marks = [&statement[at - 1], piece].map(|p| matches!(p, Piece::Mark(_)));
                text += &noise.gap(engine, usize::from(marks[0] == marks[1]));
            }
            match piece {
                Piece::Word(word) => text += &noise.recased(word),
                Piece::Exact(exact) => text += exact,
                Piece::Mark(mark) => text.push(*mark),
            }
        }
        text += &noise.gap(engine, 0);
        places.push((start, text.len()));
        let last = index + 1 == script.len();
        if !(last && noise.below(2) == 0) {
            text.push(';');
            text += ["", ";", " ; -- ;\n;"][noise.below(3)];
        }
    }
    (text, places)
}
