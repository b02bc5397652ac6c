//! A client proves to us who it is.

mod outside;
mod scram;

use std::hint::black_box;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::binding::ChannelBinding;
use crate::error::Error;
use crate::md5;
use crate::scram::{Salting, ScramKeys, Verifier};
use crate::secret::{Kind, Secret};

use scram::{ExpectProof, Scram};

/// How clients are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Not at all, and who they say they are does not matter (`auth_type = any`): a server is logged
    /// in to as the user that the configuration names for the database. Without one the caller has
    /// nobody to log in as, and must refuse.
    Any,
    /// Not at all; that there is such a user is for the caller to check.
    Trust,
    /// For the password in clear text.
    Password,
    /// For an MD5 hash; users whose secret is a SCRAM verifier, for SCRAM.
    Md5,
    /// For SCRAM-SHA-256.
    Scram,
}

/// What the client is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// AuthenticationCleartextPassword.
    Cleartext,
    /// AuthenticationMD5Password.
    Md5 {
        /// Random, for this login.
        salt: [u8; 4],
    },
    /// AuthenticationSASL.
    Sasl {
        /// Offered, the preferred one first.
        mechanisms: &'static [&'static str],
    },
}

/// A message of the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message<'a> {
    /// PasswordMessage.
    Password(&'a [u8]),
    /// SASLInitialResponse.
    SaslInitial {
        /// The chosen mechanism.
        mechanism: &'a [u8],
        /// Its first message.
        response: Option<&'a [u8]>,
    },
    /// SASLResponse.
    SaslResponse(&'a [u8]),
}

/// What goes back in the middle of an exchange.
#[derive(Debug, PartialEq, Eq)]
pub enum Reply {
    /// AuthenticationSASLContinue.
    SaslContinue(Vec<u8>),
}

/// How an exchange begins.
#[derive(Debug)]
pub enum Start {
    /// Nothing is asked.
    Authenticated(Authenticated),
    /// This is asked.
    Ask(Exchange, Request),
}

/// How it goes on. A failed exchange is gone: the caller can only close the connection.
#[derive(Debug)]
pub enum Step {
    /// With one more message.
    Continue(Exchange, Reply),
    /// The client is who it says; the AuthenticationSASLFinal data, if there is one, goes first.
    Success(Authenticated, Option<Vec<u8>>),
}

/// Proof that an exchange has succeeded (A1). Nothing else makes one:
///
/// ```compile_fail
/// let nobody = pgweir_auth::Authenticated { keys: None };
/// ```
#[derive(Debug)]
pub struct Authenticated {
    keys: Option<ScramKeys>,
}

impl Authenticated {
    /// The keys that an exchange against a verifier has shown, with which one can log in to the server.
    pub fn scram_keys(&self) -> Option<&ScramKeys> {
        self.keys.as_ref()
    }
}

/// An exchange that waits for a message of the client.
///
/// Each step consumes it (A4), so that no answer can be tried twice:
///
/// ```compile_fail
/// # fn twice(exchange: pgweir_auth::Exchange) {
/// let _ = exchange.step(pgweir_auth::Message::Password(b"guess"));
/// let _ = exchange.step(pgweir_auth::Message::Password(b"another"));
/// # }
/// ```
#[derive(Debug)]
pub struct Exchange(Expect);

enum Expect {
    Password {
        user: String,
        secret: Option<Secret>,
        mock: Verifier,
    },
    Md5 {
        expected: Zeroizing<String>,
        /// Whether there is such a user: without, no response is right.
        known: bool,
    },
    SaslInitial(Scram),
    /// The mechanism was chosen without its first message.
    SaslFirst {
        scram: Scram,
        plus: bool,
    },
    SaslFinal(ExpectProof),
}

impl std::fmt::Debug for Expect {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(match self {
            Self::Password { .. } => "ExpectPassword",
            Self::Md5 { .. } => "ExpectMd5",
            Self::SaslInitial(_) => "ExpectSaslInitial",
            Self::SaslFirst { .. } => "ExpectSaslFirst",
            Self::SaslFinal(_) => "ExpectSaslFinal",
        })
    }
}

impl Exchange {
    /// Begins an exchange with a client that calls itself `user`.
    ///
    /// `secret` is what is stored of that user, if there is one. `binding` belongs to the TLS
    /// connection, if it is one. `random` is for this login alone; `salting` is the
    /// same for all: it gives users that do not exist a salt that stays the same (A3).
    pub fn start(
        method: Method,
        user: &str,
        secret: Option<&Secret>,
        binding: Option<&ChannelBinding>,
        random: [u8; 32],
        salting: &Salting,
    ) -> Start {
        let secret = secret.filter(|secret| !secret.is_empty());
        let is_verifier = secret.is_some_and(|secret| matches!(secret.kind, Kind::Scram(_)));
        match method {
            Method::Any | Method::Trust => Start::Authenticated(Authenticated { keys: None }),
            Method::Password => {
                let expect = Expect::Password {
                    user: user.to_owned(),
                    secret: secret.cloned(),
                    mock: Verifier::mock(user, salting),
                };
                Start::Ask(Self(expect), Request::Cleartext)
            }
            Method::Md5 if !is_verifier => {
                let salt = [random[0], random[1], random[2], random[3]];
                let mock = md5::stored(user, &Verifier::mock(user, salting).server_key);
                let stored = secret.and_then(|secret| secret.md5(user));
                let known = stored.is_some();
                let stored = stored.unwrap_or(mock.into());
                let expected = md5::response(&stored, salt).into();
                Start::Ask(Self(Expect::Md5 { expected, known }), Request::Md5 { salt })
            }
            Method::Md5 | Method::Scram => {
                let scram = Scram::new(user, secret, binding, &random, salting);
                let mechanisms = scram.mechanisms();
                Start::Ask(
                    Self(Expect::SaslInitial(scram)),
                    Request::Sasl { mechanisms },
                )
            }
        }
    }

    /// Takes one message of the client.
    ///
    /// # Errors
    /// The exchange has failed; all a client may be told is that.
    pub fn step(self, message: Message<'_>) -> Result<Step, Error> {
        match (self.0, message) {
            (Expect::Password { .. } | Expect::Md5 { .. }, Message::Password(b"")) => {
                Err(Error::EmptyPassword)
            }
            (Expect::Password { user, secret, mock }, Message::Password(password)) => {
                let keys = check(&user, secret.as_ref(), &mock, password)?;
                Ok(Step::Success(Authenticated { keys }, None))
            }
            (Expect::Md5 { expected, known }, Message::Password(response)) => {
                // A user that does not exist is compared all the same.
                let same = bool::from(expected.as_bytes().ct_eq(response));
                if !(known & same) {
                    return Err(Error::Wrong);
                }
                Ok(Step::Success(Authenticated { keys: None }, None))
            }
            (
                Expect::SaslInitial(scram),
                Message::SaslInitial {
                    mechanism,
                    response,
                },
            ) => {
                let plus = scram.choose(mechanism)?;
                match response {
                    Some(response) => first(scram, plus, response),
                    // An empty challenge asks for it (RFC 4422, section 3).
                    None => Ok(Step::Continue(
                        Self(Expect::SaslFirst { scram, plus }),
                        Reply::SaslContinue(Vec::new()),
                    )),
                }
            }
            (Expect::SaslFirst { scram, plus }, Message::SaslResponse(response)) => {
                first(scram, plus, response)
            }
            (Expect::SaslFinal(expect), Message::SaslResponse(response)) => {
                let (keys, last) = expect.last(response)?;
                Ok(Step::Success(
                    Authenticated { keys: Some(keys) },
                    Some(last),
                ))
            }
            _ => Err(Error::Malformed("message out of place")),
        }
    }
}

fn first(scram: Scram, plus: bool, message: &[u8]) -> Result<Step, Error> {
    let (expect, challenge) = scram.first(plus, message)?;
    let exchange = Exchange(Expect::SaslFinal(expect));
    Ok(Step::Continue(exchange, Reply::SaslContinue(challenge)))
}

/// Checks a password. Gives its keys where a verifier is stored.
fn check(
    user: &str,
    secret: Option<&Secret>,
    mock: &Verifier,
    password: &[u8],
) -> Result<Option<ScramKeys>, Error> {
    match secret.map(|secret| (secret, &secret.kind)) {
        Some((_, Kind::Scram(verifier))) => verifier.keys(password).map(Some).ok_or(Error::Wrong),
        Some((secret, _)) if secret.matches(user, password) => Ok(None),
        _ => {
            // To fail takes as long as with a verifier, whatever is stored and whether anything is.
            // To succeed need not: who does so knows that the user exists.
            black_box(mock.keys(password));
            Err(Error::Wrong)
        }
    }
}

#[cfg(test)]
mod tests;
