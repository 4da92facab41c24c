//! A throw-away cluster: initialised, started, and gone with its folder when dropped.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use uuid::Uuid;

use super::account::Account;
use super::find::{Programs, find};
use super::install::install;
use super::watchdog::Watchdog;
use crate::process;

/// Another program may take the free port before the server does.
const PORT_TRIES: u32 = 5;

/// Seconds that the server may take to start; it needs well under one.
const START_SECONDS: &str = "60";

/// The superuser of the cluster.
const SUPERUSER: &str = "postgres";

/// How the server runs.
#[derive(Debug, Clone, Default)]
pub(crate) struct Options {
    /// Whether a commit waits for the disk. Tests never cut the power, so for them the server
    /// does without; a benchmark must not.
    pub(crate) durable: bool,
    /// Further lines for `postgresql.conf`, as (name, value).
    pub(crate) settings: Vec<(String, String)>,
}

impl Options {
    fn lines(&self) -> String {
        let durable = if self.durable { "on" } else { "off" };
        let mut lines = String::from("\n# What a throw-away cluster differs in.\n");
        let mut set = |name: &str, value: &str| {
            // Writing to a String cannot fail.
            let _infallible = writeln!(lines, "{name} = '{}'", value.replace('\'', "''"));
        };
        set("listen_addresses", &Ipv4Addr::LOCALHOST.to_string());
        // No socket: its path may have 107 bytes at most, and a comma in it would part it in two.
        set("unix_socket_directories", "");
        // Every test holds a few connections, and tests run side by side.
        set("max_connections", "200");
        set("shared_buffers", "64MB");
        set("fsync", durable);
        set("full_page_writes", durable);
        for (name, value) in &self.settings {
            set(name, value);
        }
        lines
    }
}

/// A running server; dropping it stops the server and removes its folder.
pub(crate) struct Cluster {
    url: String,
    version: u32,
    /// Held for its `Drop`.
    _watchdog: Watchdog,
}

impl Cluster {
    /// Starts a server on a free port of the loopback interface.
    pub(crate) fn start(options: &Options) -> Result<Self> {
        let programs = if let Some(programs) = find() {
            programs
        } else {
            install()?;
            find().context("the package was installed, but no server programs were found")?
        };
        let account = Account::choose()?;
        let home = make_home(&account)?;
        let starter = Starter {
            programs,
            account,
            home,
        };
        let pg_ctl = starter.account.words(&starter.programs.path("pg_ctl"));
        // From here on, whatever happens, the folder goes.
        let watchdog = Watchdog::start(&starter.home, &pg_ctl)?;

        let password = Uuid::new_v4().simple().to_string();
        starter.initialise(&password, options)?;
        let port = starter.start()?;
        Ok(Self {
            url: format!(
                "postgres://{SUPERUSER}:{password}@{}:{port}/postgres",
                Ipv4Addr::LOCALHOST
            ),
            version: starter.programs.version,
            _watchdog: watchdog,
        })
    }

    /// The superuser's URL.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The server's major version.
    pub(crate) const fn version(&self) -> u32 {
        self.version
    }
}

struct Starter {
    programs: Programs,
    account: Account,
    home: PathBuf,
}

impl Starter {
    fn data(&self) -> PathBuf {
        self.home.join("data")
    }

    fn log(&self) -> PathBuf {
        self.home.join("log")
    }

    fn initialise(&self, password: &str, options: &Options) -> Result<()> {
        let file = self.home.join("password");
        write_private(&file, password)?;
        self.account.give(&file)?;

        // C.UTF-8 knows letters beyond ASCII and still orders by code point, like SQLite;
        // not every system has it. Messages stay English, so that errors can be classified.
        let mut last = None;
        for locale in ["C.UTF-8", "C"] {
            let mut initdb = self.account.command(&self.programs.path("initdb"));
            initdb
                .current_dir(&self.home)
                .arg("--pgdata")
                .arg(self.data())
                .args([
                    "--auth=scram-sha-256",
                    "--encoding=UTF8",
                    "--lc-messages=C",
                    "--no-sync",
                ])
                .arg(format!("--username={SUPERUSER}"))
                .arg(format!("--locale={locale}"))
                .arg("--pwfile")
                .arg(&file);
            match process::output(&mut initdb) {
                Ok(_) => {
                    last = None;
                    break;
                }
                Err(error) => last = Some(error),
            }
        }
        if let Some(error) = last {
            return Err(error.context("cannot initialise a PostgreSQL cluster"));
        }

        fs::remove_file(&file).context("cannot remove the password file")?;
        let configuration = self.data().join("postgresql.conf");
        fs::OpenOptions::new()
            .append(true)
            .open(&configuration)
            .and_then(|mut file| file.write_all(options.lines().as_bytes()))
            .with_context(|| format!("cannot write {}", configuration.display()))
    }

    /// Starts the server and waits until it answers; returns its port.
    fn start(&self) -> Result<u16> {
        for _ in 0..PORT_TRIES {
            let port = free_port()?;
            let mut pg_ctl = self.account.command(&self.programs.path("pg_ctl"));
            pg_ctl
                .current_dir(&self.home)
                .arg("--pgdata")
                .arg(self.data())
                .arg("--log")
                .arg(self.log())
                .args(["--options", &format!("-p {port}")])
                .args(["--wait", "--timeout", START_SECONDS, "start"]);
            let Err(error) = process::output(&mut pg_ctl) else {
                return Ok(port);
            };
            let log = fs::read_to_string(self.log()).unwrap_or_default();
            if !log.contains("Address already in use") {
                return Err(error.context(format!("the test server did not start:\n{log}")));
            }
            fs::remove_file(self.log()).context("cannot remove the server's log")?;
        }
        bail!("no free port was found for the test server in {PORT_TRIES} tries")
    }
}

/// A new folder that the account, and nobody else, can use.
fn make_home(account: &Account) -> Result<PathBuf> {
    let mut tried = Vec::new();
    // Root's TMPDIR may lie where the server's account cannot reach it.
    for parent in [
        std::env::temp_dir(),
        PathBuf::from("/tmp"),
        PathBuf::from("/var/tmp"),
    ] {
        let made = tempfile::Builder::new()
            .prefix("bitcraps-pg-")
            .tempdir_in(&parent);
        let Ok(folder) = made else { continue };
        account.give(folder.path())?;
        let mut look = account.command(Path::new("test"));
        if process::succeeds(look.current_dir("/").arg("-w").arg(folder.path())) {
            return Ok(folder.keep());
        }
        tried.push(parent.display().to_string());
    }
    bail!(
        "no folder for temporary files that the server can use: tried {}",
        tried.join(", ")
    )
}

/// A port that was free a moment ago.
fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free loopback port")?;
    Ok(listener
        .local_addr()
        .context("no free loopback port")?
        .port())
}

/// Writes a file that only its owner can read.
fn write_private(path: &Path, text: &str) -> Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::Options;

    #[test]
    fn values_are_quoted_and_later_ones_win() {
        let options = Options {
            durable: true,
            settings: vec![("log_line_prefix".to_owned(), "it's %m".to_owned())],
        };
        let lines = options.lines();
        assert!(lines.contains("fsync = 'on'"), "{lines}");
        assert!(lines.ends_with("log_line_prefix = 'it''s %m'\n"), "{lines}");
    }

    #[test]
    fn tests_do_not_wait_for_the_disk() {
        assert!(Options::default().lines().contains("fsync = 'off'"));
    }
}
