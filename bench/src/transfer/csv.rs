//! What a file of CSV holds, however it is quoted.

use std::collections::hash_map::DefaultHasher;
use std::fs::File;
use std::hash::Hasher as _;
use std::io::{BufReader, Read};
use std::path::Path;

use anyhow::{Context as _, Result};

/// The rows, and a hash of their fields in order.
pub(super) fn contents(file: &Path) -> Result<String> {
    let open = File::open(file).with_context(|| file.display().to_string())?;
    let (rows, hash) = read(BufReader::with_capacity(1 << 20, open))?;
    Ok(format!("{rows} lines, hash {hash:016x}"))
}

fn read(mut from: impl Read) -> Result<(u64, u64)> {
    let (mut rows, mut hasher) = (0, DefaultHasher::new());
    let (mut quoted, mut after_quote) = (false, false);
    let mut plain = Vec::with_capacity(1 << 16);
    let mut chunk = vec![0; 1 << 16];
    loop {
        let count = from.read(&mut chunk)?;
        if count == 0 {
            return Ok((rows, hasher.finish()));
        }
        plain.clear();
        for byte in &chunk[..count] {
            let doubled = std::mem::take(&mut after_quote);
            match byte {
                b'"' if quoted => (quoted, after_quote) = (false, true),
                b'"' => {
                    quoted = true;
                    // Of a pair within quotes one is meant.
                    if doubled {
                        plain.push(b'"');
                    }
                }
                b'\r' if !quoted => {}
                b'\n' if !quoted => {
                    rows += 1;
                    plain.push(1);
                }
                b',' if !quoted => plain.push(0),
                other => plain.push(*other),
            }
        }
        // The hash is of the stream, not of the pieces in which it comes.
        for byte in &plain {
            hasher.write_u8(*byte);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn quotes_and_line_ends_do_not_count_and_values_do() {
        let of = |text: &str| read(text.as_bytes()).unwrap();
        assert_eq!(of("a,b\r\n1,x\r\n"), of("\"a\",b\n1,\"x\"\n"));
        assert_eq!(of("a\n\"x,\"\"y\"\"\"\n").0, 2);
        for other in ["a,b\n1,y\n", "a,b\n1x\n", "a,b\n\"1,x\"\n", "a,b\n"] {
            assert_ne!(of("a,b\n1,x\n"), of(other), "{other}");
        }
        assert_ne!(of("\"a\"\"b\"\n"), of("ab\n"));
    }
}
