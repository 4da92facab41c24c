//! The rows of a file, whatever its form, and how far reading has come.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use db_core::{Engine, Interrupt};

use crate::Error;
use crate::format::{
    CsvReader, Form, Input, JsonReader, Limits, Opened, Place, ReadError, Record, Section,
};

/// One file, its form, and the table that it is for where the file does not say.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub(super) input: Input,
    pub(super) form: Form,
    pub(super) table: Option<String>,
}

/// The rows of one file.
pub(super) struct Rows {
    reader: Reader,
    /// The same file for a look ahead, if it can be read twice.
    again: Option<(Part, Limits)>,
    name: PathBuf,
    read: Arc<AtomicU64>,
}

enum Reader {
    /// The only table, until it was asked for.
    Csv(CsvReader<Opened>, bool),
    Json(Box<JsonReader<Opened>>),
}

impl Rows {
    pub(super) fn open(part: &Part, limits: Limits) -> Result<Self, Error> {
        let name = part.input.name();
        let opened = open(&part.input)?;
        let read = opened.counter();
        let reader = match part.form {
            Form::Csv => Reader::Csv(CsvReader::new(opened, limits), false),
            Form::Ndjson => Reader::Json(Box::new(JsonReader::of_lines(opened, limits))),
            Form::Json | Form::Sql => Reader::Json(Box::new(JsonReader::new(opened, limits))),
        };
        let again = part.input.is_rereadable().then(|| (part.clone(), limits));
        Ok(Self {
            reader,
            again,
            name,
            read,
        })
    }

    /// Lets objects that stand without a header have any member that one of them has; what another lacks
    /// is null, unless each `is_whole`.
    pub(super) fn widen(
        &mut self,
        section: &mut Section,
        is_whole: bool,
        interrupt: &Interrupt,
    ) -> Result<(), Error> {
        let Reader::Json(reader) = &mut self.reader else {
            return Ok(());
        };
        reader.whole(is_whole);
        if section.table.is_some() {
            return Ok(());
        }
        let Some((part, limits)) = &self.again else {
            return Ok(());
        };
        let opened = open(&part.input)?;
        let ahead = match part.form {
            Form::Ndjson => JsonReader::of_lines(opened, *limits),
            _ => JsonReader::new(opened, *limits),
        };
        let members = ahead.members(|| !interrupt.is_set());
        if interrupt.is_set() {
            return Err(Error::Interrupted);
        }
        reader.widen(&members);
        let more = members.into_iter().skip(section.columns.len());
        section.columns.extend(more);
        Ok(())
    }

    pub(super) fn next_section(&mut self) -> Result<Option<Section>, ReadError> {
        match &mut self.reader {
            Reader::Json(reader) => reader.next_section(),
            Reader::Csv(_, true) => Ok(None),
            Reader::Csv(reader, asked) => {
                *asked = true;
                let mut header = Record::new();
                if !reader.read(&mut header)? {
                    let problem = "the file is empty; its first line has to name the columns";
                    return Err(ReadError::at(Place::START, problem));
                }
                let mut columns = Vec::with_capacity(header.len());
                for index in 0..header.len() {
                    use crate::format::Value;
                    let name = match header.value(index) {
                        Value::Bare(name) | Value::Quoted(name) => std::str::from_utf8(name),
                        _ => {
                            let problem = "a column without a name";
                            return Err(ReadError::at(header.place(index), problem));
                        }
                    };
                    let Ok(name) = name else {
                        let problem = "the name is no UTF-8; save the file as UTF-8";
                        return Err(ReadError::at(header.place(index), problem));
                    };
                    columns.push(name.to_owned());
                }
                for (index, name) in columns.iter().enumerate() {
                    if columns[..index].contains(name) {
                        let problem = format!("the column {name:?} is named twice");
                        return Err(ReadError::at(header.place(index), problem));
                    }
                }
                Ok(Some(Section {
                    table: None,
                    columns,
                    place: Place::START,
                }))
            }
        }
    }

    /// The engine that the file was exported from, if it is not this one.
    pub(super) fn foreign_engine(&self, own: Engine) -> Option<&'static str> {
        let Reader::Json(reader) = &self.reader else {
            return None;
        };
        let from = [Engine::Sqlite, Engine::Postgres]
            .into_iter()
            .find(|engine| reader.engine() == Some(engine.name()))?;
        (from != own).then(|| from.name())
    }

    #[inline]
    pub(super) fn read(&mut self, record: &mut Record) -> Result<bool, ReadError> {
        match &mut self.reader {
            Reader::Csv(reader, _) => reader.read(record),
            Reader::Json(reader) => reader.read(record),
        }
    }

    pub(super) fn name(&self) -> &Path {
        &self.name
    }

    /// Bytes of the file that were read.
    pub(super) fn bytes(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }
}

pub(super) fn open(input: &Input) -> Result<Opened, Error> {
    input.open().map_err(|source| Error::File {
        path: input.name(),
        source,
    })
}
