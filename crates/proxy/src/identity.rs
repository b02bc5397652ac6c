//! Whom the process runs as.

use nix::errno::Errno;
use nix::unistd::{self, Gid, Group, User};

/// Why it cannot be somebody else.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such user.
    #[error("could not find user '{0}' to switch to")]
    NoUser(String),
    /// The system does not let us.
    #[error("failed to assume identity of user '{user}': {source}")]
    Refused {
        /// The user.
        user: String,
        /// Why.
        source: Errno,
    },
    /// Nothing that clients send may run as root.
    #[error("pgweir should not run as root: name a user in `user`, or with -u")]
    Root,
    /// There is no such group.
    #[error("could not find group '{0}' for unix_socket_group")]
    NoGroup(String),
}

/// Becomes a user, with its group and no other, for good. Nothing happens if the process is that user
/// already.
///
/// # Errors
/// When there is no such user, or only root could do it.
pub fn assume(name: &str) -> Result<(), Error> {
    let found = User::from_name(name).ok().flatten();
    let user = found.ok_or_else(|| Error::NoUser(name.to_owned()))?;
    if user.uid == unistd::geteuid() && user.uid == unistd::getuid() && !user.uid.is_root() {
        return Ok(());
    }
    // Groups first: afterwards it is forbidden.
    let become_user = || {
        unistd::setgroups(&[user.gid])?;
        unistd::setgid(user.gid)?;
        unistd::setuid(user.uid)
    };
    become_user().map_err(|source| Error::Refused {
        user: name.to_owned(),
        source,
    })
}

/// Whether the process may do everything.
pub fn is_root() -> bool {
    unistd::getuid().is_root() || unistd::geteuid().is_root()
}

/// A group by its name or number.
///
/// # Errors
/// When there is none.
pub fn group(name: &str) -> Result<Gid, Error> {
    if let Ok(number) = name.parse() {
        return Ok(Gid::from_raw(number));
    }
    match Group::from_name(name) {
        Ok(Some(group)) => Ok(group.gid),
        _ => Err(Error::NoGroup(name.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_nobodys() {
        let error = assume("no such user").expect_err("it is no name");
        assert_eq!(
            error.to_string(),
            "could not find user 'no such user' to switch to"
        );
        assert!(group("no such group").is_err());
        assert_eq!(group("1234").expect("a number").as_raw(), 1234);
        assert_eq!(group("root").expect("everywhere").as_raw(), 0);
    }
}
