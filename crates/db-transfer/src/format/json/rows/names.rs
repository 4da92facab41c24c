//! Keys, names and what is passed over.

use std::io::Read;

use super::JsonReader;
use crate::format::json::tokens::Token;
use crate::format::malformed::ReadError;

impl<R: Read> JsonReader<R> {
    /// Reads the next key into `text`; false when the object ends instead.
    pub(super) fn key(&mut self) -> Result<bool, ReadError> {
        self.text.clear();
        Ok(self.tokens.next(&mut self.text)? == Token::Key)
    }

    pub(super) fn text_of_key(&self) -> Result<String, ReadError> {
        String::from_utf8(self.text.clone()).map_err(|_| self.tokens.wrong("no UTF-8"))
    }

    pub(super) fn name(&mut self) -> Result<String, ReadError> {
        let place = self.tokens.place()?;
        let name = self.name_or_null()?;
        name.ok_or_else(|| ReadError::at(place, "a name was expected here"))
    }

    pub(super) fn name_or_null(&mut self) -> Result<Option<String>, ReadError> {
        let place = self.tokens.place()?;
        let mut text = Vec::new();
        match (self.tokens.next(&mut text)?, String::from_utf8(text)) {
            (Token::String, Ok(name)) => Ok(Some(name)),
            (Token::Null, _) => Ok(None),
            _ => Err(ReadError::at(place, "a name was expected here")),
        }
    }

    /// Columns: their names, or objects with a member `name`.
    pub(super) fn names(&mut self) -> Result<Vec<String>, ReadError> {
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
    pub(super) fn skip(&mut self) -> Result<(), ReadError> {
        let depth = self.tokens.depth();
        loop {
            self.text.clear();
            self.tokens.next(&mut self.text)?;
            if self.tokens.depth() <= depth {
                return Ok(());
            }
        }
    }

    pub(super) fn nothing_behind(&mut self) -> Result<(), ReadError> {
        let place = self.tokens.place()?;
        match self.tokens.next(&mut Vec::new())? {
            Token::End => Ok(()),
            _ => Err(ReadError::at(place, "nothing may come behind the end")),
        }
    }

    pub(super) fn limited(&self, columns: usize) -> Result<(), ReadError> {
        if columns <= self.limits.columns {
            return Ok(());
        }
        Err(self.tokens.wrong("more columns than any table has"))
    }
}
