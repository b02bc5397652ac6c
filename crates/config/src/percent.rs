//! The encoding of parts of a URL (RFC 3986, 2.1).

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

/// Undoes it; `None` if nothing is there.
pub(crate) fn decode(text: &str) -> Result<Option<String>, &'static str> {
    const BAD: &str = "is not well encoded: % starts two hexadecimal digits";
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (digits, after) = after.split_at_checked(2).ok_or(BAD)?;
        let digit = |byte: u8| char::from(byte).to_digit(16).ok_or(BAD);
        bytes.push((digit(digits[0])? * 16 + digit(digits[1])?) as u8);
        rest = after;
    }
    match String::from_utf8(bytes) {
        Ok(text) if text.contains('\0') => Err("contains a NUL character"),
        Ok(text) => Ok(Some(text).filter(|text| !text.is_empty())),
        Err(_) => Err("is not UTF-8 when decoded"),
    }
}

/// The text with everything encoded that may mean something.
pub(crate) fn encode(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}
