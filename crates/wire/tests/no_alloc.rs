//! W4: looking at a frame allocates and copies nothing. W5: neither does a hostile length.
//!
//! Counts calls of the allocator. One test only, so that no other thread allocates meanwhile.
#![allow(unsafe_code, reason = "a global allocator cannot be written without")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use pgweir_wire::tag::{backend as from_server, frontend as from_client};
use pgweir_wire::{Error, HEADER_LEN, Scanner, backend, encode, frontend, startup};

struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is the system allocator's; counting touches no memory of its blocks.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Relaxed);
        // SAFETY: the caller's promises are handed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Relaxed);
        // SAFETY: the caller's promises are handed on.
        unsafe { System.realloc(block, layout, size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are handed on.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Runs `look` and says how often it asked for memory.
fn allocations(look: impl FnOnce()) -> usize {
    let before = ALLOCATIONS.load(Relaxed);
    look();
    ALLOCATIONS.load(Relaxed) - before
}

/// Scans `stream` in reads of `read` bytes, looks into every whole frame, and counts them. What comes
/// out must lie within the stream: lent, not copied.
fn relay(stream: &[u8], read: usize, look: fn(u8, &[u8])) -> usize {
    let mut scanner = Scanner::new(u32::MAX);
    let (mut at, mut frames) = (0, 0);
    while at < stream.len() {
        let end = (at + read).min(stream.len());
        while let Some(piece) = scanner.next(&stream[at..end]).expect("valid frames") {
            assert_eq!(
                piece.bytes.as_ptr(),
                stream[at..].as_ptr(),
                "the very bytes that were read"
            );
            at += piece.bytes.len();
            if piece.starts && piece.ends {
                look(piece.tag, &piece.bytes[HEADER_LEN..]);
            }
            frames += usize::from(piece.ends);
        }
    }
    frames
}

fn see<T>(read: Result<T, Error>) {
    black_box(read.expect("valid"));
}

fn look_at_request(tag: u8, body: &[u8]) {
    match tag {
        from_client::QUERY => see(frontend::query(body)),
        from_client::PARSE => see(frontend::parse(body)),
        from_client::BIND => see(Ok(frontend::bind_names(body))),
        from_client::DESCRIBE => see(frontend::describe(body)),
        from_client::EXECUTE => see(frontend::execute(body)),
        from_client::CLOSE => see(frontend::close(body)),
        _ => {}
    }
}

fn look_at_reply(tag: u8, body: &[u8]) {
    match tag {
        from_server::READY_FOR_QUERY => see(backend::ready(body)),
        from_server::COMMAND_COMPLETE => see(backend::command_tag(body)),
        from_server::PARAMETER_STATUS => see(backend::parameter_status(body)),
        from_server::ERROR_RESPONSE => see(Ok(backend::Fields::new(body).sqlstate())),
        from_server::AUTHENTICATION => see(backend::authentication(body)),
        _ => {}
    }
}

fn requests() -> Vec<u8> {
    let mut out = Vec::new();
    for _ in 0..50 {
        encode::query(b"select 1", &mut out);
        encode::parse(b"s1", b"select $1", &23u32.to_be_bytes(), &mut out);
        encode::bind(b"", b"s1", &[Some(b"1"), None], &mut out);
        encode::describe(b'P', b"", &mut out);
        encode::execute(b"", 0, &mut out);
        encode::close(b'S', b"s1", &mut out);
        encode::sync(&mut out);
    }
    out
}

fn replies() -> Vec<u8> {
    let mut out = Vec::new();
    encode::authentication_sasl(&["SCRAM-SHA-256"], &mut out);
    encode::parameter_status(b"TimeZone", b"UTC", &mut out);
    let fields = encode::ErrorFields {
        sqlstate: "26000",
        message: "no",
        ..Default::default()
    };
    for _ in 0..50 {
        encode::row_description(&[("a", 23)], &mut out);
        encode::data_row(&[Some(b"1")], &mut out);
        encode::data_row(&[Some(&[b'x'; 5000])], &mut out);
        encode::command_complete("SELECT 2", &mut out);
        encode::error(&fields, &mut out);
        encode::ready(backend::Status::Idle, &mut out);
    }
    out
}

/// Bodies whose counts and lengths promise far more than is there.
fn hostile_lengths_are_refused() {
    let refused = [
        frontend::parse(b"\0\0\xff\xff").is_err(),
        frontend::sasl_initial(b"X\0\x7f\xff\xff\xff").is_err(),
        backend::negotiate(b"\0\x03\0\0\xff\xff\xff\xff").is_err(),
        startup::packet_len(b"\x7f\xff\xff\xff").is_err(),
        startup::packet(b"\0\0\x27\x10\0\x03\0\0").is_err(),
        Scanner::new(1 << 30).next(b"d\x7f\xff\xff\xff").is_err(),
    ];
    assert_eq!(refused, [true; 6]);
}

#[test]
fn w4_looking_at_a_frame_allocates_nothing() {
    let (requests, replies) = (requests(), replies());
    // One read for all; reads within which large frames do not fit, and headers are cut.
    for read in [usize::MAX / 2, 1460, 64, 7] {
        let mut frames = (0, 0);
        let asked = allocations(|| {
            frames = (
                relay(&requests, read, look_at_request),
                relay(&replies, read, look_at_reply),
            );
        });
        assert_eq!((asked, frames), (0, (350, 302)), "reads of {read} bytes");
    }
    // W5, where it can be counted.
    assert_eq!(allocations(hostile_lengths_are_refused), 0);
    // The counter counts.
    assert_eq!(allocations(|| drop(black_box(Box::new(1)))), 1);
    // A buffer that has room is all that our own replies need.
    let mut out = Vec::with_capacity(100);
    assert_eq!(allocations(|| encode::parse_complete(&mut out)), 0);
    assert_eq!(allocations(|| encode::query(b"rollback", &mut out)), 0);
}
