//! A client proves to us who it is.

use std::hint::black_box;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::binding::ChannelBinding;
use crate::error::Error;
use crate::md5;
use crate::scram::{
    Attributes, ITERATIONS_DEFAULT, Key, ScramKeys, Verifier, decode, decode_key, encode, hmac,
    is_nonce, text,
};
use crate::secret::{Kind, Secret};

/// The only mechanism without TLS.
const SCRAM: &str = "SCRAM-SHA-256";
/// The same, bound to the TLS channel.
const SCRAM_PLUS: &str = "SCRAM-SHA-256-PLUS";

/// How clients are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Not at all.
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
    SaslFinal {
        verifier: Verifier,
        known: bool,
        channel: Vec<u8>,
        messages: String,
        nonce: String,
    },
}

/// A SCRAM exchange before its first message.
struct Scram {
    verifier: Verifier,
    /// Whether there is such a user: without, the proof cannot be right.
    known: bool,
    binding: Option<ChannelBinding>,
    nonce: String,
}

impl std::fmt::Debug for Expect {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(match self {
            Self::Password { .. } => "ExpectPassword",
            Self::Md5 { .. } => "ExpectMd5",
            Self::SaslInitial(_) => "ExpectSaslInitial",
            Self::SaslFirst { .. } => "ExpectSaslFirst",
            Self::SaslFinal { .. } => "ExpectSaslFinal",
        })
    }
}

impl Exchange {
    /// Begins an exchange with a client that calls itself `user`.
    ///
    /// `secret` is what is stored of that user, if there is one. `binding` belongs to the TLS
    /// connection, if it is one. `random` is for this login alone; `mock_key` is the process's
    /// secret from which users that do not exist get a salt that stays the same (A3).
    pub fn start(
        method: Method,
        user: &str,
        secret: Option<&Secret>,
        binding: Option<&ChannelBinding>,
        random: [u8; 32],
        mock_key: &[u8; 32],
    ) -> Start {
        let secret = secret.filter(|secret| !secret.is_empty());
        let is_verifier = secret.is_some_and(|secret| matches!(secret.kind, Kind::Scram(_)));
        match method {
            Method::Trust => Start::Authenticated(Authenticated { keys: None }),
            Method::Password => {
                let expect = Expect::Password {
                    user: user.to_owned(),
                    secret: secret.cloned(),
                    mock: Verifier::mock(user, mock_key),
                };
                Start::Ask(Self(expect), Request::Cleartext)
            }
            Method::Md5 if !is_verifier => {
                let salt = [random[0], random[1], random[2], random[3]];
                let mock = md5::stored(user, &Verifier::mock(user, mock_key).server_key);
                let stored = secret.and_then(|secret| secret.md5(user));
                let known = stored.is_some();
                let stored = stored.unwrap_or(mock.into());
                let expected = md5::response(&stored, salt).into();
                Start::Ask(Self(Expect::Md5 { expected, known }), Request::Md5 { salt })
            }
            Method::Md5 | Method::Scram => {
                let (verifier, known) = verifier(user, secret, mock_key);
                let mechanisms: &[&str] = if binding.is_some() {
                    &[SCRAM_PLUS, SCRAM]
                } else {
                    &[SCRAM]
                };
                let nonce = encode(&random[..18]);
                let scram = Scram {
                    verifier,
                    known,
                    binding: binding.cloned(),
                    nonce,
                };
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
                    Some(response) => scram.first(plus, response),
                    // An empty challenge asks for it (RFC 4422, section 3).
                    None => Ok(Step::Continue(
                        Self(Expect::SaslFirst { scram, plus }),
                        Reply::SaslContinue(Vec::new()),
                    )),
                }
            }
            (Expect::SaslFirst { scram, plus }, Message::SaslResponse(response)) => {
                scram.first(plus, response)
            }
            (
                Expect::SaslFinal {
                    verifier,
                    known,
                    channel,
                    messages,
                    nonce,
                },
                Message::SaslResponse(last),
            ) => finish(&verifier, known, &channel, messages, &nonce, last),
            _ => Err(Error::Malformed("message out of place")),
        }
    }
}

/// What a proof is checked against. Without a usable secret, something that looks the same.
fn verifier(user: &str, secret: Option<&Secret>, mock_key: &[u8; 32]) -> (Verifier, bool) {
    // Made in any case: what is done for some users only can be timed.
    let mock = Verifier::mock(user, mock_key);
    match secret.map(|secret| (secret, &secret.kind)) {
        Some((_, Kind::Scram(verifier))) => (verifier.clone(), true),
        Some((secret, Kind::Plain(password))) => {
            let keys = secret.keys(password, &mock.salt, ITERATIONS_DEFAULT);
            (keys.verifier(), true)
        }
        Some((_, Kind::Md5(_))) | None => (mock, false),
    }
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

impl Scram {
    /// The client's choice: whether it binds to the channel.
    fn choose(&self, mechanism: &[u8]) -> Result<bool, Error> {
        match mechanism {
            b"SCRAM-SHA-256-PLUS" if self.binding.is_some() => Ok(true),
            b"SCRAM-SHA-256" => Ok(false),
            _ => Err(Error::Mechanism),
        }
    }

    /// The client's first message (RFC 5802, section 7, client-first-message).
    fn first(self, plus: bool, message: &[u8]) -> Result<Step, Error> {
        let (flag, rest) = text(message)?
            .split_once(',')
            .ok_or(Error::Malformed("no channel binding flag"))?;
        let (identity, bare) = rest
            .split_once(',')
            .ok_or(Error::Malformed("no authorization identity"))?;
        if !identity.is_empty() {
            return Err(Error::Malformed(
                "authorization identities are not supported",
            ));
        }
        match (flag, plus) {
            ("n", false) => {}
            // The client could have, and thinks that we cannot: somebody has hidden our offer.
            ("y", false) if self.binding.is_some() => return Err(Error::Downgrade),
            ("y", false) | ("p=tls-server-end-point", true) => {}
            _ => {
                return Err(Error::Malformed(
                    "channel binding flag does not fit the mechanism",
                ));
            }
        }
        let mut attributes = Attributes::of(bare);
        // PostgreSQL's clients leave the name empty: the startup packet has it.
        attributes.next('n')?;
        let client_nonce = attributes.next('r')?;
        if !is_nonce(client_nonce) {
            return Err(Error::Malformed("invalid nonce"));
        }
        let nonce = format!("{client_nonce}{}", self.nonce);
        let salt = encode(&self.verifier.salt);
        let challenge = format!("r={nonce},s={salt},i={}", self.verifier.iterations);
        let mut channel = format!("{flag},,").into_bytes();
        if plus && let Some(binding) = &self.binding {
            channel.extend_from_slice(binding.data());
        }
        let messages = format!("{bare},{challenge},");
        let Self {
            verifier, known, ..
        } = self;
        let expect = Expect::SaslFinal {
            verifier,
            known,
            channel,
            messages,
            nonce,
        };
        Ok(Step::Continue(
            Exchange(expect),
            Reply::SaslContinue(challenge.into_bytes()),
        ))
    }
}

/// The client's last message (client-final-message).
fn finish(
    verifier: &Verifier,
    known: bool,
    channel: &[u8],
    mut messages: String,
    nonce: &str,
    message: &[u8],
) -> Result<Step, Error> {
    let (without_proof, proof) = text(message)?
        .rsplit_once(",p=")
        .ok_or(Error::Malformed("no proof"))?;
    let mut attributes = Attributes::of(without_proof);
    let bound = decode(attributes.next('c')?)?;
    let returned = attributes.next('r')?;
    let proof: Key = decode_key(proof)?;
    if !bool::from(bound.ct_eq(channel)) {
        return Err(Error::Binding);
    }
    if !bool::from(returned.as_bytes().ct_eq(nonce.as_bytes())) {
        return Err(Error::Nonce);
    }
    messages.push_str(without_proof);
    let keys = verifier
        .check(messages.as_bytes(), &proof)
        .filter(|_| known)
        .ok_or(Error::Wrong)?;
    let signature = hmac(&verifier.server_key, &[messages.as_bytes()]);
    let last = format!("v={}", encode(&signature)).into_bytes();
    Ok(Step::Success(
        Authenticated { keys: Some(keys) },
        Some(last),
    ))
}

#[cfg(test)]
mod tests;
