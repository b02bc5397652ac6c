//! Passwords that the system's PAM is asked about.
//!
//! Modules of PAM are code of anybody's, block for as long as they like, and were hardly ever tried in a
//! process with threads. So each login asks in a process of its own: this program again, with
//! the command `pam-check`, which reads user and password from its standard input. Whatever a module does there, it is
//! one login that fails.

use std::net::IpAddr;
use std::process::Stdio;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

/// The command of this program that asks.
pub const COMMAND: &str = "pam-check";

/// Whether this program can ask.
pub const IS_BUILT_IN: bool = cfg!(feature = "pam");

/// How many ask at once; others wait.
pub const AT_ONCE: usize = 32;

/// How much of an answer is read, in bytes.
const ANSWER_MAX: u64 = 1000;

/// Between user and password.
const END: u8 = 0;

/// Why a password does not count.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// PAM says no.
    #[error("{0}")]
    Refused(String),
    /// Nobody can be asked.
    #[error("PAM cannot be asked: {0}")]
    Unable(#[from] std::io::Error),
    /// The process that was to ask did not end well.
    #[error("PAM cannot be asked: the process that does ended with {0}")]
    Died(std::process::ExitStatus),
}

impl Error {
    /// Whether it is the client's: the operator need not look.
    pub fn is_clients(&self) -> bool {
        matches!(self, Self::Refused(_))
    }
}

/// Asks PAM whether the password is the user's, and whether the user may come in. Dropped before the end, it ends
/// the process that asks.
///
/// # Errors
/// It is not, or there is no way to tell.
pub async fn check(
    turns: &Semaphore,
    service: &str,
    from: Option<IpAddr>,
    user: &str,
    password: &str,
) -> Result<(), Error> {
    let turn = turns.acquire().await;
    let from = from.map(|address| address.to_string()).unwrap_or_default();
    // Also if the file was replaced since this process began.
    let mut asking = Command::new("/proc/self/exe")
        .args([COMMAND, service, &from])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let mut question = Zeroizing::new(Vec::with_capacity(user.len() + 1 + password.len()));
    question.extend_from_slice(user.as_bytes());
    question.push(END);
    question.extend_from_slice(password.as_bytes());
    let mut answer = String::new();
    if let Some(mut input) = asking.stdin.take() {
        // If it does not read, its end says more.
        let _ = input.write_all(&question).await;
    }
    if let Some(output) = asking.stdout.take() {
        output.take(ANSWER_MAX).read_to_string(&mut answer).await?;
    }
    let status = asking.wait().await?;
    drop(turn);
    match status.code() {
        Some(0) => Ok(()),
        Some(1) if !answer.is_empty() => Err(Error::Refused(answer.trim_end().to_owned())),
        _ => Err(Error::Died(status)),
    }
}

/// What the process does that asks: 0 is yes, 1 with a reason is no.
#[cfg(feature = "pam")]
pub fn ask(service: &str, from: &str) -> std::process::ExitCode {
    use std::io::Read;
    let mut question = Zeroizing::new(Vec::new());
    let read = std::io::stdin().read_to_end(&mut question);
    let (user, password) = match question.iter().position(|byte| *byte == END) {
        Some(end) if read.is_ok() => (&question[..end], &question[end + 1..]),
        _ => return std::process::ExitCode::from(2),
    };
    match conversation::hold(service, from, user, password) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            println!("{error}");
            std::process::ExitCode::FAILURE
        }
    }
}

/// The conversation with PAM.
#[cfg(feature = "pam")]
mod conversation {
    use std::ffi::{OsStr, OsString};
    use std::os::unix::ffi::{OsStrExt, OsStringExt};

    use nonstick::items::ItemsMut;
    use nonstick::{
        AuthnFlags, ConversationAdapter, ErrorCode, PamShared, Result, Transaction,
        TransactionBuilder,
    };
    use zeroize::Zeroizing;

    /// Gives the password to whoever asks for something that nobody is to see.
    struct Client {
        user: OsString,
        password: Zeroizing<Vec<u8>>,
    }

    impl ConversationAdapter for Client {
        fn prompt(&self, _: impl AsRef<OsStr>) -> Result<OsString> {
            // The only thing that may be seen.
            Ok(self.user.clone())
        }

        fn masked_prompt(&self, _: impl AsRef<OsStr>) -> Result<OsString> {
            Ok(OsString::from_vec(self.password.to_vec()))
        }

        fn error_msg(&self, _: impl AsRef<OsStr>) {}

        fn info_msg(&self, _: impl AsRef<OsStr>) {}
    }

    /// Authenticates, then asks whether the account may be used.
    pub(super) fn hold(
        service: &str,
        from: &str,
        user: &[u8],
        password: &[u8],
    ) -> std::result::Result<(), ErrorCode> {
        let user = OsStr::from_bytes(user);
        let client = Client {
            user: user.to_owned(),
            password: Zeroizing::new(password.to_vec()),
        };
        let builder = TransactionBuilder::new_with_service(service).username(user);
        let mut transaction = builder.build(client.into_conversation())?;
        if !from.is_empty() {
            let mut items = transaction.items_mut();
            items.set_remote_host(Some(OsStr::new(from)))?;
        }
        transaction.authenticate(AuthnFlags::DISALLOW_NULL_AUTHTOK)?;
        transaction.account_management(AuthnFlags::DISALLOW_NULL_AUTHTOK)
    }
}
