//! The tags of protocol 3.2, named as in "Message Formats" of PostgreSQL's manual.
//!
//! The same letter means different things in the two directions, hence two modules.

/// Tags of what a client sends.
pub mod frontend {
    /// Bind a prepared statement's parameters to a portal.
    pub const BIND: u8 = b'B';
    /// Close a prepared statement or a portal.
    pub const CLOSE: u8 = b'C';
    /// Data of a COPY; the same in both directions.
    pub const COPY_DATA: u8 = b'd';
    /// End of a COPY; the same in both directions.
    pub const COPY_DONE: u8 = b'c';
    /// The client gives a COPY up.
    pub const COPY_FAIL: u8 = b'f';
    /// Describe a prepared statement or a portal.
    pub const DESCRIBE: u8 = b'D';
    /// Execute a portal.
    pub const EXECUTE: u8 = b'E';
    /// Send what is buffered.
    pub const FLUSH: u8 = b'H';
    /// Call a function by its OID.
    pub const FUNCTION_CALL: u8 = b'F';
    /// Parse a statement.
    pub const PARSE: u8 = b'P';
    /// Any answer to an authentication request: password, SASL, GSSAPI.
    pub const PASSWORD: u8 = b'p';
    /// A query of the simple protocol.
    pub const QUERY: u8 = b'Q';
    /// The end of a series of requests of the extended protocol.
    pub const SYNC: u8 = b'S';
    /// The client leaves.
    pub const TERMINATE: u8 = b'X';
}

/// Tags of what a server sends.
pub mod backend {
    /// A request for authentication, or its success.
    pub const AUTHENTICATION: u8 = b'R';
    /// The key for cancel requests.
    pub const BACKEND_KEY_DATA: u8 = b'K';
    /// Bind succeeded.
    pub const BIND_COMPLETE: u8 = b'2';
    /// Close succeeded.
    pub const CLOSE_COMPLETE: u8 = b'3';
    /// A statement succeeded.
    pub const COMMAND_COMPLETE: u8 = b'C';
    /// COPY in both directions begins (replication).
    pub const COPY_BOTH_RESPONSE: u8 = b'W';
    /// Data of a COPY; the same in both directions.
    pub const COPY_DATA: u8 = b'd';
    /// End of a COPY; the same in both directions.
    pub const COPY_DONE: u8 = b'c';
    /// COPY from the client begins.
    pub const COPY_IN_RESPONSE: u8 = b'G';
    /// COPY to the client begins.
    pub const COPY_OUT_RESPONSE: u8 = b'H';
    /// A row.
    pub const DATA_ROW: u8 = b'D';
    /// The query text was empty.
    pub const EMPTY_QUERY_RESPONSE: u8 = b'I';
    /// A request failed.
    pub const ERROR_RESPONSE: u8 = b'E';
    /// The result of a function called by its OID.
    pub const FUNCTION_CALL_RESPONSE: u8 = b'V';
    /// The server does not know the minor version or an option that was asked for.
    pub const NEGOTIATE_PROTOCOL_VERSION: u8 = b'v';
    /// What was described returns no rows.
    pub const NO_DATA: u8 = b'n';
    /// A notice, at any time.
    pub const NOTICE_RESPONSE: u8 = b'N';
    /// A notification of NOTIFY, at any time.
    pub const NOTIFICATION_RESPONSE: u8 = b'A';
    /// Types of a statement's parameters.
    pub const PARAMETER_DESCRIPTION: u8 = b't';
    /// A setting's value, at the start and after a change.
    pub const PARAMETER_STATUS: u8 = b'S';
    /// Parse succeeded.
    pub const PARSE_COMPLETE: u8 = b'1';
    /// Execute stopped at its limit of rows.
    pub const PORTAL_SUSPENDED: u8 = b's';
    /// The server awaits the next query.
    pub const READY_FOR_QUERY: u8 = b'Z';
    /// Names and types of a result's columns.
    pub const ROW_DESCRIPTION: u8 = b'T';
}
