//! A private server on a folder of files: reached through a socket that only its owner can use, and
//! ended with us, however we end.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use db_core::{Access, Connection, DatabaseUrl, Interrupt};

use super::account::Account;
use super::child::Run;
use super::staging::Staging;
use super::tools::Tools;
use crate::error::Error;

/// How often a server that starts is looked at.
const GLANCE: Duration = Duration::from_millis(50);

/// How long a server may take to be gone after it was told to end at once.
const PATIENCE: Duration = Duration::from_mins(1);

/// Bytes of the server's log that an error shows: its end says why it ended.
const LOG_SHOWN: u64 = 3_000;

/// Our name for the socket.
const PORT: u16 = 5432;

/// The rest runs the server. Each line from us asks it to end when its clients are gone and its data
/// is written; the end of the pipe, which our death brings about too, ends it at once. A server that
/// has just been started ignores that, as everything does that a shell starts beside itself, until it
/// has made up its mind: so it is told again.
const SCRIPT: &str = r#"
exec 3<&0 </dev/null
"$@" 3<&- &
server=$!
(
    while IFS= read -r _ <&3; do kill -s INT "$server"; done
    while kill -s QUIT "$server"; do sleep 1; done
) 2>/dev/null &
watch=$!
exec 3<&-
wait "$server"
code=$?
kill "$watch" 2>/dev/null
exit "$code"
"#;

/// Who may connect: whoever reaches the socket, which lies in a private folder.
const ACCESS_RULES: &str = "local all all trust\n";

/// A setting of the server, as name and value.
pub(super) type Setting = (&'static str, String);

/// A running private server. Dropping it ends it at once.
#[derive(Debug)]
pub(super) struct Server {
    shell: Child,
    pipe: Option<ChildStdin>,
    data: PathBuf,
    private: Staging,
}

impl Server {
    /// Starts a server on `data`; `private` is a folder of the same account.
    pub(super) fn start(
        tools: &Tools,
        data: &Path,
        account: Account,
        private: Staging,
        settings: &[Setting],
    ) -> Result<Self, Error> {
        let folder = private.path().to_owned();
        for (name, text) in [("hba", ACCESS_RULES), ("ident", ""), ("conf", "")] {
            write_private(&folder.join(name), text)?;
            account.give(&folder.join(name))?;
        }
        let log = OpenOptions::new()
            .append(true)
            .create_new(true)
            .mode(0o600)
            .open(folder.join("log"))
            .map_err(|e| Error::io("make", folder.join("log"), e))?;
        let shown = |name: &str| folder.join(name).display().to_string();
        let mut command = Command::new("sh");
        command
            .args(["-c", SCRIPT, "server"])
            .arg(tools.path("postgres"))
            .arg("-D")
            .arg(data);
        let own: [Setting; 3] = [
            ("config_file", shown("conf")),
            ("hba_file", shown("hba")),
            ("ident_file", shown("ident")),
        ];
        let rest = PRIVATE.map(|(name, value)| (name, value.to_owned()));
        let place = [
            ("unix_socket_directories", folder.display().to_string()),
            ("port", PORT.to_string()),
        ];
        for (name, value) in own.iter().chain(&rest).chain(&place).chain(settings) {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        account.wear(&mut command);
        let mut shell = command
            .current_dir(&folder)
            .env("LC_ALL", "C")
            // A terminal's Ctrl-C reaches us, and we end it.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(log.try_clone().map_or_else(|_| Stdio::null(), Stdio::from))
            .stderr(log)
            .spawn()
            .map_err(|e| Error::ToolFailed {
                tool: "postgres".to_owned(),
                reason: format!("it could not be started: {e}"),
            })?;
        let pipe = shell.stdin.take();
        Ok(Self {
            shell,
            pipe,
            data: data.to_owned(),
            private,
        })
    }

    /// Waits until it takes connections, which is when recovery is over; `on_wait` is called meanwhile.
    pub(super) fn wait_until_ready(
        &mut self,
        mut on_wait: impl FnMut() -> Result<(), Error>,
    ) -> Result<(), Error> {
        loop {
            if !matches!(self.shell.try_wait(), Ok(None)) {
                return Err(Error::ToolFailed {
                    tool: "postgres".to_owned(),
                    reason: self.log_tail(),
                });
            }
            // The eighth line, as pg_ctl reads it too.
            let pid = std::fs::read_to_string(self.data.join("postmaster.pid"));
            let status = pid
                .ok()
                .and_then(|text| Some(text.lines().nth(7)?.trim().to_owned()));
            if status.as_deref() == Some("ready") {
                return Ok(());
            }
            on_wait()?;
            pause();
        }
    }

    /// Where a database of it is reached, as a user.
    pub(super) fn url(&self, user: &str, database: &str) -> DatabaseUrl {
        let mut text = String::from("postgres:///?host=");
        encode(&self.private.path().display().to_string(), &mut text);
        text.push_str("&port=5432&user=");
        encode(user, &mut text);
        DatabaseUrl::Postgres(text).with_database(database)
    }

    /// Connects to a database, as the first of these users that exists.
    pub(super) fn connect(&self, users: &[String], database: &str) -> Result<Connection, Error> {
        let mut last = None;
        for user in users {
            match Connection::open(&self.url(user, database), Access::ReadOnly) {
                Ok(connection) => return Ok(connection),
                Err(error) => last = Some(error),
            }
        }
        Err(match last {
            Some(error) => Error::database("connecting to the restored server", error),
            None => Error::usage("no user is known to connect to the restored server", ""),
        })
    }

    /// Ends it when its data is written, so that the next start needs no recovery.
    pub(super) fn stop(mut self, interrupt: &Interrupt) -> Result<(), Error> {
        let told = self.pipe.as_mut().map(|pipe| pipe.write_all(b"stop\n"));
        if let Some(Err(error)) = told {
            return Err(Error::io("stop the server on", &self.data, error));
        }
        loop {
            match self.shell.try_wait() {
                Ok(Some(status)) if status.success() => return Ok(()),
                Ok(None) if interrupt.is_set() => return Err(Error::Interrupted),
                Ok(None) => pause(),
                Ok(Some(_)) | Err(_) => {
                    return Err(Error::ToolFailed {
                        tool: "postgres".to_owned(),
                        reason: format!("it did not end cleanly:\n{}", self.log_tail()),
                    });
                }
            }
        }
    }

    /// The end of what it logged.
    pub(super) fn log_tail(&self) -> String {
        let read = || -> std::io::Result<String> {
            let mut file = std::fs::File::open(self.private.path().join("log"))?;
            let length = file.metadata()?.len();
            file.seek(SeekFrom::Start(length.saturating_sub(LOG_SHOWN)))?;
            let mut bytes = Vec::new();
            file.take(LOG_SHOWN).read_to_end(&mut bytes)?;
            Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
        };
        read().unwrap_or_else(|error| format!("its log cannot be read: {error}"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.pipe.take());
        let since = Instant::now();
        while matches!(self.shell.try_wait(), Ok(None)) {
            if since.elapsed() > PATIENCE {
                let group = i32::try_from(self.shell.id()).ok();
                if let Some(group) = group.and_then(rustix::process::Pid::from_raw) {
                    // It may have ended by itself meanwhile.
                    let _ended =
                        rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
                }
                drop(self.shell.wait());
                return;
            }
            pause();
        }
    }
}

/// What differs from whatever the files themselves say: `postgresql.auto.conf` in the folder would
/// otherwise have its way. Above all nothing is archived, preloaded, replicated or reached from
/// elsewhere.
const PRIVATE: [(&str, &str); 32] = [
    // First: what is wanted of these comes after, and only one of them may be set.
    ("recovery_target", ""),
    ("recovery_target_lsn", ""),
    ("recovery_target_name", ""),
    ("recovery_target_time", ""),
    ("recovery_target_xid", ""),
    ("recovery_end_command", ""),
    ("archive_cleanup_command", ""),
    ("max_logical_replication_workers", "0"),
    ("listen_addresses", ""),
    ("unix_socket_permissions", "0700"),
    ("ssl", "off"),
    ("external_pid_file", ""),
    ("cluster_name", ""),
    ("logging_collector", "off"),
    ("log_destination", "stderr"),
    ("lc_messages", "C"),
    ("log_min_messages", "warning"),
    ("log_statement", "none"),
    ("archive_mode", "off"),
    ("hot_standby", "off"),
    ("primary_conninfo", ""),
    ("primary_slot_name", ""),
    ("synchronous_standby_names", ""),
    ("shared_preload_libraries", ""),
    ("session_preload_libraries", ""),
    ("local_preload_libraries", ""),
    ("wal_level", "replica"),
    ("max_wal_senders", "0"),
    ("autovacuum", "off"),
    ("superuser_reserved_connections", "3"),
    ("recovery_min_apply_delay", "0"),
    ("shared_buffers", "128MB"),
];

/// Facts of a folder of files, as `pg_controldata` tells them.
#[derive(Debug, Clone, Default)]
pub(super) struct ControlData(Vec<(String, String)>);

impl ControlData {
    pub(super) fn read(tools: &Tools, data: &Path, interrupt: &Interrupt) -> Result<Self, Error> {
        let mut command = Command::new(tools.path("pg_controldata"));
        let output = Run::output(command.arg("-D").arg(data), None, interrupt, 1 << 20)?;
        let text = String::from_utf8_lossy(&output);
        Ok(Self(
            text.lines()
                .filter_map(|line| line.split_once(':'))
                .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
                .collect(),
        ))
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }

    /// Settings without which what the log tells of could not be taken in.
    pub(super) fn settings(&self) -> Vec<Setting> {
        [
            ("max_prepared_xacts setting", "max_prepared_transactions"),
            ("max_locks_per_xact setting", "max_locks_per_transaction"),
            ("max_connections setting", "max_connections"),
            ("max_worker_processes setting", "max_worker_processes"),
        ]
        .into_iter()
        .filter_map(|(name, setting)| {
            let value: u32 = self.get(name)?.parse().ok()?;
            Some((setting, value.to_string()))
        })
        .collect()
    }
}

fn pause() {
    #[expect(
        clippy::disallowed_methods,
        reason = "a server sends no word when it is ready, or gone"
    )]
    std::thread::sleep(GLANCE);
}

pub(super) fn write_private(path: &Path, text: &str) -> Result<(), Error> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|e| Error::io("write", path, e))
}

/// Appends the text with everything but letters, digits, `-`, `.`, `_`, `~` and `/` as `%xx`.
fn encode(text: &str, out: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _infallible = write!(out, "%{byte:02X}");
        }
    }
}
