//! JSON as a stream of tokens, in constant memory.

use std::io::Read;

use crate::format::buffer::Buffer;
use crate::format::limits::Limits;
use crate::format::malformed::ReadError;
use crate::format::record::Place;

/// A piece of JSON. The text of a key, string or number is handed out beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token {
    OpenObject,
    CloseObject,
    OpenArray,
    CloseArray,
    Key,
    String,
    Number,
    True,
    False,
    Null,
    /// Nothing more comes.
    End,
}

/// What may come next inside the innermost object or array.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expect {
    /// The first member or the end.
    First,
    /// The value of a key.
    Value,
    /// A comma or the end.
    Comma,
}

#[derive(Debug, Clone, Copy)]
struct Level {
    object: bool,
    expect: Expect,
}

/// How the text of a key or string is handed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spelling {
    /// What it says: no quotes, no escapes.
    Decoded,
    /// As it stands in the file, quotes and escapes with it.
    Kept,
}

pub(super) struct Tokens<R> {
    buffer: Buffer<R>,
    limits: Limits,
    place: Place,
    levels: Vec<Level>,
    begun: bool,
    /// Where the object or array begins that was opened last.
    opened: Place,
    /// The escape read last, as it is spelled.
    escape: Vec<u8>,
}

impl<R: Read> Tokens<R> {
    pub(super) fn new(from: R, limits: Limits) -> Self {
        Self {
            buffer: Buffer::new(from),
            limits,
            place: Place::START,
            levels: Vec::new(),
            begun: false,
            opened: Place::START,
            escape: Vec::new(),
        }
    }

    /// Where the next token begins, or would.
    pub(super) fn place(&mut self) -> Result<Place, ReadError> {
        self.white_space()?;
        Ok(self.place)
    }

    /// Where the object or array begins that was opened last: behind the comma before it.
    pub(super) fn opened(&self) -> Place {
        self.opened
    }

    /// How many objects and arrays are open.
    pub(super) fn depth(&self) -> usize {
        self.levels.len()
    }

    /// The next token; the text of a key, string or number is added to `text`.
    pub(super) fn next(&mut self, text: &mut Vec<u8>) -> Result<Token, ReadError> {
        self.token(text, Spelling::Decoded)
    }

    /// The same with keys and strings as they are spelled: a document that is a value itself
    /// is passed on byte by byte (`json` of PostgreSQL keeps `"\u00e9"` apart from `"é"`).
    pub(super) fn next_spelled(&mut self, text: &mut Vec<u8>) -> Result<Token, ReadError> {
        self.token(text, Spelling::Kept)
    }

    fn token(&mut self, text: &mut Vec<u8>, spelling: Spelling) -> Result<Token, ReadError> {
        self.white_space()?;
        let Some(byte) = self.peek()? else {
            return match self.levels.last() {
                None => Ok(Token::End),
                Some(_) => Err(self.wrong("the file ends inside of an object or array")),
            };
        };
        let Some(level) = self.levels.last().copied() else {
            return self.value(byte, text, spelling);
        };
        let close = if level.object { b'}' } else { b']' };
        let byte = match level.expect {
            Expect::Value => return self.value(byte, text, spelling),
            _ if byte == close => {
                self.bump();
                self.levels.pop();
                return Ok(if level.object {
                    Token::CloseObject
                } else {
                    Token::CloseArray
                });
            }
            Expect::First => byte,
            Expect::Comma => {
                if byte != b',' {
                    return Err(self.wrong("a comma or the end was expected here"));
                }
                self.bump();
                self.white_space()?;
                self.required()?
            }
        };
        if !level.object {
            return self.value(byte, text, spelling);
        }
        if byte != b'"' {
            return Err(self.wrong("the name of a member, in quotes, was expected here"));
        }
        self.string(text, spelling)?;
        self.white_space()?;
        if self.required()? != b':' {
            return Err(self.wrong("a colon was expected here"));
        }
        self.bump();
        self.expect(Expect::Value);
        Ok(Token::Key)
    }

    fn expect(&mut self, expect: Expect) {
        if let Some(level) = self.levels.last_mut() {
            level.expect = expect;
        }
    }

    fn value(
        &mut self,
        byte: u8,
        text: &mut Vec<u8>,
        spelling: Spelling,
    ) -> Result<Token, ReadError> {
        self.expect(Expect::Comma);
        match byte {
            b'{' | b'[' => self.open(byte == b'{'),
            b'"' => self.string(text, spelling).map(|()| Token::String),
            b't' => self.word(b"true", Token::True),
            b'f' => self.word(b"false", Token::False),
            b'n' => self.word(b"null", Token::Null),
            b'-' | b'0'..=b'9' => self.number(text).map(|()| Token::Number),
            _ => Err(self.wrong("this is no JSON")),
        }
    }

    fn open(&mut self, object: bool) -> Result<Token, ReadError> {
        if self.levels.len() >= self.limits.depth {
            let deepest = self.limits.depth;
            return Err(self.wrong(&format!("nested deeper than {deepest} levels")));
        }
        self.opened = self.place;
        self.bump();
        let expect = Expect::First;
        self.levels.push(Level { object, expect });
        Ok(if object {
            Token::OpenObject
        } else {
            Token::OpenArray
        })
    }

    fn word(&mut self, word: &[u8], token: Token) -> Result<Token, ReadError> {
        let place = self.place;
        for &letter in word {
            if self.peek()? != Some(letter) {
                return Err(ReadError::at(place, "this is no JSON"));
            }
            self.bump();
        }
        match self.peek()? {
            Some(byte) if byte.is_ascii_alphanumeric() => {
                Err(ReadError::at(place, "this is no JSON"))
            }
            _ => Ok(token),
        }
    }

    /// `-? (0 | [1-9][0-9]*) (. [0-9]+)? ([eE] [+-]? [0-9]+)?`
    fn number(&mut self, text: &mut Vec<u8>) -> Result<(), ReadError> {
        let start = self.place;
        let from = text.len();
        self.take_if(text, |b| b == b'-')?;
        let zero = self.peek()? == Some(b'0');
        let digits = self.digits(text, start, from)?;
        let mut sound = digits > 0 && (!zero || digits == 1);
        if self.take_if(text, |b| b == b'.')? {
            sound &= self.digits(text, start, from)? > 0;
        }
        if self.take_if(text, |b| matches!(b, b'e' | b'E'))? {
            self.take_if(text, |b| matches!(b, b'+' | b'-'))?;
            sound &= self.digits(text, start, from)? > 0;
        }
        let ends = self
            .peek()?
            .is_none_or(|byte| byte.is_ascii_whitespace() || matches!(byte, b',' | b']' | b'}'));
        if sound && ends {
            Ok(())
        } else {
            Err(ReadError::at(start, "this is no number of JSON"))
        }
    }

    fn digits(
        &mut self,
        text: &mut Vec<u8>,
        start: Place,
        from: usize,
    ) -> Result<usize, ReadError> {
        let before = text.len();
        while self.take_if(text, |b| b.is_ascii_digit())? {
            self.within(text.len() - from, start)?;
        }
        Ok(text.len() - before)
    }

    fn take_if(
        &mut self,
        text: &mut Vec<u8>,
        take: impl Fn(u8) -> bool,
    ) -> Result<bool, ReadError> {
        match self.peek()? {
            Some(byte) if take(byte) => {
                text.push(byte);
                self.bump();
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    fn string(&mut self, text: &mut Vec<u8>, spelling: Spelling) -> Result<(), ReadError> {
        let start = self.place;
        let from = text.len();
        let is_kept = spelling == Spelling::Kept;
        self.bump();
        text.extend(is_kept.then_some(b'"'));
        loop {
            let rest = self.buffer.rest();
            let plain = rest
                .iter()
                .position(|&b| b == b'"' || b == b'\\' || b < b' ')
                .unwrap_or(rest.len());
            text.extend_from_slice(&rest[..plain]);
            self.place.column += characters(&rest[..plain]);
            self.buffer.consume(plain);
            self.within(text.len() - from, start)?;
            match self.peek()? {
                None => return Err(ReadError::at(start, "the text that begins here never ends")),
                Some(b'"') => {
                    self.bump();
                    text.extend(is_kept.then_some(b'"'));
                    break;
                }
                Some(b'\\') => {
                    let character = self.escape()?;
                    if is_kept {
                        text.extend_from_slice(&self.escape);
                    } else {
                        text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                    }
                }
                Some(byte) if byte < b' ' => {
                    return Err(
                        self.wrong("a control character in a text; write it as \\u and digits")
                    );
                }
                Some(_) => {}
            }
        }
        if std::str::from_utf8(&text[from..]).is_err() {
            let problem = "the text that begins here is no UTF-8";
            return Err(ReadError::at(start, problem));
        }
        Ok(())
    }

    /// The character that an escape stands for; how it is spelled is left in `self.escape`.
    fn escape(&mut self) -> Result<char, ReadError> {
        let place = self.place;
        self.escape.clear();
        self.escaped()?;
        let character = match self.escaped()? {
            letter @ (b'"' | b'\\' | b'/') => char::from(letter),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let unit = self.four(place)?;
                let code = if (0xd800..0xdc00).contains(&unit) {
                    let low = self.low_surrogate(place)?;
                    0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00)
                } else {
                    unit
                };
                char::from_u32(code).ok_or_else(|| ReadError::at(place, "half of a character"))?
            }
            _ => return Err(ReadError::at(place, "JSON knows no such escape")),
        };
        Ok(character)
    }

    /// The next byte of an escape.
    fn escaped(&mut self) -> Result<u8, ReadError> {
        let byte = self.required()?;
        self.escape.push(byte);
        self.bump();
        Ok(byte)
    }

    fn low_surrogate(&mut self, place: Place) -> Result<u32, ReadError> {
        for expected in *b"\\u" {
            if self.escaped()? != expected {
                return Err(ReadError::at(place, "half of a character"));
            }
        }
        match self.four(place)? {
            low @ 0xdc00..0xe000 => Ok(low),
            _ => Err(ReadError::at(place, "half of a character")),
        }
    }

    fn four(&mut self, place: Place) -> Result<u32, ReadError> {
        let mut unit = 0;
        for _ in 0..4 {
            let digit = char::from(self.escaped()?).to_digit(16);
            let Some(digit) = digit else {
                return Err(ReadError::at(
                    place,
                    "four hexadecimal digits have to follow",
                ));
            };
            unit = unit * 16 + digit;
        }
        Ok(unit)
    }

    fn within(&self, length: usize, start: Place) -> Result<(), ReadError> {
        if length <= self.limits.value {
            return Ok(());
        }
        let most = self.limits.value;
        let problem = format!("the value that begins here is longer than {most} bytes");
        Err(ReadError::at(start, problem))
    }

    fn white_space(&mut self) -> Result<(), ReadError> {
        if !self.begun {
            self.begun = true;
            self.buffer.more()?;
            if self.buffer.rest().starts_with(&[0xef, 0xbb, 0xbf]) {
                self.buffer.consume(3);
            }
        }
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek()? {
            self.bump();
        }
        Ok(())
    }

    fn peek(&mut self) -> Result<Option<u8>, ReadError> {
        if self.buffer.rest().is_empty() && !self.buffer.is_done() {
            self.buffer.more()?;
        }
        Ok(self.buffer.rest().first().copied())
    }

    fn required(&mut self) -> Result<u8, ReadError> {
        match self.peek()? {
            Some(byte) => Ok(byte),
            None => Err(self.wrong("the file ends too early")),
        }
    }

    /// Goes one byte on.
    fn bump(&mut self) {
        match self.buffer.rest().first() {
            Some(b'\n') => {
                self.place.line += 1;
                self.place.column = 1;
            }
            Some(byte) => self.place.column += u64::from(starts_character(*byte)),
            None => {}
        }
        self.buffer.consume(1);
    }

    pub(super) fn wrong(&self, problem: &str) -> ReadError {
        ReadError::at(self.place, problem)
    }
}

const fn starts_character(byte: u8) -> bool {
    byte & 0xc0 != 0x80
}

fn characters(text: &[u8]) -> u64 {
    text.iter().filter(|&&byte| starts_character(byte)).count() as u64
}
