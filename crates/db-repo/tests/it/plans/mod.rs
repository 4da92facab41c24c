//! Every statement that the repositories run, as text, with the plan that each engine makes for it:
//! a page to read in review, and a test that none of them scans a table that grows.

mod explain;
mod tour;

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use db_core::{Conn, Engine, with_conn};
use db_testkit::{TestConn, TestDb, both_engines};
use diesel::Connection as _;
use diesel::connection::InstrumentationEvent;

/// Statements in the order in which they ran, by the step that ran them.
#[derive(Clone, Default)]
pub(crate) struct Heard(Arc<Mutex<Vec<String>>>);

impl Heard {
    pub(crate) fn listen(&self, conn: &mut TestConn) {
        let mut conn = conn.conn();
        let heard = self.clone();
        with_conn!(conn, |c| c.set_instrumentation(
            move |event: InstrumentationEvent<'_>| {
                if let InstrumentationEvent::StartQuery { query, .. } = event {
                    let text = query.to_string();
                    let text = text.split(" -- binds: ").next().unwrap_or_default();
                    let mut all = heard.0.lock().unwrap_or_else(PoisonError::into_inner);
                    all.push(text.to_owned());
                }
            }
        ));
    }

    /// How many of them hold this text.
    pub(crate) fn count(&self, text: &str) -> usize {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().filter(|sql| flat(sql).contains(text)).count()
    }

    /// What was heard since the last time, each text once.
    fn take(&self) -> Vec<String> {
        let mut all = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let mut seen = std::collections::HashSet::new();
        all.retain(|text| seen.insert(text.clone()));
        all
    }
}

/// One line, without the breaks of the source.
fn flat(sql: &str) -> String {
    sql.split_whitespace().collect::<Vec<_>>().join(" ")
}

both_engines! {
    fn no_statement_scans_a_table_that_grows(db: TestDb) {
        db.migrate();
        let mut acting = db.connect();
        let mut asking = db.connect();
        let heard = Heard::default();
        heard.listen(&mut acting);
        let mut page = String::new();
        let mut scans = Vec::new();
        let mut known = std::collections::HashSet::new();
        let mut step = |name: &str, conn: &mut dyn FnMut(&mut Conn<'_>)| {
            conn(&mut acting.conn());
            writeln!(page, "## {name}").unwrap();
            for sql in heard.take() {
                if !known.insert(sql.clone()) {
                    continue;
                }
                writeln!(page, "{}", flat(&sql)).unwrap();
                let plan = explain::plan(&mut asking, &sql);
                for line in &plan {
                    writeln!(page, "    {line}").unwrap();
                }
                if !tour::SCANS.contains(&name) {
                    for line in explain::scans(&sql, &plan) {
                        scans.push(format!("{name}: {line}\n{}", flat(&sql)));
                    }
                }
            }
        };
        tour::run(&mut step);
        assert!(scans.is_empty(), "{}", scans.join("\n\n"));
        // SQLCipher brings a SQLite of its own, which plans in its own words.
        if explain::is_sqlcipher(&mut asking) {
            return;
        }
        let name = match db.engine() {
            Engine::Sqlite => "sqlite",
            Engine::Postgres => "postgres",
        };
        insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
            insta::assert_snapshot!(format!("plans_{name}"), page);
        });
    }
}
