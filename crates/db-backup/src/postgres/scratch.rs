//! A database that is made for a restore or a drill, and is gone unless it takes its place.

use chrono::{DateTime, Utc};
use db_core::{Access, Connection, DatabaseUrl, ErrorKind, ScratchDatabase};
use diesel::PgConnection;

use super::facts;
use crate::error::Error;

/// Databases that every server has, to be connected to while others are made and renamed.
const MAINTENANCE: [&str; 2] = ["postgres", "template1"];

/// What a role without the right to do it is told that it was doing.
const MAKING: &str = "making a new database";

/// What such a role needs for a drill, or who else has it.
const RIGHT: &str = "ALTER ROLE … CREATEDB lets this role make the scratch database of a trial restore; \
     --drill-server URL, or drill_server in [backup], names another role or another server for it";

/// A database of our own, dropped unless it took a [place](Scratch::take_place).
#[derive(Debug)]
pub(super) struct Scratch {
    database: ScratchDatabase,
    url: DatabaseUrl,
    /// What makes it as its model is, once it is filled.
    traits: Vec<String>,
    /// The database whose place it took.
    took: Option<String>,
}

impl Scratch {
    /// Makes a database on the server of `url`, as `like` is, whose place it may take, if that exists.
    pub(super) fn create(
        url: &DatabaseUrl,
        like: Option<&str>,
        now: DateTime<Utc>,
    ) -> Result<Self, Error> {
        let mut admin = beside(url, like)?;
        let traits = match like {
            Some(like) => traits(facts::postgres(&mut admin)?, like)?,
            None => Traits::default(),
        };
        let database = ScratchDatabase::create(admin, &traits.at_creation, now)
            .map_err(|e| Error::database(MAKING, e))?;
        Ok(Self {
            url: database.url(),
            database,
            traits: traits.afterwards,
            took: None,
        })
    }

    /// The same for a trial, which takes the place of none.
    ///
    /// # Errors
    /// As [`create`](Self::create); who may not make a database is told what would help.
    pub(super) fn for_trial(url: &DatabaseUrl, now: DateTime<Utc>) -> Result<Self, Error> {
        Self::create(url, None, now).map_err(|error| match error {
            Error::Database { doing, error }
                if doing == MAKING && error.kind() == ErrorKind::PermissionDenied =>
            {
                Error::Database {
                    doing,
                    error: error.with_hint(RIGHT),
                }
            }
            error => error,
        })
    }

    /// Gives it the limit, settings and grants of its model. Before it is filled and checked they would
    /// hold for that: `default_transaction_read_only`, a timeout, a limit of no connection.
    fn resemble(&mut self) -> Result<(), Error> {
        let quoted = facts::quoted(self.database.name());
        let conn = facts::postgres(self.database.admin())?;
        for statement in std::mem::take(&mut self.traits) {
            let statement = statement.replace(TRAIT_OF, &quoted);
            facts::run(
                conn,
                &statement,
                "giving the restored database its settings",
            )?;
        }
        Ok(())
    }

    pub(super) const fn url(&self) -> &DatabaseUrl {
        &self.url
    }

    /// A connection to another database of the server.
    pub(super) fn admin(&mut self) -> Result<&mut PgConnection, Error> {
        facts::postgres(self.database.admin())
    }

    /// Gives it the name of a database; one of that name becomes `aside`, or goes if that is none.
    /// All in one transaction: at every moment there is a database of the name, or there never was.
    pub(super) fn take_place(&mut self, of: &str, old: Old<'_>) -> Result<(), Error> {
        self.resemble()?;
        let sql = format!(
            "BEGIN; {} COMMIT",
            renaming((self.database.name(), of), old)
        );
        let conn = self.admin()?;
        let renamed = facts::run(conn, &sql, "giving the restored database its name");
        if let Err(error) = renamed {
            // The transaction that failed half way.
            drop(facts::run(conn, "ROLLBACK", "undoing the renaming"));
            return Err(error);
        }
        self.took = Some(of.to_owned());
        self.database.keep(true);
        Ok(())
    }

    /// Gives the database that was moved aside its name back, and is scratch again.
    pub(super) fn give_back(&mut self, aside: &str) -> Result<(), Error> {
        let Some(place) = self.took.clone() else {
            return Ok(());
        };
        let names = (aside, place.as_str());
        let scratch = Old::Aside(self.database.name());
        let sql = format!("BEGIN; {} COMMIT", renaming(names, scratch));
        let conn = self.admin()?;
        if let Err(error) = facts::run(conn, &sql, "giving the old database its name back") {
            drop(facts::run(conn, "ROLLBACK", "undoing the renaming"));
            return Err(error);
        }
        self.took = None;
        self.database.keep(false);
        Ok(())
    }
}

/// The statements that give a database the name of another one.
pub(super) fn renaming((from, to): (&str, &str), old: Old<'_>) -> String {
    let rename = |from: &str, to: &str| {
        let (from, to) = (facts::quoted(from), facts::quoted(to));
        format!("ALTER DATABASE {from} RENAME TO {to};")
    };
    match old {
        Old::None => rename(from, to),
        Old::Aside(aside) => format!("{} {}", rename(to, aside), rename(from, to)),
    }
}

/// What becomes of the database whose name is taken.
#[derive(Debug, Clone, Copy)]
pub(super) enum Old<'n> {
    /// There is none.
    None,
    /// It is kept under this name.
    Aside(&'n str),
}

/// Connects to a database of the server that is not the one that `url` names.
pub(super) fn maintenance(url: &DatabaseUrl) -> Result<Connection, Error> {
    beside(url, url.database_name().as_deref())
}

/// Connects to a database of the server that is not the one to be replaced, if one is: rather to `postgres`, since
/// nobody can make a database as long as a session is in `template1`.
fn beside(url: &DatabaseUrl, replaced: Option<&str>) -> Result<Connection, Error> {
    let mut last = None;
    for name in MAINTENANCE.iter().filter(|name| replaced != Some(**name)) {
        match facts::connect(&url.with_database(name), Access::ReadWrite) {
            Ok(connection) => return Ok(connection),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| Error::usage("there is no other database to connect to", "")))
}

/// What a dump does not say of its database.
#[derive(Debug, Default)]
struct Traits {
    at_creation: String,
    afterwards: Vec<String>,
}

/// Stands for the name of the database in [`Traits::afterwards`]; no setting's text holds a NUL.
const TRAIT_OF: &str = "\0";

/// Encoding, locale, owner, connection limit, settings and grants of a database that is there.
fn traits(conn: &mut PgConnection, like: &str) -> Result<Traits, Error> {
    let like = facts::literal(like);
    let doing = "reading the settings of the database";
    // Names and values are quoted by the server itself.
    let at_creation = facts::name(
        conn,
        &format!(
            "SELECT pg_catalog.format('ENCODING %L LC_COLLATE %L LC_CTYPE %L OWNER %I',
                    pg_catalog.pg_encoding_to_char(d.encoding), d.datcollate, d.datctype,
                    pg_catalog.pg_get_userbyid(d.datdba))
                    || CASE WHEN to_jsonb(d)->>'datlocprovider' = 'i' THEN
                       pg_catalog.format(' LOCALE_PROVIDER icu ICU_LOCALE %L',
                         COALESCE(to_jsonb(d)->>'datlocale', to_jsonb(d)->>'daticulocale'))
                       WHEN to_jsonb(d)->>'datlocprovider' = 'b' THEN
                       pg_catalog.format(' LOCALE_PROVIDER builtin BUILTIN_LOCALE %L',
                         to_jsonb(d)->>'datlocale')
                       ELSE '' END AS name
             FROM pg_catalog.pg_database d WHERE d.datname = {like}"
        ),
        doing,
    )?
    .unwrap_or_default();
    // Values as pg_dump writes them: lists of names are quoted one by one already.
    let mut afterwards = facts::names(
        conn,
        &format!(
            "SELECT 'ALTER ' || CASE WHEN s.setrole = 0 THEN ''
                      ELSE pg_catalog.format('ROLE %I IN ', pg_catalog.pg_get_userbyid(s.setrole)) END
                    || 'DATABASE @ SET '
                    || pg_catalog.quote_ident(pg_catalog.split_part(c.one, '=', 1)) || ' TO '
                    || CASE WHEN pg_catalog.split_part(c.one, '=', 1) IN
                         ('local_preload_libraries', 'search_path', 'session_preload_libraries',
                          'shared_preload_libraries', 'temp_tablespaces', 'unix_socket_directories')
                       THEN COALESCE(NULLIF(pg_catalog.substr(c.one, pg_catalog.strpos(c.one, '=') + 1), ''), '''''')
                       ELSE pg_catalog.quote_literal(pg_catalog.substr(c.one, pg_catalog.strpos(c.one, '=') + 1)) END
                    AS name
             FROM pg_catalog.pg_db_role_setting s
             JOIN pg_catalog.pg_database d ON d.oid = s.setdatabase,
                  LATERAL pg_catalog.unnest(s.setconfig) AS c(one)
             WHERE d.datname = {like}
             ORDER BY 1"
        ),
        doing,
    )?;
    let grants = facts::names(
        conn,
        &format!(
            "SELECT pg_catalog.format('GRANT %s ON DATABASE @ TO %s%s', a.privilege_type,
                    CASE WHEN a.grantee = 0 THEN 'PUBLIC'
                         ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(a.grantee)) END,
                    CASE WHEN a.is_grantable AND a.grantee <> 0 THEN ' WITH GRANT OPTION' ELSE '' END)
                    AS name
             FROM pg_catalog.pg_database d, LATERAL pg_catalog.aclexplode(d.datacl) a
             WHERE d.datname = {like}"
        ),
        doing,
    )?;
    if !grants.is_empty() {
        // With no grant at all the defaults hold: everybody may connect.
        afterwards.push("REVOKE ALL ON DATABASE @ FROM PUBLIC".to_owned());
        afterwards.extend(grants);
    }
    let limit = facts::name(
        conn,
        &format!(
            "SELECT pg_catalog.format('ALTER DATABASE @ CONNECTION LIMIT %s', d.datconnlimit) AS name
             FROM pg_catalog.pg_database d WHERE d.datname = {like} AND d.datconnlimit <> -1"
        ),
        doing,
    )?;
    afterwards.extend(limit);
    let named =
        |statement: String| statement.replacen("DATABASE @", &format!("DATABASE {TRAIT_OF}"), 1);
    Ok(Traits {
        at_creation,
        afterwards: afterwards.into_iter().map(named).collect(),
    })
}
