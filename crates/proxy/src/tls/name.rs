//! Whether a certificate is for a host: libpq's rules (libpq-ssl, Client Verification of Server
//! Certificates), which are those of RFC 6125 with exceptions for addresses and common names.

use std::net::IpAddr;

use rustls::CertificateError;
use rustls_pki_types::ServerName;
use x509_cert::Certificate;
use x509_cert::der::asn1::{
    Ia5StringRef, ObjectIdentifier, PrintableStringRef, TeletexStringRef, Utf8StringRef,
};
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

use super::error::Rejected;

const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");

/// Checks that the certificate is for this host.
///
/// All alternative names are compared. The common name counts only if there is none of the kind
/// that the host is of: an address may match it although there are alternative names of hosts.
pub(super) fn check(certificate: &Certificate, host: &ServerName<'_>) -> Result<(), rustls::Error> {
    let alternatives = alternative_names(certificate)?;
    let address = match host {
        ServerName::IpAddress(address) => Some(IpAddr::from(*address)),
        _ => None,
    };
    let host = host.to_str();
    let mut examined = Vec::new();
    let mut by_common = true;
    for name in &alternatives {
        match name {
            GeneralName::DnsName(name) => {
                by_common &= address.is_some();
                examined.push(name.as_str().to_owned());
            }
            GeneralName::IpAddress(octets) => {
                by_common &= address.is_none();
                if let Some(found) = ip_address(octets.as_bytes()) {
                    if Some(found) == address {
                        return Ok(());
                    }
                    examined.push(found.to_string());
                }
            }
            _ => {}
        }
    }
    if by_common {
        examined.extend(common_name(certificate));
    }
    let is_for = |pattern: &String| match address {
        Some(_) => pattern.eq_ignore_ascii_case(&host),
        None => matches_pattern(pattern, &host),
    };
    if examined.iter().any(is_for) {
        return Ok(());
    }
    Err(rejected(&examined, &host).into())
}

fn rejected(examined: &[String], host: &str) -> Rejected {
    let host = host.to_owned();
    let Some((first, others)) = examined.split_first() else {
        return Rejected::Nameless { host };
    };
    // A certificate may hold control characters; the text goes into the log.
    let mut names = format!("\"{}\"", first.escape_debug());
    match others.len() {
        0 => {}
        1 => names.push_str(" (and 1 other name)"),
        more => names.push_str(&format!(" (and {more} other names)")),
    }
    Rejected::Name { names, host }
}

fn alternative_names(certificate: &Certificate) -> Result<Vec<GeneralName>, rustls::Error> {
    let bad = |_| rustls::Error::from(CertificateError::BadEncoding);
    let extension = certificate.tbs_certificate().get_extension();
    let found: Option<(bool, SubjectAltName)> = extension.map_err(bad)?;
    Ok(found.map(|(_, names)| names.0).unwrap_or_default())
}

/// The first one, as libpq has it.
fn common_name(certificate: &Certificate) -> Option<String> {
    let subject = certificate.tbs_certificate().subject();
    let mut attributes = subject.iter_rdn().flat_map(|names| names.iter());
    let value = &attributes
        .find(|attribute| attribute.oid == COMMON_NAME)?
        .value;
    if let Ok(text) = value.decode_as::<Utf8StringRef<'_>>() {
        return Some(text.as_str().to_owned());
    }
    if let Ok(text) = value.decode_as::<PrintableStringRef<'_>>() {
        return Some(text.as_str().to_owned());
    }
    if let Ok(text) = value.decode_as::<TeletexStringRef<'_>>() {
        return Some(text.as_str().to_owned());
    }
    let text = value.decode_as::<Ia5StringRef<'_>>().ok()?;
    Some(text.as_str().to_owned())
}

fn ip_address(octets: &[u8]) -> Option<IpAddr> {
    if let Ok(octets) = <[u8; 4]>::try_from(octets) {
        return Some(octets.into());
    }
    Some(<[u8; 16]>::try_from(octets).ok()?.into())
}

/// A wildcard stands for the whole first label, and only for one.
fn matches_pattern(pattern: &str, name: &str) -> bool {
    if pattern.eq_ignore_ascii_case(name) {
        return true;
    }
    match (pattern.strip_prefix("*."), name.split_once('.')) {
        (Some(rest), Some((label, other))) => {
            !label.is_empty() && !rest.is_empty() && rest.eq_ignore_ascii_case(other)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_stand_for_one_label() {
        let check = |pattern, name, expected| {
            assert_eq!(matches_pattern(pattern, name), expected, "{pattern} {name}");
        };
        check("db.example.com", "db.example.com", true);
        check("DB.Example.com", "db.exampLe.com", true);
        check("*.example.com", "db.example.com", true);
        check("*.example.com", "a.db.example.com", false);
        check("*.example.com", "example.com", false);
        check("*.example.com", ".example.com", false);
        check("d*.example.com", "db.example.com", false);
        check("db.*.com", "db.example.com", false);
        check("*", "localhost", false);
        check("*.", "localhost.", false);
        check("db.example.com\0.evil.net", "db.example.com", false);
        check("", "", true);
    }
}
