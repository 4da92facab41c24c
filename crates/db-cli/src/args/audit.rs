//! The arguments of `audit`.

use std::path::PathBuf;

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use clap::{Args, Subcommand};
use db_repo::Cursor;

#[derive(Debug, Args)]
pub(crate) struct Audit {
    #[command(subcommand)]
    pub(crate) command: AuditCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Show lines of the trail, newest first
    #[command(before_help = "Examples:
  bitcraps-db audit show --entity users:u1            all that was done to one row
  bitcraps-db audit show --user admin --since 2026-11-01
  bitcraps-db audit show --json | jq '.lines[].after_state'")]
    Show(Show),
    /// Seal the lines that are not sealed yet
    #[command(before_help = "Examples:
  bitcraps-db audit seal --anchor /mnt/elsewhere/anchors")]
    Seal(Seal),
    /// Check that all that was sealed is as it was; exit 8 if not
    #[command(before_help = "Examples:
  bitcraps-db audit verify --anchor /mnt/elsewhere/anchors")]
    Verify(Verify),
}

#[derive(Debug, Args)]
pub(crate) struct Show {
    /// Of a table, or of one of its rows by its key
    #[arg(long, value_name = "TYPE[:ID]")]
    pub(crate) entity: Option<String>,
    /// By this user
    #[arg(long, value_name = "USER")]
    pub(crate) user: Option<String>,
    /// From this moment on: 2026-11-01 or 2026-11-01T12:00:00Z
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub(crate) since: Option<DateTime<Utc>>,
    /// Before this moment
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub(crate) until: Option<DateTime<Utc>>,
    /// How many lines, at most 1000
    #[arg(long, value_name = "N", default_value = "50", value_parser = clap::value_parser!(i64).range(1..=1_000))]
    pub(crate) limit: i64,
    /// Go on where a page ended
    #[arg(long, value_name = "CURSOR")]
    pub(crate) after: Option<Cursor>,
}

#[derive(Debug, Args)]
pub(crate) struct Seal {
    /// Add the new head of the chain to this file
    ///
    /// Keep it, or a copy, where who may write the database may not. All that it says has to hold, or
    /// nothing is sealed.
    #[arg(long, value_name = "FILE")]
    pub(crate) anchor: Option<PathBuf>,
    /// Begin the file of anchors at a trail that was sealed before
    ///
    /// Without it a file that is missing or holds no anchor is refused as soon as there are seals.
    #[arg(long, requires = "anchor")]
    pub(crate) new_anchor_file: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// Hold the chain against the anchors in this file
    ///
    /// Without them nobody can tell that the end of the trail was cut off, or that all was made anew
    /// from some line on.
    #[arg(long, value_name = "FILE")]
    pub(crate) anchor: Option<PathBuf>,
}

/// A moment in UTC, or the beginning of a day there.
fn moment(text: &str) -> Result<DateTime<Utc>, String> {
    if let Ok(day) = text.parse::<NaiveDate>() {
        return Ok(day.and_time(NaiveTime::MIN).and_utc());
    }
    DateTime::parse_from_rfc3339(text)
        .map(|moment| moment.to_utc())
        .map_err(|_| "no moment; write 2026-11-01 or 2026-11-01T12:00:00Z".to_owned())
}

#[cfg(test)]
mod tests {
    use super::moment;

    #[test]
    fn a_moment_is_a_day_or_a_time_with_its_zone() {
        let shown = |text| moment(text).map(|moment| moment.to_rfc3339());
        assert_eq!(shown("2026-11-01").unwrap(), "2026-11-01T00:00:00+00:00");
        assert_eq!(
            shown("2026-11-01T12:00:00.5+02:00").unwrap(),
            "2026-11-01T10:00:00.500+00:00"
        );
        for wrong in ["", "yesterday", "2026-11-01T12:00:00", "2026-13-01"] {
            assert!(moment(wrong).is_err(), "{wrong}");
        }
    }
}
