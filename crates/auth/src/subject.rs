//! Whose a client certificate is.

use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::der::asn1::AnyRef;
use x509_cert::der::oid::ObjectIdentifier;
use x509_cert::der::{Decode, Reader, Result, SliceReader, Tag, Tagged};
use x509_cert::name::RdnSequence;

/// The common name in the subject of a certificate, given in DER.
///
/// `None` if there is none, or several: then it is open whose it is. TLS has verified the certificate
/// before; here it is read no further than needed.
#[must_use]
pub fn common_name(certificate_der: &[u8]) -> Option<String> {
    let subject = subject(certificate_der).ok()?;
    let mut names = subject
        .iter()
        .flat_map(|part| part.iter())
        .filter(|attribute| attribute.oid == COMMON_NAME);
    let name = names.next().and_then(text);
    name.filter(|name| names.next().is_none() && !name.is_empty() && !name.contains('\0'))
}

/// id-at-commonName (RFC 5280, appendix A.1).
const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");

/// Reads TBSCertificate (RFC 5280, section 4.1) up to its subject.
fn subject(certificate: &[u8]) -> Result<RdnSequence> {
    let mut reader = SliceReader::new(certificate)?;
    let subject = reader.sequence(|reader| -> Result<_> {
        let subject = reader.sequence(|reader| -> Result<_> {
            let first = AnyRef::decode(reader)?;
            // The version may be left out; then the serial number comes first.
            let before = if first.tag() == Tag::Integer { 3 } else { 4 };
            for _ in 0..before {
                AnyRef::decode(reader)?;
            }
            let subject = RdnSequence::decode(reader)?;
            pass(reader)?;
            Ok(subject)
        })?;
        pass(reader)?;
        Ok(subject)
    })?;
    reader.finish()?;
    Ok(subject)
}

/// Passes over what is left.
fn pass<'a>(reader: &mut impl Reader<'a>) -> Result<()> {
    while !reader.is_finished() {
        AnyRef::decode(reader)?;
    }
    Ok(())
}

/// DirectoryString (RFC 5280, section 4.1.2.4), in the forms in which its characters are certain.
fn text(attribute: &AttributeTypeAndValue) -> Option<String> {
    let bytes = attribute.value.value();
    let ascii = || bytes.is_ascii().then(|| bytes.to_vec());
    match attribute.value.tag() {
        Tag::Utf8String => String::from_utf8(bytes.to_vec()).ok(),
        Tag::PrintableString | Tag::TeletexString | Tag::Ia5String => {
            String::from_utf8(ascii()?).ok()
        }
        Tag::BmpString if bytes.len().is_multiple_of(2) => {
            let units = bytes.as_chunks::<2>().0.iter();
            char::decode_utf16(units.map(|unit| u16::from_be_bytes(*unit)))
                .collect::<std::result::Result<_, _>>()
                .ok()
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: &[u8] = include_bytes!("../tests/data/subject_v1.der");

    #[test]
    fn the_common_name_is_found() {
        check(
            include_bytes!("../tests/data/certificate.der"),
            Some("example.test"),
        );
        check(
            include_bytes!("../tests/data/subject_utf8.der"),
            Some("Zo\u{eb}"),
        );
        check(
            include_bytes!("../tests/data/subject_one_rdn.der"),
            Some("alice"),
        );
        check(
            include_bytes!("../tests/data/subject_bmp.der"),
            Some("alice"),
        );
        check(
            include_bytes!("../tests/data/subject_t61.der"),
            Some("alice"),
        );
        check(ALICE, Some("alice"));
        // Not the issuer's, though that comes first.
        check(&with_name(b"alice", b"carol", 1), Some("carol"));
        check(&with_name(b"alice", b"carol", 0), Some("alice"));
        check(include_bytes!("../tests/data/subject_two.der"), None);
        check(include_bytes!("../tests/data/subject_none.der"), None);
    }

    fn check(certificate: &[u8], expected: Option<&str>) {
        assert_eq!(common_name(certificate).as_deref(), expected);
    }

    /// The certificate with another name of the same length in one place: 0 is the issuer, 1 the
    /// subject.
    fn with_name(old: &[u8], new: &[u8], place: usize) -> Vec<u8> {
        let mut places = ALICE.windows(old.len()).enumerate();
        let mut places = places.by_ref().filter(|(_, window)| *window == old);
        let (at, _) = places.nth(place).unwrap();
        let mut other = ALICE.to_vec();
        other[at..at + new.len()].copy_from_slice(new);
        other
    }

    #[test]
    fn what_is_not_certain_is_nobody() {
        check(&with_name(b"alice", b"ali\0e", 1), None);
        check(&with_name(b"alice", b"ali\xffe", 1), None);
        for len in 0..ALICE.len() {
            check(&ALICE[..len], None);
        }
        check(&[ALICE, b"x"].concat(), None);
        // Whatever byte is wrong, it is an answer and no panic.
        for at in 0..ALICE.len() {
            let mut other = ALICE.to_vec();
            other[at] ^= 0xff;
            let _ = common_name(&other);
        }
    }
}
