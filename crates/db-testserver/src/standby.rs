//! A streaming standby of a cluster.

use crate::Error;
use crate::cluster::{Cluster, write_private};

impl Cluster {
    /// Starts a standby that streams from this server.
    ///
    /// # Errors
    /// What `pg_basebackup` and the new server say.
    pub fn standby(&self) -> Result<Self, Error> {
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
                .args([
                    "--checkpoint=fast",
                    "--wal-method=stream",
                    "--no-sync",
                    "--write-recovery-conf",
                ]);
            (self.host.run)(&mut backup)
                .map(drop)
                .map_err(|e| e.context("cannot copy the primary"))
        })
    }
}
