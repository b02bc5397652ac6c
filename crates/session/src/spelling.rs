//! Values as a server reports them, where PostgreSQL takes more spellings than it gives.
//!
//! A client may ask in its startup packet for what the server has anyway, in other words. Known
//! here is only what is certain; any other value stays as it is, and is SET.

use std::borrow::Cow;

/// `value` of a parameter as a server would report it whose own value is `base`.
pub(crate) fn spelled<'a>(name: &[u8], value: &'a [u8], base: &'a [u8]) -> Cow<'a, [u8]> {
    let named = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
    let same = if named("client_encoding") {
        is_same_encoding(value, base)
    } else if named("TimeZone") || named("IntervalStyle") {
        value.eq_ignore_ascii_case(base)
    } else if named("standard_conforming_strings") || named("default_transaction_read_only") {
        switch(value).is_some_and(|value| Some(value) == switch(base))
    } else if named("DateStyle") {
        return date_style(value, base).unwrap_or(Cow::Borrowed(value));
    } else {
        false
    };
    Cow::Borrowed(if same { base } else { value })
}

/// Names of encodings compare by their letters and digits, without case (`clean_encoding_name`).
fn is_same_encoding(a: &[u8], b: &[u8]) -> bool {
    let is = |name: &[u8], other: &[u8]| clean(name).eq(clean(other));
    let is_utf8 = |name: &[u8]| is(name, b"utf8") || is(name, b"unicode");
    is(a, b) || (is_utf8(a) && is_utf8(b))
}

fn clean(name: &[u8]) -> impl Iterator<Item = u8> {
    let kept = name.iter().filter(|byte| byte.is_ascii_alphanumeric());
    kept.map(u8::to_ascii_lowercase)
}

/// A boolean in one of its usual spellings.
fn switch(value: &[u8]) -> Option<bool> {
    let is = |words: [&str; 4]| {
        let mut words = words.iter();
        words.any(|word| value.eq_ignore_ascii_case(word.as_bytes()))
    };
    match (
        is(["on", "true", "yes", "1"]),
        is(["off", "false", "no", "0"]),
    ) {
        (true, _) => Some(true),
        (_, true) => Some(false),
        _ => None,
    }
}

/// A list of up to two words, of which one that is not there stays as it was
/// (`check_datestyle`); `None` when it cannot be told.
fn date_style(value: &[u8], base: &[u8]) -> Option<Cow<'static, [u8]>> {
    let (style, order) = date_words(value)?;
    let (base_style, base_order) = date_words(base)?;
    // The German style has an order of its own.
    let own_order = (style == Some("German")).then_some("DMY");
    let order = order.or(own_order).or(base_order)?;
    let style = style.or(base_style)?;
    Some(Cow::Owned(format!("{style}, {order}").into_bytes()))
}

type DateWords = (Option<&'static str>, Option<&'static str>);

fn date_words(value: &[u8]) -> Option<DateWords> {
    let (mut style, mut order) = (None, None);
    for word in value.split(|byte| *byte == b',') {
        let word = word.trim_ascii().to_ascii_lowercase();
        let (place, meant) = match &word[..] {
            b"iso" => (&mut style, "ISO"),
            b"sql" => (&mut style, "SQL"),
            b"postgres" | b"postgresql" => (&mut style, "Postgres"),
            b"german" => (&mut style, "German"),
            b"ymd" => (&mut order, "YMD"),
            b"dmy" | b"euro" | b"european" => (&mut order, "DMY"),
            b"mdy" | b"us" | b"noneuro" | b"noneuropean" => (&mut order, "MDY"),
            _ => return None,
        };
        // The server refuses two that differ.
        if place.replace(meant).is_some_and(|other| other != meant) {
            return None;
        }
    }
    Some((style, order))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, value: &str, base: &str, expected: &str) {
        let spelled = spelled(name.as_bytes(), value.as_bytes(), base.as_bytes());
        assert_eq!(
            String::from_utf8_lossy(&spelled),
            expected,
            "{name}={value}"
        );
    }

    #[test]
    fn what_the_server_has_anyway_in_other_words() {
        for value in ["UTF8", "utf-8", "Utf_8", "unicode"] {
            check("client_encoding", value, "UTF8", "UTF8");
        }
        check("CLIENT_ENCODING", "latin1", "LATIN1", "LATIN1");
        check("timezone", "etc/utc", "Etc/UTC", "Etc/UTC");
        check("IntervalStyle", "POSTGRES", "postgres", "postgres");
        check("standard_conforming_strings", "TRUE", "on", "on");
        check("datestyle", "ISO", "ISO, MDY", "ISO, MDY");
        check("DateStyle", "mdy,iso", "ISO, MDY", "ISO, MDY");
        check("DateStyle", "us", "ISO, MDY", "ISO, MDY");
    }

    #[test]
    fn a_date_style_is_completed_by_the_servers_own() {
        check("DateStyle", "SQL", "ISO, DMY", "SQL, DMY");
        check("DateStyle", "ymd", "ISO, DMY", "ISO, YMD");
        check("DateStyle", "German", "ISO, MDY", "German, DMY");
        check("DateStyle", "German, YMD", "ISO, MDY", "German, YMD");
        check("DateStyle", "PostgreSQL", "ISO, MDY", "Postgres, MDY");
    }

    #[test]
    fn what_is_not_certain_stays() {
        for (name, value, base) in [
            ("client_encoding", "auto", "UTF8"),
            ("client_encoding", "utf16", "UTF8"),
            ("TimeZone", "UTC", "Etc/UTC"),
            ("application_name", "ON", "on"),
            ("application_name", "Psql", "psql"),
            ("standard_conforming_strings", "off", "on"),
            ("standard_conforming_strings", "maybe", "on"),
            ("DateStyle", "default", "ISO, MDY"),
            ("DateStyle", "ISO, SQL", "ISO, MDY"),
            ("DateStyle", "ISO MDY", "ISO, MDY"),
            ("DateStyle", "", "ISO, MDY"),
            ("search_path", "A", "a"),
        ] {
            check(name, value, base, value);
        }
    }
}
