//! One frame of a client, as far as it is there, and what is to be done with it.

use crate::rules::Refusal;

/// One frame in the client's bytes.
#[derive(Debug)]
pub(crate) struct Frame<'a> {
    pub(crate) tag: u8,
    /// Its whole length, header included.
    pub(crate) len: u64,
    /// The input from its first byte on; may end before the frame does, or reach beyond it.
    pub(crate) seen: &'a [u8],
}

impl<'a> Frame<'a> {
    /// The body, as far as it is there.
    pub(crate) fn body_seen(&self) -> &'a [u8] {
        let end = (self.seen.len() as u64).min(self.len) as usize;
        &self.seen[pgweir_wire::HEADER_LEN..end]
    }

    /// The body, if all of it is there.
    pub(crate) fn body(&self) -> Option<&'a [u8]> {
        if self.is_whole() {
            Some(self.body_seen())
        } else {
            None
        }
    }

    pub(crate) fn is_whole(&self) -> bool {
        self.seen.len() as u64 >= self.len
    }

    /// The whole frame goes to the server as it is.
    pub(crate) fn forward(&self) -> Outcome {
        Outcome::Pass {
            from: 0,
            forward: true,
        }
    }

    /// The whole frame goes nowhere.
    pub(crate) fn drop(&self) -> Outcome {
        Outcome::Pass {
            from: 0,
            forward: false,
        }
    }

    /// It has been written in another form: its bytes are done with.
    pub(crate) fn done(&self) -> Outcome {
        Outcome::Pass {
            from: usize::try_from(self.len).unwrap_or(usize::MAX),
            forward: true,
        }
    }

    /// Its names must be seen whole, but nobody needs names of many kilobytes.
    pub(crate) fn wait_for_names(&self) -> Result<Outcome, Refusal> {
        if self.is_whole() {
            return Err(unterminated());
        }
        check_names(self.body_seen().len())?;
        Ok(Outcome::More)
    }
}

/// What to do with a frame.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Its bytes from `from` on are handed on, or dropped; those before are done with.
    Pass {
        from: usize,
        forward: bool,
    },
    /// More of it must be there to tell.
    More,
    NeedsServer,
    Terminate,
}

/// A frame of which only the beginning has been seen.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Passing {
    /// Bytes of it that are still to come. Invariant: 0 between frames.
    pub(crate) remaining: u64,
    /// Whether they are handed on or dropped.
    pub(crate) forward: bool,
}

/// Longest front of a Bind, Describe or Close message that is held back until its names are whole.
const NAMES_LEN_MAX: usize = 16 * 1024;

/// The front of a message, up to the end of its names, is `len` bytes long, or longer.
pub(crate) fn check_names(len: usize) -> Result<(), Refusal> {
    if len > NAMES_LEN_MAX {
        return Err(unterminated());
    }
    Ok(())
}

fn unterminated() -> Refusal {
    let message = "of the extended protocol";
    pgweir_wire::Error::Unterminated { message }.into()
}
