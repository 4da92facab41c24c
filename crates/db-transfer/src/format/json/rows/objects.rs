//! Objects: rows by the names of their members, and headers among them.

use std::io::Read;

use super::{First, HEADER, JsonReader, Section, State};
use crate::format::json::tokens::Token;
use crate::format::json::told::{NO_LINES, NO_TABLE, NamedBy, lacks};
use crate::format::json::values;
use crate::format::malformed::ReadError;
use crate::format::record::{Place, Record};

impl<R: Read> JsonReader<R> {
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
            first.lacks = names.get(first.record.len()).cloned();
            first.record.absent(self.width, first.place);
        }
    }

    /// The first of objects that stand without a header: its members are the columns.
    pub(super) fn first_object(&mut self) -> Result<Option<Section>, ReadError> {
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
            if section.is_some() {
                return Ok(section);
            }
            if std::mem::replace(&mut self.begun, true) {
                return Err(ReadError::at(place, NO_TABLE));
            }
            return self.first_object();
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
        self.first = Some(First {
            record,
            place,
            lacks: None,
        });
        Ok(Some(Section {
            table: None,
            columns,
            place,
        }))
    }

    /// A header among the lines, from behind its first key. One of no table is the whole export of a
    /// database without tables.
    pub(super) fn line_header(&mut self, place: Place) -> Result<Option<Section>, ReadError> {
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

    /// A row as an object, from behind its first key, if it has one.
    pub(super) fn object_row(
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
}

fn lossy(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}
