//! A server that answers everything with the same row.

use pgweir_wire::backend::Status;
use pgweir_wire::{encode, header, tag::frontend};

const INT4: u32 = 23;

/// What a server sends back for `requests`.
///
/// # Panics
/// When `requests` are not whole frames of the simple or the extended protocol.
pub fn answer(mut requests: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    while !requests.is_empty() {
        let head = header(requests, u32::MAX)
            .expect("a valid length")
            .expect("whole frames");
        let (frame, rest) = requests.split_at(head.frame_len() as usize);
        requests = rest;
        match head.tag {
            frontend::QUERY => {
                out.extend_from_slice(&rows(1, 4));
            }
            frontend::PARSE => encode::parse_complete(&mut out),
            frontend::BIND => encode::bind_complete(&mut out),
            frontend::DESCRIBE => {
                if frame[5] == b'S' {
                    encode::parameter_description(&[INT4], &mut out);
                }
                encode::row_description(&[("abalance", INT4)], &mut out);
            }
            frontend::EXECUTE => {
                encode::data_row(&[Some(b"1234")], &mut out);
                encode::command_complete("SELECT 1", &mut out);
            }
            frontend::CLOSE => encode::close_complete(&mut out),
            frontend::SYNC => encode::ready(Status::Idle, &mut out),
            tag => panic!("no answer to {:?}", char::from(tag)),
        }
    }
    out
}

/// The answer to a Query that gives `count` rows with one column of `width` bytes.
pub fn rows(count: usize, width: usize) -> Vec<u8> {
    let mut out = Vec::new();
    let column = vec![b'1'; width];
    encode::row_description(&[("abalance", INT4)], &mut out);
    for _ in 0..count {
        encode::data_row(&[Some(&column)], &mut out);
    }
    encode::command_complete("SELECT 1", &mut out);
    encode::ready(Status::Idle, &mut out);
    out
}
