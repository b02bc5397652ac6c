//! Reads what Bind has for the console: two names and the formats of the results.

use pgweir_wire::frontend::bind_names;

use crate::column::{Format, Formats};
use crate::error::Error;

/// A Bind without parameters.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Bind<'a> {
    pub(crate) portal: &'a [u8],
    pub(crate) statement: &'a [u8],
    pub(crate) formats: Formats,
}

/// Reads Bind.
///
/// # Errors
/// It has parameters, or is not laid out as a Bind.
pub(crate) fn bind(body: &[u8]) -> Result<Bind<'_>, Error> {
    let names = bind_names(body).ok_or(Error::BadPacket)?;
    let rest = &body[names.rest_at..];
    let (count, rest) = word(rest)?;
    let rest = rest.get(2 * usize::from(count)..).ok_or(Error::BadPacket)?;
    let (parameters, rest) = word(rest)?;
    if parameters > 0 {
        return Err(Error::Parameters(parameters));
    }
    let (count, rest) = word(rest)?;
    let (codes, []) = rest.as_chunks::<2>() else {
        return Err(Error::BadPacket);
    };
    if codes.len() != usize::from(count) {
        return Err(Error::BadPacket);
    }
    let formats = codes.iter().map(|code| match code {
        [0, 0] => Ok(Format::Text),
        [0, 1] => Ok(Format::Binary),
        _ => Err(Error::BadPacket),
    });
    let formats = Formats(formats.collect::<Result<_, _>>()?);
    Ok(Bind {
        portal: names.portal,
        statement: names.statement,
        formats,
    })
}

fn word(bytes: &[u8]) -> Result<(u16, &[u8]), Error> {
    let (word, rest) = bytes.split_first_chunk().ok_or(Error::BadPacket)?;
    Ok((u16::from_be_bytes(*word), rest))
}
