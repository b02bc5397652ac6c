//! The server's side of SCRAM-SHA-256 (RFC 5802, RFC 7677).

use subtle::ConstantTimeEq;

use crate::binding::ChannelBinding;
use crate::error::Error;
use crate::scram::{
    Attributes, Key, Salting, ScramKeys, Verifier, decode, decode_key, encode, hmac, is_nonce, text,
};
use crate::secret::{Kind, Secret};

/// The only mechanism without TLS.
const SCRAM: &str = "SCRAM-SHA-256";
/// The same, bound to the TLS channel.
const SCRAM_PLUS: &str = "SCRAM-SHA-256-PLUS";

/// A SCRAM exchange before its first message.
pub(super) struct Scram {
    verifier: Verifier,
    /// Whether there is such a user: without, the proof cannot be right.
    known: bool,
    binding: Option<ChannelBinding>,
    nonce: String,
}

/// What a proof is checked against. Without a usable secret, something that looks the same.
fn verifier(user: &str, secret: Option<&Secret>, salting: &Salting) -> (Verifier, bool) {
    // Made in any case: what is done for some users only can be timed.
    let mock = Verifier::mock(user, salting);
    match secret.map(|secret| (secret, &secret.kind)) {
        Some((_, Kind::Scram(verifier))) => (verifier.clone(), true),
        Some((secret, Kind::Plain(password))) => {
            let keys = secret.keys(password, &mock.salt, salting.iterations);
            (keys.verifier(), true)
        }
        Some((_, Kind::Md5(_))) | None => (mock, false),
    }
}

impl Scram {
    pub(super) fn new(
        user: &str,
        secret: Option<&Secret>,
        binding: Option<&ChannelBinding>,
        random: &[u8; 32],
        salting: &Salting,
    ) -> Self {
        let (verifier, known) = verifier(user, secret, salting);
        Self {
            verifier,
            known,
            binding: binding.cloned(),
            nonce: encode(&random[..18]),
        }
    }

    /// What can be offered: PLUS only where there is something to bind to.
    pub(super) fn mechanisms(&self) -> &'static [&'static str] {
        match self.binding {
            Some(_) => &[SCRAM_PLUS, SCRAM],
            None => &[SCRAM],
        }
    }

    /// The client's choice: whether it binds to the channel.
    pub(super) fn choose(&self, mechanism: &[u8]) -> Result<bool, Error> {
        match mechanism {
            b"SCRAM-SHA-256-PLUS" if self.binding.is_some() => Ok(true),
            b"SCRAM-SHA-256" => Ok(false),
            _ => Err(Error::Mechanism),
        }
    }

    /// Takes client-first-message (RFC 5802, section 7); gives the challenge.
    pub(super) fn first(self, plus: bool, message: &[u8]) -> Result<(ExpectProof, Vec<u8>), Error> {
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
        let expect = ExpectProof {
            verifier: self.verifier,
            known: self.known,
            channel,
            messages,
            nonce,
        };
        Ok((expect, challenge.into_bytes()))
    }
}

/// A SCRAM exchange before its last message.
pub(super) struct ExpectProof {
    verifier: Verifier,
    /// Whether there is such a user: without, the proof cannot be right.
    known: bool,
    /// What the client must say of the channel.
    channel: Vec<u8>,
    /// What was said so far, and is signed.
    messages: String,
    nonce: String,
}

impl ExpectProof {
    /// Takes client-final-message; gives the keys that it shows and the data of SASLFinal.
    pub(super) fn last(self, message: &[u8]) -> Result<(ScramKeys, Vec<u8>), Error> {
        let (without_proof, proof) = text(message)?
            .rsplit_once(",p=")
            .ok_or(Error::Malformed("no proof"))?;
        let mut attributes = Attributes::of(without_proof);
        let bound = decode(attributes.next('c')?)?;
        let returned = attributes.next('r')?;
        let proof: Key = decode_key(proof)?;
        if !bool::from(bound.ct_eq(&self.channel)) {
            return Err(Error::Binding);
        }
        if !bool::from(returned.as_bytes().ct_eq(self.nonce.as_bytes())) {
            return Err(Error::Nonce);
        }
        let signed = [self.messages.as_bytes(), without_proof.as_bytes()].concat();
        let keys = self.verifier.check(&signed, &proof);
        let keys = keys.filter(|_| self.known).ok_or(Error::Wrong)?;
        let signature = hmac(&self.verifier.server_key, &[&signed]);
        Ok((keys, format!("v={}", encode(&signature)).into_bytes()))
    }
}
