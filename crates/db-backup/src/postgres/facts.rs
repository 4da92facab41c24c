//! What is asked of a server: who it is, which tables a database has, and how many rows.

use db_core::{Access, Conn, Connection, DatabaseUrl, Engine};
use diesel::sql_types::{BigInt, Bool, Integer, Nullable, Text};
use diesel::{PgConnection, QueryableByName, RunQueryDsl, sql_query};

use crate::error::Error;
use crate::manifest::{EngineFacts, TableRows};

/// Who answers.
#[derive(Debug, Clone, QueryableByName)]
pub(super) struct Server {
    #[diesel(sql_type = Text)]
    version: String,
    #[diesel(sql_type = Integer)]
    version_num: i32,
    #[diesel(sql_type = Text)]
    system_identifier: String,
    #[diesel(sql_type = Text)]
    pub(super) database: String,
    /// The user that every cluster begins with, whatever its name.
    #[diesel(sql_type = Text)]
    superuser: String,
    #[diesel(sql_type = BigInt)]
    pub(super) database_bytes: i64,
}

impl Server {
    pub(super) fn read(conn: &mut PgConnection) -> Result<Self, Error> {
        sql_query(
            "SELECT current_setting('server_version') AS version,
                    current_setting('server_version_num')::integer AS version_num,
                    (SELECT system_identifier::text FROM pg_catalog.pg_control_system())
                        AS system_identifier,
                    current_database()::text AS database,
                    COALESCE((SELECT rolname::text FROM pg_catalog.pg_roles WHERE oid = 10), '')
                        AS superuser,
                    pg_catalog.pg_database_size(current_database()) AS database_bytes",
        )
        .get_result(conn)
        .map_err(asked("asking the server who it is"))
    }

    pub(super) fn version_num(&self) -> u32 {
        u32::try_from(self.version_num).unwrap_or_default()
    }

    /// The number before the dot.
    pub(super) fn major(&self) -> u32 {
        self.version_num() / 10_000
    }

    pub(super) fn engine(&self) -> EngineFacts {
        EngineFacts {
            name: "postgres".to_owned(),
            version: self.version.clone(),
            database: Some(self.database.clone()),
            server_version_num: Some(self.version_num()),
            system_identifier: Some(self.system_identifier.clone()),
            superuser: Some(self.superuser.clone()).filter(|name| !name.is_empty()),
            ..EngineFacts::default()
        }
    }
}

/// A table with rows of its own.
#[derive(Debug, Clone, PartialEq, Eq, QueryableByName)]
pub(super) struct Table {
    #[diesel(sql_type = Text)]
    schema: String,
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Text)]
    owner: String,
    /// Schema and name as SQL writes them.
    #[diesel(sql_type = Text)]
    pub(super) quoted: String,
    /// Whether it came with an extension, so that a dump holds its rows only if the extension says so.
    #[diesel(sql_type = Bool)]
    pub(super) is_extensions: bool,
    /// Whether this role may read all of it.
    #[diesel(sql_type = Bool)]
    is_readable: bool,
}

impl Table {
    /// Its line in `pg_restore --list`, after the numbers.
    pub(super) fn listed(&self) -> String {
        let plain = |text: &str| text.replace(['\n', '\r'], " ");
        format!(
            "TABLE DATA {} {} {}",
            plain(&self.schema),
            plain(&self.name),
            plain(&self.owner)
        )
    }
}

/// All tables with rows of their own, by name: leaves of partitioned ones, but no parents, no foreign
/// tables and nothing that belongs to the engine or to a session.
pub(super) fn tables(conn: &mut PgConnection) -> Result<Vec<Table>, Error> {
    sql_query(
        "SELECT n.nspname::text AS schema, c.relname::text AS name,
                pg_catalog.pg_get_userbyid(c.relowner)::text AS owner,
                pg_catalog.format('%I.%I', n.nspname, c.relname) AS quoted,
                EXISTS (SELECT FROM pg_catalog.pg_depend d
                        WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
                          AND d.objid = c.oid AND d.deptype = 'e') AS is_extensions,
                pg_catalog.has_table_privilege(c.oid, 'SELECT') AS is_readable
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
         WHERE c.relkind = 'r' AND c.relpersistence <> 't'
           AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
         ORDER BY n.nspname::text COLLATE \"C\", c.relname::text COLLATE \"C\"",
    )
    .load(conn)
    .map_err(asked("listing the tables"))
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    rows: i64,
}

/// What is being done to a table that is being counted.
pub(super) const COUNTING: &str = "counting the rows of ";

/// Refuses what a dump would stumble over: a table that this role may not read. The server says it.
pub(super) fn refuse_unreadable(conn: &mut PgConnection, tables: &[Table]) -> Result<(), Error> {
    let unreadable = tables.iter().filter(|table| !table.is_readable);
    let unreadable: Vec<Table> = unreadable.cloned().collect();
    count(conn, &unreadable, |_| Ok(())).map(drop)
}

/// Counts the rows of each table, and tells after each how many tables are done.
pub(super) fn count(
    conn: &mut PgConnection,
    tables: &[Table],
    mut on_table: impl FnMut(u64) -> Result<(), Error>,
) -> Result<Vec<TableRows>, Error> {
    let mut counted = Vec::with_capacity(tables.len());
    for table in tables.iter().filter(|table| !table.is_extensions) {
        let count: Count = sql_query(format!(
            "SELECT count(*) AS rows FROM ONLY {}",
            table.quoted
        ))
        .get_result(conn)
        .map_err(asked(&format!("{COUNTING}{}", table.quoted)))?;
        counted.push(TableRows {
            name: crate::manifest::clean(&table.quoted),
            rows: u64::try_from(count.rows).unwrap_or_default(),
        });
        on_table(counted.len() as u64)?;
    }
    Ok(counted)
}

/// Where the rows of two databases differ, in words.
pub(super) fn differences(expected: &[TableRows], found: &[TableRows]) -> Vec<String> {
    let mut findings = Vec::new();
    for table in expected {
        match found.iter().find(|other| other.name == table.name) {
            None => findings.push(format!("the table {} is missing", table.name)),
            Some(other) if other.rows != table.rows => findings.push(format!(
                "{} has {} rows, and the backup {}",
                table.name, other.rows, table.rows
            )),
            Some(_) => {}
        }
    }
    for table in found {
        if !expected.iter().any(|other| other.name == table.name) {
            findings.push(format!("the table {} is none of the backup's", table.name));
        }
    }
    findings
}

#[derive(QueryableByName)]
struct Name {
    #[diesel(sql_type = Text)]
    name: String,
}

/// One column of texts, which the query calls `name`.
pub(super) fn names(
    conn: &mut PgConnection,
    query: &str,
    doing: &str,
) -> Result<Vec<String>, Error> {
    let rows: Vec<Name> = sql_query(query).load(conn).map_err(asked(doing))?;
    Ok(rows.into_iter().map(|row| row.name).collect())
}

/// One text, which the query calls `name`.
pub(super) fn name(
    conn: &mut PgConnection,
    query: &str,
    doing: &str,
) -> Result<Option<String>, Error> {
    Ok(names(conn, query, doing)?.into_iter().next())
}

#[derive(QueryableByName)]
struct Optional {
    #[diesel(sql_type = Nullable<Text>)]
    name: Option<String>,
}

/// One text that may be NULL, which the query calls `name`.
pub(super) fn maybe(
    conn: &mut PgConnection,
    query: &str,
    doing: &str,
) -> Result<Option<String>, Error> {
    let row: Optional = sql_query(query).get_result(conn).map_err(asked(doing))?;
    Ok(row.name)
}

/// Runs statements that return nothing.
pub(super) fn run(conn: &mut PgConnection, sql: &str, doing: &str) -> Result<(), Error> {
    use diesel::connection::SimpleConnection as _;
    conn.batch_execute(sql).map_err(asked(doing))
}

/// Connects to a server.
pub(super) fn connect(url: &DatabaseUrl, access: Access) -> Result<Connection, Error> {
    Connection::open(url, access).map_err(|e| Error::database("connecting to the server", e))
}

/// The PostgreSQL connection of one that was opened by a PostgreSQL URL.
pub(super) fn postgres(connection: &mut Connection) -> Result<&mut PgConnection, Error> {
    match connection.conn() {
        Conn::Postgres(conn) => Ok(conn),
        Conn::Sqlite(_) => Err(Error::usage(
            "this works on PostgreSQL only",
            "name the database by a postgres:// URL",
        )),
    }
}

/// Says what was being asked when the engine complained.
pub(super) fn asked(doing: &str) -> impl FnOnce(diesel::result::Error) -> Error {
    move |error| Error::database(doing, db_core::Error::classify(Engine::Postgres, &error))
}

/// A name as SQL writes it.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Schema and name of a table that is written as SQL writes it.
pub(super) fn unquoted(table: &str) -> Option<(String, String)> {
    let (schema, rest) = word(table)?;
    let (name, rest) = word(rest.strip_prefix('.')?)?;
    rest.is_empty().then_some((schema, name))
}

/// The first name of a text, and what follows it.
fn word(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find('.').unwrap_or(text.len());
        return (end > 0).then(|| (text[..end].to_owned(), &text[end..]));
    };
    let mut name = String::new();
    let mut rest = quoted;
    loop {
        let end = rest.find('"')?;
        name.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix('"') {
            // A doubled quote stands for itself.
            Some(more) => {
                name.push('"');
                rest = more;
            }
            None => return Some((name, rest)),
        }
    }
}

/// A text as SQL writes it, whatever `standard_conforming_strings` says.
pub(super) fn literal(text: &str) -> String {
    let plain = text.replace('\'', "''");
    if plain.contains('\\') {
        format!(" E'{}'", plain.replace('\\', "\\\\"))
    } else {
        format!("'{plain}'")
    }
}
