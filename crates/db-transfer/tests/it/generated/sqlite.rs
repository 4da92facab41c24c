//! Any database of SQLite.

use std::fmt::Write as _;

use db_core::bulk::{CellRef, SqliteBulk};
use db_core::{Access, DatabaseUrl, Interrupt};
use db_testkit::TestDb;
use proptest::prelude::*;
use proptest::sample::Index;

use super::{name, quoted};

/// Which values a column may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Values {
    /// Those of its type that PostgreSQL has, too.
    Portable,
    /// Those of its type: CSV does not tell them from others.
    Declared,
    /// Any storage class whatever is declared.
    Any,
}

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Cell {
    Null,
    Integer(i64),
    Real(f64),
    Text(Vec<u8>),
    Blob(Vec<u8>),
}

impl Cell {
    pub(crate) fn as_ref(&self) -> CellRef<'_> {
        match self {
            Self::Null => CellRef::Null,
            Self::Integer(number) => CellRef::Integer(*number),
            Self::Real(number) => CellRef::Real(*number),
            Self::Text(text) => CellRef::Text(text),
            Self::Blob(bytes) => CellRef::Blob(bytes),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Key {
    Rowid,
    Autoincrement,
    /// By a number, without rows of their own.
    WithoutRowid,
    /// By a text and a number.
    Composite,
    None,
}

/// A table with its rows.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    name: String,
    key: Key,
    columns: Vec<(String, &'static str)>,
    rows: Vec<Vec<Cell>>,
    /// The table that it refers to, and for each row which row of that one.
    refers: Option<(Index, Vec<Option<Index>>)>,
    is_computed: bool,
    is_indexed: bool,
    /// Whether the last row has the largest number that there is.
    is_full: bool,
}

const DECLARED: [&str; 12] = [
    "INTEGER",
    "TEXT",
    "REAL",
    "BLOB",
    "VARCHAR(10)",
    "BIGINT",
    "DOUBLE PRECISION",
    "CLOB",
    "NUMERIC",
    "DECIMAL(10,2)",
    "BOOLEAN",
    "",
];

pub(crate) fn any_cell() -> BoxedStrategy<Cell> {
    let texts = prop::collection::vec(any::<u8>(), 0..6).prop_map(Cell::Text);
    prop_oneof![
        Just(Cell::Null),
        integer(),
        real().prop_map(Cell::Real),
        text(Values::Any),
        texts,
        blob()
    ]
    .boxed()
}

fn integer() -> BoxedStrategy<Cell> {
    prop_oneof![
        any::<i64>(),
        -3..3_i64,
        Just(i64::MIN),
        Just(i64::MAX),
        Just((1 << 53) + 1)
    ]
    .prop_map(Cell::Integer)
    .boxed()
}

fn real() -> BoxedStrategy<f64> {
    prop_oneof![
        any::<f64>().prop_filter("SQLite stores NULL for it", |n| !n.is_nan()),
        Just(-0.0),
        Just(0.1),
        Just(1e19),
        Just(-9_007_199_254_740_992.0),
        Just(f64::MIN_POSITIVE),
        Just(f64::from_bits(1)),
        Just(f64::INFINITY),
        Just(f64::NEG_INFINITY),
    ]
    .boxed()
}

fn text(values: Values) -> BoxedStrategy<Cell> {
    let common = prop_oneof![
        "[^\0]{0,12}",
        "[\"',\r\n\\\\x0-9=+@ \u{feff}-]{0,6}",
        Just("\\N".to_owned()),
        Just("\\.".to_owned()),
        Just("\\x00".to_owned()),
        Just("\t\r\n".to_owned()),
        Just(String::new())
    ];
    let common = common.prop_map(|text| Cell::Text(text.into_bytes()));
    if values == Values::Portable {
        return common.boxed();
    }
    let nul = Just(Cell::Text(b"a\0b".to_vec()));
    prop_oneof![6 => common, 1 => nul].boxed()
}

fn blob() -> BoxedStrategy<Cell> {
    any::<Vec<u8>>().prop_map(Cell::Blob).boxed()
}

fn cell(declared: &str, values: Values) -> BoxedStrategy<Cell> {
    let value = match declared {
        _ if values == Values::Any => any_cell(),
        "INTEGER" | "BIGINT" => integer(),
        "REAL" | "DOUBLE PRECISION" => real().prop_map(Cell::Real).boxed(),
        "BOOLEAN" => (0..2_i64).prop_map(Cell::Integer).boxed(),
        // What is finite; -0.0 is 0 there.
        "NUMERIC" | "DECIMAL(10,2)" if values == Values::Portable => real()
            .prop_filter("numeric has none", |n| {
                n.is_finite() && n.to_bits() != (-0.0_f64).to_bits()
            })
            .prop_map(Cell::Real)
            .boxed(),
        "NUMERIC" | "DECIMAL(10,2)" => prop_oneof![integer(), real().prop_map(Cell::Real)].boxed(),
        "BLOB" | "" => blob(),
        _ => text(values),
    };
    prop_oneof![1 => Just(Cell::Null), 5 => value].boxed()
}

fn table(at: usize, values: Values) -> impl Strategy<Value = Table> {
    let columns = prop::collection::vec((name(), prop::sample::select(&DECLARED[..])), 1..6);
    let key = prop::sample::select(vec![
        Key::Rowid,
        Key::Rowid,
        Key::Autoincrement,
        Key::WithoutRowid,
        Key::Composite,
        Key::None,
    ]);
    let flags = any::<(bool, bool, bool)>();
    let refers = prop::option::of(any::<Index>());
    (columns, name(), key, flags, refers).prop_flat_map(
        move |(columns, name, key, (is_computed, is_indexed, is_full), refers)| {
            let row: Vec<_> = columns.iter().map(|(_, d)| cell(d, values)).collect();
            let rows = prop::collection::vec((row, prop::option::of(any::<Index>())), 0..12);
            rows.prop_map(move |rows| {
                let (rows, which) = rows.into_iter().unzip();
                let named = |(at, (name, declared)): (usize, &(String, &'static str))| {
                    (format!("{name}{at}"), *declared)
                };
                Table {
                    name: format!("{name}{at}"),
                    key,
                    columns: columns.iter().enumerate().map(named).collect(),
                    rows,
                    refers: refers.map(|table| (table, which)),
                    is_computed,
                    is_indexed,
                    is_full,
                }
            })
        },
    )
}

/// Some tables, which may refer to each other and themselves.
pub(crate) fn database(values: Values) -> impl Strategy<Value = Vec<Table>> {
    (0..4_usize)
        .prop_flat_map(move |count| (0..count).map(|at| table(at, values)).collect::<Vec<_>>())
}

impl Table {
    fn numbers(&self) -> Vec<i64> {
        let mut ids: Vec<i64> = (-2..).take(self.rows.len()).collect();
        if let (true, Some(last)) = (self.is_full, ids.last_mut()) {
            *last = i64::MAX;
        }
        ids
    }

    /// The table that it refers to.
    fn parent<'t>(&self, tables: &'t [Self]) -> Option<&'t Self> {
        let (which, _) = self.refers.as_ref()?;
        let may: Vec<&Self> = tables
            .iter()
            .filter(|table| !matches!(table.key, Key::Composite | Key::None))
            .collect();
        (!may.is_empty()).then(|| may[which.index(may.len())])
    }

    fn create(&self, tables: &[Self]) -> Vec<String> {
        let name = quoted(&self.name);
        let mut sql = format!("CREATE TABLE {name} (");
        sql.push_str(match self.key {
            Key::Rowid | Key::WithoutRowid => "id INTEGER PRIMARY KEY",
            Key::Autoincrement => "id INTEGER PRIMARY KEY AUTOINCREMENT",
            Key::Composite => "k TEXT NOT NULL, id INTEGER NOT NULL",
            Key::None => "id INTEGER",
        });
        for (column, declared) in &self.columns {
            write!(sql, ", {} {declared}", quoted(column)).unwrap();
        }
        if let Some(parent) = self.parent(tables) {
            write!(
                sql,
                ", ref INTEGER REFERENCES {} (id)",
                quoted(&parent.name)
            )
            .unwrap();
        }
        if self.is_computed {
            let kind = ["STORED", "VIRTUAL"][self.columns.len() % 2];
            let first = quoted(&self.columns[0].0);
            write!(sql, ", made TEXT AS (typeof({first})) {kind}").unwrap();
        }
        sql.push_str(match self.key {
            Key::Composite => ", PRIMARY KEY (k, id)) WITHOUT ROWID",
            Key::WithoutRowid => ") WITHOUT ROWID",
            _ => ")",
        });
        let mut all = vec![sql];
        if self.is_indexed {
            let index = quoted(&format!("i {}", self.name));
            let first = quoted(&self.columns[0].0);
            all.push(format!("CREATE INDEX {index} ON {name} ({first})"));
        }
        all
    }

    fn fill(&self, bulk: &SqliteBulk, tables: &[Self]) {
        let mut columns = match self.key {
            Key::Composite => vec!["k".to_owned(), "id".to_owned()],
            _ => vec!["id".to_owned()],
        };
        columns.extend(self.columns.iter().map(|(name, _)| quoted(name)));
        let parent = self.parent(tables);
        if parent.is_some() {
            columns.push("ref".to_owned());
        }
        let places = vec!["?"; columns.len()].join(", ");
        let (name, columns) = (quoted(&self.name), columns.join(", "));
        let insert = format!("INSERT INTO {name} ({columns}) VALUES ({places})");
        let mut insert = bulk.prepare(&insert).unwrap();
        for (at, (id, row)) in self.numbers().into_iter().zip(&self.rows).enumerate() {
            let key = format!("key {}", at % 3);
            let mut cells = Vec::new();
            if self.key == Key::Composite {
                cells.push(CellRef::Text(key.as_bytes()));
            }
            cells.push(CellRef::Integer(id));
            cells.extend(row.iter().map(Cell::as_ref));
            if let (Some(parent), Some((_, which))) = (parent, &self.refers) {
                let ids = parent.numbers();
                let which = which[at].filter(|_| !ids.is_empty());
                cells.push(
                    which.map_or(CellRef::Null, |w| CellRef::Integer(ids[w.index(ids.len())])),
                );
            }
            insert.run(&cells).unwrap();
        }
    }
}

fn open(db: &TestDb) -> SqliteBulk {
    let url = DatabaseUrl::parse(&db.url()).unwrap();
    SqliteBulk::open(&url, Access::Create, None, &Interrupt::default()).unwrap()
}

/// Makes the tables.
pub(crate) fn make(db: &TestDb, tables: &[Table]) {
    let mut bulk = open(db);
    bulk.execute("PRAGMA user_version = 1").unwrap();
    for sql in tables.iter().flat_map(|table| table.create(tables)) {
        bulk.execute(&sql).unwrap();
    }
}

/// Makes the tables and their rows.
pub(crate) fn fill(db: &TestDb, tables: &[Table]) {
    make(db, tables);
    let mut bulk = open(db);
    bulk.execute("PRAGMA foreign_keys = OFF; BEGIN").unwrap();
    for table in tables {
        table.fill(&bulk, tables);
    }
    bulk.execute("COMMIT").unwrap();
}
