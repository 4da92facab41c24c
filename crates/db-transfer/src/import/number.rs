//! Numbers as texts.

/// A text without the blanks around it.
pub(super) fn trimmed(text: &[u8]) -> &[u8] {
    text.trim_ascii()
}

/// A whole number of 64 bits, with or without a sign.
pub(super) fn integer(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    if digits.is_empty() {
        return None;
    }
    let mut value = 0_i64;
    for byte in digits {
        let digit = i64::from(byte.wrapping_sub(b'0'));
        if digit > 9 {
            return None;
        }
        // Downwards, because there is one number more below zero.
        value = value.checked_mul(10)?.checked_sub(digit)?;
    }
    if negative {
        Some(value)
    } else {
        value.checked_neg()
    }
}

/// Whether a text is a whole number, of any length.
pub(super) fn is_whole(text: &[u8]) -> bool {
    let digits = text.strip_prefix(b"-").or_else(|| text.strip_prefix(b"+"));
    let digits = digits.unwrap_or(text);
    !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
}

/// A number, or one of the words for what is none.
pub(super) fn real(text: &[u8]) -> Option<f64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Whether a real keeps every digit that a text has for it. It is so for words such as `inf`.
pub(super) fn keeps(value: f64, text: &[u8]) -> bool {
    /// No real has more digits.
    const DIGITS: usize = 800;
    let Some((digits, exponent)) = decimal(text) else {
        return !text.iter().any(u8::is_ascii_digit);
    };
    if digits.is_empty() {
        return value == 0.0;
    }
    if !value.is_finite() || digits.len() > DIGITS {
        return false;
    }
    let shown = format!("{value:.*e}", digits.len() - 1);
    decimal(shown.as_bytes()) == Some((digits, exponent))
}

/// The digits of a number without the zeros around them, and how many places the first one is above
/// the point.
fn decimal(text: &[u8]) -> Option<(Vec<u8>, i64)> {
    let unsigned = text.strip_prefix(b"-").or_else(|| text.strip_prefix(b"+"));
    let unsigned = unsigned.unwrap_or(text);
    let end = unsigned.iter().position(|byte| matches!(byte, b'e' | b'E'));
    let (mantissa, exponent) = match end {
        Some(at) => (&unsigned[..at], integer(&unsigned[at + 1..])?),
        None => (unsigned, 0),
    };
    let point = mantissa.iter().position(|byte| *byte == b'.');
    let whole = point.unwrap_or(mantissa.len());
    let mut digits: Vec<u8> = mantissa.iter().copied().filter(|b| *b != b'.').collect();
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    while digits.last() == Some(&b'0') {
        digits.pop();
    }
    let zeros = digits.iter().take_while(|byte| **byte == b'0').count();
    digits.drain(..zeros);
    let places = i64::try_from(whole).ok()? - i64::try_from(zeros).ok()?;
    Some((digits, exponent.checked_add(places)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_of_64_bits_are_read_and_no_others() {
        for number in [0, 1, -1, i64::MAX, i64::MIN] {
            assert_eq!(integer(number.to_string().as_bytes()), Some(number));
        }
        assert_eq!(integer(b"+7"), Some(7));
        for text in [
            "",
            "-",
            "+",
            "9223372036854775808",
            "-9223372036854775809",
            "1.0",
            "1e3",
            "0x1",
            " 1",
            "1_0",
        ] {
            assert_eq!(integer(text.as_bytes()), None, "{text}");
        }
        assert!(is_whole(b"-99999999999999999999") && !is_whole(b"-") && !is_whole(b"1."));
    }

    #[test]
    fn a_real_keeps_what_it_can() {
        for (text, kept) in [
            ("0.1", true),
            ("-1.50", true),
            ("00.0", true),
            ("1e21", true),
            ("1.7976931348623157e308", true),
            ("5e-324", true),
            ("0.10000000000000001", true),
            ("12345678901234567890", false),
            ("18446744073709551616", true),
            ("1234567890.123456789", false),
            ("0.1234567890123456789", false),
            ("1e999", false),
            ("1e-999", false),
            ("inf", true),
        ] {
            assert_eq!(
                keeps(real(text.as_bytes()).unwrap(), text.as_bytes()),
                kept,
                "{text}"
            );
        }
    }
}
