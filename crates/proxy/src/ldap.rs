//! Passwords that an LDAP directory is asked about.
//!
//! Each login has a connection of its own: a directory knows who speaks to it by what was last
//! proved on the connection. Nothing here blocks; names of hosts are resolved on threads of the runtime's.

use std::sync::{Arc, OnceLock};

use ldap3::{
    Ldap, LdapConnAsync, LdapConnSettings, LdapError, SearchEntry, dn_escape, ldap_escape,
};
use pgweir_auth::hba::{Directory, Entry, Scope, USER_NAME};

use crate::tls;

/// Why a password does not count.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An empty one is what directories take for nobody's, and let in.
    #[error("the password is empty")]
    Empty,
    /// The directory says that it is wrong.
    #[error("{dn}: {answer}")]
    Refused {
        /// The entry.
        dn: String,
        /// In the directory's words.
        answer: String,
    },
    /// There is no such entry, or there are several.
    #[error("search for {filter:?} finds {found} entries, and one is expected")]
    Found {
        /// What was searched for.
        filter: String,
        /// How many there are; 2 for any more.
        found: usize,
    },
    /// Who is to search may not log in, or not search.
    #[error("the directory does not let us search: {0}")]
    Search(String),
    /// No server of the directory can be reached.
    #[error("no directory can be reached: {0}")]
    Unreachable(String),
    /// The certificates to trust cannot be read.
    #[error(transparent)]
    Tls(#[from] tls::Error),
    /// The connection broke.
    #[error(transparent)]
    Ldap(#[from] LdapError),
}

impl Error {
    /// Whether it is the client's: the operator need not look.
    pub fn is_clients(&self) -> bool {
        matches!(
            self,
            Self::Empty | Self::Refused { .. } | Self::Found { .. }
        )
    }
}

/// Asks a directory whether the password is the user's.
///
/// # Errors
/// It is not, or there is no way to tell.
pub async fn check(directory: &Directory, user: &str, password: &str) -> Result<(), Error> {
    if password.is_empty() {
        return Err(Error::Empty);
    }
    let mut ldap = connect(directory).await?;
    let dn = match &directory.entry {
        Entry::Named { prefix, suffix } => {
            // A prefix may also be that of another kind of name, such as a domain of Windows.
            let is_dn = prefix.contains('=');
            let name = if is_dn { dn_escape(user) } else { user.into() };
            format!("{prefix}{name}{suffix}")
        }
        Entry::Found { .. } => find(&mut ldap, &directory.entry, user).await?,
    };
    if dn.is_empty() {
        // It would be nobody's, whatever the password.
        let answer = "an entry without a name is nobody's".to_owned();
        return Err(Error::Refused { dn, answer });
    }
    let answer = ldap.simple_bind(&dn, password).await?;
    // Gone in any case.
    let _ = ldap.unbind().await;
    match answer.success() {
        Ok(_) => Ok(()),
        Err(error) => {
            let answer = error.to_string();
            Err(Error::Refused { dn, answer })
        }
    }
}

async fn connect(directory: &Directory) -> Result<Ldap, Error> {
    let mut failed = Vec::new();
    for server in &directory.servers {
        let mut settings = LdapConnSettings::new().set_starttls(directory.start_tls);
        if directory.start_tls || server.starts_with("ldaps:") {
            settings = settings.set_config(trust().await?);
        }
        match LdapConnAsync::with_settings(settings, server).await {
            Ok((connection, ldap)) => {
                // It ends when nobody has anything to ask any more.
                tokio::task::spawn_local(async move {
                    if let Err(error) = connection.drive().await {
                        tracing::debug!(%error, "connection to the directory");
                    }
                });
                return Ok(ldap);
            }
            Err(error) => failed.push(format!("{server}: {error}")),
        }
    }
    Err(Error::Unreachable(failed.join("; ")))
}

/// Those whom the system trusts; read once.
async fn trust() -> Result<Arc<rustls::ClientConfig>, Error> {
    static TRUST: OnceLock<Arc<rustls::ClientConfig>> = OnceLock::new();
    if let Some(config) = TRUST.get() {
        return Ok(Arc::clone(config));
    }
    // From files.
    let read = tokio::task::spawn_blocking(tls::of_system).await;
    let config = read.map_err(|error| Error::Unreachable(error.to_string()))??;
    Ok(Arc::clone(TRUST.get_or_init(|| config)))
}

/// The name of the one entry that is the user's.
async fn find(ldap: &mut Ldap, entry: &Entry, user: &str) -> Result<String, Error> {
    let Entry::Found {
        base,
        scope,
        filter,
        searcher: (dn, password),
    } = entry
    else {
        return Ok(String::new());
    };
    let not_let = |error: LdapError| Error::Search(error.to_string());
    // Without a name, as nobody in particular: then nothing need be said.
    if !dn.is_empty() {
        let answer = ldap.simple_bind(dn, password).await?;
        answer.success().map_err(not_let)?;
    }
    let filter = filter.replace(USER_NAME, &ldap_escape(user));
    let scope = match scope {
        Scope::Base => ldap3::Scope::Base,
        Scope::One => ldap3::Scope::OneLevel,
        Scope::Sub => ldap3::Scope::Subtree,
    };
    // "1.1" is no attribute: only the names are of interest.
    let mut search = ldap
        .streaming_search(base, scope, &filter, vec!["1.1"])
        .await
        .map_err(not_let)?;
    let mut names = Vec::new();
    while let Some(entry) = search.next().await.map_err(not_let)? {
        if !entry.is_ref() && !entry.is_intermediate() {
            names.push(SearchEntry::construct(entry).dn);
        }
        if names.len() > 1 {
            break;
        }
    }
    let found = names.len();
    let result = search.finish().await;
    if found < 2 {
        result.success().map_err(not_let)?;
    }
    match names.pop().filter(|_| found == 1) {
        Some(name) => Ok(name),
        None => Err(Error::Found { filter, found }),
    }
}
