//! Moments that are close together.

use chrono::TimeDelta;
use db_schema::types::UtcTime;

/// The next moment that both engines can tell from this one: a microsecond later.
///
/// For the second change of a row in one operation: an update at the very time that stands in the row
/// looks to its trigger as if no time had been given, and gets the machine's.
pub(crate) fn just_after(moment: UtcTime) -> UtcTime {
    let later = moment.checked_add_signed(TimeDelta::microseconds(1));
    later.map_or(moment, UtcTime::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_later_as_long_as_there_is_a_later_one() {
        assert!(just_after(UtcTime::FIRST) > UtcTime::FIRST);
        assert!(just_after(UtcTime::LAST) >= UtcTime::LAST);
    }
}
