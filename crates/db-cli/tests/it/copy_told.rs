//! What `copy` refuses, and what it says then.

use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use db_core::with_conn;
use db_testkit::TestDb;
use diesel::sql_types::BigInt;
use diesel::{QueryableByName, RunQueryDsl as _};

use crate::support::{Done, Running, bare, finish};

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

fn run(arguments: &[&str]) -> Done {
    let folder = tempfile::tempdir().unwrap();
    finish(bare(folder.path()).args(arguments))
}

#[track_caller]
fn refused(code: i32, arguments: &[&str], words: &[&str]) {
    let done = run(arguments);
    assert_eq!(done.code, code, "{done:#?}");
    for word in words {
        assert!(done.err.contains(word), "{word}: {}", done.err);
    }
}

fn migrated() -> TestDb {
    let db = TestDb::sqlite();
    let done = run(&["--database-url", &db.url(), "migrate"]);
    assert_eq!(done.code, 0, "{done:#?}");
    db
}

/// And not by those that keep house for migrations.
#[test]
fn a_target_that_is_not_empty_is_told_by_its_own_tables_postgres() {
    let file = migrated();
    let server = TestDb::postgres();
    server.migrate();
    for (from, to) in [(&file, &server), (&server, &file)] {
        let done = run(&["copy", "--from", &from.url(), "--to", &to.url()]);
        assert_eq!(done.code, 7, "{done:#?}");
        let mut lines = done.err.lines();
        let told = lines.find(|line| line.contains("is not empty")).unwrap();
        assert!(told.contains("account") && !told.contains("__"), "{told}");
    }
}

/// The writes of others since the copy began would be lost.
#[test]
fn replacing_a_database_by_itself_is_refused_postgres() {
    let file = TestDb::sqlite();
    file.connect().execute("CREATE TABLE t (x INTEGER)");
    let link = file.path().unwrap().with_file_name("link.db");
    symlink(file.path().unwrap(), &link).unwrap();
    let server = TestDb::postgres();
    server.connect().execute("CREATE TABLE t (x INTEGER)");
    let url = server.url();
    let mark = if url.contains('?') { '&' } else { '?' };
    for (from, to) in [
        (file.url(), format!("sqlite://{}", link.display())),
        (server.url(), format!("{url}{mark}application_name=other")),
    ] {
        let arguments = ["copy", "--replace", "--force", "--from", &from, "--to", &to];
        refused(2, &arguments, &["source and target are the same database"]);
    }
}

#[test]
fn what_no_migration_makes_is_named_with_what_to_do_postgres() {
    let from = migrated();
    from.connect()
        .execute("CREATE TABLE extra (x INTEGER); ALTER TABLE users ADD COLUMN nick TEXT");
    for to in [TestDb::postgres(), TestDb::sqlite()] {
        let arguments = ["copy", "--from", &from.url(), "--to", &to.url()];
        let words = ["the table extra", "the column users.nick", "--from-catalog"];
        refused(7, &arguments, &words);
        let dry = [&arguments[..], &["--dry-run"]].concat();
        refused(7, &dry, &words);
    }
}

#[test]
fn tables_that_a_chosen_one_needs_are_named() {
    let (from, to) = (migrated(), TestDb::sqlite());
    let (from, to) = (from.url(), to.url());
    let arguments = ["copy", "--from", &from, "--to", &to, "--table", "bets"];
    refused(2, &arguments, &["games", "users", "add --table for each"]);
}

#[test]
fn a_role_without_the_right_is_told_which_one_postgres() {
    let (from, to) = (migrated(), TestDb::postgres());
    let role = format!("uncopied_{}", std::process::id());
    let mut owner = to.connect();
    owner.execute(&format!(
        "CREATE ROLE {role} LOGIN PASSWORD 'x'; REVOKE CREATE ON SCHEMA public FROM PUBLIC"
    ));
    let url = to.url();
    let (_, after) = url.rsplit_once('@').unwrap();
    let url = format!("postgres://{role}:x@{after}");
    let dry = run(&["copy", "--from", &from.url(), "--to", &url, "--dry-run"]);
    let plain = TestDb::sqlite();
    plain.connect().execute("CREATE TABLE t (x INTEGER)");
    let real = run(&["copy", "--from", &plain.url(), "--to", &url]);
    owner.execute(&format!("DROP ROLE {role}"));
    assert_eq!(dry.code, 14, "{dry:#?}");
    assert!(
        dry.err.contains("CREATEDB") && !dry.err.contains("--rebuild"),
        "{dry:#?}"
    );
    assert_eq!(real.code, 14, "{real:#?}");
    assert!(
        real.err.contains("GRANT") && !real.err.contains("mode of the file"),
        "{real:#?}"
    );
}

#[test]
fn a_target_that_is_none_is_told_how_to_write_one() {
    let from = TestDb::sqlite();
    from.connect().execute("CREATE TABLE t (x INTEGER)");
    let arguments = ["copy", "--from", &from.url(), "--to", "mysql://nobody"];
    refused(2, &arguments, &["write --to as sqlite://FILE"]);
    let nowhere = "postgres://nobody@127.0.0.1:1/nothing";
    let done = run(&["copy", "--from", &from.url(), "--to", nowhere]);
    assert_eq!(done.code, 9, "{done:#?}");
    assert_eq!(done.err.matches(nowhere).count(), 1, "{done:#?}");
}

/// The copy waits for its target, which somebody else holds.
#[test]
fn a_second_signal_says_what_it_leaves_postgres() {
    let (from, to) = (TestDb::sqlite(), TestDb::postgres());
    from.connect().execute("CREATE TABLE t (x INTEGER)");
    let mut holder = to.connect();
    holder.execute("SELECT pg_advisory_lock(1650680930, 1668247673)");
    let folder = tempfile::tempdir().unwrap();
    let mut command = bare(folder.path());
    command.args(["copy", "--from", &from.url(), "--to", &to.url()]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    let mut looker = to.connect();
    let since = Instant::now();
    loop {
        let mut conn = looker.conn();
        let sql = diesel::sql_query(
            "SELECT count(*) AS count FROM pg_locks l JOIN pg_database d ON d.oid = l.database
             WHERE d.datname = current_database() AND locktype = 'advisory' AND NOT granted",
        );
        let waiting: Count = with_conn!(conn, |c| sql.get_result(c)).unwrap();
        if waiting.count > 0 {
            break;
        }
        assert!(since.elapsed() < Duration::from_mins(1), "it does not wait");
    }
    for signal in ["INT", "TERM"] {
        let pid = child.id().to_string();
        let sent = Command::new("kill").args(["-s", signal, &pid]).status();
        assert!(sent.unwrap().success());
    }
    let output = child.wait_with_output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(
        [130, 143].contains(&output.status.code().unwrap()),
        "{told}"
    );
    assert!(
        told.contains("interrupted twice") && told.contains("--undo"),
        "{told}"
    );
}

/// Somebody else has the source, or the right to copy into the target.
#[test]
fn a_wait_for_a_lock_is_told_once_sqlite_or_postgres() {
    const TABLE: &str = "CREATE TABLE t (x INTEGER); INSERT INTO t VALUES (1)";
    let (file, server, to) = (TestDb::sqlite(), TestDb::postgres(), TestDb::postgres());
    file.connect().execute(TABLE);
    server.connect().execute(TABLE);
    let own = tempfile::tempdir().unwrap();
    let fresh = |name: &str| format!("sqlite://{}", own.path().join(name).display());
    let rows = "BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE";
    let writes = "BEGIN; LOCK TABLE t IN ROW EXCLUSIVE MODE";
    // Nobody may read either, not even the catalog.
    let all = "PRAGMA journal_mode = DELETE; BEGIN EXCLUSIVE";
    let other_copy = "SELECT pg_advisory_lock(1650680930, 1668247673)";
    let locks: &[&str] = &["--lock-source"];
    let any: &[&str] = &["--from-catalog"];
    let cases = [
        (&file, "BEGIN IMMEDIATE", &file, fresh("a.db"), &[][..]),
        (&file, "BEGIN IMMEDIATE", &file, fresh("b.db"), locks),
        (&file, all, &file, fresh("e.db"), &[]),
        (&file, all, &file, fresh("f.db"), any),
        (&server, rows, &server, fresh("c.db"), &[]),
        (&server, writes, &server, fresh("d.db"), locks),
        (&to, other_copy, &file, to.url(), &[]),
    ];
    for (held, lock, from, to, more) in cases {
        let mut other = held.connect();
        other.execute(lock);
        let folder = tempfile::tempdir().unwrap();
        let mut command = bare(folder.path());
        command
            .args(["copy", "--from", &from.url(), "--to", &to])
            .args(more);
        let running = Running::until(command, "waiting_for_lock");
        // The session of the lock ends with it.
        drop(other);
        let done = running.wait();
        assert_eq!(done.code, 0, "{lock}: {done:?}");
        assert_eq!(
            done.err.matches("waiting_for_lock").count(),
            1,
            "{lock}: {done:?}"
        );
    }
}
