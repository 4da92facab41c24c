//! One state of the database, whoever writes meanwhile.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use db_core::bulk::{PostgresBulk, SqliteBulk};
use db_core::{Access, DatabaseUrl, Interrupt};
use db_testkit::{TestDb, both_engines};
use db_transfer::Progress;
use db_transfer::export::{self, Form, Options, Output};

use super::{open, postgres, sqlite, url};

/// Moves amounts between two tables for ever: their sum is 1000 in every state.
fn writes(url: &DatabaseUrl, stop: &AtomicBool) -> u32 {
    let interrupt = Interrupt::default();
    let mut moves = 0;
    let mut run: Box<dyn FnMut(&str)> = if url.path().is_some() {
        let mut bulk = SqliteBulk::open(url, Access::ReadWrite, None, &interrupt).unwrap();
        Box::new(move |sql| bulk.execute(sql).unwrap())
    } else {
        let mut bulk = PostgresBulk::open(url, Access::ReadWrite, &interrupt).unwrap();
        Box::new(move |sql| bulk.execute(sql).unwrap())
    };
    let begin = if url.path().is_some() {
        "BEGIN IMMEDIATE"
    } else {
        "BEGIN"
    };
    while !stop.load(Ordering::SeqCst) {
        let row = moves % 500;
        run(&format!(
            "{begin}; UPDATE a SET amount = amount - 1 WHERE id = {row};
             UPDATE z SET amount = amount + 1 WHERE id = {row}; COMMIT"
        ));
        moves += 1;
    }
    moves
}

both_engines! {
    /// However wrong the estimates were, a table that is done is known, and in the end there is nothing left.
    fn what_is_expected_becomes_what_there_is(db: TestDb) {
        db.connect().execute(
            "CREATE TABLE a (id INTEGER PRIMARY KEY); CREATE TABLE b (id INTEGER PRIMARY KEY);
             INSERT INTO a VALUES (1), (2); INSERT INTO b VALUES (1); ANALYZE;
             INSERT INTO a VALUES (3), (4), (5); INSERT INTO b VALUES (2), (3)",
        );
        let options = Options { form: Some(Form::Ndjson), ..Options::default() };
        let to = Output::Stream(Box::new(std::io::sink()));
        let mut told = Vec::new();
        let mut tell = |p: Progress<'_>| told.push((p.table.map(str::to_owned), p.rows, p.rows_expected));
        export::export(&mut open(&db), &url(&db), &options, to, &mut tell).unwrap();
        let a = told.iter().find(|(table, rows, _)| table.as_deref() == Some("a") && *rows == 5);
        let (_, _, expected) = a.unwrap();
        assert!(expected.is_none_or(|expected| expected >= 6), "{told:?}");
        assert_eq!(told.last(), Some(&(None, 8, Some(8))));
    }

    fn an_export_sees_one_state(db: TestDb) {
        let table = |name: &str, amount: u32| {
            let rows: Vec<_> = (0..500).map(|i| format!("({i}, {amount})")).collect();
            format!(
                "CREATE TABLE {name} (id INTEGER PRIMARY KEY, amount INTEGER);
                 INSERT INTO {name} VALUES {};",
                rows.join(",")
            )
        };
        let sql = format!("{}{}", table("a", 2), table("z", 0));
        match db.path() {
            Some(_) => sqlite(&db).execute(&format!("PRAGMA journal_mode = WAL; {sql}")).unwrap(),
            None => postgres(&db).execute(&sql).unwrap(),
        }
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            let writer = scope.spawn(|| writes(&url(&db), &stop));
            let mut different = std::collections::BTreeSet::new();
            for round in 0..60 {
                let form = if round % 3 == 0 { Form::Sql } else { Form::Ndjson };
                let options = Options { form: Some(form), ..Options::default() };
                let mut source = open(&db);
                let file = tempfile::NamedTempFile::new().unwrap();
                let to = Output::File(file.path().to_owned());
                export::export(&mut source, &url(&db), &options, to, &mut |_| {}).unwrap();
                let text = std::fs::read_to_string(file.path()).unwrap();
                if form == Form::Sql {
                    continue;
                }
                let amounts = text.lines().filter_map(|line| {
                    let value: serde_json::Value = serde_json::from_str(line).unwrap();
                    value["amount"].as_i64()
                });
                assert_eq!(amounts.sum::<i64>(), 1000, "{text}");
                different.insert(text);
            }
            stop.store(true, Ordering::SeqCst);
            assert!(writer.join().unwrap() > 0);
            assert!(different.len() > 1, "nobody wrote");
        });
    }
}
