//! Why an exchange failed.

/// A failed exchange. Texts are for the log: a client is only told that it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The proof or the password is wrong, or there is no such user.
    #[error("wrong password or unknown user")]
    Wrong,
    /// An empty password can never be right.
    #[error("empty password returned by client")]
    EmptyPassword,
    /// A message that does not belong here, or that cannot be read.
    #[error("malformed authentication message: {0}")]
    Malformed(&'static str),
    /// A mechanism that was not offered.
    #[error("SASL mechanism was not offered")]
    Mechanism,
    /// The client says that the server cannot bind to the channel, but it has offered to.
    #[error("channel binding was taken away on the way: somebody may be in between")]
    Downgrade,
    /// The channel that the client is bound to is another one.
    #[error("channel binding does not match: somebody may be in between")]
    Binding,
    /// A certificate is asked for, and there is none with one common name.
    #[error("no client certificate with a common name")]
    NoCertificate,
    /// The certificate is somebody else's.
    #[error("client certificate's common name may not log in as this user")]
    CertificateName,
    /// The user of the client's process is asked for, and not known.
    #[error(
        "user of the client's process is not known: it is not on a Unix socket, or has no name"
    )]
    NoPeer,
    /// The client's process is somebody else's.
    #[error("user of the client's process may not log in as this user")]
    PeerName,
    /// The server asks for more rounds than anybody needs, or for none.
    #[error("server announces {0} SCRAM iterations, allowed are 1 to 1000000")]
    Iterations(u32),
    /// The server's part of the nonce is missing.
    #[error("server's SCRAM nonce does not begin with ours")]
    Nonce,
    /// The server has not proved that it knows the secret.
    #[error("server's SCRAM signature is wrong: it may not be the right server")]
    ServerSignature,
    /// There is nothing to answer the server with.
    #[error("server login failed: wrong password type (stored: {0})")]
    NoSecret(&'static str),
}
