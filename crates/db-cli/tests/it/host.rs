//! The runbook from its first line to the loss of the database, word by word, on a machine that has nothing yet.
//!
//! That machine is this one, with overlays over what is written and a systemd of its own, in namespaces:
//! `host/machine.sh`. So `cargo` installs for real, accounts are made, and the timer is started by the service
//! manager. Where this cannot be had, the test fails and says what is missing.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use db_testkit::tools::need;

use crate::pages::{Block, blocks, read, repository};
use crate::support::{Done, clean};

const MACHINE: &str = include_str!("host/machine.sh");

/// Stands before the `cargo` of the path: what is installed is compiled as the tests were, from what they left, and
/// asks no network. The program that other tests use is not replaced.
const CARGO: &str = "#!/bin/sh
CARGO_BUILD_BUILD_DIR=$BUILT CARGO_TARGET_DIR=$FOLDER/target exec \"$CARGO\" \"$@\" --debug --offline
";

/// When a story that does not end is ended, in seconds: compiling is most of it.
const LIMIT: &str = "1800";

/// How the story begins. What it finds goes to its standard output, and all else beside it.
const BEGIN: &str = "set -eu
exec 3>&1 1>&2
as_bitcraps() {
    setpriv --reuid bitcraps --regid bitcraps --init-groups \\
        env -i PATH=/usr/local/bin:/usr/bin:/bin HOME=/var/lib/bitcraps \\
        bash -euc \"cd /var/lib/bitcraps
$1\"
}
";

/// What an operator would look at after the last line.
const LOOK: &str = "{
/usr/local/bin/bitcraps-db --version | head -n 1
stat -c '%n %U:%G %a' /usr/local/bin/bitcraps-db /var/lib/bitcraps /var/backups/bitcraps \\
    /etc/bitcraps/bitcraps-db.env /etc/systemd/system/bitcraps-db-backup.*
getent passwd bitcraps | cut -d: -f 1,6
readlink /etc/systemd/system/timers.target.wants/bitcraps-db-backup.timer
systemctl is-enabled bitcraps-db-backup.timer
systemctl is-active bitcraps-db-backup.timer
} >&3
";

/// Each unit is one to systemd, beside all its own, and works behind its walls: the timer's makes a backup where there
/// is none, and the other one goes on until it is stopped, which it takes well.
const UNITS: &str = "MANIFEST='backup_????????_??????.json'
install -m 0644 \"$REPOSITORY/packaging/systemd/bitcraps-db-schedule.service\" /etc/systemd/system/
systemctl daemon-reload
env -u SYSTEMD_UNIT_PATH systemd-analyze verify --man=no /etc/systemd/system/bitcraps-db-* >&3 2>&1
result() {
    systemctl show --property Result,ExecMainStatus --value \"$1\" | tr '\\n' ' ' >&3
    find /var/backups/bitcraps -name \"$MANIFEST\" -user bitcraps -perm 600 | wc -l >&3
}
find /var/backups/bitcraps -mindepth 1 -delete
systemctl start bitcraps-db-backup.service
result bitcraps-db-backup.service
systemctl stop bitcraps-db-backup.timer
find /var/backups/bitcraps -mindepth 1 -delete
systemctl start bitcraps-db-schedule.service
until [ -n \"$(find /var/backups/bitcraps -name \"$MANIFEST\")\" ]; do
    systemctl is-active bitcraps-db-schedule.service
    sleep 0.1
done
systemctl stop bitcraps-db-schedule.service
result bitcraps-db-schedule.service
";

/// What all that should have found.
const FOUND: &str = "bitcraps-db VERSION
/usr/local/bin/bitcraps-db root:root 755
/var/lib/bitcraps bitcraps:bitcraps 700
/var/backups/bitcraps bitcraps:bitcraps 700
/etc/bitcraps/bitcraps-db.env bitcraps:root 600
/etc/systemd/system/bitcraps-db-backup.service root:root 644
/etc/systemd/system/bitcraps-db-backup.timer root:root 644
bitcraps:/var/lib/bitcraps
/etc/systemd/system/bitcraps-db-backup.timer
enabled
active
success 0 1
success 0 1
";

/// What of this machine the story would have changed, were it not on one of its own.
const TOUCHED: [&str; 6] = [
    "/etc/passwd",
    "/etc/bitcraps",
    "/etc/systemd/system",
    "/usr/local/bin",
    "/var/lib",
    "/var/backups",
];

#[test]
fn the_runbook_runs_word_by_word_on_a_machine_that_has_nothing() {
    let page = read("docs/operations.md");
    let blocks = blocks(&page);
    let before = TOUCHED.map(|path| fs::metadata(path).and_then(|found| found.modified()).ok());
    let done = on_a_machine(&story(&blocks));
    assert_eq!(done.code, 0, "{}\n{}", done.out, done.err);
    let expected = FOUND.replace("VERSION", env!("CARGO_PKG_VERSION"));
    assert_eq!(done.out, expected, "{}", done.err);
    // `health` wants attention at most: all else that may end otherwise has found a sound database.
    for line in done.err.lines() {
        assert!(
            !line.starts_with("ended with ") || line == "ended with 3",
            "{}",
            done.err
        );
    }
    let after = TOUCHED.map(|path| fs::metadata(path).and_then(|found| found.modified()).ok());
    assert_eq!(before, after, "{TOUCHED:?}");
}

/// The blocks in the order of the page: those for the host as root in the repository, the others as the user.
fn story(blocks: &[Block]) -> String {
    let mut story = String::from(BEGIN);
    let (mut setup, mut hosts, mut others) = (None, 0, 0);
    for block in blocks {
        let text = &block.text;
        if block.is(&["sh", "setup"]) {
            assert!(setup.replace(text).is_none(), "line {}", block.line);
        } else if block.is(&["sh", "host"]) {
            hosts += 1;
            writeln!(
                story,
                "echo 'line {}'\ncd \"$REPOSITORY\"\n{text}",
                block.line
            )
            .unwrap();
        } else if block.is(&["sh"]) {
            others += 1;
            let setup = setup.unwrap();
            writeln!(story, "echo 'line {}'", block.line).unwrap();
            writeln!(
                story,
                "as_bitcraps \"$(cat <<'BLOCK'\n{setup}{text}BLOCK\n)\""
            )
            .unwrap();
        }
    }
    assert!(hosts >= 2 && others >= 8, "{hosts} and {others} blocks");
    story + LOOK + UNITS
}

/// Runs a story on a machine of its own.
fn on_a_machine(story: &str) -> Done {
    need("unshare", "util-linux");
    need("setpriv", "util-linux");
    for (program, package) in [("systemctl", "systemd"), ("useradd", "passwd")] {
        need(program, package);
    }
    assert!(
        rustix::process::geteuid().is_root(),
        "this test makes accounts and starts a service manager, in namespaces: run it as root"
    );
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for (name, text) in [("machine.sh", MACHINE), ("story", story)] {
        fs::write(folder.join(name), text).unwrap();
    }
    let cargo = folder.join("bin/cargo");
    fs::create_dir(folder.join("bin")).unwrap();
    fs::write(&cargo, CARGO).unwrap();
    fs::set_permissions(&cargo, fs::Permissions::from_mode(0o755)).unwrap();
    let path = std::env::var("PATH").unwrap();
    let mut machine = clean(Command::new("timeout"), folder);
    // Build scripts that look at what Cargo said of this package would be run anew.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        let of_package = ["CARGO_PKG_", "CARGO_MANIFEST_", "OUT_DIR"];
        if of_package.iter().any(|start| name.starts_with(start)) {
            machine.env_remove(&*name);
        }
    }
    machine
        .args(["--signal=KILL", LIMIT])
        .args(["unshare", "--mount", "--", "bash"])
        .arg(folder.join("machine.sh"))
        .arg("outside")
        .arg(folder)
        .env("PATH", format!("{}:{path}", folder.join("bin").display()))
        .env("CARGO", cargo_itself())
        .env("BUILT", built())
        .env("FOLDER", folder)
        .env("REPOSITORY", repository().canonicalize().unwrap());
    let output = machine.output().unwrap();
    let said = |name| fs::read_to_string(folder.join(name));
    let (Ok(out), Ok(err)) = (said("out"), said("err")) else {
        let words = String::from_utf8_lossy(&output.stderr);
        panic!(
            "there is no machine for this test ({words}): it needs CAP_SYS_ADMIN, overlays, and control groups of \
             version 2 that may be written"
        );
    };
    Done {
        code: output.status.code().unwrap_or(-1),
        out,
        err,
    }
}

/// The program that compiled this test.
fn cargo_itself() -> PathBuf {
    std::env::var_os("CARGO").map_or_else(|| PathBuf::from(env!("CARGO")), PathBuf::from)
}

/// Where Cargo keeps what it has compiled for the tests.
fn built() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap()
}
