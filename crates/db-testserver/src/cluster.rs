//! A throw-away cluster: initialised, started, and gone with its folder when dropped.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};

use uuid::Uuid;

use crate::account::Account;
use crate::find::{Programs, find};
use crate::watchdog::Watchdog;
use crate::{Error, Run};

/// Another program may take the free port before the server does.
const PORT_TRIES: u32 = 5;

/// Seconds that the server may take to start; it needs well under one.
const START_SECONDS: &str = "60";

/// The superuser of the cluster.
const SUPERUSER: &str = "postgres";

/// How the server runs.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Whether a commit waits for the disk. Tests never cut the power, so for them the server
    /// does without; a benchmark must not.
    pub durable: bool,
    /// Whether pages have checksums, which cost a little and find what amcheck cannot.
    pub checksums: bool,
    /// Further lines for `postgresql.conf`, as (name, value).
    pub settings: Vec<(String, String)>,
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

/// The server programs of this machine, the account that may run them, and the way to run them.
#[derive(Debug, Clone)]
pub struct Host {
    pub(crate) programs: Programs,
    pub(crate) account: Account,
    pub(crate) run: Run,
}

impl Host {
    /// What this machine has; none without server programs.
    ///
    /// # Errors
    /// If no account may run them.
    pub fn find(run: Run) -> Result<Option<Self>, Error> {
        let Some(programs) = find(run) else {
            return Ok(None);
        };
        Ok(Some(Self {
            programs,
            account: Account::choose(run)?,
            run,
        }))
    }
}

/// How a server is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Connections are ended, the data is written out.
    Fast,
    /// As after a crash: the next start recovers.
    Immediate,
}

/// A running server; dropping it stops the server and removes its folder.
#[derive(Debug)]
pub struct Cluster {
    pub(crate) host: Host,
    pub(crate) home: PathBuf,
    password: String,
    port: u16,
    /// Held for its `Drop`.
    _watchdog: Watchdog,
}

impl Cluster {
    /// Starts a server on a free port of the loopback interface.
    ///
    /// # Errors
    /// What the server programs say.
    pub fn start(host: &Host, options: &Options) -> Result<Self, Error> {
        let password = Uuid::new_v4().simple().to_string();
        Self::make(host, password, |cluster| cluster.initialise(options))
    }

    /// A new folder, filled by `fill`, and a server in it.
    pub(crate) fn make(
        host: &Host,
        password: String,
        fill: impl FnOnce(&Self) -> Result<(), Error>,
    ) -> Result<Self, Error> {
        let home = make_home(host)?;
        let pg_ctl = host.account.words(&host.programs.path("pg_ctl"));
        // From here on, whatever happens, the folder goes.
        let watchdog = Watchdog::start(&home, &pg_ctl)?;
        let mut cluster = Self {
            host: host.clone(),
            home,
            password,
            port: 0,
            _watchdog: watchdog,
        };
        fill(&cluster)?;
        cluster.start_on_free_port()?;
        Ok(cluster)
    }

    /// The superuser's URL.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_on(self.port)
    }

    /// The superuser's URL by another port, such as that of a proxy.
    #[must_use]
    pub fn url_on(&self, port: u16) -> String {
        format!(
            "postgres://{SUPERUSER}:{}@{}:{port}/postgres",
            self.password,
            Ipv4Addr::LOCALHOST
        )
    }

    /// The port of the loopback interface; it stays the same over a restart.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The server's major version.
    #[must_use]
    pub const fn version(&self) -> u32 {
        self.host.programs.version
    }

    /// Stops the server; the folder stays.
    ///
    /// # Errors
    /// What `pg_ctl` says.
    pub fn stop(&self, how: Stop) -> Result<(), Error> {
        let mode = match how {
            Stop::Fast => "fast",
            Stop::Immediate => "immediate",
        };
        self.pg_ctl(&["--mode", mode, "--wait", "--timeout", START_SECONDS, "stop"])
    }

    /// Starts a stopped server again, on its port.
    ///
    /// # Errors
    /// What `pg_ctl` and the server's log say.
    pub fn start_again(&self) -> Result<(), Error> {
        self.try_start(self.port)
            .map_err(|error| Error::new(format!("{error}\n{}", self.read_log())))
    }

    /// Makes a standby a primary, and waits until it is one.
    ///
    /// # Errors
    /// What `pg_ctl` says.
    pub fn promote(&self) -> Result<(), Error> {
        self.pg_ctl(&["--wait", "--timeout", START_SECONDS, "promote"])
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.home.join("data")
    }

    pub(crate) fn password(&self) -> &str {
        &self.password
    }

    fn log(&self) -> PathBuf {
        self.home.join("log")
    }

    fn read_log(&self) -> String {
        fs::read_to_string(self.log()).unwrap_or_default()
    }

    fn pg_ctl(&self, arguments: &[&str]) -> Result<(), Error> {
        let mut pg_ctl = self
            .host
            .account
            .command(&self.host.programs.path("pg_ctl"));
        pg_ctl
            .current_dir(&self.home)
            .arg("--pgdata")
            .arg(self.data())
            .args(arguments);
        (self.host.run)(&mut pg_ctl).map(drop)
    }

    fn initialise(&self, options: &Options) -> Result<(), Error> {
        let Host {
            account, programs, ..
        } = &self.host;
        let file = self.home.join("password");
        write_private(&file, &self.password)?;
        account.give(&file)?;

        // C.UTF-8 knows letters beyond ASCII and still orders by code point, like SQLite;
        // not every system has it. Messages stay English, so that errors can be classified.
        let mut last = None;
        for locale in ["C.UTF-8", "C"] {
            let mut initdb = account.command(&programs.path("initdb"));
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
                .arg(&file)
                .args(options.checksums.then_some("--data-checksums"));
            match (self.host.run)(&mut initdb) {
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
        fs::remove_file(&file).map_err(|e| io("remove the password file", &e))?;
        let configuration = self.data().join("postgresql.conf");
        fs::OpenOptions::new()
            .append(true)
            .open(&configuration)
            .and_then(|mut file| file.write_all(options.lines().as_bytes()))
            .map_err(|e| io("write postgresql.conf", &e))
    }

    /// Starts the server and waits until it answers.
    fn start_on_free_port(&mut self) -> Result<(), Error> {
        for _ in 0..PORT_TRIES {
            let port = free_port()?;
            let Err(error) = self.try_start(port) else {
                self.port = port;
                return Ok(());
            };
            let log = self.read_log();
            if !log.contains("Address already in use") {
                return Err(Error::new(format!(
                    "the test server did not start: {error}\n{log}"
                )));
            }
            fs::remove_file(self.log()).map_err(|e| io("remove the server's log", &e))?;
        }
        Err(Error::new(format!(
            "no free port was found for the test server in {PORT_TRIES} tries"
        )))
    }

    fn try_start(&self, port: u16) -> Result<(), Error> {
        let log = self.log();
        self.pg_ctl(&[
            "--log",
            &log.display().to_string(),
            "--options",
            &format!("-p {port}"),
            "--wait",
            "--timeout",
            START_SECONDS,
            "start",
        ])
    }
}

/// A new folder that the account, and nobody else, can use.
fn make_home(host: &Host) -> Result<PathBuf, Error> {
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
        host.account.give(folder.path())?;
        let mut look = host.account.command(Path::new("test"));
        if (host.run)(look.current_dir("/").arg("-w").arg(folder.path())).is_ok() {
            return Ok(folder.keep());
        }
        tried.push(parent.display().to_string());
    }
    Err(Error::new(format!(
        "no folder for temporary files that the server can use: tried {}",
        tried.join(", ")
    )))
}

/// A port that was free a moment ago.
fn free_port() -> Result<u16, Error> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(|e| io("find a free loopback port", &e))
}

/// Writes a file that only its owner can read.
pub(crate) fn write_private(path: &Path, text: &str) -> Result<(), Error> {
    use std::os::unix::fs::OpenOptionsExt;
    fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|e| io(&format!("write {}", path.display()), &e))
}

fn io(what: &str, error: &std::io::Error) -> Error {
    Error::new(format!("cannot {what}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::Options;

    #[test]
    fn values_are_quoted_and_later_ones_win() {
        let options = Options {
            durable: true,
            checksums: false,
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
