//! Where settings come from, which one counts, and what a wrong one says.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use super::*;
use crate::{DatabaseUrl, IsolationLevel};

fn sqlite(config: &DatabaseConfig) -> SqliteOptions {
    match config.options().unwrap() {
        Options::Sqlite(options) => options,
        Options::Postgres(_) => panic!("{config:?} chose PostgreSQL"),
    }
}

fn postgres(config: &DatabaseConfig) -> PostgresOptions {
    match config.options().unwrap() {
        Options::Postgres(options) => options,
        Options::Sqlite(_) => panic!("{config:?} chose SQLite"),
    }
}

fn target(config: &DatabaseConfig) -> String {
    match postgres(config).target {
        DatabaseUrl::Postgres(text) => text,
        _ => unreachable!(),
    }
}

#[test]
fn the_defaults_are_the_documented_ones() {
    let options = sqlite(&DatabaseConfig::default());
    assert_eq!(options.url.path(), Some(Path::new("./data/bitcraps.db")));
    assert_eq!(options.max_readers, 10);
    assert_eq!(options.acquire_timeout, Duration::from_secs(30));
    assert_eq!(options.idle_timeout, Some(Duration::from_mins(5)));
    assert!(options.create_if_missing && options.wal);
    assert_eq!(options.checkpoint_interval, Some(Duration::from_mins(1)));
    assert_eq!(options.busy_timeout, Duration::from_secs(30));
    assert_eq!(options.cache_kib, 64 * 1_024);
    assert_eq!(options.mmap_bytes, 268_435_456);
    assert_eq!(options.synchronous, Synchronous::Normal);
    let options = postgres(&DatabaseConfig::new("postgres://h/d"));
    assert_eq!(options.isolation, IsolationLevel::ReadCommitted);
    assert_eq!(options.statement_timeout, Duration::from_secs(30));
    assert_eq!(options.lock_timeout, Duration::from_secs(10));
    assert_eq!(options.idle_in_transaction_timeout, Duration::from_mins(1));
}

#[test]
fn the_later_word_counts() {
    let file = "url = 'file.db'\nmax_connections = 3\nidle_timeout = '1m'\nmmap_size = '0'";
    let config = DatabaseConfig::new("built.db")
        .with_toml("app.toml", file)
        .unwrap()
        .with_variables([
            ("DATABASE_URL", "generic.db"),
            ("BITCRAPS_DATABASE_URL", "own.db"),
            ("BITCRAPS_DB_MAX_CONNECTIONS", "4"),
            ("UNRELATED", "x"),
        ])
        .unwrap()
        .synchronous(Synchronous::Full);
    let options = sqlite(&config);
    assert_eq!(options.url.path(), Some(Path::new("own.db")));
    assert_eq!(options.max_readers, 4);
    assert_eq!(options.idle_timeout, Some(Duration::from_mins(1)));
    assert_eq!(options.mmap_bytes, 0);
    assert_eq!(options.synchronous, Synchronous::Full);
}

#[test]
fn every_setting_can_be_said_everywhere() {
    let toml = "
        url = 'postgres://h/d'
        max_connections = 1
        min_connections = 1
        connection_timeout = '1s'
        idle_timeout = '0'
        held_threshold = '1s'
        max_waiters = 1
        create_if_missing = false
        enable_wal = false
        checkpoint_interval = '1s'
        checkpoint_pages = 1
        busy_timeout = '1s'
        cache_size = '1MiB'
        mmap_size = '1MB'
        synchronous = 'full'
        group_size = 1
        async_group_size = 1
        encryption_key_file = '/etc/bitcraps/key'
        encryption_key_command = ['pass', 'show', 'bitcraps']
        group_age = '1ms'
        connect_timeout = '1s'
        statement_timeout = '1s'
        lock_timeout = '1s'
        idle_in_transaction_timeout = '1s'
        keepalives_idle = '1s'
        keepalives_interval = '1s'
        keepalives_count = 1
        tcp_user_timeout = '1s'
        tls_mode = 'verify-full'
        tls_root_certificate = '/etc/ca.pem'
        application_name = 'dice'
        isolation = 'repeatable read'
        transaction_pooler = true
        max_lifetime = '1s'
        health_check_after = '1s'
        replicas = ['postgres://r1/d', 'postgres://r2/d']
        replica_wait = '1s'";
    let config = DatabaseConfig::default()
        .with_toml("all.toml", toml)
        .unwrap();
    let variables = toml
        .lines()
        .filter_map(|line| line.split_once(" = "))
        .map(|(key, value)| {
            let key = key.trim();
            let name = match key {
                "url" => "DATABASE_URL".to_owned(),
                _ => format!("BITCRAPS_DB_{}", key.to_ascii_uppercase()),
            };
            (name, value.replace(['\'', '[', ']', ','], ""))
        });
    let from_variables = DatabaseConfig::default().with_variables(variables).unwrap();
    for key in Settings::KEYS {
        assert!(config.origins.contains_key(key), "{key} is not in the test");
        assert!(from_variables.origins.contains_key(key), "{key}");
        let default = DatabaseConfig::default().settings.show(key);
        assert_ne!(config.settings.show(key), default, "{key}");
        assert_eq!(
            from_variables.settings.show(key),
            config.settings.show(key),
            "{key}"
        );
    }
    assert_eq!(from_variables.options().unwrap(), config.options().unwrap());
    assert_eq!(postgres(&config).replicas.len(), 2);
}

#[test]
fn what_is_wrong_names_the_field_the_value_and_the_place() {
    for (toml, said) in [
        (
            "max_connections = 10\nidle_timeout = 5",
            "idle_timeout = 5 (etc/app.toml:2): it must be a duration, as in \"30s\"",
        ),
        (
            "\n\nmax_connections = -1",
            "max_connections = -1 (etc/app.toml:3): it must be a whole number",
        ),
        (
            "cache_size = '64 parsecs'",
            "cache_size = \"64 parsecs\" (etc/app.toml:1): it must be a size",
        ),
        ("synchronous = 'off'", "it must be one of normal, full"),
        (
            "encryption_key_command = 'cat $KEY'",
            "encryption_key_command = cat … (etc/app.toml:1): no shell runs the key command",
        ),
        (
            "encryption_key_command = []",
            "it must be a text, or a list of a program and its arguments",
        ),
        (
            "encryption_key_command = ['cat', 3]",
            "it must be a text, or a list of a program and its arguments",
        ),
        ("enable_wal = 'yes'", "it must be true or false"),
        (
            "max_conections = 3",
            "max_conections (etc/app.toml:1): there is no setting of this name",
        ),
        (
            "[pool]\nsize = 3",
            "pool (etc/app.toml:1): there is no setting",
        ),
        ("url = ", "the configuration (etc/app.toml:1): "),
    ] {
        let error = DatabaseConfig::default()
            .with_toml("etc/app.toml", toml)
            .unwrap_err()
            .to_string();
        assert!(error.contains(said), "{toml}: {error}");
    }
    for (name, value, said) in [
        (
            "BITCRAPS_DB_BUSY_TIMEOUT",
            "soon",
            "busy_timeout = \"soon\" (environment variable BITCRAPS_DB_BUSY_TIMEOUT): it must be",
        ),
        (
            "BITCRAPS_DB_POOL",
            "3",
            "pool (environment variable BITCRAPS_DB_POOL): there is no",
        ),
        (
            "BITCRAPS_DB_URL",
            "a.db",
            "is read from BITCRAPS_DATABASE_URL or DATABASE_URL",
        ),
    ] {
        let error = DatabaseConfig::default()
            .with_variables([(name, value)])
            .unwrap_err()
            .to_string();
        assert!(error.contains(said), "{name}: {error}");
    }
    let error = DatabaseConfig::default()
        .with_file("nowhere/app.toml")
        .unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("the configuration (nowhere/app.toml): "),
        "{error}"
    );
}

#[test]
fn what_cannot_be_is_found_when_all_is_known() {
    let config = DatabaseConfig::default;
    let long = Duration::from_hours(24 * 30);
    for (config, said) in [
        (
            config().max_connections(0),
            "max_connections = 0 (set in the program): it must be from 1 to 10000",
        ),
        (
            config().busy_timeout(long),
            "busy_timeout = 2592000s (set in the program)",
        ),
        (
            config().mmap_size(1 << 40),
            "mmap_size = 1024GiB (set in the program): it must be at",
        ),
        (config().group_size(0), "group_size = 0"),
        (
            config()
                .with_toml("a.toml", "\nurl = 'mysql://h/d'")
                .unwrap(),
            "url = mysql://h/d (a.toml:2): the engine \"mysql\" is not supported",
        ),
        (
            DatabaseConfig::new("postgres://h/d").replicas(vec!["standby.db".to_owned()]),
            "replicas",
        ),
        (
            DatabaseConfig::new("postgres://h/d?sslmode=disable").tls_mode(TlsMode::VerifyFull),
            "tls_mode = verify-full (set in the program): the URL says sslmode=disable",
        ),
        (
            config().replicas(vec!["garbage".to_owned()]),
            "replicas = garbage (set in the program): no such file",
        ),
        (
            config().replicas(vec!["standby.db".to_owned()]),
            "the primary is PostgreSQL, so its standbys are",
        ),
        (
            config().keepalives_idle(Duration::from_secs(40_000)),
            "keepalives_idle = 40000s (set in the program): it must be from 0ns to 32767s",
        ),
        (
            config().keepalives_interval(Duration::from_millis(32_767_001)),
            "keepalives_interval = ",
        ),
        (
            config().connect_timeout(Duration::from_hours(24)),
            "connect_timeout = 86400s (set in the program): it must be from 1s to 3600s",
        ),
    ] {
        let error = config.options().unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
}

/// libpq would take the certificate, and speak plain text to a server that has no TLS.
#[test]
fn a_certificate_to_trust_needs_a_mode_that_verifies() {
    let config = |url: &str| DatabaseConfig::new(url).tls_root_certificate("/etc/ca.pem".into());
    for (config, mode) in [
        (config("postgres://h/d"), "unset"),
        (config("postgres://h/d?sslmode=prefer"), "prefer"),
        (config("postgres://h/d?sslmode=require"), "require"),
        (
            config("postgres://h/d").tls_mode(TlsMode::Disable),
            "disable",
        ),
        (
            config("postgres://h/d").tls_mode(TlsMode::Require),
            "require",
        ),
        (
            config("postgres://h/d?sslmode=verify-full")
                .replicas(vec!["postgres://r/d".to_owned()]),
            "unset",
        ),
    ] {
        let error = config.options().unwrap_err();
        assert_eq!(error.field(), "tls_root_certificate");
        let said = format!("verify-ca or verify-full; it is {mode}");
        assert!(error.to_string().ends_with(&said), "{error}");
    }
    for config in [
        config("postgres://h/d?sslmode=verify-ca"),
        config("postgres://h/d?sslmode=verify-full"),
        config("postgres://h/d").tls_mode(TlsMode::VerifyCa),
        config("postgres://h/d").tls_mode(TlsMode::VerifyFull),
    ] {
        assert!(target(&config).contains("sslrootcert=%2Fetc%2Fca.pem"));
    }
    // One file for a laptop and a server, whose URL says the mode.
    sqlite(&config("a.db"));
}

#[test]
fn a_path_in_a_file_is_beside_it() {
    let config = DatabaseConfig::new("postgres://h/d?sslmode=verify-full");
    let file = "tls_root_certificate = 'ca.pem'\nencryption_key_file = '../key'";
    let config = config.with_toml("etc/app.toml", file).unwrap();
    assert!(target(&config).contains("sslrootcert=etc%2Fca.pem"));
    let shown = config.settings.show("encryption_key_file");
    assert_eq!(shown, "etc/../key");
    let variable = ("BITCRAPS_DB_TLS_ROOT_CERTIFICATE", "ca.pem");
    let config = config.with_variables([variable]).unwrap();
    assert!(target(&config).contains("sslrootcert=ca.pem"));
}

#[test]
fn an_argument_is_named_as_it_was_typed() {
    let config = DatabaseConfig::new("a.db")
        .with_argument("--database-url", "url", "sqlite://b.db")
        .unwrap();
    assert_eq!(sqlite(&config).url.path(), Some(Path::new("b.db")));
    let error = config
        .with_argument("--database-url", "url", "mysql://u:secret@h/d")
        .unwrap()
        .options()
        .unwrap_err();
    assert_eq!(
        error.origin(),
        &Origin::Argument("--database-url".to_owned())
    );
    let said = "url = mysql://u:***@h/d (argument --database-url): the engine";
    assert!(error.to_string().starts_with(said), "{error}");
    let error = DatabaseConfig::default().with_argument("--pages", "checkpoint_pages", "many");
    let said = "checkpoint_pages = \"many\" (argument --pages): it must be a whole number";
    assert!(error.unwrap_err().to_string().starts_with(said));
}

/// Names that are no UTF-8 are names all the same.
#[cfg(unix)]
#[test]
fn a_path_need_not_be_text() {
    use std::ffi::{OsStr, OsString};
    use std::os::unix::ffi::{OsStrExt, OsStringExt};

    let raw = OsStr::from_bytes(b"key-\xff");
    let config = DatabaseConfig::default()
        .with_argument("--key-file", "encryption_key_file", raw)
        .unwrap();
    let path = config.settings.encryption_key_file.as_deref();
    assert_eq!(path, Some(Path::new(raw)));
    let variable = (
        OsString::from("BITCRAPS_DB_APPLICATION_NAME"),
        OsString::from_vec(vec![0xff]),
    );
    let error = DatabaseConfig::default().with_variables([variable]);
    assert!(
        error
            .unwrap_err()
            .to_string()
            .ends_with("it must be a text")
    );
}

#[test]
fn an_empty_variable_is_a_mistake() {
    for name in ["BITCRAPS_DATABASE_URL", "DATABASE_URL"] {
        let config = DatabaseConfig::new("kept.db")
            .with_variables([(name, "")])
            .unwrap();
        assert_eq!(config.options().unwrap_err().field(), "url");
    }
    // What protects is not lost with the variable that it was to come from.
    let empty = DatabaseConfig::default().with_variables([("BITCRAPS_DB_TLS_MODE", "")]);
    assert_eq!(empty.unwrap_err().field(), "tls_mode");
    let empty = DatabaseConfig::default()
        .with_variables([("BITCRAPS_DB_ENCRYPTION_KEY_FILE", "")])
        .unwrap();
    assert!(crate::Database::open(&empty.url("sqlite::memory:".to_owned())).is_err());
}

#[test]
fn what_the_url_says_of_a_connection_counts_before_every_setting() {
    let said = "connect_timeout=7&application_name=url&tcp_user_timeout=7&keepalives_idle=7\
                &keepalives_interval=7&keepalives_count=7";
    let url = format!("postgres://h/d?{said}");
    let toml = "connect_timeout = '9s'\napplication_name = 'file'\nkeepalives_idle = '0'";
    let config = DatabaseConfig::default()
        .with_toml("a.toml", toml)
        .unwrap()
        .with_variables([
            ("DATABASE_URL", url.as_str()),
            ("BITCRAPS_DB_KEEPALIVES_INTERVAL", "9s"),
            ("BITCRAPS_DB_APPLICATION_NAME", "variable"),
        ])
        .unwrap()
        .keepalives_count(9)
        .tcp_user_timeout(Duration::from_secs(9));
    assert_eq!(target(&config), url);
}

#[test]
fn a_connection_gets_its_parameters_and_the_url_counts_before_them() {
    let config = DatabaseConfig::new("postgres://u@h/d?connect_timeout=3")
        .tls_mode(TlsMode::VerifyCa)
        .tls_root_certificate("/etc/my ca.pem".into())
        .application_name("dice & co".to_owned())
        .keepalives_interval(Duration::from_millis(1_500));
    assert_eq!(
        target(&config),
        "postgres://u@h/d?connect_timeout=3&application_name=dice%20%26%20co\
         &tcp_user_timeout=15000&keepalives_idle=30&keepalives_interval=2&keepalives_count=3\
         &sslmode=verify-ca&sslrootcert=%2Fetc%2Fmy%20ca.pem"
    );
    let config = DatabaseConfig::new("postgres://h/d?").keepalives_idle(Duration::ZERO);
    assert_eq!(
        target(&config),
        "postgres://h/d?connect_timeout=3&application_name=bitcraps-db&tcp_user_timeout=15000\
         &keepalives=0"
    );
}

/// A password or a token may be among them, and looks like any other word.
#[test]
fn arguments_of_the_key_command_are_never_shown() {
    const SECRET: &str = "hunter2";
    let list = vec!["--password".to_owned(), SECRET.to_owned()];
    let good = DatabaseConfig::new("sqlite::memory:")
        .encryption_key_command(crate::KeyCommand::new("print-key", list));
    let both = good.clone().encryption_key_file("key".into());
    let mut shown = format!("{good:?}");
    for config in [&good, &both] {
        let error = config.options().unwrap_err();
        write!(shown, "{error} {error:?}").unwrap();
    }
    for entry in good.entries() {
        write!(shown, "{entry:?}").unwrap();
    }
    for text in ["print-key -p hunter2 | head", "KEY=hunter2 print-key $KEY"] {
        let toml = format!("encryption_key_command = '{text}'");
        let error = good.clone().with_toml("a.toml", &toml).unwrap_err();
        write!(shown, "{error} {error:?}").unwrap();
        let variable = ("BITCRAPS_DB_ENCRYPTION_KEY_COMMAND", text);
        let error = good.clone().with_variables([variable]).unwrap_err();
        write!(shown, "{error} {error:?}").unwrap();
    }
    assert!(shown.contains("print-key …"), "{shown}");
    assert!(!shown.contains(SECRET), "{shown}");
}

#[test]
fn passwords_are_never_shown() {
    const SECRET: &str = "hunter2";
    let url = "postgres://u:hunter2@h/d";
    let good = DatabaseConfig::new(url).replicas(vec!["postgres://u:hunter2@r/d".to_owned()]);
    let mut shown = format!("{good:?} {:?}", good.options().unwrap());
    for bad in [
        "postgres://u:hunter2%@h/d",
        "postgres://u:hun?ter2@h/hunter2",
        "postgre://u:hunter2@h/d",
        "a?key=hunter2",
        "u:hunter2@h/d",
    ] {
        let config = DatabaseConfig::new(bad);
        let error = config.options().unwrap_err();
        let converted = crate::Error::from(error.clone());
        write!(shown, "{config:?} {error} {error:?} {converted:?}").unwrap();
        let config = DatabaseConfig::new(url).replicas(vec![bad.to_owned()]);
        let error = config.options().unwrap_err();
        write!(shown, "{config:?} {error} {error:?}").unwrap();
    }
    for (key, toml) in [
        (
            "MAX_CONNECTIONS",
            "max_connections = 'postgres://u:hunter2@h/d'",
        ),
        ("TLS_MODE", "tls_mode = 'postgres://h/d?password=hunter2'"),
        ("NOTHING", "nothing = 'postgres://u:hunter2@h/d'"),
        ("REPLICA_WAIT", "url = 'postgres://u:hunter2@h/d"),
        ("REPLICA_WAIT", "url = postgres://u:hunter2@h/d"),
        ("REPLICA_WAIT", "url = ['postgres://u:hunter2@h/d']"),
        ("REPLICA_WAIT", "replicas = ['postgres://u:hunter2@h/d', 3]"),
    ] {
        let error = good.clone().with_toml("a.toml", toml).unwrap_err();
        write!(shown, "{error} {error:?}").unwrap();
        let variable = (format!("BITCRAPS_DB_{key}"), url);
        let error = good.clone().with_variables([variable]).unwrap_err();
        write!(shown, "{error} {error:?}").unwrap();
    }
    assert!(!shown.contains(SECRET), "{shown}");
}

#[cfg(feature = "sqlcipher")]
#[test]
fn where_the_key_is_said_is_one_place_and_for_a_file() {
    use crate::{KeyCommand, KeySource};

    let file = DatabaseConfig::new("a.db").encryption_key_file("key".into());
    let expected = Some(KeySource::file("key"));
    assert_eq!(sqlite(&file).encryption_key, expected);
    let list = "encryption_key_command = ['cat', 'a key']";
    let command = DatabaseConfig::new("a.db").with_toml("a.toml", list);
    let expected = KeyCommand::new("cat", vec!["a key".to_owned()]);
    let found = sqlite(&command.unwrap()).encryption_key;
    assert_eq!(found, Some(KeySource::command(expected)));
    assert_eq!(sqlite(&DatabaseConfig::new("a.db")).encryption_key, None);

    let command = KeyCommand::parse("pass show key").unwrap();
    // A later place says all of it.
    let variable = ("BITCRAPS_DB_ENCRYPTION_KEY_COMMAND", "pass show key");
    let replaced = file.clone().with_variables([variable]).unwrap();
    let expected = Some(KeySource::command(command.clone()));
    assert_eq!(sqlite(&replaced).encryption_key, expected);
    let replaced = replaced
        .with_argument("--key-file", "encryption_key_file", "b.key")
        .unwrap();
    let expected = Some(KeySource::file("b.key"));
    assert_eq!(sqlite(&replaced).encryption_key, expected);
    let both = "encryption_key_file = 'key'\nencryption_key_command = 'pass show key'";
    let both = DatabaseConfig::new("a.db")
        .with_toml("a.toml", both)
        .unwrap();
    assert!(both.options().is_err());
    for (config, said) in [
        (
            file.clone().encryption_key_command(command),
            "encryption_key_command = pass … (set in the program): encryption_key_file is set too",
        ),
        (
            file.clone().url("sqlite::memory:".to_owned()),
            "encryption_key_file = key (set in the program): a database in memory is not encrypted",
        ),
    ] {
        let error = config.options().unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
    // As every setting of the other engine.
    postgres(&file.url("postgres://h/d".to_owned()));
}

#[cfg(not(feature = "sqlcipher"))]
#[test]
fn a_key_that_could_not_be_used_is_not_passed_over() {
    use crate::{ErrorKind, KeyCommand};

    let command = KeyCommand::parse("cat key").unwrap();
    for config in [
        DatabaseConfig::new("a.db").encryption_key_file("key".into()),
        DatabaseConfig::new("a.db").encryption_key_command(command),
    ] {
        let error = crate::Database::open(&config).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration);
        let said = "is built without the feature `sqlcipher`";
        assert!(error.to_string().contains(said), "{error}");
        assert!(!Path::new("a.db").exists());
    }
}
