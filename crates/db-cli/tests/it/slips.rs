//! What is typed by somebody who knows another command or program better.

use crate::support::{bare, finish};

/// What is typed, and what the tip names.
const SLIPS: &[(&str, &str)] = &[
    ("version", "'bitcraps-db --version'"),
    ("export users", "'--table users'"),
    ("export out/users.csv", "'--output out/users.csv'"),
    ("import users.csv users", "'--table users'"),
    ("import --file users.csv", "'import FILE'"),
    ("import users.csv --upsert", "'--on-conflict update'"),
    ("import users.csv --ignore", "'--on-conflict skip'"),
    ("copy other.db", "'--to other.db'"),
    ("backup /mnt/x", "'--dir /mnt/x'"),
    ("backup --output x", "'--dir DIR'"),
    ("backup delete x", "'backup remove NAME'"),
    ("backup schedule --cron 5", "'--every 15m'"),
    ("backup verify --all", "'backup list'"),
    ("migrate 20250824000300", "'migrate --to 20250824000300'"),
    ("migrate down", "'rollback'"),
    ("rollback --to 3", "'rollback 3'"),
    ("rollback --all", "'rollback 0'"),
    ("restore --to x.db", "'--target URL'"),
    ("restore --list", "'backup list'"),
    ("json-schema backup create", "'backup-create'"),
    ("man backup", "'bitcraps-db backup --help'"),
    ("config list", "'config show'"),
    ("schema show --table users", "'schema show users'"),
    ("--database-url x.db export users", "'--table users'"),
    ("mirgate", "'migrate'"),
    ("migrate --dryrun", "'--dry-run'"),
];

/// Tips that would lead astray.
const ASTRAY: &[(&str, &str)] = &[
    ("import users.csv --upsert", "--quiet"),
    ("restore --list", "--lsn"),
    ("mirgate", "'create'"),
    ("backup schedule --cron 5", "--config"),
    ("status --frobnicate", "tip:"),
    ("rollback --frobnicate", "tip:"),
];

#[test]
fn a_slip_is_told_what_is_meant() {
    for (typed, meant) in SLIPS {
        let said = refused(typed);
        let tip = said.lines().find(|line| line.trim().starts_with("tip:"));
        assert!(
            tip.is_some_and(|tip| tip.contains(meant)),
            "{typed}: {said}"
        );
    }
}

#[test]
fn no_tip_leads_astray() {
    for (typed, wrong) in ASTRAY {
        let said = refused(typed);
        assert!(!said.contains(wrong), "{typed}: {said}");
    }
}

/// As the words are typed, in an empty folder.
fn refused(typed: &str) -> String {
    let root = tempfile::tempdir().unwrap();
    let done = finish(bare(root.path()).args(typed.split(' ')));
    assert_eq!(done.code, 2, "{typed}: {done:?}");
    done.err
}
