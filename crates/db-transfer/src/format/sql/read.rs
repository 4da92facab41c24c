//! Cuts a script into statements where the engine's own shell would, in constant memory.
//!
//! `db_migrate::sql` does that for migrations, with the whole text in memory and every token known;
//! a script of data may be larger than memory, and needs no more than where its statements end.

use std::io::Read;

use db_core::Engine;

use crate::format::buffer::Buffer;
use crate::format::limits::Limits;
use crate::format::malformed::ReadError;
use crate::format::record::Place;

/// Words that are kept of a statement, to tell what it is.
const WORDS: usize = 24;
/// Letters that are kept of a word: no keyword has more.
const LETTERS: usize = 32;
/// What `pg_dump` puts around its scripts; they only concern psql.
const HARMLESS: &[&[u8]] = &[b"restrict", b"unrestrict"];

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

const CUT_OFF: &str =
    "the script that begins here has no \\unrestrict, so that it seems to be cut off";

/// What is known of a statement.
#[derive(Debug, Clone)]
pub struct Statement {
    /// Where it begins.
    pub place: Place,
    /// Its first words outside of quotes and parentheses, in upper case.
    pub words: Vec<String>,
}

/// Reads the statements of a script.
pub struct SqlReader<R> {
    buffer: Buffer<R>,
    engine: Engine,
    limits: Limits,
    place: Place,
    begun: bool,
    /// Where `pg_dump` began what it ends at the very end of its scripts.
    restricted: Option<Place>,
}

/// Where a statement is at.
#[derive(Debug, Default)]
struct Nesting {
    parentheses: usize,
    /// `BEGIN` and `CASE` inside the body of a routine of PostgreSQL.
    blocks: usize,
    /// What of the end of a trigger of SQLite was seen: `;`, then `END`.
    trigger: Option<TriggerEnd>,
    /// Whether something else than words was seen.
    marks: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TriggerEnd {
    Body,
    Semicolon,
    End,
}

impl<R: Read> SqlReader<R> {
    /// Reads from the start of a file.
    pub fn new(from: R, engine: Engine, limits: Limits) -> Self {
        Self {
            buffer: Buffer::new(from),
            engine,
            limits,
            place: Place::START,
            begun: false,
            restricted: None,
        }
    }

    /// Reads the next statement into `text`, without its semicolon; `None` at the end.
    ///
    /// # Errors
    /// [`ReadError`], none of them resumable: what never ends, commands of the shells, and what is
    /// longer than a row may be.
    pub fn next(&mut self, text: &mut Vec<u8>) -> Result<Option<Statement>, ReadError> {
        text.clear();
        if !self.begun {
            self.begun = true;
            self.buffer.more()?;
            if self.buffer.rest().starts_with(BYTE_ORDER_MARK) {
                self.buffer.consume(BYTE_ORDER_MARK.len());
            }
        }
        let mut statement: Option<Statement> = None;
        let mut nesting = Nesting::default();
        while let Some(byte) = self.peek(0)? {
            if text.len() > self.limits.row {
                let most = self.limits.row;
                let place = statement.as_ref().map_or(self.place, |s| s.place);
                let problem = format!("the statement that begins here is longer than {most} bytes");
                return Err(ReadError::at(place, problem));
            }
            let comment = self.comment(byte, text)? || self.mark(byte, text)?;
            // PostgreSQL's white space has the vertical tab too.
            let tab = byte == b'\x0b' && self.engine == Engine::Postgres;
            let blank = byte.is_ascii_whitespace() || tab;
            if comment || (text.is_empty() && (blank || byte == b';')) {
                if !comment {
                    self.skip();
                }
                if statement.is_none() {
                    text.clear();
                }
                continue;
            }
            if text.is_empty() && self.shell_command(byte)? {
                continue;
            }
            let place = self.place;
            let statement = statement.get_or_insert_with(|| Statement {
                place,
                words: Vec::new(),
            });
            match byte {
                b';' if nesting.ends_statement(self.engine) => {
                    self.skip();
                    trim(text);
                    return Ok(Some(statement.clone()));
                }
                b';' => {
                    nesting.semicolon();
                    self.bump(text);
                }
                b'(' => {
                    nesting.other();
                    nesting.parentheses += 1;
                    self.bump(text);
                }
                b')' => {
                    nesting.other();
                    nesting.parentheses = nesting.parentheses.saturating_sub(1);
                    self.bump(text);
                }
                b'\'' | b'"' => {
                    self.quoted(byte, false, text)?;
                    nesting.other();
                }
                b'`' | b'[' if self.engine == Engine::Sqlite => {
                    self.quoted(if byte == b'[' { b']' } else { b'`' }, false, text)?;
                    nesting.other();
                }
                b'$' if self.engine == Engine::Postgres => self.dollar(text)?,
                b'\\' if self.engine == Engine::Postgres => {
                    return Err(self.backslash());
                }
                0 => return Err(self.wrong("a NUL byte, which no statement can hold")),
                _ if starts_word(byte) => self.word(statement, &mut nesting, text)?,
                _ => {
                    if !byte.is_ascii_whitespace() {
                        nesting.other();
                    }
                    self.bump(text);
                }
            }
        }
        trim(text);
        match statement {
            Some(statement) if !nesting.ends_statement(self.engine) => Err(ReadError::at(
                statement.place,
                "the statement that begins here is not finished",
            )),
            None => match self.restricted {
                Some(place) => Err(ReadError::at(place, CUT_OFF)),
                None => Ok(None),
            },
            some => Ok(some),
        }
    }

    /// Passes over what is left of the line of a `COPY` statement.
    ///
    /// # Errors
    /// [`ReadError`] if something else than the end of the line comes.
    pub fn begin_copy(&mut self) -> Result<(), ReadError> {
        loop {
            match self.peek(0)? {
                Some(b'\n') | None => {
                    self.skip();
                    return Ok(());
                }
                Some(b' ' | b'\t' | b'\r') => self.skip(),
                Some(_) => return Err(self.wrong("the rows have to begin on the next line")),
            }
        }
    }

    /// Reads a line of the rows that follow `COPY .. FROM stdin`, with its line end; false behind the
    /// last.
    ///
    /// # Errors
    /// [`ReadError`] if they never end, or a line is longer than a row may be.
    pub fn copy_line(&mut self, text: &mut Vec<u8>) -> Result<bool, ReadError> {
        text.clear();
        let begin = self.place;
        loop {
            let rest = self.buffer.rest();
            let end = memchr::memchr(b'\n', rest).map(|at| at + 1);
            let taken = end.unwrap_or(rest.len());
            text.extend_from_slice(&rest[..taken]);
            self.buffer.consume(taken);
            if end.is_some() {
                self.place = Place {
                    line: begin.line + 1,
                    column: 1,
                };
                if matches!(text.as_slice(), b"\\.\n" | b"\\.\r\n") {
                    return Ok(false);
                }
                return Ok(true);
            }
            if text.len() > self.limits.row {
                let most = self.limits.row;
                let problem = format!("the row that begins here is longer than {most} bytes");
                return Err(ReadError::at(begin, problem));
            }
            if self.buffer.is_done() {
                if text.as_slice() == b"\\." {
                    return Ok(false);
                }
                let problem = "the rows of this COPY never end with \\. on a line of its own";
                return Err(ReadError::at(begin, problem));
            }
            self.buffer.more()?;
        }
    }

    /// Takes a comment, which stays where it is inside of a statement.
    fn comment(&mut self, byte: u8, text: &mut Vec<u8>) -> Result<bool, ReadError> {
        match (byte, self.peek(1)?) {
            (b'-', Some(b'-')) => {
                while let Some(byte) = self.peek(0)? {
                    let ends = byte == b'\r' && self.engine == Engine::Postgres;
                    if byte == b'\n' || ends {
                        break;
                    }
                    self.bump(text);
                }
                Ok(true)
            }
            (b'/', Some(b'*')) => {
                let start = self.place;
                let mut depth = 0_usize;
                loop {
                    match (self.peek(0)?, self.peek(1)?) {
                        (Some(b'/'), Some(b'*')) => {
                            // Only PostgreSQL nests them.
                            let nests = depth == 0 || self.engine == Engine::Postgres;
                            depth += usize::from(nests);
                            self.bump(text);
                            self.bump(text);
                        }
                        (Some(b'*'), Some(b'/')) => {
                            depth -= 1;
                            self.bump(text);
                            self.bump(text);
                            if depth == 0 {
                                return Ok(true);
                            }
                        }
                        (Some(_), _) => self.bump(text),
                        (None, _) => {
                            let problem = "the comment that begins here never ends";
                            return Err(ReadError::at(start, problem));
                        }
                    }
                    if text.len() > self.limits.row {
                        return Err(ReadError::at(
                            start,
                            "the comment that begins here is too long",
                        ));
                    }
                }
            }
            _ => Ok(false),
        }
    }

    /// Takes a byte order mark, which is white space to SQLite wherever a token could start: what stands
    /// behind it is no part of a word.
    fn mark(&mut self, byte: u8, text: &mut Vec<u8>) -> Result<bool, ReadError> {
        if self.engine != Engine::Sqlite || byte != BYTE_ORDER_MARK[0] {
            return Ok(false);
        }
        for (index, byte) in BYTE_ORDER_MARK.iter().enumerate() {
            if self.peek(index)? != Some(*byte) {
                return Ok(false);
            }
        }
        for _ in BYTE_ORDER_MARK {
            self.bump(text);
        }
        Ok(true)
    }

    /// A command of the shell between statements: `pg_dump`'s own are passed over.
    fn shell_command(&mut self, byte: u8) -> Result<bool, ReadError> {
        match (self.engine, byte) {
            (Engine::Sqlite, b'.') => Err(self.wrong(
                "a command of the sqlite3 shell, which is no SQL; only statements can be imported",
            )),
            (Engine::Postgres, b'\\') => {
                for command in HARMLESS {
                    let mut same = true;
                    for (index, letter) in command.iter().enumerate() {
                        same &= self.peek(1 + index)? == Some(*letter);
                    }
                    if same && self.peek(1 + command.len())? == Some(b' ') {
                        let begins = *command == HARMLESS[0];
                        self.restricted = begins.then_some(self.place);
                        while self.peek(0)?.is_some_and(|byte| byte != b'\n') {
                            self.skip();
                        }
                        return Ok(true);
                    }
                }
                Err(self.backslash())
            }
            _ => Ok(false),
        }
    }

    fn backslash(&self) -> ReadError {
        self.wrong(
            "a command of psql, which is no SQL; only statements and the rows of COPY .. FROM stdin \
             can be imported",
        )
    }

    /// Takes what stands in quotes, of which two are one; `escapes` says that a backslash holds too.
    fn quoted(&mut self, close: u8, escapes: bool, text: &mut Vec<u8>) -> Result<(), ReadError> {
        let start = self.place;
        self.bump(text);
        loop {
            match self.peek(0)? {
                None => {
                    let problem = "the quotes that begin here never end";
                    return Err(ReadError::at(start, problem));
                }
                Some(0) => return Err(self.wrong("a NUL byte, which no statement can hold")),
                Some(b'\\') if escapes => {
                    self.bump(text);
                    if self.peek(0)?.is_some() {
                        self.bump(text);
                    }
                }
                Some(byte) if byte == close => {
                    self.bump(text);
                    // In brackets nothing is doubled.
                    if close == b']' || self.peek(0)? != Some(close) {
                        return Ok(());
                    }
                    self.bump(text);
                }
                Some(_) => self.bump(text),
            }
            if text.len() > self.limits.row {
                return Err(ReadError::at(
                    start,
                    "what begins here is too long for a statement",
                ));
            }
        }
    }

    /// Takes `$tag$ .. $tag$`, or the `$` alone.
    fn dollar(&mut self, text: &mut Vec<u8>) -> Result<(), ReadError> {
        let start = self.place;
        let mut length = 1;
        loop {
            match self.peek(length)? {
                Some(b'$') => break,
                Some(byte)
                    if length < 64
                        && (starts_word(byte) || (length > 1 && byte.is_ascii_digit())) =>
                {
                    length += 1;
                }
                _ => {
                    self.bump(text);
                    return Ok(());
                }
            }
        }
        let from = text.len();
        for _ in 0..=length {
            self.bump(text);
        }
        let tag = text[from..].to_vec();
        let body = text.len();
        loop {
            match self.peek(0)? {
                None => {
                    let problem = "the text that begins here never ends";
                    return Err(ReadError::at(start, problem));
                }
                Some(0) => return Err(self.wrong("a NUL byte, which no statement can hold")),
                Some(byte) => {
                    self.bump(text);
                    if byte == b'$' && text[body..].ends_with(&tag) {
                        return Ok(());
                    }
                }
            }
            if text.len() > self.limits.row {
                return Err(ReadError::at(
                    start,
                    "what begins here is too long for a statement",
                ));
            }
        }
    }

    fn word(
        &mut self,
        statement: &mut Statement,
        nesting: &mut Nesting,
        text: &mut Vec<u8>,
    ) -> Result<(), ReadError> {
        let from = text.len();
        while let Some(byte) = self.peek(0)? {
            if !(starts_word(byte) || byte.is_ascii_digit() || byte == b'$') {
                break;
            }
            self.bump(text);
            if text.len() > self.limits.row {
                return Err(self.wrong("the word that ends here is too long"));
            }
        }
        let escapes = self.engine == Engine::Postgres && matches!(&text[from..], b"e" | b"E");
        if escapes && self.peek(0)? == Some(b'\'') {
            return self.quoted(b'\'', true, text);
        }
        let letters = &text[from..text.len().min(from + LETTERS)];
        let word = String::from_utf8_lossy(letters).to_ascii_uppercase();
        nesting.word(self.engine, &word, &statement.words);
        if nesting.parentheses == 0 && statement.words.len() < WORDS {
            statement.words.push(word);
        }
        Ok(())
    }

    fn peek(&mut self, ahead: usize) -> Result<Option<u8>, ReadError> {
        while self.buffer.rest().len() <= ahead && !self.buffer.is_done() {
            self.buffer.more()?;
        }
        Ok(self.buffer.rest().get(ahead).copied())
    }

    fn bump(&mut self, text: &mut Vec<u8>) {
        text.extend(self.buffer.rest().first());
        self.skip();
    }

    fn skip(&mut self) {
        match self.buffer.rest().first() {
            Some(b'\n') => {
                self.place.line += 1;
                self.place.column = 1;
            }
            Some(byte) => self.place.column += u64::from(byte & 0xc0 != 0x80),
            None => {}
        }
        self.buffer.consume(1);
    }

    fn wrong(&self, problem: &str) -> ReadError {
        ReadError::at(self.place, problem)
    }
}

impl Nesting {
    /// Whether a semicolon here ends the statement. SQLite does not look at parentheses.
    fn ends_statement(&self, engine: Engine) -> bool {
        match engine {
            Engine::Sqlite => matches!(self.trigger, None | Some(TriggerEnd::End)),
            Engine::Postgres => self.parentheses == 0 && self.blocks == 0,
        }
    }

    fn semicolon(&mut self) {
        if self.trigger.is_some() {
            self.trigger = Some(TriggerEnd::Semicolon);
        }
    }

    /// Something else than white space, a comment or a word.
    fn other(&mut self) {
        self.marks = true;
        if self.trigger.is_some() {
            self.trigger = Some(TriggerEnd::Body);
        }
    }

    /// A word behind these first ones.
    fn word(&mut self, engine: Engine, word: &str, first: &[String]) {
        let first: Vec<&str> = first.iter().map(String::as_str).collect();
        match engine {
            Engine::Sqlite => match (self.trigger, word) {
                (Some(TriggerEnd::Semicolon), "END") => self.trigger = Some(TriggerEnd::End),
                (Some(_), _) => self.trigger = Some(TriggerEnd::Body),
                (None, "TRIGGER")
                    if !self.marks
                        && matches!(
                            first.as_slice(),
                            ["CREATE"] | ["CREATE", "TEMP" | "TEMPORARY"]
                        ) =>
                {
                    self.trigger = Some(TriggerEnd::Body);
                }
                (None, _) => {}
            },
            // As psql does: bodies of routines are the only place where BEGIN is no statement.
            Engine::Postgres => {
                let routine = matches!(
                    first.as_slice(),
                    ["CREATE", "FUNCTION" | "PROCEDURE", ..]
                        | ["CREATE", "OR", "REPLACE", "FUNCTION" | "PROCEDURE", ..]
                );
                match word {
                    "BEGIN" if routine && self.parentheses == 0 => self.blocks += 1,
                    "CASE" if self.blocks > 0 && self.parentheses == 0 => self.blocks += 1,
                    "END" if self.parentheses == 0 => self.blocks = self.blocks.saturating_sub(1),
                    _ => {}
                }
            }
        }
    }
}

fn trim(text: &mut Vec<u8>) {
    while text.last().is_some_and(u8::is_ascii_whitespace) {
        text.pop();
    }
}

const fn starts_word(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80
}
