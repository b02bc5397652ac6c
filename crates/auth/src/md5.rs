//! MD5 password hashes (protocol-message-formats, AuthenticationMD5Password).

use md5::{Digest, Md5};

/// `md5` and 35 bytes in all: the form in which PostgreSQL stores them.
pub(crate) const HASH_LEN: usize = 35;

fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn tagged(parts: [&[u8]; 2]) -> String {
    let digest = Md5::new()
        .chain_update(parts[0])
        .chain_update(parts[1])
        .finalize();
    format!("md5{}", hex(&digest))
}

/// What is stored for a password.
pub(crate) fn stored(user: &str, password: &[u8]) -> String {
    tagged([password, user.as_bytes()])
}

/// What is sent for a stored hash and a salt.
pub(crate) fn response(stored: &str, salt: [u8; 4]) -> String {
    let hash = stored.strip_prefix("md5").unwrap_or(stored);
    tagged([hash.as_bytes(), &salt])
}

/// Whether a text is such a hash.
pub(crate) fn is_stored(text: &str) -> bool {
    text.len() == HASH_LEN
        && text
            .strip_prefix("md5")
            .is_some_and(|hash| hash.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_as_postgresql_makes_them() {
        // select 'md5' || md5('secret' || 'bob')
        let stored = stored("bob", b"secret");
        assert!(is_stored(&stored), "{stored}");
        assert_eq!(stored, format!("md5{}", hex(&Md5::digest(b"secretbob"))));
        assert!(
            !is_stored("md5") && !is_stored(&stored[..34]) && !is_stored(&stored.replace('m', "n"))
        );
        assert_eq!(response(&stored, [1, 2, 3, 4]).len(), HASH_LEN);
    }
}
