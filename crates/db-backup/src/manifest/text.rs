//! Words in a manifest that people will read: no control characters, and an end.
//!
//! Whoever can write a store can seal what he likes. An escape sequence in the name of a table would
//! reach the terminal of whoever lists it.

use super::seal;

/// Bytes of the longest text: a path may have so many.
const LONGEST: usize = 4_096;

/// What is said of others.
pub(super) const ODD: &str = "it holds control characters, or a text without end";

/// What stands for the rest of a text that is too long.
const HASHED: usize = 64;

/// Characters that change how others are shown.
fn is_odd(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}'
        )
}

/// Whether a text can stand in a manifest.
pub(super) fn is_clean(text: &str) -> bool {
    text.len() <= LONGEST && !text.chars().any(is_odd)
}

/// The text as it can stand in a manifest: odd characters escaped, and a long one cut, with its hash
/// behind it, so that two of them stay two.
pub(crate) fn clean(text: &str) -> String {
    if is_clean(text) {
        return text.to_owned();
    }
    let mut clean = String::with_capacity(text.len());
    for c in text.chars() {
        if is_odd(c) {
            clean.extend(c.escape_unicode());
        } else {
            clean.push(c);
        }
    }
    if clean.len() > LONGEST {
        let mut end = LONGEST - HASHED - '…'.len_utf8();
        while !clean.is_char_boundary(end) {
            end -= 1;
        }
        clean.truncate(end);
        clean.push('…');
        clean.push_str(&seal::of(text.as_bytes()));
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_cleaned_is_clean_and_stays_so() {
        for text in [
            "users",
            "größe",
            "a\nb",
            "\u{1b}]0;owned\u{7}",
            "\u{202e}cod.exe",
            &"ü\u{1b}".repeat(5_000),
        ] {
            let once = clean(text);
            assert!(is_clean(&once), "{once:?}");
            assert_eq!(clean(&once), once);
            assert_eq!(once == text, is_clean(text));
        }
        assert_ne!(clean(&"x".repeat(5_000)), clean(&"x".repeat(5_001)));
        assert_eq!(clean("a\u{1b}b"), "a\\u{1b}b");
    }
}
