//! One run of a relay over the entries that it claimed.

use db_core::{Clock, Conn, Database};
use db_schema::types::UtcTime;

use super::lease::{count_attempts, return_uncounted};
use super::{
    ClaimedEntry, FailedDelivery, Lease, OutboxRelay, OutboxRepository, RelayReport, later,
};
use crate::{Error, Result};

/// Most entries that are reported on in one transaction.
const REPORT: usize = 25;

/// Parts of the lease after each of which what is done is reported.
const REPORTS: u32 = 10;

/// Why an entry was not delivered.
pub(super) enum Ending {
    Failed(String),
    /// There was no time left for it.
    NotBegun,
    /// As well, and its attempt is taken back already.
    NotCounted,
}

pub(super) struct Run<'r> {
    pub(super) relay: &'r OutboxRelay,
    pub(super) database: &'r Database,
    pub(super) clock: &'r dyn Clock,
    /// From then on nothing is handed over.
    pub(super) stop_at: UtcTime,
    pub(super) reported_at: UtcTime,
    /// What was delivered, and is not yet reported.
    pub(super) delivered: Vec<Lease>,
    /// What was not, and is not yet reported.
    pub(super) endings: Vec<(Lease, Ending)>,
    pub(super) report: RelayReport,
}

impl Run<'_> {
    pub(super) fn deliver(
        &mut self,
        claimed: Vec<ClaimedEntry>,
        handler: &mut dyn FnMut(&ClaimedEntry) -> std::result::Result<(), Ending>,
    ) -> Result<()> {
        let schedule = self.relay.schedule;
        let (alone, together): (Vec<_>, Vec<_>) = claimed
            .into_iter()
            .partition(|entry| entry.unreported && !schedule.is_over(entry.lease.attempt));
        let alone = self.take_back(alone)?;
        for entry in together {
            let ended = if schedule.is_over(entry.lease.attempt) {
                let why = "no attempt was reported on before its lease ended";
                Err(Ending::Failed(why.to_owned()))
            } else if self.is_late() {
                Err(Ending::NotBegun)
            } else {
                handler(&entry)
            };
            self.note(entry.lease, ended);
            if self.is_report_due()? {
                self.report(None)?;
            }
        }
        for mut entry in alone {
            if self.is_late() {
                self.note(entry.lease, Err(Ending::NotCounted));
                continue;
            }
            if let Some(lease) = self.report(Some(entry.lease))? {
                entry.lease = lease;
                self.note(lease, handler(&entry));
            }
        }
        self.report(None)?;
        Ok(())
    }

    fn note(&mut self, lease: Lease, ended: std::result::Result<(), Ending>) {
        match ended {
            Ok(()) => self.delivered.push(lease),
            Err(ending) => self.endings.push((lease, ending)),
        }
    }

    /// Takes the attempt of each back until it is begun: if one brings us down, the others have not
    /// been tried. The one with most attempts, which has done so before, comes last.
    fn take_back(&mut self, mut alone: Vec<ClaimedEntry>) -> Result<Vec<ClaimedEntry>> {
        if alone.is_empty() {
            return Ok(alone);
        }
        alone.sort_by_key(|entry| (entry.lease.attempt, entry.lease.id));
        let now = UtcTime::from(self.clock.now());
        let leases = self.database.write_with_retry(&self.relay.retry, |conn| {
            let uncounted = alone.iter().map(|ClaimedEntry { lease, .. }| {
                held(count_attempts(conn, *lease, lease.attempt - 1, now))
            });
            uncounted.collect::<Result<Vec<_>>>()
        })?;
        let mut kept = Vec::with_capacity(alone.len());
        for (mut entry, lease) in alone.into_iter().zip(leases) {
            match lease {
                Some(lease) => {
                    entry.lease = lease;
                    kept.push(entry);
                }
                None => self.report.lost += 1,
            }
        }
        Ok(kept)
    }

    fn is_late(&self) -> bool {
        self.clock.now() >= *self.stop_at
    }

    fn is_report_due(&self) -> Result<bool> {
        let due = later(self.reported_at, self.relay.lease / REPORTS)?;
        let noted = self.delivered.len() + self.endings.len();
        Ok(noted >= REPORT || self.clock.now() >= *due)
    }

    /// Reports what is not yet reported, and counts the attempt of the entry that comes next; its
    /// lease, unless it was lost.
    fn report(&mut self, next: Option<Lease>) -> Result<Option<Lease>> {
        let now = UtcTime::from(self.clock.now());
        let mut lease = None;
        let noted = self.delivered.len() + self.endings.len();
        if noted > 0 || next.is_some() {
            (self.report, lease) = self.database.write_with_retry(&self.relay.retry, |conn| {
                let mut report = self.report;
                let delivered = OutboxRepository::complete_many(conn, &self.delivered, now)?;
                report.delivered += delivered;
                report.lost += self.delivered.len() - delivered;
                for ended in &self.endings {
                    self.settle(conn, ended, now, &mut report)?;
                }
                let Some(next) = next else {
                    return Ok((report, None));
                };
                let counted = held(count_attempts(conn, next, next.attempt + 1, now))?;
                report.lost += usize::from(counted.is_none());
                Ok::<_, Error>((report, counted))
            })?;
        }
        self.delivered.clear();
        self.endings.clear();
        self.reported_at = now;
        Ok(lease)
    }

    fn settle(
        &self,
        conn: &mut Conn<'_>,
        (lease, ending): &(Lease, Ending),
        now: UtcTime,
        report: &mut RelayReport,
    ) -> Result<()> {
        let lease = *lease;
        let (settled, count) = match ending {
            Ending::NotBegun => (
                OutboxRepository::give_back(conn, lease, now),
                &mut report.returned,
            ),
            Ending::NotCounted => (return_uncounted(conn, lease, now), &mut report.returned),
            Ending::Failed(error) => {
                let retry_at = self
                    .relay
                    .schedule
                    .pause(lease.attempt, (self.relay.random)())
                    .map(|pause| later(now, pause))
                    .transpose()?;
                let count = match retry_at {
                    Some(_) => &mut report.failed,
                    None => &mut report.dead,
                };
                if retry_at.is_none() {
                    tracing::warn!(
                        id = lease.id,
                        attempt = lease.attempt,
                        "an outbox entry is given up"
                    );
                }
                let failed = FailedDelivery { error, retry_at };
                (OutboxRepository::fail(conn, lease, failed, now), count)
            }
        };
        match held(settled)? {
            Some(()) => *count += 1,
            None => report.lost += 1,
        }
        Ok(())
    }
}

/// Nothing, if others have the entry now.
fn held<T>(result: Result<T>) -> Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(Error::LeaseLost { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
