//! Rows of JSON documents and of lines of JSON.

mod document;
mod names;
mod objects;

use std::collections::HashMap;
use std::io::Read;

use super::tokens::{Token, Tokens};
use super::told::{NO_TABLE, NamedBy, lacks};
use crate::format::limits::Limits;
use crate::format::malformed::ReadError;
use crate::format::record::{Place, Record};

/// The first member of a line that begins a table.
const HEADER: &[u8] = b"$table";

/// The rows of one table begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// Its table, where the file names it.
    pub table: Option<String>,
    /// The names of its columns.
    pub columns: Vec<String>,
    /// Where its header stands.
    pub place: Place,
}

/// Reads rows from JSON: our own document, an array of objects, or an object per line.
pub struct JsonReader<R> {
    tokens: Tokens<R>,
    limits: Limits,
    state: State,
    /// The text of a key or of what is passed over.
    text: Vec<u8>,
    columns: HashMap<Vec<u8>, usize>,
    width: usize,
    first: Option<First>,
    /// Whether an object has to have every member.
    is_whole: bool,
    /// Which objects say what the columns are.
    named_by: NamedBy,
    /// A header that was met among the lines.
    next: Option<Section>,
    /// Whether a table was begun.
    begun: bool,
    /// The engine that our document says it is from.
    engine: Option<String>,
}

/// An object that was read to learn the columns.
struct First {
    record: Record,
    place: Place,
    /// A member of later objects that it does not have.
    lacks: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Start,
    /// In the array of tables of our document.
    Tables,
    /// In the rows of a table of our document.
    TableRows,
    /// In an array of objects.
    Array,
    /// Among objects that stand alone.
    Lines,
    End,
}

impl<R: Read> JsonReader<R> {
    /// Reads from the start of a file.
    pub fn new(from: R, limits: Limits) -> Self {
        Self {
            tokens: Tokens::new(from, limits),
            limits,
            state: State::Start,
            text: Vec::new(),
            columns: HashMap::new(),
            width: 0,
            first: None,
            is_whole: false,
            named_by: NamedBy::First,
            next: None,
            begun: false,
            engine: None,
        }
    }

    /// Reads lines of JSON from the start of a file.
    pub fn of_lines(from: R, limits: Limits) -> Self {
        let mut reader = Self::new(from, limits);
        reader.state = State::Lines;
        reader
    }

    /// The engine that a document of ours was exported from, as far as it was read.
    #[must_use]
    pub fn engine(&self) -> Option<&str> {
        self.engine.as_deref()
    }

    /// Goes on to the next table; `None` at the end. What is left of the table before is passed over.
    ///
    /// # Errors
    /// [`ReadError`], none of them resumable.
    pub fn next_section(&mut self) -> Result<Option<Section>, ReadError> {
        self.pass_over()?;
        let section = match self.state {
            State::Start => self.start()?,
            State::Tables => self.table()?,
            State::Lines => match self.next.take() {
                Some(section) => Some(section),
                None => self.first_object()?,
            },
            State::Array | State::TableRows | State::End => None,
        };
        if let Some(section) = &section {
            self.begun = true;
            self.named_by = match section.table {
                Some(_) => NamedBy::Header,
                None => NamedBy::First,
            };
            self.columns.clear();
            self.width = section.columns.len();
            for (index, name) in section.columns.iter().enumerate() {
                if self
                    .columns
                    .insert(name.clone().into_bytes(), index)
                    .is_some()
                {
                    let problem = format!("the column {name:?} is named twice");
                    return Err(ReadError::at(section.place, problem));
                }
            }
        }
        Ok(section)
    }

    /// Whether an object that lacks a member is refused; else its record says that it is absent.
    pub fn whole(&mut self, is_whole: bool) {
        self.is_whole = is_whole;
    }

    /// Passes over what is left of the rows of a table.
    fn pass_over(&mut self) -> Result<(), ReadError> {
        let mut rest = Record::new();
        while self.begun && self.next.is_none() && self.state != State::Tables {
            match self.read(&mut rest) {
                Ok(true)
                | Err(ReadError::Malformed {
                    resumable: true, ..
                }) => {}
                Ok(false) => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads the next row of the table; false behind the last.
    ///
    /// # Errors
    /// [`ReadError`]; after one that is resumable the next call goes on with the next row.
    pub fn read(&mut self, record: &mut Record) -> Result<bool, ReadError> {
        if let Some(first) = self.first.take() {
            *record = first.record;
            return match first.lacks.filter(|_| self.is_whole) {
                Some(name) => Err(ReadError::of_row(first.place, lacks(&name))),
                None => Ok(true),
            };
        }
        if !matches!(self.state, State::TableRows | State::Array | State::Lines)
            || self.next.is_some()
        {
            return Ok(false);
        }
        let place = self.tokens.place()?;
        record.clear(place.line);
        self.text.clear();
        match (self.tokens.next(&mut self.text)?, self.state) {
            (Token::CloseArray, State::TableRows) => {
                self.state = State::Tables;
                self.rest_of_table()?;
                Ok(false)
            }
            (Token::CloseArray, State::Array) => {
                self.state = State::End;
                self.nothing_behind()?;
                Ok(false)
            }
            (Token::End, State::Lines) => {
                self.state = State::End;
                Ok(false)
            }
            (Token::OpenArray, State::TableRows) => {
                let place = self.tokens.opened();
                self.array_row(place, record).map(|()| true)
            }
            (Token::OpenObject, _) => {
                let place = self.tokens.opened();
                let first = self.key()?;
                if first && self.state == State::Lines && self.text == HEADER {
                    let section = self.line_header(place)?;
                    if section.is_none() {
                        return Err(ReadError::at(place, NO_TABLE));
                    }
                    self.next = section;
                    return Ok(false);
                }
                self.object_row(place, first, record).map(|()| true)
            }
            _ => Err(ReadError::at(place, "a row was expected here")),
        }
    }

    fn start(&mut self) -> Result<Option<Section>, ReadError> {
        let place = self.tokens.place()?;
        self.text.clear();
        match self.tokens.next(&mut self.text)? {
            Token::End => Err(ReadError::at(place, "the file is empty")),
            Token::OpenArray => {
                self.state = State::Array;
                self.first_object()
            }
            Token::OpenObject => self.document(place),
            _ => Err(ReadError::at(
                place,
                "an export, or an array of objects, was expected here",
            )),
        }
    }
}
