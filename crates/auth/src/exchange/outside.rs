//! Exchanges of no messages: what they check is known from outside.

use super::{Authenticated, Exchange};
use crate::error::Error;
use crate::ident::Mapping;

impl Exchange {
    /// A client that calls itself `user` proves it with the certificate of its TLS connection.
    ///
    /// `common_name` is what [`common_name`](crate::common_name) finds in a certificate that was
    /// verified against the authorities for clients; `None` without one. Whether there is such a user
    /// is not known here, as with [`Method::Trust`](super::Method::Trust).
    ///
    /// # Errors
    /// There is no such name, or it may not log in as `user`.
    pub fn certificate(
        user: &str,
        common_name: Option<&str>,
        mapping: Mapping<'_>,
    ) -> Result<Authenticated, Error> {
        let name = common_name.ok_or(Error::NoCertificate)?;
        check(user, name, mapping).ok_or(Error::CertificateName)
    }

    /// A client that calls itself `user` proves it by the user that its process runs as.
    ///
    /// `system_user` is the operating system's name for the user at the other end of a Unix socket;
    /// `None` on any other connection, and where the system has no name for it.
    ///
    /// # Errors
    /// There is no such name, or it may not log in as `user`.
    pub fn peer(
        user: &str,
        system_user: Option<&str>,
        mapping: Mapping<'_>,
    ) -> Result<Authenticated, Error> {
        let name = system_user.ok_or(Error::NoPeer)?;
        check(user, name, mapping).ok_or(Error::PeerName)
    }
}

fn check(user: &str, name: &str, mapping: Mapping<'_>) -> Option<Authenticated> {
    let keys = None;
    mapping.allows(name, user).then_some(Authenticated { keys })
}
