//! Rows of JSON documents and of lines of JSON.

use std::collections::HashMap;
use std::io::Read;

use super::tokens::{Token, Tokens};
use super::told::{NO_LINES, NO_TABLE, NamedBy, lacks};
use super::values;
use crate::format::limits::Limits;
use crate::format::malformed::ReadError;
use crate::format::record::{Place, Record};

/// The name that our documents give to their form, and the version that is read.
const FORMAT: &[u8] = b"bitcraps-db";
const VERSION: &[u8] = b"1";
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
    /// A row that was read to learn the columns.
    first: Option<Record>,
    /// A member of later objects that it does not have.
    first_lacks: Option<String>,
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
            first_lacks: None,
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

    /// Reads objects that stand without a header to their end, for the names of all their members.
    /// Where the text is wrong it ends: whoever reads the rows will be told.
    pub fn members(mut self, go_on: impl Fn() -> bool) -> Vec<String> {
        let mut names = match self.next_section() {
            Ok(Some(section)) => section.columns,
            _ => return Vec::new(),
        };
        while go_on() && self.next_members(&mut names).unwrap_or(false) {}
        names
    }

    /// Adds the members of the next object that are not there; false if none comes.
    fn next_members(&mut self, names: &mut Vec<String>) -> Result<bool, ReadError> {
        self.text.clear();
        if self.tokens.next(&mut self.text)? != Token::OpenObject {
            return Ok(false);
        }
        let mut first = true;
        while self.key()? {
            if std::mem::take(&mut first) && self.state == State::Lines && self.text == HEADER {
                return Ok(false);
            }
            if !self.columns.contains_key(&self.text) {
                self.columns.insert(self.text.clone(), names.len());
                names.push(self.text_of_key()?);
                self.limited(names.len())?;
            }
            self.skip()?;
        }
        Ok(true)
    }

    /// Whether an object that lacks a member is refused; else what it lacks is null.
    pub fn whole(&mut self, is_whole: bool) {
        self.is_whole = is_whole;
    }

    /// Takes objects without a header to have these members too.
    pub fn widen(&mut self, names: &[String]) {
        self.named_by = NamedBy::All;
        for name in names {
            if !self.columns.contains_key(name.as_bytes()) {
                self.columns.insert(name.clone().into_bytes(), self.width);
                self.width += 1;
            }
        }
        if let Some(first) = &mut self.first {
            self.first_lacks = names.get(first.len()).cloned();
            first.absent(self.width, first.place(self.width));
        }
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
            *record = first;
            if let Some(name) = self.first_lacks.take().filter(|_| self.is_whole) {
                return Err(ReadError::of_row(record.place(0), lacks(&name)));
            }
            return Ok(true);
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

    /// The members of our document before its tables.
    fn document(&mut self, place: Place) -> Result<Option<Section>, ReadError> {
        let mut ours = false;
        while self.key()? {
            let key = std::mem::take(&mut self.text);
            let value = self.tokens.place()?;
            let mut text = Vec::new();
            match key.as_slice() {
                b"format" => {
                    ours = self.tokens.next(&mut text)? == Token::String && text == FORMAT;
                    if !ours {
                        return Err(ReadError::at(value, "this is no export of bitcraps-db"));
                    }
                }
                b"version" => {
                    if self.tokens.next(&mut text)? != Token::Number || text != VERSION {
                        let problem = "this version of the form is not known; use a newer program";
                        return Err(ReadError::at(value, problem));
                    }
                }
                b"engine" => {
                    if self.tokens.next(&mut text)? != Token::String {
                        return Err(ReadError::at(value, "a name was expected here"));
                    }
                    self.engine = String::from_utf8(text).ok();
                }
                b"tables" => {
                    if !ours {
                        break;
                    }
                    if self.tokens.next(&mut text)? != Token::OpenArray {
                        return Err(ReadError::at(value, "an array was expected here"));
                    }
                    self.state = State::Tables;
                    return self.table();
                }
                _ => self.skip()?,
            }
        }
        if ours {
            // An export without any table.
            self.state = State::End;
            return Ok(None);
        }
        let problem = "this is neither an export of bitcraps-db, which begins with its \"format\", nor \
                       an array of objects; objects of which each stands on a line are read with \
                       --format ndjson";
        Err(ReadError::at(place, problem))
    }

    /// A table of our document, up to its rows.
    fn table(&mut self) -> Result<Option<Section>, ReadError> {
        let place = self.tokens.place()?;
        self.text.clear();
        match self.tokens.next(&mut self.text)? {
            Token::OpenObject => {}
            Token::CloseArray => {
                while self.key()? {
                    self.skip()?;
                }
                self.state = State::End;
                self.nothing_behind()?;
                return Ok(None);
            }
            _ => return Err(ReadError::at(place, "a table was expected here")),
        }
        let (mut table, mut columns) = (None, None);
        while self.key()? {
            let key = std::mem::take(&mut self.text);
            match key.as_slice() {
                b"name" => table = Some(self.name()?),
                b"columns" => columns = Some(self.names()?),
                b"rows" => {
                    let value = self.tokens.place()?;
                    if self.tokens.next(&mut Vec::new())? != Token::OpenArray {
                        return Err(ReadError::at(value, "an array was expected here"));
                    }
                    let (Some(_), Some(columns)) = (&table, columns) else {
                        let problem = "the name and the columns of a table have to stand before its \
                                       rows";
                        return Err(ReadError::at(value, problem));
                    };
                    self.state = State::TableRows;
                    return Ok(Some(Section {
                        table,
                        columns,
                        place,
                    }));
                }
                _ => self.skip()?,
            }
        }
        // A table without rows.
        self.table()
    }

    fn rest_of_table(&mut self) -> Result<(), ReadError> {
        while self.key()? {
            if self.text == b"rows" {
                return Err(self.tokens.wrong("the rows of a table come once"));
            }
            self.skip()?;
        }
        Ok(())
    }

    /// The first of objects that stand without a header: its members are the columns.
    fn first_object(&mut self) -> Result<Option<Section>, ReadError> {
        let place = self.tokens.place()?;
        self.text.clear();
        match (self.tokens.next(&mut self.text)?, self.state) {
            (Token::OpenObject, _) => {}
            (Token::End, State::Lines) if !self.begun => {
                return Err(ReadError::at(place, NO_LINES));
            }
            (Token::End, State::Lines) | (Token::CloseArray, State::Array) => {
                self.state = State::End;
                self.nothing_behind()?;
                return Ok(None);
            }
            _ => return Err(ReadError::at(place, "an object was expected here")),
        }
        let mut more = self.key()?;
        if more && self.state == State::Lines && self.text == HEADER {
            let section = self.line_header(place)?;
            if section.is_none() {
                self.begun = true;
                return self.first_object();
            }
            return Ok(section);
        }
        let mut record = Record::new();
        record.clear(place.line);
        let mut columns = Vec::new();
        while more {
            columns.push(self.text_of_key()?);
            self.limited(columns.len())?;
            values::read(&mut self.tokens, &self.limits, &mut record)?;
            more = self.key()?;
        }
        self.first = Some(record);
        Ok(Some(Section {
            table: None,
            columns,
            place,
        }))
    }

    /// A header among the lines, from behind its first key. One of no table is the whole export of a
    /// database without tables.
    fn line_header(&mut self, place: Place) -> Result<Option<Section>, ReadError> {
        let table = self.name_or_null()?;
        let mut columns = None;
        while self.key()? {
            if self.text == b"columns" {
                columns = Some(self.names()?);
            } else {
                self.skip()?;
            }
        }
        if table.is_none() {
            return Ok(None);
        }
        let Some(columns) = columns else {
            return Err(ReadError::at(place, "the columns of the table are missing"));
        };
        Ok(Some(Section {
            table,
            columns,
            place,
        }))
    }

    fn array_row(&mut self, place: Place, record: &mut Record) -> Result<(), ReadError> {
        // The array ends where a value would begin.
        while values::read(&mut self.tokens, &self.limits, record)? {
            self.limited(record.len())?;
        }
        if record.len() == self.width {
            return Ok(());
        }
        let (found, wanted) = (record.len(), self.width);
        let problem = format!("{found} values where the table has {wanted} columns");
        Err(ReadError::of_row(place, problem))
    }

    /// A row as an object, from behind its first key, if it has one.
    fn object_row(
        &mut self,
        place: Place,
        mut more: bool,
        record: &mut Record,
    ) -> Result<(), ReadError> {
        record.absent(self.width, place);
        let mut seen = vec![false; self.width];
        let mut wrong = None;
        while more {
            let Some(&index) = self.columns.get(&self.text) else {
                let name = self.text_of_key()?;
                wrong.get_or_insert_with(|| {
                    self.named_by.unknown(&name, self.state == State::Lines)
                });
                self.skip()?;
                more = self.key()?;
                continue;
            };
            values::read(&mut self.tokens, &self.limits, record)?;
            record.put_last_at(index);
            if std::mem::replace(&mut seen[index], true) {
                let name = self.text_of_key()?;
                wrong.get_or_insert_with(|| format!("the member {name:?} comes twice"));
            }
            more = self.key()?;
        }
        if wrong.is_none()
            && self.is_whole
            && let Some(absent) = seen.iter().position(|seen| !seen)
        {
            let mut names = self.columns.iter();
            let name = names.find(|(_, index)| **index == absent);
            let name = name.map_or_else(String::new, |(name, _)| lossy(name));
            wrong = Some(lacks(&name));
        }
        match wrong {
            None => Ok(()),
            Some(problem) => Err(ReadError::of_row(place, problem)),
        }
    }

    /// Reads the next key into `text`; false when the object ends instead.
    fn key(&mut self) -> Result<bool, ReadError> {
        self.text.clear();
        Ok(self.tokens.next(&mut self.text)? == Token::Key)
    }

    fn text_of_key(&self) -> Result<String, ReadError> {
        String::from_utf8(self.text.clone()).map_err(|_| self.tokens.wrong("no UTF-8"))
    }

    fn name(&mut self) -> Result<String, ReadError> {
        let place = self.tokens.place()?;
        let name = self.name_or_null()?;
        name.ok_or_else(|| ReadError::at(place, "a name was expected here"))
    }

    fn name_or_null(&mut self) -> Result<Option<String>, ReadError> {
        let place = self.tokens.place()?;
        let mut text = Vec::new();
        match (self.tokens.next(&mut text)?, String::from_utf8(text)) {
            (Token::String, Ok(name)) => Ok(Some(name)),
            (Token::Null, _) => Ok(None),
            _ => Err(ReadError::at(place, "a name was expected here")),
        }
    }

    /// Columns: their names, or objects with a member `name`.
    fn names(&mut self) -> Result<Vec<String>, ReadError> {
        let place = self.tokens.place()?;
        let wrong = || ReadError::at(place, "an array of columns was expected here");
        let mut text = Vec::new();
        if self.tokens.next(&mut text)? != Token::OpenArray {
            return Err(wrong());
        }
        let mut names = Vec::new();
        loop {
            text.clear();
            match self.tokens.next(&mut text)? {
                Token::CloseArray => return Ok(names),
                Token::String => {
                    names.push(String::from_utf8(text.clone()).map_err(|_| wrong())?);
                }
                Token::OpenObject => {
                    let mut name = None;
                    while self.key()? {
                        if self.text == b"name" {
                            name = Some(self.name()?);
                        } else {
                            self.skip()?;
                        }
                    }
                    names.push(name.ok_or_else(wrong)?);
                }
                _ => return Err(wrong()),
            }
            self.limited(names.len())?;
        }
    }

    /// Passes over the value that comes.
    fn skip(&mut self) -> Result<(), ReadError> {
        let depth = self.tokens.depth();
        loop {
            self.text.clear();
            self.tokens.next(&mut self.text)?;
            if self.tokens.depth() <= depth {
                return Ok(());
            }
        }
    }

    fn nothing_behind(&mut self) -> Result<(), ReadError> {
        let place = self.tokens.place()?;
        match self.tokens.next(&mut Vec::new())? {
            Token::End => Ok(()),
            _ => Err(ReadError::at(place, "nothing may come behind the end")),
        }
    }

    fn limited(&self, columns: usize) -> Result<(), ReadError> {
        if columns <= self.limits.columns {
            return Ok(());
        }
        Err(self.tokens.wrong("more columns than any table has"))
    }
}

fn lossy(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}
