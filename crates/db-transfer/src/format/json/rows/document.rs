//! Our own document: tables, and their rows as arrays.

use std::io::Read;

use super::{JsonReader, Section, State};
use crate::format::json::tokens::Token;
use crate::format::json::values;
use crate::format::malformed::ReadError;
use crate::format::record::{Place, Record};

/// The name that our documents give to their form, and the version that is read.
const FORMAT: &[u8] = b"bitcraps-db";
const VERSION: &[u8] = b"1";

impl<R: Read> JsonReader<R> {
    /// The members of our document before its tables.
    pub(super) fn document(&mut self, place: Place) -> Result<Option<Section>, ReadError> {
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

    /// The next table of our document that has rows, up to these.
    pub(super) fn table(&mut self) -> Result<Option<Section>, ReadError> {
        loop {
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
            if let Some((table, columns)) = self.up_to_rows()? {
                self.state = State::TableRows;
                return Ok(Some(Section {
                    table: Some(table),
                    columns,
                    place,
                }));
            }
        }
    }

    /// The name and the columns of a table, of which the rows come next; none if it has no rows.
    fn up_to_rows(&mut self) -> Result<Option<(String, Vec<String>)>, ReadError> {
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
                    let problem =
                        "the name and the columns of a table have to stand before its rows";
                    return match (table, columns) {
                        (Some(table), Some(columns)) => Ok(Some((table, columns))),
                        _ => Err(ReadError::at(value, problem)),
                    };
                }
                _ => self.skip()?,
            }
        }
        Ok(None)
    }

    pub(super) fn rest_of_table(&mut self) -> Result<(), ReadError> {
        while self.key()? {
            if self.text == b"rows" {
                return Err(self.tokens.wrong("the rows of a table come once"));
            }
            self.skip()?;
        }
        Ok(())
    }

    /// A row as an array, from behind its bracket.
    pub(super) fn array_row(&mut self, place: Place, record: &mut Record) -> Result<(), ReadError> {
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
}
