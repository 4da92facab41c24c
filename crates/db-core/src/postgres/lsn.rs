//! A place in PostgreSQL's write-ahead log.

use std::fmt;
use std::str::FromStr;

use crate::{Error, ErrorKind};

/// A place in the write-ahead log: what was committed up to it.
///
/// After a write, [`Database`](crate::Database::last_written) tells the one that a replica
/// must have replayed to show it. As text, `16/B374D848`, it can be handed to another process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Lsn(pub(super) u64);

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xFFFF_FFFF)
    }
}

impl FromStr for Lsn {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let half = |text: &str| u32::from_str_radix(text, 16).ok().map(u64::from);
        text.split_once('/')
            .and_then(|(high, low)| Some(Self(half(high)? << 32 | half(low)?)))
            .ok_or_else(|| {
                Error::new(
                    ErrorKind::Statement,
                    "not a place in the log: expected two hexadecimal numbers, as in 16/B374D848",
                )
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_goes_both_ways_and_orders_as_the_log() {
        let one: Lsn = "16/B374D848".parse().unwrap();
        assert_eq!(one.to_string(), "16/B374D848");
        assert!(one < "17/0".parse().unwrap());
        for bad in ["", "16", "16/", "x/1", "1/1/1", "+1/100000000"] {
            assert!(bad.parse::<Lsn>().is_err(), "{bad}");
        }
    }
}
