//! A bound command, and what of its result has not been fetched.

use pgweir_wire::{encode, header, tag};

use crate::column::Formats;
use crate::command::Command;

/// A portal. Its command is asked for once; what is executed after that is the rest of its result.
#[derive(Debug)]
pub(crate) struct Portal {
    pub(crate) command: Command,
    pub(crate) formats: Formats,
    /// Whole frames, CommandComplete the last of them; `None` before the first Execute.
    rest: Option<Vec<u8>>,
}

impl Portal {
    pub(crate) fn new(command: Command, formats: Formats) -> Self {
        Self {
            command,
            formats,
            rest: None,
        }
    }

    /// Takes the command's result and writes as much of it as is asked for.
    pub(crate) fn run(&mut self, result: Vec<u8>, max_rows: u32, out: &mut Vec<u8>) {
        self.rest = Some(result);
        self.resume(max_rows, out);
    }

    /// Writes up to `max_rows` more rows (0: all), and what else there is; false if the command has
    /// not been run.
    pub(crate) fn resume(&mut self, max_rows: u32, out: &mut Vec<u8>) -> bool {
        let Some(rest) = &mut self.rest else {
            return false;
        };
        let (mut end, mut rows_left) = (0, max_rows);
        let is_complete = loop {
            let header = header(&rest[end..], u32::MAX).ok().flatten();
            let header = header.expect("the rest is whole frames up to CommandComplete");
            if header.tag == tag::backend::COMMAND_COMPLETE {
                break true;
            }
            end += header.frame_len() as usize;
            if header.tag == tag::backend::DATA_ROW && max_rows > 0 {
                rows_left -= 1;
                if rows_left == 0 {
                    break false;
                }
            }
        };
        out.extend(rest.drain(..end));
        match is_complete {
            // It stays: who executes again gets no rows, and the command is not run again.
            true => out.extend_from_slice(rest),
            false => encode::frame(tag::backend::PORTAL_SUSPENDED, b"", out),
        }
        true
    }
}
