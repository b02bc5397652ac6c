//! Units that may run a second time, on another host, if the first one cannot do them.
//!
//! Until the server has shown that it can, the client is told nothing. What it is told then is all that
//! was held back. A unit is on trial only if it is there to its end, so nobody waits for a part of its answer.

use pgweir_wire::{backend::Fields, header, tag::backend as tag};

/// Where a unit on trial stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trial {
    /// The client is told everything.
    Over,
    /// Nothing of the client's has been answered.
    On,
    /// The server cannot do it.
    Failed(Setback),
}

/// Why a unit did not run where it was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setback {
    /// It writes, and the host is a standby (25006).
    ReadOnly,
    /// What it read went away with what the standby replayed (40001, 40P01).
    Conflict,
    /// The server ends the connection (57P01, 57P02, 57P03, …).
    Goodbye,
}

/// What the beginning of an answer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing that decides has come.
    Unknown,
    /// The server does it, or says why nobody would.
    Runs,
    /// It must run elsewhere.
    Fails(Setback),
}

/// Whether an answer to a request of ours says that the server goes; what else it says is not about the client's.
pub(crate) fn says_goodbye(input: &[u8]) -> bool {
    let Ok(Some(head)) = header(input, u32::MAX) else {
        return false;
    };
    let frame = whole(input, head.frame_len()).filter(|_| head.tag == tag::ERROR_RESPONSE);
    frame.is_some_and(|frame| {
        let fields = Fields::new(&frame[pgweir_wire::HEADER_LEN..]);
        setback(&fields, false) == Some(Setback::Goodbye)
    })
}

/// Judges the beginning of an answer.
pub(crate) fn verdict(mut input: &[u8], on_standby: bool) -> Verdict {
    while let Ok(Some(head)) = header(input, u32::MAX) {
        match head.tag {
            // These show nothing of what was read.
            tag::PARSE_COMPLETE
            | tag::BIND_COMPLETE
            | tag::CLOSE_COMPLETE
            | tag::NO_DATA
            | tag::PARAMETER_DESCRIPTION
            | tag::ROW_DESCRIPTION
            | tag::PARAMETER_STATUS
            | tag::COMMAND_COMPLETE
            | tag::EMPTY_QUERY_RESPONSE
            | tag::NOTICE_RESPONSE => {}
            tag::ERROR_RESPONSE => {
                let Some(frame) = whole(input, head.frame_len()) else {
                    return Verdict::Unknown;
                };
                let fields = Fields::new(&frame[pgweir_wire::HEADER_LEN..]);
                return match setback(&fields, on_standby) {
                    Some(setback) => Verdict::Fails(setback),
                    None => Verdict::Runs,
                };
            }
            _ => return Verdict::Runs,
        }
        let Some(frame) = whole(input, head.frame_len()) else {
            return Verdict::Unknown;
        };
        input = &input[frame.len()..];
    }
    Verdict::Unknown
}

fn whole(input: &[u8], len: u64) -> Option<&[u8]> {
    input.get(..usize::try_from(len).ok()?)
}

fn setback(fields: &Fields<'_>, on_standby: bool) -> Option<Setback> {
    match fields.sqlstate()? {
        b"25006" if on_standby => Some(Setback::ReadOnly),
        b"40001" | b"40P01" if on_standby => Some(Setback::Conflict),
        b"57P01" | b"57P02" | b"57P03" | b"57P04" => Some(Setback::Goodbye),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pgweir_wire::encode;

    fn error(sqlstate: &str, out: &mut Vec<u8>) {
        let fields = encode::ErrorFields {
            severity: "ERROR",
            sqlstate,
            message: "it is not possible",
            ..encode::ErrorFields::default()
        };
        encode::error(&fields, out);
    }

    #[test]
    fn an_error_decides_only_with_all_that_comes_before() {
        for (sqlstate, on_standby, expected) in [
            ("25006", true, Some(Setback::ReadOnly)),
            ("25006", false, None),
            ("40001", true, Some(Setback::Conflict)),
            ("40001", false, None),
            ("57P01", false, Some(Setback::Goodbye)),
            ("42P01", true, None),
        ] {
            let mut answer = Vec::new();
            encode::parse_complete(&mut answer);
            encode::bind_complete(&mut answer);
            encode::row_description(&[("a", 23)], &mut answer);
            error(sqlstate, &mut answer);
            for end in 0..answer.len() {
                let early = verdict(&answer[..end], on_standby);
                assert!(matches!(early, Verdict::Unknown), "{sqlstate} {end}");
            }
            let found = match verdict(&answer, on_standby) {
                Verdict::Fails(setback) => Some(setback),
                Verdict::Runs => None,
                Verdict::Unknown => panic!("{sqlstate} decides"),
            };
            assert_eq!(found, expected, "{sqlstate}");
        }
    }

    #[test]
    fn a_row_decides() {
        let mut answer = Vec::new();
        encode::data_row(&[Some(b"1")], &mut answer);
        error("25006", &mut answer);
        assert!(matches!(verdict(&answer, true), Verdict::Runs));
    }
}
