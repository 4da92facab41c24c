//! Moments as microseconds since 1970 and as PostgreSQL's text in UTC.

use super::decimal;

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;

/// The first moment of PostgreSQL's range, 4714-11-24 BC; its last one is beyond 64 bits.
const FIRST: i64 = -210_866_803_200 * SECOND;

/// Whether PostgreSQL holds it.
pub(crate) const fn fits(micros: i64) -> bool {
    micros >= FIRST
}

/// The same moment in microseconds since 2000, from which PostgreSQL counts. `None` if it does not
/// hold it.
pub(crate) const fn since_2000(micros: i64) -> Option<i64> {
    if fits(micros) {
        micros.checked_sub(946_684_800 * SECOND)
    } else {
        None
    }
}

/// Reads `2024-01-02 03:04:05.5+00`, perhaps with ` BC` behind it. `None` for `infinity`, for other
/// zones, and for what is beyond 64 bits.
pub(crate) fn parse(text: &[u8]) -> Option<i64> {
    let (text, before_christ) = match text.strip_suffix(b" BC") {
        Some(rest) => (rest, true),
        None => (text, false),
    };
    let text = text.strip_suffix(b"+00")?;
    let space = memchr::memchr(b' ', text)?;
    let (date, time) = (&text[..space], &text[space + 1..]);
    let mut parts = date.rsplitn(3, |b| *b == b'-');
    let day = decimal::integer(parts.next()?)?;
    let month = decimal::integer(parts.next()?)?;
    let year = decimal::integer(parts.next()?)?;
    let year = if before_christ { 1 - year } else { year };
    if time.len() < 8 || time[2] != b':' || time[5] != b':' {
        return None;
    }
    let hour = decimal::integer(&time[..2])?;
    let minute = decimal::integer(&time[3..5])?;
    let second = decimal::integer(&time[6..8])?;
    let mut micros = 0;
    if let Some(fraction) = time.get(8..).filter(|rest| !rest.is_empty()) {
        let digits = fraction.strip_prefix(b".")?;
        let places = u32::try_from(digits.len()).ok().filter(|p| *p <= 6)?;
        micros = decimal::integer(digits)? * 10_i64.pow(6 - places);
    }
    let seconds = (hour * 60 + minute) * 60 + second;
    days_of(year, month, day)
        .checked_mul(DAY)?
        .checked_add(seconds * SECOND + micros)
}

/// Appends the moment as PostgreSQL reads it.
pub(crate) fn write(micros: i64, out: &mut Vec<u8>) {
    let (days, rest) = (micros.div_euclid(DAY), micros.rem_euclid(DAY));
    let (year, month, day) = date_of(days);
    let shown = if year > 0 { year } else { 1 - year };
    digits(shown, 4, out);
    out.push(b'-');
    digits(month, 2, out);
    out.push(b'-');
    digits(day, 2, out);
    out.push(b' ');
    let seconds = rest / SECOND;
    digits(seconds / 3600, 2, out);
    out.push(b':');
    digits(seconds / 60 % 60, 2, out);
    out.push(b':');
    digits(seconds % 60, 2, out);
    let micros = rest % SECOND;
    if micros != 0 {
        out.push(b'.');
        digits(micros, 6, out);
    }
    out.extend_from_slice(b"+00");
    if year <= 0 {
        out.extend_from_slice(b" BC");
    }
}

/// Appends a number that is not negative, with at least so many digits.
fn digits(mut number: i64, least: usize, out: &mut Vec<u8>) {
    let start = out.len();
    while number > 0 || out.len() - start < least {
        let digit = u8::try_from(number % 10).unwrap_or(0);
        out.push(b'0' + digit);
        number /= 10;
    }
    out[start..].reverse();
}

/// Days since 1970 of a date, by Howard Hinnant's rule
/// (<https://howardhinnant.github.io/date_algorithms.html#days_from_civil>). Year 0 is 1 BC.
const fn days_of(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// The inverse of [`days_of`].
const fn date_of(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year_of_era + era * 400 + if month <= 2 { 1 } else { 0 };
    (year, month, day)
}
