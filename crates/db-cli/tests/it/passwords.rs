//! A password is never shown, wherever it came from and whatever went wrong.

use crate::support::{Done, bare, clean, finish};

const CANARY: &str = "c4nary-7f3a";

fn shown_nowhere(done: &Done) {
    assert!(!done.out.contains(CANARY), "{done:#?}");
    assert!(!done.err.contains(CANARY), "{done:#?}");
}

#[test]
fn of_a_url_that_leads_nowhere() {
    let root = tempfile::tempdir().unwrap();
    for url in [
        format!("postgres://u:{CANARY}@127.0.0.1:1/d"),
        format!("postgres://u:{CANARY}@no-such-host.invalid/d"),
        format!("postgres://127.0.0.1:1/d?user=u&password={CANARY}"),
        format!("postgre://u:{CANARY}@h/d"),
        format!("mysql://u:{CANARY}@h/d"),
        format!("u:{CANARY}@h/d"),
        format!("postgres://u:%zz{CANARY}@127.0.0.1:1/d"),
        format!("postgres://u:a {CANARY}@127.0.0.1:1/d"),
        format!("postgres://u:a@{CANARY}@127.0.0.1:1/d"),
        format!("postgres://u:{CANARY}/b@127.0.0.1:1/d"),
        format!("postgres://u:{CANARY}?b@127.0.0.1:1/d"),
        format!("postgres://u:{CANARY}#b@127.0.0.1:1/d"),
        format!("postgres://127.0.0.1:1/d?pass%77ord={CANARY}"),
        format!("postgres://127.0.0.1:1/d?passwordd={CANARY}"),
        format!("sqlite://x.db?key={CANARY}"),
        format!("sqllite://x.db?key={CANARY}"),
    ] {
        for more in [&["-vv"][..], &["--json"]] {
            let arguments = ["--database-url", &url, "status"];
            let done = finish(bare(root.path()).args(arguments).args(more));
            assert!(matches!(done.code, 2 | 9), "{done:?}");
            shown_nowhere(&done);
            let mut command = bare(root.path());
            let done = finish(
                command
                    .env("DATABASE_URL", &url)
                    .args(["migrate"])
                    .args(more),
            );
            shown_nowhere(&done);
        }
    }
}

#[test]
fn of_the_environment_and_of_a_url_in_the_wrong_place() {
    let root = tempfile::tempdir().unwrap();
    let mut command = bare(root.path());
    command.env("PGPASSWORD", CANARY);
    let done = finish(command.args([
        "--database-url",
        "postgres://u@127.0.0.1:1/d",
        "migrate",
        "-vv",
    ]));
    assert_eq!(done.code, 9, "{done:?}");
    shown_nowhere(&done);
    for arguments in [&["status"][..], &["--json"], &["migrate", "--dry-run"]] {
        let url = format!("postgres://u:{CANARY}@h/d");
        let done = finish(
            clean(bare(root.path()), root.path())
                .arg(url)
                .args(arguments),
        );
        assert_eq!(done.code, 2, "{done:?}");
        shown_nowhere(&done);
    }
    std::fs::write(
        root.path().join("bitcraps-db.toml"),
        format!("url = 'postgres://u:{CANARY}@h/d\n"),
    )
    .unwrap();
    let done = finish(bare(root.path()).arg("status"));
    assert_eq!(done.code, 2, "{done:?}");
    shown_nowhere(&done);
}
