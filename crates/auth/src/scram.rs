//! The arithmetic of SCRAM-SHA-256 (RFC 5802, RFC 7677) and the verifiers that PostgreSQL stores.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::error::Error;
use crate::prep::prepare;

pub(crate) const KEY_LEN: usize = 32;
pub(crate) type Key = [u8; KEY_LEN];

/// Bytes of a salt, as in PostgreSQL.
const SALT_LEN: usize = 16;
/// More than that a server does not ask for in good faith: it would keep us busy for seconds.
pub(crate) const ITERATIONS_MAX: u32 = 1_000_000;

pub(crate) fn hmac(key: &[u8], parts: &[&[u8]]) -> Key {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

pub(crate) fn hash(bytes: &[u8]) -> Key {
    Sha256::digest(bytes).into()
}

pub(crate) fn xor(a: &Key, b: &Key) -> Key {
    std::array::from_fn(|index| a[index] ^ b[index])
}

pub(crate) fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

pub(crate) fn decode(text: &str) -> Result<Vec<u8>, Error> {
    STANDARD
        .decode(text)
        .map_err(|_| Error::Malformed("invalid base64"))
}

pub(crate) fn decode_key(text: &str) -> Result<Key, Error> {
    decode(text)?
        .try_into()
        .map_err(|_| Error::Malformed("key of wrong length"))
}

/// The two keys that prove who is who, with the salt and iterations that they belong to.
///
/// With them a login works as well as with the password, as long as the server's verifier has the
/// same salt and iterations.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct ScramKeys {
    pub(crate) client_key: Key,
    pub(crate) server_key: Key,
    pub(crate) salt: Vec<u8>,
    pub(crate) iterations: u32,
}

impl fmt::Debug for ScramKeys {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("ScramKeys(..)")
    }
}

/// How verifiers are made for users who have none: those with a password, and those who do not exist.
/// Both are shown the same kind of salt, which stays the same, and as many rounds.
#[derive(Clone, Copy)]
pub struct Salting {
    /// A secret of the process, from which each user's salt is made.
    pub key: [u8; 32],
    /// Rounds of hashing, 1 to 1000000; PostgreSQL's default is 4096.
    pub iterations: u32,
}

impl fmt::Debug for Salting {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Salting(..)")
    }
}

impl Salting {
    /// The salt of a user.
    pub(crate) fn salt(&self, user: &str) -> Vec<u8> {
        hmac(&self.key, &[b"salt", user.as_bytes()])[..SALT_LEN].to_vec()
    }
}

#[cfg(test)]
thread_local! {
    /// How often keys were derived, which is what a login costs.
    pub(crate) static DERIVED: std::cell::Cell<u32> = const { std::cell::Cell::new(0) };
}

impl ScramKeys {
    /// Derived from a password; costs `iterations` rounds (half a millisecond for 4096).
    pub fn derive(password: &[u8], salt: &[u8], iterations: u32) -> Self {
        #[cfg(test)]
        DERIVED.set(DERIVED.get() + 1);
        let prepared = prepare(password);
        let mut salted = Zeroizing::new([0; KEY_LEN]);
        pbkdf2::pbkdf2_hmac::<Sha256>(&prepared, salt, iterations, &mut *salted);
        Self {
            client_key: hmac(&*salted, &[b"Client Key"]),
            server_key: hmac(&*salted, &[b"Server Key"]),
            salt: salt.to_vec(),
            iterations,
        }
    }

    /// Whether they belong to this salt and this number of iterations.
    pub fn fit(&self, salt: &[u8], iterations: u32) -> bool {
        self.salt == salt && self.iterations == iterations
    }

    /// The verifier that a server would store.
    pub fn verifier(&self) -> Verifier {
        Verifier {
            stored_key: hash(&self.client_key),
            server_key: self.server_key,
            salt: self.salt.clone(),
            iterations: self.iterations,
        }
    }
}

/// What a server stores: enough to check a proof, not enough to make one.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Verifier {
    pub(crate) stored_key: Key,
    pub(crate) server_key: Key,
    pub(crate) salt: Vec<u8>,
    pub(crate) iterations: u32,
}

impl fmt::Debug for Verifier {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Verifier(..)")
    }
}

impl Verifier {
    /// Reads `SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>` (catalog-pg-authid).
    pub fn parse(text: &str) -> Option<Self> {
        let (head, keys) = text.strip_prefix("SCRAM-SHA-256$")?.split_once('$')?;
        let (iterations, salt) = head.split_once(':')?;
        let (stored_key, server_key) = keys.split_once(':')?;
        let iterations = number(iterations).filter(|count| (1..=ITERATIONS_MAX).contains(count))?;
        Some(Self {
            stored_key: decode_key(stored_key).ok()?,
            server_key: decode_key(server_key).ok()?,
            salt: decode(salt).ok().filter(|salt| !salt.is_empty())?,
            iterations,
        })
    }

    /// The text that [`Verifier::parse`] reads.
    pub fn to_text(&self) -> String {
        format!(
            "SCRAM-SHA-256${}:{}${}:{}",
            self.iterations,
            encode(&self.salt),
            encode(&self.stored_key),
            encode(&self.server_key)
        )
    }

    /// Checks a proof; gives the key behind it.
    pub(crate) fn check(&self, auth_message: &[u8], proof: &Key) -> Option<ScramKeys> {
        let signature = hmac(&self.stored_key, &[auth_message]);
        let client_key = xor(proof, &signature);
        let right = hash(&client_key).ct_eq(&self.stored_key);
        bool::from(right).then(|| ScramKeys {
            client_key,
            server_key: self.server_key,
            salt: self.salt.clone(),
            iterations: self.iterations,
        })
    }

    /// Checks a password; gives its keys. Costs as much as deriving them, right or wrong.
    pub(crate) fn keys(&self, password: &[u8]) -> Option<ScramKeys> {
        let keys = ScramKeys::derive(password, &self.salt, self.iterations);
        bool::from(hash(&keys.client_key).ct_eq(&self.stored_key)).then_some(keys)
    }

    /// What a user without a verifier is shown and checked against. It is the same each time, and no
    /// password is right.
    pub(crate) fn mock(user: &str, salting: &Salting) -> Self {
        let key = |name: &[u8]| hmac(&salting.key, &[name, user.as_bytes()]);
        Self {
            stored_key: hash(&key(b"stored")),
            server_key: key(b"server"),
            salt: salting.salt(user),
            iterations: salting.iterations,
        }
    }
}

/// Greatest length of a SCRAM message in bytes, PostgreSQL's `PG_MAX_SASL_MESSAGE_LENGTH`.
pub(crate) const MESSAGE_LEN_MAX: usize = 1024;

/// A SCRAM message as text.
pub(crate) fn text(message: &[u8]) -> Result<&str, Error> {
    if message.len() > MESSAGE_LEN_MAX {
        return Err(Error::Malformed("longer than 1024 bytes"));
    }
    std::str::from_utf8(message).map_err(|_| Error::Malformed("not UTF-8"))
}

/// A number of digits alone; the standard library would take a sign too.
pub(crate) fn number(text: &str) -> Option<u32> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits)
}

/// The attributes of a SCRAM message: `a=…,b=…`, in the order given.
pub(crate) struct Attributes<'a>(std::str::Split<'a, char>);

impl<'a> Attributes<'a> {
    pub(crate) fn of(message: &'a str) -> Self {
        Self(message.split(','))
    }

    /// The value of the next attribute, which must have this name.
    pub(crate) fn next(&mut self, name: char) -> Result<&'a str, Error> {
        let attribute = self.0.next().ok_or(Error::Malformed("attribute missing"))?;
        let value = attribute
            .strip_prefix(name)
            .and_then(|rest| rest.strip_prefix('='));
        value.ok_or(Error::Malformed("unexpected attribute"))
    }
}

/// A nonce is made of printable characters other than the comma.
pub(crate) fn is_nonce(nonce: &str) -> bool {
    !nonce.is_empty()
        && nonce
            .bytes()
            .all(|byte| (0x21..0x7f).contains(&byte) && byte != b',')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc_7677_example() {
        let salt = decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let keys = ScramKeys::derive(b"pencil", &salt, 4096);
        let message = "n=user,r=rOprNGfwEbeRWgbNEkqO,\
            r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,\
            c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        let verifier = keys.verifier();
        let proof = xor(
            &keys.client_key,
            &hmac(&verifier.stored_key, &[message.as_bytes()]),
        );
        assert_eq!(
            encode(&proof),
            "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        );
        let signature = hmac(&verifier.server_key, &[message.as_bytes()]);
        assert_eq!(
            encode(&signature),
            "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
        );
        assert!(verifier.check(message.as_bytes(), &proof).is_some());
        assert!(verifier.check(b"other", &proof).is_none());
    }

    #[test]
    fn verifiers_are_read_and_written() {
        let verifier = ScramKeys::derive(b"x", b"salt", 5000).verifier();
        let text = verifier.to_text();
        assert_eq!(
            Verifier::parse(&text).map(|other| other.to_text()),
            Some(text.clone())
        );
        for bad in [
            "",
            "SCRAM-SHA-256$",
            &text.replace("5000", "0"),
            &text.replace("5000", "99999999"),
            &text.replace("5000", "+5000"),
            &text.replace("c2FsdA==", ""),
            &text[..text.len() - 4],
            &text.replace(':', ";"),
        ] {
            assert!(Verifier::parse(bad).is_none(), "{bad}");
        }
    }
}
