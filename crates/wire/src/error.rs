//! What can be wrong with bytes from outside.

/// The sender of the bytes broke the protocol; what follows on that connection cannot be trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The length field counts itself, so less than 4 cannot be.
    #[error("frame {:?} has the invalid length {len}", char::from(*.tag))]
    FrameTooShort {
        /// Tag of the frame.
        tag: u8,
        /// Its length field, in bytes.
        len: u32,
    },
    /// The length field is above what the caller allows.
    #[error("frame {:?} has the length {len}, the limit is {limit}", char::from(*.tag))]
    FrameTooLong {
        /// Tag of the frame.
        tag: u8,
        /// Its length field, in bytes.
        len: u32,
        /// The caller's limit for it, in bytes.
        limit: u32,
    },
    /// A packet before the first frame is too short or too long.
    #[error("invalid length {len} of startup packet")]
    PacketLength {
        /// Its length field, in bytes.
        len: u32,
    },
    /// A startup packet asks for a protocol other than 3.x.
    #[error(
        "unsupported frontend protocol {}.{}: server supports 3.0 to 3.2",
        .version >> 16,
        .version & 0xffff
    )]
    Version {
        /// Major version in the upper, minor version in the lower 16 bits.
        version: u32,
    },
    /// A packet before the first frame is not laid out as its kind demands.
    #[error("invalid startup packet layout: {what}")]
    PacketLayout {
        /// What is missing or wrong.
        what: &'static str,
    },
    /// The startup parameter `options` holds something other than settings.
    #[error("unsupported options startup parameter {option:?}: only -c name=value is allowed")]
    Options {
        /// The word that was not understood; bytes that are not UTF-8 are replaced.
        option: String,
    },
    /// A text has no NUL at its end.
    #[error("invalid string in message {message}")]
    Unterminated {
        /// Name of the message in PostgreSQL's manual.
        message: &'static str,
    },
    /// The body ends before its last field does.
    #[error("insufficient data left in message {message}")]
    Insufficient {
        /// Name of the message in PostgreSQL's manual.
        message: &'static str,
    },
    /// The body goes on after its last field.
    #[error("invalid format of message {message}: {left} bytes too many")]
    Excess {
        /// Name of the message in PostgreSQL's manual.
        message: &'static str,
        /// How many bytes are left over.
        left: usize,
    },
    /// A field has a value that its message does not know.
    #[error("invalid {field} {value} in message {message}")]
    Value {
        /// Name of the message in PostgreSQL's manual.
        message: &'static str,
        /// Which field.
        field: &'static str,
        /// What it holds.
        value: u32,
    },
}
