//! Ours and a peer in turn: times, memory, and what comes of them.

use anyhow::{Result, ensure};

use super::super::metrics::{Metrics, Samples, mebibytes, millis};
use super::super::process::Usage;
use super::super::report::{Section, ranged};
use super::{Size, counted};

/// Who has a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    Ours,
    Peer,
}

/// One turn.
pub(super) struct Turn {
    pub(super) usage: Usage,
    /// Milliseconds that a proof took, which the peer does not make.
    pub(super) proof: f64,
}

impl From<Usage> for Turn {
    fn from(usage: Usage) -> Self {
        Self { usage, proof: 0.0 }
    }
}

/// The turns of one of the two.
#[derive(Default)]
struct Side {
    times: Samples,
    proofs: Samples,
    peak: Option<u64>,
}

/// One case.
pub(super) struct Duel {
    /// As metrics call it: `sqlite.import`.
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    pub(super) about: &'static str,
    /// What is run.
    label: String,
    /// The peer, as bars call it, and what is run; none for a case without one.
    pub(super) peer: Option<(&'static str, &'static str)>,
    ours: Side,
    theirs: Side,
}

impl Duel {
    pub(super) fn new(
        (name, title, about): (&'static str, &'static str, &'static str),
        label: &str,
        peer: Option<(&'static str, &'static str)>,
    ) -> Self {
        Self {
            name,
            title,
            about,
            label: label.to_owned(),
            peer,
            ours: Side::default(),
            theirs: Side::default(),
        }
    }

    /// Lets both have their turns, who begins in turn as well. After the first turn of each, what it
    /// has left has to be the same.
    pub(super) fn run(
        mut self,
        size: Size,
        mut turn: impl FnMut(Who) -> Result<Turn>,
        result: impl Fn(Who) -> Result<String>,
    ) -> Result<Self> {
        let mut results = Vec::new();
        for round in 1..=size.rounds {
            eprintln!("{}, {} rows, round {round}", self.title, counted(size.rows));
            let mut both = [Who::Ours, Who::Peer];
            if round % 2 == 0 {
                both.reverse();
            }
            for who in both {
                if who == Who::Peer && (self.peer.is_none() || !size.peers) {
                    continue;
                }
                let done = turn(who)?;
                let side = match who {
                    Who::Ours => &mut self.ours,
                    Who::Peer => &mut self.theirs,
                };
                side.times.push(millis(done.usage.wall()) - done.proof);
                side.proofs.push(done.proof);
                side.peak = side.peak.max(Some(done.usage.peak_bytes));
                if round == 1 {
                    results.push(result(who)?);
                }
            }
        }
        ensure!(
            results.iter().all(|one| *one == results[0]),
            "{}: not the same came of it: {results:?}",
            self.title
        );
        Ok(self)
    }

    /// The largest resident memory of ours, in bytes.
    pub(super) const fn peak(&self) -> Option<u64> {
        self.ours.peak
    }

    pub(super) fn record(&self, size: Size, metrics: &mut Metrics) {
        let metric = format!("{}.{}.ms", self.name, size.label);
        metrics.set_rounds(&metric, "ours", &self.ours.times);
        if let Some((peer, _)) = self.peer {
            metrics.set_rounds(&metric, peer, &self.theirs.times);
            // How many times as fast.
            let metric = format!("{}.{}.times", self.name, size.label);
            let times = self.theirs.times.over(&self.ours.times);
            metrics.set_median(&metric, "ours", &times.unwrap_or_default());
        }
    }

    pub(super) fn section(&self, size: Size) -> Section {
        let row = |label: &str, side: &Side| {
            let ratio = self
                .peer
                .and_then(|_| side.times.over(&self.theirs.times))
                .and_then(|ratios| ratios.median());
            let thousands = f64::from(u32::try_from(size.rows).unwrap_or(u32::MAX));
            let or_dash = |text: Option<String>| text.unwrap_or_else(|| "–".to_owned());
            vec![
                label.to_owned(),
                ranged(&side.times),
                or_dash(
                    side.times
                        .median()
                        .map(|ms| format!("{:.0}", thousands / ms)),
                ),
                or_dash(side.peak.map(|peak| format!("{:.0}", mebibytes(peak)))),
                or_dash(ratio.map(|ratio| format!("{ratio:.2}"))),
            ]
        };
        let mut rows = vec![row(&self.label, &self.ours)];
        if self.ours.proofs.max() > Some(0.0) {
            let mut proof = vec!["its proof, taken off above".to_owned()];
            proof.push(ranged(&self.ours.proofs));
            proof.resize(5, "–".to_owned());
            rows.push(proof);
        }
        if let Some((_, label)) = self.peer {
            rows.push(row(label, &self.theirs));
        }
        Section {
            title: format!("{}, {} rows", self.title, counted(size.rows)),
            text: self.about.to_owned(),
            head: vec!["what", "time, ms", "1,000 rows/s", "peak, MiB", "ratio"],
            rows,
        }
    }
}
