//! JSON in the one form that equal documents share, as `jsonb` compares them.
//!
//! Keys are sorted and the last of equal ones counts, numbers are decimals of any length, white space
//! is gone. What `jsonb` refuses is refused.

use std::collections::BTreeMap;

use super::decimal;

/// Deeper documents are refused; SQLite's own limit is about the same.
const DEEPEST: usize = 1_000;

/// Digits before the point that `numeric` has at most.
const LARGEST_EXPONENT: i64 = 131_071;
/// Digits after the point that `numeric` has at most.
const SMALLEST_EXPONENT: i64 = -16_383;

/// Appends the form of a document.
///
/// # Errors
/// Why it is none that `jsonb` takes.
pub(crate) fn normal(text: &[u8], out: &mut Vec<u8>) -> Result<(), &'static str> {
    let mut reader = Reader { text, at: 0 };
    reader.value(out, 0)?;
    reader.space();
    if reader.at == text.len() {
        Ok(())
    } else {
        Err("there is something behind it")
    }
}

struct Reader<'t> {
    text: &'t [u8],
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn value(&mut self, out: &mut Vec<u8>, depth: usize) -> Result<(), &'static str> {
        if depth > DEEPEST {
            return Err("it is nested too deeply");
        }
        self.space();
        match self.peek().ok_or("it ends too early")? {
            b'{' => self.object(out, depth),
            b'[' => self.array(out, depth),
            b'"' => self.string(out),
            b'-' | b'0'..=b'9' => self.number(out),
            _ => {
                for word in [&b"true"[..], b"false", b"null"] {
                    if self.text[self.at..].starts_with(word) {
                        self.at += word.len();
                        out.extend_from_slice(word);
                        return Ok(());
                    }
                }
                Err("it is not JSON")
            }
        }
    }

    fn object(&mut self, out: &mut Vec<u8>, depth: usize) -> Result<(), &'static str> {
        self.at += 1;
        let mut members = BTreeMap::new();
        self.space();
        if self.peek() == Some(b'}') {
            self.at += 1;
        } else {
            loop {
                self.space();
                if self.peek() != Some(b'"') {
                    return Err("a key is missing");
                }
                let (mut key, mut value) = (Vec::new(), Vec::new());
                self.string(&mut key)?;
                self.space();
                if self.next() != Some(b':') {
                    return Err("a colon is missing");
                }
                self.value(&mut value, depth + 1)?;
                members.insert(key, value);
                self.space();
                match self.next() {
                    Some(b',') => {}
                    Some(b'}') => break,
                    _ => return Err("an object does not end"),
                }
            }
        }
        out.push(b'{');
        for (key, value) in &members {
            out.extend_from_slice(key);
            out.push(b':');
            out.extend_from_slice(value);
            out.push(b',');
        }
        out.push(b'}');
        Ok(())
    }

    fn array(&mut self, out: &mut Vec<u8>, depth: usize) -> Result<(), &'static str> {
        self.at += 1;
        out.push(b'[');
        self.space();
        if self.peek() == Some(b']') {
            self.at += 1;
        } else {
            loop {
                self.value(out, depth + 1)?;
                out.push(b',');
                self.space();
                match self.next() {
                    Some(b',') => {}
                    Some(b']') => break,
                    _ => return Err("an array does not end"),
                }
            }
        }
        out.push(b']');
        Ok(())
    }

    fn number(&mut self, out: &mut Vec<u8>) -> Result<(), &'static str> {
        let start = self.at;
        while let Some(b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        let text = &self.text[start..self.at];
        let digits = text.strip_prefix(b"-").unwrap_or(text);
        let whole = digits.iter().take_while(|b| b.is_ascii_digit()).count();
        let rest = &digits[whole..];
        let rest = match rest.strip_prefix(b".") {
            Some(fraction) => {
                let places = fraction.iter().take_while(|b| b.is_ascii_digit()).count();
                if places == 0 {
                    return Err("a number ends with a point");
                }
                &fraction[places..]
            }
            None => rest,
        };
        let is_plain = rest.is_empty() || matches!(rest[0], b'e' | b'E');
        if whole == 0 || (whole > 1 && digits[0] == b'0') || !is_plain {
            return Err("a number is not written as JSON wants it");
        }
        let exponent = match rest.get(1..) {
            Some(text) => {
                let text = text.strip_prefix(b"+").unwrap_or(text);
                decimal::integer(text).ok_or("a number is not written as JSON wants it")?
            }
            None => 0,
        };
        let places = i64::try_from(whole).unwrap_or(i64::MAX);
        let fraction = i64::try_from(digits.len() - whole).unwrap_or(i64::MAX);
        if places.saturating_add(exponent) > LARGEST_EXPONENT
            || exponent.saturating_sub(fraction) < SMALLEST_EXPONENT
        {
            return Err("a number is too large or too small");
        }
        if decimal::normal(text, out) {
            Ok(())
        } else {
            Err("a number is not written as JSON wants it")
        }
    }

    /// A string, its escapes resolved; quotes, backslashes and control characters are escaped anew.
    fn string(&mut self, out: &mut Vec<u8>) -> Result<(), &'static str> {
        self.at += 1;
        out.push(b'"');
        loop {
            match self.next().ok_or("a text does not end")? {
                b'"' => break,
                b'\\' => self.escape(out)?,
                0..=0x1f => return Err("a control character is not escaped"),
                byte => out.push(byte),
            }
        }
        out.push(b'"');
        Ok(())
    }

    fn escape(&mut self, out: &mut Vec<u8>) -> Result<(), &'static str> {
        let c = match self.next().ok_or("a text does not end")? {
            b'n' => '\n',
            b't' => '\t',
            b'r' => '\r',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'u' => self.unicode()?,
            c @ (b'"' | b'\\' | b'/') => char::from(c),
            _ => return Err("an escape is unknown"),
        };
        if c == '\0' {
            return Err("\\u0000 is no character of a text there");
        }
        if matches!(c, '"' | '\\') {
            out.push(b'\\');
        }
        out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        Ok(())
    }

    fn unicode(&mut self) -> Result<char, &'static str> {
        const LONE: &str = "half of a surrogate pair";
        let first = self.four()?;
        let code = match first {
            0xd800..=0xdbff => {
                if self.next() != Some(b'\\') || self.next() != Some(b'u') {
                    return Err(LONE);
                }
                let second = self.four()?;
                if !(0xdc00..=0xdfff).contains(&second) {
                    return Err(LONE);
                }
                0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00)
            }
            other => other,
        };
        char::from_u32(code).ok_or(LONE)
    }

    fn four(&mut self) -> Result<u32, &'static str> {
        let mut code = 0;
        for _ in 0..4 {
            let digit = self.next().and_then(|b| char::from(b).to_digit(16));
            code = code * 16 + digit.ok_or("an escape is not hexadecimal")?;
        }
        Ok(code)
    }
}
