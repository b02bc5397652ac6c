//! A socket by its file descriptor, for SHOW FDS.

/// A socket.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FdRow {
    /// Its number in the process.
    pub fd: u64,
    /// `pooler` for one that listens, else whose connection it is: `client` or `server`.
    pub task: &'static str,
    /// Who is logged in, if anybody is.
    pub user: Option<String>,
    /// Where.
    pub database: Option<String>,
    /// Address of the other side, or to which it listens; `unix` for a Unix socket.
    pub addr: String,
    /// Port there.
    pub port: u64,
    /// The socket of the connection that it is linked with; 0 if there is none.
    pub link: u64,
}
