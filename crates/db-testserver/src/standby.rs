//! Standbys of a cluster: one that streams, and one that follows the archive.

use std::fs::OpenOptions;
use std::io::Write as _;

use crate::Error;
use crate::cluster::{Cluster, write_private};

impl Cluster {
    /// Starts a standby that streams from this server.
    ///
    /// # Errors
    /// What `pg_basebackup` and the new server say.
    pub fn standby(&self) -> Result<Self, Error> {
        self.copy(
            &["--wal-method=stream", "--write-recovery-conf"],
            |_| Ok(()),
        )
    }

    /// Starts a standby that knows nothing but an archive of the log, which this command fetches from.
    ///
    /// # Errors
    /// What `pg_basebackup` and the new server say.
    pub fn standby_of_archive(&self, restore_command: &str) -> Result<Self, Error> {
        self.copy(&["--wal-method=fetch"], |standby| {
            let signal = standby.data().join("standby.signal");
            write_private(&signal, "")?;
            self.host.account.give(&signal)?;
            let line = format!(
                "restore_command = '{}'\n",
                restore_command.replace('\'', "''")
            );
            OpenOptions::new()
                .append(true)
                .open(standby.data().join("postgresql.conf"))
                .and_then(|mut file| file.write_all(line.as_bytes()))
                .map_err(|e| Error::new(format!("cannot write postgresql.conf: {e}")))
        })
    }

    fn copy(
        &self,
        how: &[&str],
        finish: impl Fn(&Self) -> Result<(), Error>,
    ) -> Result<Self, Error> {
        Self::make(&self.host, self.password().to_owned(), |standby| {
            // The password goes by a file: arguments are seen by everybody.
            let file = standby.home.join("pgpass");
            write_private(&file, &format!("*:*:*:*:{}\n", self.password()))?;
            self.host.account.give(&file)?;
            let mut backup = self
                .host
                .account
                .command(&self.host.programs.path("pg_basebackup"));
            backup
                .current_dir(&standby.home)
                .env("PGPASSFILE", &file)
                .args(["--host=127.0.0.1", "--username=postgres", "--no-password"])
                .arg(format!("--port={}", self.port()))
                .arg("--pgdata")
                .arg(standby.data())
                .args(["--checkpoint=fast", "--no-sync"])
                .args(how);
            (self.host.run)(&mut backup).map_err(|e| e.context("cannot copy the primary"))?;
            finish(standby)
        })
    }
}
