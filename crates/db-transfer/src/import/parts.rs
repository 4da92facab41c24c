//! The files of an import, and which table each is for.

use std::path::Path;

use super::Import;
use super::rows::Part;
use super::table::Tables;
use crate::Error;
use crate::format::{Form, Input};

impl Import {
    /// The files that there are.
    pub(super) fn parts(&self) -> Result<Vec<Part>, Error> {
        if let Input::File(path) = &self.input
            && path.is_dir()
        {
            return self.folder(path);
        }
        let name = self.input.name();
        let told = Form::of_path(&name);
        let Some(form) = self.form.or(told.as_ref().map(|(form, _)| *form)) else {
            return Err(Error::Usage(format!(
                "{} does not say what it is; --format sql, json, ndjson or csv does",
                name.display()
            )));
        };
        let stem = told.map(|(_, stem)| stem).filter(|_| form != Form::Sql);
        Ok(vec![Part {
            input: self.input.clone(),
            form,
            table: match self.tables.as_slice() {
                [only] => Some(only.clone()),
                _ => stem,
            },
        }])
    }

    /// The files of CSV in a folder.
    fn folder(&self, path: &Path) -> Result<Vec<Part>, Error> {
        let failed = |source| Error::File {
            path: path.to_owned(),
            source,
        };
        if self.form.is_some_and(|form| form != Form::Csv) {
            return Err(Error::Usage(
                "of a folder every file of CSV goes into the table that it is named after; name a \
                 single file instead"
                    .to_owned(),
            ));
        }
        let mut parts = Vec::new();
        for entry in std::fs::read_dir(path).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if let Some((form @ Form::Csv, stem)) = Form::of_path(&path)
                && !path.is_dir()
            {
                parts.push(Part {
                    input: Input::File(path),
                    form,
                    table: Some(stem),
                });
            }
        }
        if parts.is_empty() {
            let place = path.display();
            return Err(Error::Usage(format!("{place} holds no file of CSV")));
        }
        Ok(parts)
    }

    /// The files in the order in which their tables refer to each other.
    pub(super) fn placed(&self, mut parts: Vec<Part>, tables: &Tables) -> Result<Vec<Part>, Error> {
        if let [part] = parts.as_slice()
            && part.form == Form::Csv
            && part.table.is_none()
        {
            return Err(Error::Usage(
                "say with --table which table the rows are of".to_owned(),
            ));
        }
        let mut asked = Vec::with_capacity(self.tables.len());
        for name in &self.tables {
            let found = tables.find(name);
            asked.push(
                &found
                    .ok_or_else(|| Error::Usage(tables.missing(name)))?
                    .name,
            );
        }
        let is_folder = matches!(&self.input, Input::File(path) if path.is_dir());
        if is_folder && !asked.is_empty() {
            let table_of = |part: &Part| Some(&tables.find(part.table.as_deref()?)?.name);
            parts.retain(|part| table_of(part).is_some_and(|name| asked.contains(&name)));
            let has = |name: &&&String| !parts.iter().any(|part| table_of(part) == Some(**name));
            if let Some(missing) = asked.iter().find(has) {
                return Err(Error::Usage(format!(
                    "the folder holds no file of {missing}"
                )));
            }
        }
        if parts.len() > 1 {
            let ranks = tables.ranks();
            let rank = |part: &Part| {
                let table = part.table.as_deref().and_then(|name| tables.find(name));
                let rank = table.and_then(|table| ranks.get(table.name.as_str()));
                (rank.copied().unwrap_or_default(), part.input.name())
            };
            parts.sort_by_cached_key(rank);
        }
        Ok(parts)
    }
}

/// Bytes of all files, if they are files.
pub(super) fn expected(parts: &[Part]) -> Option<u64> {
    parts.iter().map(|part| size(&part.input)).sum()
}

fn size(input: &Input) -> Option<u64> {
    match input {
        Input::File(path) => {
            let about = path.metadata().ok()?;
            about.is_file().then_some(about.len())
        }
        Input::Stdin => None,
    }
}
