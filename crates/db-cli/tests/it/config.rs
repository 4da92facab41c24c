//! `config show`, and what `--version` says.

use db_testkit::TestDb;

use crate::support::{Done, Place, bare, finish};

#[test]
fn each_setting_is_shown_with_its_place() {
    let place = Place::new(TestDb::sqlite());
    place.write(
        "x.toml",
        "max_connections = 4\nreplicas = ['postgres://u:hunter2@h/d']\n[backup]\ndir = 'b'\n",
    );
    let document = place.json(0, &["--config", "x.toml", "config", "show"]);
    assert_eq!(document["file"], "x.toml");
    let setting = |name: &str| {
        let all = document["settings"].as_array().unwrap();
        let found = all.iter().find(|setting| setting["name"] == name);
        found
            .unwrap_or_else(|| panic!("{name}: {document}"))
            .clone()
    };
    assert_eq!(setting("url")["place"], "--database-url");
    assert_eq!(setting("max_connections")["value"], "4");
    assert_eq!(setting("max_connections")["place"], "x.toml:1");
    assert_eq!(setting("busy_timeout")["origin"], "default");
    assert_eq!(setting("migrations")["origin"], "argument");
    assert_eq!(setting("backup.dir")["place"], "x.toml:4");
    assert_eq!(setting("backup.keep_days")["value"], "7");
    assert_eq!(setting("backup.keep_days")["origin"], "default");
    assert!(!document.to_string().contains("hunter2"), "{document}");
    let shown = place.ok(&["--config", "x.toml", "config", "show"]).out;
    assert!(shown.contains("max_connections"), "{shown}");
    assert!(!shown.contains("hunter2"), "{shown}");
}

/// What the file takes, as it says itself when it is given something else.
fn known(place: &Place, table: &str) -> Vec<String> {
    place.write("unknown.toml", &format!("[{table}]\nno_such_setting = 1\n"));
    let refused = place.ends(2, &["--config", "unknown.toml", "config", "show"]);
    let (_, listed) = refused.err.split_once("expected one of ").unwrap();
    let names = listed.split('`').skip(1).step_by(2);
    names
        .map(|name| format!("{table}.{name}"))
        .take_while(|name| !name.contains(' '))
        .collect()
}

#[test]
fn no_setting_is_left_out() {
    let place = Place::new(TestDb::sqlite());
    let document = place.json(0, &["config", "show"]);
    let settings = document["settings"].as_array().unwrap();
    let shown: Vec<&str> = settings
        .iter()
        .map(|s| s["name"].as_str().unwrap())
        .collect();
    for table in ["backup", "health"] {
        let known = known(&place, table);
        assert!(known.len() > 10, "{known:?}");
        let of_table = |name: &&&str| name.starts_with(&format!("{table}."));
        assert_eq!(
            shown.iter().filter(of_table).count(),
            known.len(),
            "{shown:?} {known:?}"
        );
        for name in known {
            assert!(shown.contains(&name.as_str()), "{name}");
        }
    }
    for setting in settings {
        assert_eq!(
            setting["origin"] == "default",
            setting.get("place").is_none(),
            "{setting}"
        );
    }
}

const CANARY: &str = "c4nary-5e1f";

fn keeps_the_secret(done: &Done) {
    assert!(
        !done.out.contains(CANARY) && !done.err.contains(CANARY),
        "{done:#?}"
    );
}

/// Arguments before the command, and variables with their values.
type Case<'c> = (Vec<&'c str>, Vec<(&'c str, &'c str)>);

/// A secret in every place from which a setting may come, and in every setting that may hold one.
#[test]
fn secrets_are_masked_wherever_they_come_from() {
    let place = Place::new(TestDb::sqlite());
    let url = format!("postgres://u:{CANARY}@127.0.0.1:1/d");
    let parameter = format!("postgres://127.0.0.1:1/d?user=u&password={CANARY}");
    let command = format!("print-key --token={CANARY}");
    place.write(
        "replicas.toml",
        &format!("replicas = ['{url}', '{parameter}']\n"),
    );
    place.write(
        "url.toml",
        &format!("url = '{url}'\n[backup]\ndir = 's3://k:{CANARY}@b/p'\n"),
    );
    place.write(
        "command.toml",
        &format!("encryption_key_command = '{command}'\n"),
    );
    place.write(
        "wrong.toml",
        &format!("url = '{url}'\nmax_connections = 0\n"),
    );
    place.write("broken.toml", &format!("url = '{url}\n"));
    let (url, parameter, command) = (url.as_str(), parameter.as_str(), command.as_str());
    let own = [
        "BITCRAPS_DATABASE_URL",
        "DATABASE_URL",
        "BITCRAPS_DB_REPLICAS",
    ];
    let mut cases: Vec<Case<'_>> = vec![
        (vec!["--database-url", url], vec![]),
        (vec!["--database-url", parameter], vec![]),
        (vec!["--key-command", command], vec![]),
        (
            vec![],
            vec![("BITCRAPS_DB_ENCRYPTION_KEY_COMMAND", command)],
        ),
        (
            vec![],
            vec![("PGPASSWORD", CANARY), ("AWS_SECRET_ACCESS_KEY", CANARY)],
        ),
    ];
    for file in [
        "replicas.toml",
        "url.toml",
        "command.toml",
        "wrong.toml",
        "broken.toml",
    ] {
        cases.push((vec!["--config", file], vec![]));
    }
    for variable in own {
        cases.push((vec![], vec![(variable, url)]));
        cases.push((vec![], vec![(variable, parameter)]));
    }
    let mut shown = 0;
    for (arguments, variables) in cases {
        for command in [&["config", "show"][..], &["status"], &["backup", "list"]] {
            for more in [&[][..], &["--json"], &["-vv"], &["-vv", "--json"]] {
                let mut program = bare(place.root.path());
                program.args(&arguments).args(command).args(more);
                let done = finish(program.envs(variables.iter().copied()));
                keeps_the_secret(&done);
                assert!(!done.err.contains("panicked"), "{done:?}");
                if command[0] == "config" && done.code == 0 {
                    shown += 1;
                }
            }
        }
    }
    assert!(shown >= 30, "settings were shown {shown} times");
}

#[test]
fn the_version_names_the_engines() {
    let place = Place::new(TestDb::sqlite());
    let said = place.ok(&["--version"]).out;
    let lines: Vec<_> = said.lines().collect();
    assert!(lines[0].starts_with("bitcraps-db 0."), "{said}");
    assert!(lines[1].starts_with("SQLite 3."), "{said}");
    assert!(lines[2].starts_with("libpq "), "{said}");
}
