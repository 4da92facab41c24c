//! PostgreSQL's log by the server's own hand: `archive_command` and `restore_command` run the binary.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use db_core::{Access, Clock, Connection, DatabaseUrl, SystemClock};
use db_testkit::{Cluster, Stop, server_account, wait_for};
use tempfile::TempDir;

use crate::support::{BINARY, Done, bare, finish};

/// A server that archives by the binary, and where it does.
struct World {
    cluster: Cluster,
    root: TempDir,
    binary: PathBuf,
}

fn world() -> World {
    let root = tempfile::tempdir().unwrap();
    // The server's account has to reach it.
    let open = |path: &Path| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o777)).unwrap();
    };
    open(root.path());
    let dir = root.path().join("backups");
    std::fs::create_dir(&dir).unwrap();
    open(&dir);
    let binary = root.path().join("bitcraps-db");
    std::fs::hard_link(BINARY, &binary)
        .or_else(|_| std::os::unix::fs::symlink(BINARY, &binary))
        .unwrap();
    let command = format!(
        "{} backup wal-push --dir {} %p",
        binary.display(),
        dir.display()
    );
    let cluster = db_testkit::cluster(&[("archive_mode", "on"), ("archive_command", &command)]);
    World {
        cluster,
        root,
        binary,
    }
}

impl World {
    fn dir(&self) -> PathBuf {
        self.root.path().join("backups")
    }

    fn run(&self, arguments: &[&str]) -> Done {
        let mut command = bare(self.root.path());
        command.args(["--database-url", &self.cluster.url(), "--json"]);
        let dir = self.dir();
        finish(
            command
                .args(arguments)
                .args(["--dir", dir.to_str().unwrap()]),
        )
    }

    fn restore(&self, name: &str, target: &[&str]) -> Done {
        let folder = self.root.path().join(name);
        let account = server_account();
        let mut arguments = vec!["restore", "--target", folder.to_str().unwrap()];
        arguments.extend(target);
        arguments.extend(account.iter().flat_map(|name| ["--run-as", name]));
        self.run(&arguments)
    }

    /// A folder with so many migrations.
    fn migrations(&self, folder: &str, count: usize) {
        for number in 1..=count {
            let path = self.root.path().join(folder);
            let path = path.join(format!("2024010{number}000000_step"));
            std::fs::create_dir_all(&path).unwrap();
            let up = format!("CREATE TABLE step_{number} (id int)");
            std::fs::write(path.join("up.sql"), up).unwrap();
            let down = format!("DROP TABLE step_{number}");
            std::fs::write(path.join("down.sql"), down).unwrap();
        }
    }

    fn migrate(&self, folder: &str) -> Done {
        let mut command = bare(self.root.path());
        command.args(["--database-url", &self.cluster.url(), "--json"]);
        finish(command.args(["--migrations", folder, "migrate"]))
    }

    /// The stored file of the log whose name begins so, when the server has brought it.
    #[track_caller]
    fn archived(&self, beginning: &str) -> String {
        wait_for(beginning, || {
            let entries = self.dir().read_dir().unwrap();
            let mut names = entries.map(|e| e.unwrap().file_name().into_string().unwrap());
            names.find(|name| name.starts_with(&format!("wal_{beginning}-")))
        })
    }
}

/// Makes a base backup as whom the URL says, and tells it in words.
fn base_backup(home: &Path, url: &str, dir: &Path) -> Done {
    let mut command = bare(home);
    command.args(["--database-url", url, "backup", "--method", "base"]);
    finish(command.arg("--dir").arg(dir))
}

/// Runs SQL by the server's own superuser.
fn sql(url: &str, text: &str) -> Result<(), String> {
    let url = DatabaseUrl::parse(url).unwrap();
    let mut conn = Connection::open(&url, Access::ReadWrite).map_err(|e| e.to_string())?;
    let done = conn.conn().batch_execute(text);
    done.map_err(|e| e.to_string())
}

#[test]
fn the_log_goes_out_and_comes_back() {
    let world = world();
    let url = world.cluster.url();
    sql(&url, "CREATE TABLE t (id int)").unwrap();
    let made = world.run(&["backup", "create", "--method", "base"]);
    assert_eq!(made.code, 0, "{made:?}");
    for id in 1..=3 {
        sql(&url, &format!("INSERT INTO t VALUES ({id})")).unwrap();
        sql(&url, &format!("SELECT pg_create_restore_point('row_{id}')")).unwrap();
        sql(&url, "SELECT pg_switch_wal()").unwrap();
    }
    // Restored as soon as the archiver has brought the last file.
    let restored = wait_for("the restore point", || {
        let done = world.restore("restored", &["--restore-point", "row_3"]);
        let is_early = done.out.contains("ends before the target");
        assert!(done.code == 0 || is_early, "{done:?}");
        (done.code == 0).then_some(done)
    });
    assert!(restored.out.contains("last_commit"), "{restored:?}");

    // A standby that has nothing but the archive has the rows that came after its own base.
    let fetch = format!(
        "{} backup wal-fetch --dir {} %f %p",
        world.binary.display(),
        world.dir().display()
    );
    let standby = world.cluster.standby_of_archive(&fetch).unwrap();
    sql(&url, "INSERT INTO t VALUES (4)").unwrap();
    sql(&url, "SELECT pg_switch_wal()").unwrap();
    wait_for("the rows", || {
        sql(&standby.url(), "SELECT 1 / (count(*) = 4)::int FROM t").ok()
    });
    sql(&standby.url(), "INSERT INTO t VALUES (5)").unwrap_err();
    drop(standby);

    let to = world.root.path().join("fetched");
    let to = to.to_str().unwrap();
    let missing = world.run(&["backup", "wal-fetch", "0000000F.history", to]);
    assert_eq!(missing.code, 3, "{missing:?}");
    let start = made.document()["start_wal"].as_str().map(str::to_owned);
    let segment = start.unwrap_or_else(|| "000000010000000000000003".to_owned());
    let stored = world.archived(&segment);
    assert_eq!(world.run(&["backup", "wal-fetch", &segment, to]).code, 0);
    let whole = std::fs::read(world.dir().join(&stored)).unwrap();
    std::fs::write(world.dir().join(&stored), b"damaged").unwrap();
    let damaged = world.run(&["backup", "wal-fetch", &segment, to]);
    assert_eq!(damaged.code, 255, "{damaged:?}");
    std::fs::write(world.dir().join(&stored), whole).unwrap();
}

#[test]
fn a_restored_server_goes_on_archiving_and_can_be_restored_itself() {
    let world = world();
    let url = world.cluster.url();
    world.migrations("newer", 2);
    assert_eq!(world.migrate("newer").code, 0);
    sql(&url, "CREATE TABLE t (id int)").unwrap();
    let made = world.run(&["backup", "create", "--method", "base"]);
    assert_eq!(made.code, 0, "{made:?}");
    sql(&url, "INSERT INTO t VALUES (1)").unwrap();
    sql(&url, "SELECT pg_create_restore_point('one')").unwrap();
    sql(&url, "INSERT INTO t VALUES (2)").unwrap();
    sql(&url, "SELECT pg_switch_wal()").unwrap();
    let restored = wait_for("the restore point", || {
        let done = world.restore("restored", &["--restore-point", "one"]);
        (done.code == 0).then_some(done)
    });
    world.cluster.stop(Stop::Fast).unwrap();
    // As the restore says, with the settings that came with the backup, in the place of the first.
    let start = restored.document()["start_with"]
        .as_str()
        .unwrap()
        .to_owned();
    let port = world.cluster.port();
    let started = Command::new("sh")
        .args(["-c", &format!("exec {start} -w -o '-p {port}' >&2")])
        .current_dir(world.root.path())
        .status()
        .unwrap();
    assert!(started.success(), "{start}");
    let server = Running {
        folder: world.root.path().join("restored"),
    };
    // A whole server has as many schemas as databases: what an older program refuses is each of these, when it
    // meets it.
    world.migrations("older", 1);
    let refused = world.migrate("older");
    assert_eq!(refused.code, 7, "{refused:?}");
    assert_eq!(refused.document()["error"]["kind"], "newer_database");
    sql(&url, "INSERT INTO t VALUES (30)").unwrap();
    sql(&url, "SELECT pg_switch_wal()").unwrap();
    world.archived("00000002.history");
    let done = wait_for("the new timeline", || {
        let done = world.restore("again", &[]);
        assert_eq!(done.code, 0, "{done:?}");
        let document = done.document();
        // Until the first file of the new timeline is archived, it ends where that begins.
        if document["wal_files"].as_u64() >= Some(2) && document["timeline"] == 3 {
            let rows = world.root.path().join("again");
            return Some(rows);
        }
        std::fs::remove_dir_all(world.root.path().join("again")).unwrap();
        None
    });
    drop(server);
    assert!(done.join("pg_wal/00000003.history").exists());
    // Without the note of where the timeline began, nothing of it could be followed.
    let history = world.archived("00000002.history");
    let history = world.dir().join(history);
    // One that is damaged does not hide what backups there are.
    std::fs::write(&history, "not what it was").unwrap();
    let status = world.run(&["backup", "status"]);
    assert_eq!(status.code, 8, "{status:?}");
    let told = status.document();
    assert!(!told["log_error"].as_str().unwrap().is_empty(), "{told}");
    assert_eq!(told["backups"], 1, "{told}");
    std::fs::remove_file(history).unwrap();
    let refused = world.restore("third", &[]);
    assert_eq!(refused.code, 8, "{refused:?}");
    assert!(refused.out.contains("00000002.history"), "{refused:?}");
    let status = world.run(&["backup", "status"]);
    assert_eq!(status.code, 8, "{status:?}");
    assert!(status.out.contains("00000002.history"), "{status:?}");
}

/// As where the folder of backups is not of the server's account.
#[test]
fn a_log_that_is_not_archived_is_told_with_the_base_backup() {
    let root = tempfile::tempdir().unwrap();
    let cluster = db_testkit::cluster(&[("archive_mode", "on"), ("archive_command", "false")]);
    let url = cluster.url();
    sql(&url, "CREATE TABLE t (id int); SELECT pg_switch_wal()").unwrap();
    wait_for("the archiver to fail", || {
        let failed = "SELECT 1 / (failed_count > 0)::int FROM pg_stat_archiver";
        sql(&url, failed).ok()
    });
    let made = base_backup(root.path(), &url, &root.path().join("backups"));
    assert_eq!(made.code, 0, "{made:?}");
    let told = "note: what comes after this backup cannot be restored: archiving 0000";
    assert!(made.err.contains(told), "{made:?}");
}

/// Nobody has looked at the data of a base backup before a server can read them.
#[test]
fn a_restored_server_is_checked_as_other_restores_are() {
    let world = world();
    let url = world.cluster.url();
    let mut migrate = bare(world.root.path());
    migrate.args(["--database-url", &url, "--json", "migrate"]);
    assert_eq!(finish(&mut migrate).code, 0);
    let made = world.run(&["backup", "create", "--method", "base"]);
    assert_eq!(made.code, 0, "{made:?}");
    let proof = &made.document()["proof"];
    assert_eq!(proof["invariants"], serde_json::json!([]), "{proof}");
    let unchecked = proof["unchecked"].as_array().unwrap();
    assert_eq!(unchecked.len(), 1, "{proof}");
    assert_eq!(unchecked[0]["name"], "money", "{proof}");
    let restored = world.restore("sound", &[]);
    assert_eq!(restored.code, 0, "{restored:?}");
    let restored = restored.document();
    assert_eq!(restored["invariants"], serde_json::json!(["money"]));
    assert_eq!(restored["sound"], true);

    sql(
        &url,
        "INSERT INTO users (id, username, public_key) VALUES ('u', 'u', 'x');
         INSERT INTO token_balances (user_id, balance) VALUES ('u', 5)
             ON CONFLICT (user_id) DO UPDATE SET balance = 5",
    )
    .unwrap();
    let made = world.run(&["backup", "create", "--method", "base"]);
    assert_eq!(made.code, 0, "{made:?}");
    let refused = world.restore("broken", &[]);
    assert_eq!(refused.code, 8, "{refused:?}");
    assert!(refused.out.contains("money:"), "{refused:?}");
    assert!(!world.root.path().join("broken").exists());
    let trial = server_account();
    let mut arguments = vec!["backup", "verify", "--restore"];
    arguments.extend(trial.iter().flat_map(|name| ["--run-as", name]));
    assert_eq!(world.run(&arguments).code, 8);
    let taken = world.restore("broken", &["--accept-unsound"]);
    assert_eq!(taken.code, 0, "{taken:?}");
    let taken = taken.document();
    assert_eq!(taken["sound"], false);
    assert!(
        taken["unsound"][0].as_str().unwrap().starts_with("money:"),
        "{taken}"
    );
}

/// A server that was started by hand, ended with the test.
struct Running {
    folder: PathBuf,
}

impl Drop for Running {
    fn drop(&mut self) {
        let pid = std::fs::read_to_string(self.folder.join("postmaster.pid")).unwrap_or_default();
        if let Some(pid) = pid.lines().next() {
            drop(Command::new("kill").args(["-INT", pid]).status());
        }
    }
}

/// At 3 a.m. nobody looks for the base backup that is just old enough.
#[test]
fn a_moment_is_restored_from_the_newest_base_backup_that_is_older() {
    let world = world();
    let url = world.cluster.url();
    let before = SystemClock.now();
    sql(
        &url,
        "CREATE TABLE t (id int); CREATE ROLE plain LOGIN PASSWORD 'x'",
    )
    .unwrap();
    let (_, after) = url.rsplit_once('@').unwrap();
    let plain = format!("postgres://plain:x@{after}");
    let refused = base_backup(world.root.path(), &plain, &world.dir());
    assert_eq!(refused.code, 14, "{refused:?}");
    assert!(refused.err.contains("ALTER ROLE"), "{refused:?}");
    let first = base_backup(world.root.path(), &url, &world.dir());
    assert_eq!(first.code, 0, "{first:?}");
    // Nobody has counted them.
    assert!(
        first.out.contains("rows are counted when it is restored"),
        "{first:?}"
    );
    sql(&url, "INSERT INTO t VALUES (1)").unwrap();
    let moment = SystemClock.now();
    sql(&url, "INSERT INTO t VALUES (2)").unwrap();
    let second = world.run(&["backup", "create", "--method", "base"]);
    assert_eq!(second.code, 0, "{second:?}");
    let second = second.document()["name"].as_str().unwrap().to_owned();
    sql(&url, "SELECT pg_switch_wal()").unwrap();
    // A folder that is there and empty is as good as a new one.
    let folder = world.root.path().join("restored");
    std::fs::create_dir(&folder).unwrap();
    let at = moment.to_rfc3339();
    let restored = wait_for("the log", || {
        let done = world.restore("restored", &["--at", &at]);
        let is_early = done.out.contains("ends before the target");
        assert!(done.code == 0 || is_early, "{done:?}");
        (done.code == 0).then_some(done)
    });
    let name = restored.document()["name"].as_str().unwrap().to_owned();
    assert!(name < second, "{name}, {second}");
    let start = restored.document()["start_with"].clone();
    let start = start.as_str().unwrap();
    let is_other = start.starts_with("setpriv ");
    assert!(!is_other || start.contains(" --regid "), "{start}");

    // What is there now is not taken for a file of SQLite.
    for more in [&[][..], &["--at", &at]] {
        let refused = world.restore("restored", more);
        assert_eq!(refused.code, 7, "{refused:?}");
        let error = refused.document()["error"].clone();
        let message = error["message"].as_str().unwrap();
        assert!(
            message.ends_with("restored is there already, and not empty"),
            "{message}"
        );
    }
    let early = world.restore("early", &["--at", &before.to_rfc3339()]);
    assert_eq!(early.code, 7, "{early:?}");
    let message = early.document()["error"]["message"].clone();
    assert!(
        message.as_str().unwrap().contains("no base backup in"),
        "{message}"
    );
}
