//! What a command has to say besides that it is done.

use pgweir_wire::encode::{self, ErrorFields};

/// A NoticeResponse before the end of a command. psql shows it; programs pass over it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// Good to know.
    Plain(String),
    /// Something is not as it was asked for.
    Warning(String),
}

impl Notice {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let (severity, sqlstate, message) = match self {
            Self::Plain(text) => ("NOTICE", "00000", text),
            Self::Warning(text) => ("WARNING", "01000", text),
        };
        let fields = ErrorFields {
            severity,
            sqlstate,
            message,
            ..ErrorFields::default()
        };
        encode::notice_once(&fields, out);
    }
}
