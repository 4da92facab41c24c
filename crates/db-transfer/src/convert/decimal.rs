//! Numbers of any length in the one form that equal ones share: `-125e-2`.

use std::io::Write as _;

/// Appends the form of a decimal number: sign, digits without zeros around them, exponent of ten.
/// `false` for what is no number; then nothing is appended.
pub(crate) fn normal(text: &[u8], out: &mut Vec<u8>) -> bool {
    let (negative, rest) = match text.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix(b"+").unwrap_or(text)),
    };
    let split = rest.iter().position(|b| matches!(b, b'e' | b'E'));
    let (mantissa, exponent) = match split {
        Some(at) => match number(&rest[at + 1..]) {
            Some(exponent) => (&rest[..at], exponent),
            None => return false,
        },
        None => (rest, 0),
    };
    let point = mantissa.iter().position(|b| *b == b'.');
    let (whole, fraction) = match point {
        Some(at) => (&mantissa[..at], &mantissa[at + 1..]),
        None => (mantissa, &b""[..]),
    };
    let digits = || whole.iter().chain(fraction);
    let count = whole.len() + fraction.len();
    if count == 0 || !digits().all(u8::is_ascii_digit) {
        return false;
    }
    let leading = digits().take_while(|b| **b == b'0').count();
    if leading == count {
        out.extend_from_slice(b"0");
        return true;
    }
    let trailing = fraction
        .iter()
        .rev()
        .chain(whole.iter().rev())
        .take_while(|b| **b == b'0')
        .count();
    if negative {
        out.push(b'-');
    }
    out.extend(digits().skip(leading).take(count - leading - trailing));
    let places = i64::try_from(fraction.len()).unwrap_or(i64::MAX);
    let zeros = i64::try_from(trailing).unwrap_or(i64::MAX);
    let exponent = exponent.saturating_sub(places).saturating_add(zeros);
    if exponent != 0 {
        // Writing to memory does not fail.
        drop(write!(out, "e{exponent}"));
    }
    true
}

/// Appends the form of the shortest decimal that reads back as this number; `false` unless finite.
pub(crate) fn of_real(number: f64, out: &mut Vec<u8>) -> bool {
    let mut text = [0_u8; 40];
    let mut rest = &mut text[..];
    if !number.is_finite() || write!(rest, "{number:e}").is_err() {
        return false;
    }
    let left = rest.len();
    let used = text.len() - left;
    normal(&text[..used], out)
}

fn number(text: &[u8]) -> Option<i64> {
    let text = text.strip_prefix(b"+").unwrap_or(text);
    str::from_utf8(text).ok()?.parse().ok()
}

/// A whole number as an engine writes it.
pub(crate) fn integer(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    if digits.is_empty() {
        return None;
    }
    let mut sum = 0_i64;
    for digit in digits {
        let digit = i64::from(digit.checked_sub(b'0').filter(|d| *d <= 9)?);
        sum = sum.checked_mul(10)?;
        sum = if negative {
            sum.checked_sub(digit)?
        } else {
            sum.checked_add(digit)?
        };
    }
    Some(sum)
}
