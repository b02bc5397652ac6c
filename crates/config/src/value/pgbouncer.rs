//! Numbers and times as PgBouncer reads them, which is as C does. What C would read as a number up to
//! the first letter it does not understand is refused.

use std::time::Duration;

/// A whole number, with `0x` in front in hexadecimal, with `0` in octal.
pub(crate) fn integer(text: &str) -> Option<i64> {
    let (negative, digits) = sign(text);
    let (radix, digits) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &digits[2..]),
        [b'0', _, ..] => (8, &digits[1..]),
        _ => (10, digits),
    };
    number(negative, digits, radix)
}

/// A whole number of decimal digits, as connection strings have it.
pub(crate) fn decimal(text: &str) -> Option<i64> {
    let (negative, digits) = sign(text);
    number(negative, digits, 10)
}

/// Seconds with decimals, of which those beyond a nanosecond do not count.
pub(crate) fn seconds(text: &str) -> Option<Duration> {
    let digits = text.strip_prefix('+').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.len() + fraction.len() == 0 || !all_digits(whole) || !all_digits(fraction) {
        return None;
    }
    let seconds = if whole.is_empty() {
        0
    } else {
        whole.parse().ok()?
    };
    let nanos = format!("{:0<9}", &fraction[..fraction.len().min(9)]);
    Some(Duration::new(seconds, nanos.parse().ok()?))
}

fn sign(text: &str) -> (bool, &str) {
    match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    }
}

fn number(negative: bool, digits: &str, radix: u32) -> Option<i64> {
    // A second sign is none of C's.
    if !digits.starts_with(|c: char| c.is_digit(radix)) {
        return None;
    }
    let number = i64::from_str_radix(digits, radix).ok()?;
    Some(if negative { -number } else { number })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_as_c_reads_them() {
        let check = |text, expected: Option<i64>| assert_eq!(integer(text), expected, "{text}");
        check("0", Some(0));
        check("10", Some(10));
        check("010", Some(8));
        check("0777", Some(0o777));
        check("0x10", Some(16));
        check("-0X1f", Some(-31));
        check("+5", Some(5));
        check("-1", Some(-1));
        for text in [
            "",
            "-",
            "0x",
            "08",
            "5s",
            "1 ",
            "--1",
            "+-1",
            "yes",
            "1.5",
            "99999999999999999999",
        ] {
            check(text, None);
        }
    }

    #[test]
    fn numbers_of_connection_strings_are_decimal() {
        let check = |text, expected: Option<i64>| assert_eq!(decimal(text), expected, "{text}");
        check("010", Some(10));
        check("-1", Some(-1));
        for text in ["", "0x10", "20;", "many", "1e3"] {
            check(text, None);
        }
    }

    #[test]
    fn seconds_have_decimals_and_no_unit() {
        let check = |text, nanos: Option<u64>| {
            assert_eq!(seconds(text), nanos.map(Duration::from_nanos), "{text}");
        };
        check("15", Some(15_000_000_000));
        check("0.5", Some(500_000_000));
        check(".25", Some(250_000_000));
        check("5.", Some(5_000_000_000));
        check("0.3333333333333", Some(333_333_333));
        for text in ["", ".", "-1", "5s", "1e3", "0x10", "inf", "1.2.3", "5 "] {
            check(text, None);
        }
    }
}
