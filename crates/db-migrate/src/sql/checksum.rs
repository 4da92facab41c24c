//! The two checksums of a script: its bytes, and what it means.

use db_core::Engine;
use sha2::{Digest, Sha256};

use super::script::{Kind, Script, unix_lines};

/// First bytes of each token stream, so that a change of its format changes every checksum
/// and none equals the checksum of a plain text.
const FORMAT: &[u8] = b"sql tokens 1\n";

/// Stands between two statements, where a token has the tag of its kind.
const STATEMENT_END: u8 = 0;

/// The checksums of a script, SHA-256 in lower-case hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checksums {
    /// Of the bytes as they are.
    pub raw: String,
    /// Of the tokens: equal for two scripts that differ in comments, white space, line ends
    /// and the case of keywords and unquoted names, and in nothing else.
    pub tokens: String,
}

/// Computes both checksums of a script.
///
/// A script that cannot be split has no tokens; the second checksum is then that of its text
/// with Unix line ends.
#[must_use]
pub fn checksum(engine: Engine, sql: &str) -> Checksums {
    Checksums {
        raw: hex(Sha256::digest(sql)),
        tokens: tokens(engine, sql),
    }
}

/// Whether two scripts differ in nothing but what is cosmetic.
#[must_use]
pub fn same_meaning(engine: Engine, a: &str, b: &str) -> bool {
    tokens(engine, a) == tokens(engine, b)
}

fn tokens(engine: Engine, sql: &str) -> String {
    let Ok(script) = Script::parse(engine, sql) else {
        return hex(Sha256::digest(unix_lines(sql).as_bytes()));
    };
    let mut hash = Sha256::new();
    hash.update(FORMAT);
    for statement in script.statements() {
        for token in statement {
            // Kind and length go before the text, so that no two streams share their bytes:
            // `a b` is not `ab`, and two strings on one line are not one on two lines.
            let text = token.plain();
            let mut head = [
                tag(token.kind),
                u8::from(token.continues),
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
            ];
            head[2..].copy_from_slice(&(text.len() as u64).to_le_bytes());
            hash.update(head);
            hash.update(text.as_bytes());
        }
        hash.update([STATEMENT_END]);
    }
    hex(hash.finalize())
}

/// Part of the stored checksums: a new kind takes a new number, none is ever changed.
const fn tag(kind: Kind) -> u8 {
    match kind {
        Kind::Word => 1,
        Kind::QuotedName => 2,
        Kind::Text => 3,
        Kind::Number => 4,
        Kind::Parameter => 5,
        Kind::Symbol => 6,
    }
}

/// SHA-256 in lower-case hexadecimal digits.
pub(crate) fn hash(bytes: &[u8]) -> String {
    hex(Sha256::digest(bytes))
}

fn hex(bytes: impl AsRef<[u8]>) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let bytes = bytes.as_ref();
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        for nibble in [byte >> 4, byte & 15] {
            text.push(char::from(DIGITS[usize::from(nibble)]));
        }
    }
    text
}
