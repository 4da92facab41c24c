//! Values of a row in JSON.

use std::io::Read;

use super::tokens::{Token, Tokens};
use crate::format::limits::Limits;
use crate::format::malformed::ReadError;
use crate::format::record::{Kind, Place, Record};

/// Adds the next value to the record; false if the array ends instead.
pub(super) fn read<R: Read>(
    tokens: &mut Tokens<R>,
    limits: &Limits,
    record: &mut Record,
) -> Result<bool, ReadError> {
    let place = tokens.place()?;
    let start = record.bytes.len();
    let kind = match tokens.next(&mut record.bytes)? {
        Token::Null => Kind::Null,
        Token::True => Kind::True,
        Token::False => Kind::False,
        Token::Number => Kind::Number,
        Token::String => Kind::Text,
        Token::OpenArray => {
            compose(tokens, limits, record, Token::OpenArray, None)?;
            Kind::Json
        }
        Token::OpenObject => object(tokens, limits, record, place)?,
        Token::CloseArray => return Ok(false),
        _ => return Err(ReadError::at(place, "a value was expected here")),
    };
    record.push(kind, start, place);
    if record.bytes.len() > limits.row {
        let most = limits.row;
        let problem = format!("the row that ends here is longer than {most} bytes");
        return Err(tokens.wrong(&problem));
    }
    Ok(true)
}

/// `{"$blob": ..}` and its like, or an object that is a value itself.
fn object<R: Read>(
    tokens: &mut Tokens<R>,
    limits: &Limits,
    record: &mut Record,
    place: Place,
) -> Result<Kind, ReadError> {
    let mut key = Vec::new();
    if tokens.next_spelled(&mut key)? != Token::Key {
        record.bytes.extend_from_slice(b"{}");
        return Ok(Kind::Json);
    }
    let first = key;
    let marked = match first.as_slice() {
        br#""$blob""# => Kind::Blob,
        br#""$text""# => Kind::Text,
        br#""$real""# => Kind::NotANumber,
        br#""$json""# => Kind::Json,
        _ => {
            compose(tokens, limits, record, Token::OpenObject, Some(first))?;
            return Ok(Kind::Json);
        }
    };
    if marked == Kind::Json {
        return json(tokens, limits, record, place);
    }
    let mut text = Vec::new();
    let is_text = tokens.next(&mut text)? == Token::String;
    if !is_text || tokens.next(&mut Vec::new())? != Token::CloseObject {
        let problem = "a single text was expected in this object";
        return Err(ReadError::at(place, problem));
    }
    if marked == Kind::NotANumber {
        return match text.as_slice() {
            b"NaN" => Ok(Kind::NotANumber),
            b"Infinity" => Ok(Kind::Infinity),
            b"-Infinity" => Ok(Kind::NegativeInfinity),
            _ => Err(ReadError::at(place, "$real is NaN, Infinity or -Infinity")),
        };
    }
    if !unhex(&text, &mut record.bytes) {
        let problem = "an even number of hexadecimal digits was expected here";
        return Err(ReadError::at(place, problem));
    }
    Ok(marked)
}

/// What `{"$json": ..}` holds is a value of JSON, whatever it looks like: `null`, or an object of
/// which the first member is named as one of our marks.
fn json<R: Read>(
    tokens: &mut Tokens<R>,
    limits: &Limits,
    record: &mut Record,
    place: Place,
) -> Result<Kind, ReadError> {
    let mut text = Vec::new();
    match tokens.next_spelled(&mut text)? {
        open @ (Token::OpenArray | Token::OpenObject) => {
            compose(tokens, limits, record, open, None)?;
        }
        scalar => write(scalar, &text, &mut record.bytes),
    }
    match tokens.next(&mut Vec::new())? {
        Token::CloseObject => Ok(Kind::Json),
        _ => Err(ReadError::at(
            place,
            "a single value was expected in this object",
        )),
    }
}

/// Writes what was opened as compact JSON, up to its end; keys and strings stay as they are
/// spelled.
///
/// `key` is the first key of an object as it is spelled, if it was read already.
fn compose<R: Read>(
    tokens: &mut Tokens<R>,
    limits: &Limits,
    record: &mut Record,
    open: Token,
    key: Option<Vec<u8>>,
) -> Result<(), ReadError> {
    let out = &mut record.bytes;
    let start = out.len();
    write(open, &[], out);
    let mut depth = 1_usize;
    let mut fresh = true;
    let mut text = Vec::new();
    if let Some(key) = key {
        write(Token::Key, &key, out);
    }
    while depth > 0 {
        text.clear();
        let token = tokens.next_spelled(&mut text)?;
        let closes = matches!(token, Token::CloseArray | Token::CloseObject);
        let after_key = out.last() == Some(&b':');
        if !fresh && !closes && !after_key {
            out.push(b',');
        }
        write(token, &text, out);
        match token {
            Token::OpenArray | Token::OpenObject => {
                depth += 1;
                fresh = true;
            }
            Token::CloseArray | Token::CloseObject => {
                depth -= 1;
                fresh = false;
            }
            _ => fresh = false,
        }
        if out.len() - start > limits.value {
            let most = limits.value;
            return Err(tokens.wrong(&format!("the value is longer than {most} bytes")));
        }
    }
    Ok(())
}

/// Writes a token; the text of a key or string comes as it is spelled.
fn write(token: Token, text: &[u8], out: &mut Vec<u8>) {
    match token {
        Token::OpenObject => out.push(b'{'),
        Token::CloseObject => out.push(b'}'),
        Token::OpenArray => out.push(b'['),
        Token::CloseArray => out.push(b']'),
        Token::Key => {
            out.extend_from_slice(text);
            out.push(b':');
        }
        Token::String | Token::Number => out.extend_from_slice(text),
        Token::True => out.extend_from_slice(b"true"),
        Token::False => out.extend_from_slice(b"false"),
        Token::Null => out.extend_from_slice(b"null"),
        Token::End => {}
    }
}

/// Writes a text as JSON has it.
pub(crate) fn quote(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for &byte in text {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0..b' ' => {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                let (high, low) = (usize::from(byte >> 4), usize::from(byte & 15));
                out.extend_from_slice(b"\\u00");
                out.extend_from_slice(&[HEX[high], HEX[low]]);
            }
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}

/// Adds the bytes that hexadecimal digits stand for; false if they are none.
pub(crate) fn unhex(digits: &[u8], out: &mut Vec<u8>) -> bool {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let (pairs, []) = digits.as_chunks::<2>() else {
        return false;
    };
    for &[high, low] in pairs {
        let (Some(high), Some(low)) = (digit(high), digit(low)) else {
            return false;
        };
        let Ok(byte) = u8::try_from(high << 4 | low) else {
            return false;
        };
        out.push(byte);
    }
    true
}
