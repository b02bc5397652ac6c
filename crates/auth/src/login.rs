//! We prove to a server who we are.

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::binding::ChannelBinding;
use crate::error::Error;
use crate::md5;
use crate::scram::{
    Attributes, ITERATIONS_MAX, Key, ScramKeys, decode, decode_key, encode, hash, hmac, is_nonce,
    number, text, xor,
};
use crate::secret::{Kind, Secret};

/// A login to a server, before it has asked for anything.
#[derive(Debug)]
pub struct Login {
    user: String,
    secret: Option<Secret>,
    keys: Option<ScramKeys>,
    binding: Option<ChannelBinding>,
}

impl Login {
    /// `secret` is what is stored of the user; `keys` what a client's own login has shown
    /// (pass-through). `binding` belongs to the TLS connection, if it is one.
    pub fn new(
        user: &str,
        secret: Option<&Secret>,
        keys: Option<ScramKeys>,
        binding: Option<ChannelBinding>,
    ) -> Self {
        Self {
            user: user.to_owned(),
            secret: secret.cloned(),
            keys,
            binding,
        }
    }

    fn stored(&self) -> &'static str {
        self.secret.as_ref().map_or("nothing", Secret::kind_name)
    }

    /// The answer to AuthenticationCleartextPassword.
    ///
    /// # Errors
    /// When only a hash of the password is known.
    pub fn cleartext(&self) -> Result<&[u8], Error> {
        match self.secret.as_ref().map(|secret| &secret.kind) {
            Some(Kind::Plain(password)) => Ok(password.as_bytes()),
            _ => Err(Error::NoSecret(self.stored())),
        }
    }

    /// The answer to AuthenticationMD5Password.
    ///
    /// # Errors
    /// When neither the password nor its MD5 hash is known.
    pub fn md5(&self, salt: [u8; 4]) -> Result<Vec<u8>, Error> {
        let stored = self
            .secret
            .as_ref()
            .and_then(|secret| secret.md5(&self.user));
        let stored = stored.ok_or(Error::NoSecret(self.stored()))?;
        Ok(md5::response(&stored, salt).into_bytes())
    }

    /// The answer to AuthenticationSASL: the chosen mechanism and its first message. `random` is
    /// for this login alone.
    ///
    /// # Errors
    /// When the server offers nothing that is known here, or nothing is there to prove.
    pub fn sasl_start(
        self,
        mechanisms: &[&[u8]],
        random: [u8; 32],
    ) -> Result<(ScramClient, &'static str, Vec<u8>), Error> {
        let can = self.keys.is_some()
            || matches!(
                self.secret.as_ref().map(|secret| &secret.kind),
                Some(Kind::Plain(_))
            );
        if !can {
            return Err(Error::NoSecret(self.stored()));
        }
        let offers = |name: &[u8]| mechanisms.contains(&name);
        let (mechanism, flag) = match &self.binding {
            Some(_) if offers(b"SCRAM-SHA-256-PLUS") => {
                ("SCRAM-SHA-256-PLUS", "p=tls-server-end-point")
            }
            // Says that we could have: a server that could too knows then that it was hidden.
            Some(_) if offers(b"SCRAM-SHA-256") => ("SCRAM-SHA-256", "y"),
            None if offers(b"SCRAM-SHA-256") => ("SCRAM-SHA-256", "n"),
            _ => return Err(Error::Mechanism),
        };
        let mut channel = format!("{flag},,").into_bytes();
        if let Some(binding) = self.binding.as_ref().filter(|_| flag.starts_with('p')) {
            channel.extend_from_slice(binding.data());
        }
        let nonce = encode(&random[..18]);
        let bare = format!("n=,r={nonce}");
        let first = format!("{flag},,{bare}").into_bytes();
        Ok((
            ScramClient {
                login: self,
                channel,
                nonce,
                bare,
            },
            mechanism,
            first,
        ))
    }
}

/// A SCRAM login that waits for the server's challenge.
#[derive(Debug)]
pub struct ScramClient {
    login: Login,
    channel: Vec<u8>,
    nonce: String,
    bare: String,
}

impl ScramClient {
    /// Takes the challenge (AuthenticationSASLContinue); gives the answer.
    ///
    /// # Errors
    /// When the challenge is not to be trusted, or cannot be answered with what is known.
    pub fn step(self, challenge: &[u8]) -> Result<(ScramFinal, Vec<u8>), Error> {
        let challenge = text(challenge)?;
        let mut attributes = Attributes::of(challenge);
        let nonce = attributes.next('r')?;
        let salt = decode(attributes.next('s')?)?;
        let iterations =
            number(attributes.next('i')?).ok_or(Error::Malformed("invalid iterations"))?;
        if salt.is_empty() {
            return Err(Error::Malformed("empty salt"));
        }
        let own_part = nonce.strip_prefix(self.nonce.as_str());
        if !own_part.is_some_and(is_nonce) {
            return Err(Error::Nonce);
        }
        if !(1..=ITERATIONS_MAX).contains(&iterations) {
            return Err(Error::Iterations(iterations));
        }
        let keys = self.keys(&salt, iterations)?;
        let without_proof = format!("c={},r={nonce}", encode(&self.channel));
        let messages = format!("{},{challenge},{without_proof}", self.bare);
        let signature: Key = hmac(&hash(&keys.client_key), &[messages.as_bytes()]);
        let proof = xor(&keys.client_key, &signature);
        let answer = format!("{without_proof},p={}", encode(&proof)).into_bytes();
        let expected = hmac(&keys.server_key, &[messages.as_bytes()]).into();
        Ok((ScramFinal { expected }, answer))
    }

    fn keys(&self, salt: &[u8], iterations: u32) -> Result<ScramKeys, Error> {
        if let Some(Kind::Plain(password)) = self.login.secret.as_ref().map(|secret| &secret.kind)
            && let Some(secret) = &self.login.secret
        {
            return Ok(secret.keys(password, salt, iterations));
        }
        // Keys that a client has shown are of use only where the server's verifier is the same.
        let keys = self
            .login
            .keys
            .as_ref()
            .filter(|keys| keys.fit(salt, iterations));
        keys.cloned().ok_or(Error::NoSecret(
            "SCRAM verifier with another salt than the server's",
        ))
    }
}

/// A SCRAM login that waits for the server to prove itself in turn.
///
/// AuthenticationOk must not be believed before.
#[must_use = "the server has not shown yet that it knows the secret"]
pub struct ScramFinal {
    expected: Zeroizing<Key>,
}

impl std::fmt::Debug for ScramFinal {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("ScramFinal(..)")
    }
}

impl ScramFinal {
    /// Takes the outcome (AuthenticationSASLFinal).
    ///
    /// # Errors
    /// When the server does not know the secret.
    pub fn verify(self, outcome: &[u8]) -> Result<(), Error> {
        let signature = decode_key(Attributes::of(text(outcome)?).next('v')?)?;
        if bool::from(signature.ct_eq(&*self.expected)) {
            Ok(())
        } else {
            Err(Error::ServerSignature)
        }
    }
}
