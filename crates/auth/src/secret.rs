//! What is stored of a user.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::md5;
use crate::scram::{Salting, ScramKeys, Verifier, hash};

/// A stored secret: a password, an MD5 hash or a SCRAM verifier.
///
/// Keys derived from a password are remembered with it: deriving them costs half a millisecond.
#[derive(Clone)]
pub struct Secret {
    pub(crate) kind: Kind,
    derived: Arc<Mutex<Vec<ScramKeys>>>,
}

#[derive(Clone)]
pub(crate) enum Kind {
    Plain(Zeroizing<String>),
    Md5(Zeroizing<String>),
    Scram(Verifier),
}

/// Keys remembered per password: one for our clients, and for each server's salt one.
const DERIVED_MAX: usize = 8;

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Secret(..)")
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        let same = |a: &str, b: &str| bool::from(hash(a.as_bytes()).ct_eq(&hash(b.as_bytes())));
        match (&self.kind, &other.kind) {
            (Kind::Plain(a), Kind::Plain(b)) | (Kind::Md5(a), Kind::Md5(b)) => same(a, b),
            (Kind::Scram(a), Kind::Scram(b)) => same(&a.to_text(), &b.to_text()),
            _ => false,
        }
    }
}

impl Eq for Secret {}

impl Secret {
    fn of(kind: Kind) -> Self {
        Self {
            kind,
            derived: Arc::default(),
        }
    }

    /// From a text as `userlist.txt` has it: `md5` and 32 hexadecimal digits, a
    /// `SCRAM-SHA-256$…` verifier, or else a password.
    pub fn parse(text: &str) -> Self {
        if md5::is_stored(text) {
            return Self::of(Kind::Md5(text.to_owned().into()));
        }
        match Verifier::parse(text) {
            Some(verifier) => Self::of(Kind::Scram(verifier)),
            None => Self::plain(text),
        }
    }

    /// A password, whatever it looks like.
    pub fn plain(password: &str) -> Self {
        Self::of(Kind::Plain(password.to_owned().into()))
    }

    /// Derives ahead what the first SCRAM login of `user` needs, where a password is stored: half a
    /// millisecond, once.
    ///
    /// Call it for each secret when it is loaded, away from the threads that serve clients, with the
    /// `salting` of [`Exchange::start`](crate::Exchange::start). Otherwise a user's first login takes
    /// visibly longer than the login of somebody who does not exist.
    pub fn prepare(&self, user: &str, salting: &Salting) {
        if let Kind::Plain(password) = &self.kind
            && !password.is_empty()
        {
            self.keys(password, &salting.salt(user), salting.iterations);
        }
    }

    /// The text that [`parse`](Self::parse) makes this secret of, for whoever writes a file of
    /// secrets; never for a log or a message. A password that looks like a hash or a verifier
    /// comes back as one.
    pub fn to_text(&self) -> Zeroizing<String> {
        match &self.kind {
            Kind::Plain(text) | Kind::Md5(text) => text.clone(),
            Kind::Scram(verifier) => verifier.to_text().into(),
        }
    }

    /// What it is, for messages.
    pub fn kind_name(&self) -> &'static str {
        match self.kind {
            Kind::Plain(_) => "password",
            Kind::Md5(_) => "MD5 hash",
            Kind::Scram(_) => "SCRAM verifier",
        }
    }

    /// What a password was probably meant to be that begins like a hash or a verifier, and is none.
    pub fn looks_like(&self) -> Option<&'static str> {
        let Kind::Plain(password) = &self.kind else {
            return None;
        };
        if password.starts_with("md5") {
            Some("an MD5 hash")
        } else {
            password
                .starts_with("SCRAM-SHA-256$")
                .then_some("a SCRAM verifier")
        }
    }

    /// Whether it is the secret of nobody: an empty password lets nobody in.
    pub(crate) fn is_empty(&self) -> bool {
        matches!(&self.kind, Kind::Plain(password) if password.is_empty())
    }

    /// The keys of a password for a salt.
    pub(crate) fn keys(&self, password: &str, salt: &[u8], iterations: u32) -> ScramKeys {
        if let Some(keys) = self.remembered(salt, iterations) {
            return keys;
        }
        // Without the lock, as others log in meanwhile.
        let keys = ScramKeys::derive(password.as_bytes(), salt, iterations);
        if self.remembered(salt, iterations).is_none() {
            let mut derived = self.derived.lock().unwrap_or_else(PoisonError::into_inner);
            if derived.len() >= DERIVED_MAX {
                derived.remove(0);
            }
            derived.push(keys.clone());
        }
        keys
    }

    /// Keys that were derived before; they become the last to be forgotten.
    fn remembered(&self, salt: &[u8], iterations: u32) -> Option<ScramKeys> {
        let mut derived = self.derived.lock().unwrap_or_else(PoisonError::into_inner);
        let at = derived.iter().position(|keys| keys.fit(salt, iterations))?;
        derived[at..].rotate_left(1);
        derived.last().cloned()
    }

    /// Whether a password is the right one.
    pub(crate) fn matches(&self, user: &str, password: &[u8]) -> bool {
        match &self.kind {
            // By their hashes: to compare two lengths takes no constant time.
            Kind::Plain(stored) => bool::from(hash(stored.as_bytes()).ct_eq(&hash(password))),
            Kind::Md5(stored) => {
                let given = Zeroizing::new(md5::stored(user, password));
                bool::from(
                    stored
                        .to_ascii_lowercase()
                        .as_bytes()
                        .ct_eq(given.as_bytes()),
                )
            }
            Kind::Scram(verifier) => verifier.keys(password).is_some(),
        }
    }

    /// The MD5 hash, if it is known or can be made.
    pub(crate) fn md5(&self, user: &str) -> Option<Zeroizing<String>> {
        match &self.kind {
            Kind::Plain(password) => Some(md5::stored(user, password.as_bytes()).into()),
            Kind::Md5(stored) => Some(stored.to_ascii_lowercase().into()),
            Kind::Scram(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a2_secrets_do_not_print() {
        let keys = ScramKeys::derive(b"pencil", b"salt", 10);
        let shown = format!(
            "{:?} {:?} {keys:?} {:?}",
            Secret::plain("pencil"),
            Some(Secret::parse("pencil")),
            keys.verifier()
        );
        assert!(!shown.contains("pencil") && !shown.contains('['), "{shown}");
    }

    #[test]
    fn the_kind_shows_in_the_text() {
        assert_eq!(Secret::parse("md5").kind_name(), "password");
        assert_eq!(
            Secret::parse(&md5::stored("u", b"p")).kind_name(),
            "MD5 hash"
        );
        assert_eq!(
            Secret::plain(&md5::stored("u", b"p")).kind_name(),
            "password"
        );
        let verifier = ScramKeys::derive(b"p", b"salt", 10).verifier().to_text();
        assert_eq!(Secret::parse(&verifier).kind_name(), "SCRAM verifier");
        for text in ["", "pencil", &md5::stored("u", b"p"), &verifier] {
            assert_eq!(*Secret::parse(text).to_text(), text);
        }
        assert!(
            Secret::parse(&verifier) == Secret::parse(&verifier)
                && Secret::parse("a") != Secret::parse("b")
        );
    }

    #[test]
    fn what_is_nearly_a_hash_is_told() {
        let check = |text: &str, expected| assert_eq!(Secret::parse(text).looks_like(), expected);
        check("pencil", None);
        check(&md5::stored("u", b"p"), None);
        check(&md5::stored("u", b"p")[..34], Some("an MD5 hash"));
        let verifier = ScramKeys::derive(b"p", b"salt", 10).verifier().to_text();
        check(&verifier, None);
        check(&verifier[..verifier.len() - 1], Some("a SCRAM verifier"));
    }

    #[test]
    fn each_kind_knows_its_password() {
        let verifier = ScramKeys::derive(b"secret", b"salt", 10)
            .verifier()
            .to_text();
        for secret in [
            Secret::plain("secret"),
            Secret::parse(&md5::stored("bob", b"secret")),
            Secret::parse(&verifier),
        ] {
            assert!(
                secret.matches("bob", b"secret") && !secret.matches("bob", b"Secret"),
                "{}",
                secret.kind_name()
            );
        }
    }
}
