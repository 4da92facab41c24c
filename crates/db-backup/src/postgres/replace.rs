//! A database of a server that is to take the place of another one.

use chrono::{DateTime, Utc};
use db_core::DatabaseUrl;
use diesel::PgConnection;

use super::facts;
use super::load::{Place, beside, database, look, refuse_clients};
use super::scratch::{self, Old, Scratch};
use crate::error::Error;

/// Whether a database is there and has objects in it.
pub(crate) fn is_taken(url: &DatabaseUrl) -> Result<bool, Error> {
    Ok(Place::of(url)? == Place::Full)
}

/// Whether a replacement could begin.
pub(crate) fn check(url: &DatabaseUrl) -> Result<(), Error> {
    look(url)?;
    let mut admin = scratch::maintenance(url)?;
    refuse_home(facts::postgres(&mut admin)?, &database(url)?)
}

/// The database beside the old one.
#[derive(Debug)]
pub(crate) struct OnServer {
    scratch: Scratch,
    name: String,
    now: DateTime<Utc>,
}

impl OnServer {
    pub(crate) fn begin(url: &DatabaseUrl, now: DateTime<Utc>) -> Result<Self, Error> {
        let name = database(url)?;
        look(url)?;
        let mut scratch = Scratch::create(url, Some(&name), now)?;
        refuse_home(scratch.admin()?, &name)?;
        Ok(Self { scratch, name, now })
    }

    pub(crate) const fn url(&self) -> &DatabaseUrl {
        self.scratch.url()
    }

    pub(crate) fn take_place(mut self) -> Result<String, Error> {
        refuse_clients(self.scratch.admin()?, &self.name)?;
        let kept = beside(&self.name, "before", self.now);
        self.scratch.take_place(&self.name, Old::Aside(&kept))?;
        Ok(kept)
    }
}

/// Refuses a database that says itself in which schema its tables are: the new one gets its settings
/// when it is filled, in the schema `public`.
fn refuse_home(admin: &mut PgConnection, name: &str) -> Result<(), Error> {
    let query = format!(
        "SELECT c.one AS name FROM pg_catalog.pg_db_role_setting s
         JOIN pg_catalog.pg_database d ON d.oid = s.setdatabase,
              LATERAL pg_catalog.unnest(s.setconfig) AS c(one)
         WHERE d.datname = {} AND pg_catalog.starts_with(c.one, 'search_path=')",
        facts::literal(name)
    );
    let doing = "reading the settings of the database";
    match facts::name(admin, &query, doing)? {
        None => Ok(()),
        Some(setting) => Err(Error::refused(
            format!(
                "the database {name} has a {setting} of its own, in which a new one is not filled"
            ),
            "fill an empty database that has this setting, and rename the two",
        )),
    }
}
