//! The promises W1, W2, W3 and W5 on random input; W4 is `no_alloc.rs`.

use pgweir_wire::{Error, HEADER_LEN, Scanner, backend, encode, frontend, header, startup};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

/// Small enough for random lengths to be on either side.
const LIMIT: u32 = 300;

/// What a scanner made of a stream.
#[derive(Debug, PartialEq)]
struct Scanned {
    /// Tag and bytes of each frame; the last may be unfinished.
    frames: Vec<(u8, Vec<u8>)>,
    /// What was not enough for a header.
    rest: Vec<u8>,
    error: Option<Error>,
    at_border: bool,
}

/// Lets a scanner read `stream` in reads that end at `cuts` (ascending), as a connection does.
fn scan(stream: &[u8], cuts: &[usize]) -> Scanned {
    let mut scanner = Scanner::new(LIMIT);
    let mut scanned = Scanned {
        frames: Vec::new(),
        rest: Vec::new(),
        error: None,
        at_border: true,
    };
    let mut from = 0;
    for &to in cuts.iter().chain([&stream.len()]) {
        let input = [&scanned.rest, &stream[from..to]].concat();
        from = to;
        let mut at = 0;
        loop {
            let ended = scanner.at_border();
            match scanner.next(&input[at..]) {
                Ok(Some(piece)) => {
                    assert_eq!(piece.starts, ended, "a piece starts a frame at a border");
                    assert_eq!(piece.ends, scanner.at_border());
                    assert!(!piece.bytes.is_empty());
                    if piece.starts {
                        scanned.frames.push((piece.tag, Vec::new()));
                    }
                    let (tag, bytes) = scanned
                        .frames
                        .last_mut()
                        .expect("the first piece starts a frame");
                    assert_eq!(piece.tag, *tag);
                    bytes.extend_from_slice(piece.bytes);
                    at += piece.bytes.len();
                }
                Ok(None) => break,
                Err(error) => {
                    scanned.error = Some(error);
                    break;
                }
            }
        }
        scanned.rest = input[at..].to_vec();
        assert!(scanned.error.is_some() || scanned.rest.len() < HEADER_LEN);
        if scanned.error.is_some() {
            // What stands behind a broken header is never looked at.
            scanned.rest.extend_from_slice(&stream[from..]);
            break;
        }
    }
    scanned.at_border = scanner.at_border();
    scanned
}

/// A stream of frames, now and then with a length that is none.
fn streams() -> impl Strategy<Value = Vec<u8>> {
    let good = (any::<u8>(), vec(any::<u8>(), 0..40)).prop_map(|(tag, body)| {
        let mut out = Vec::new();
        encode::frame(tag, &body, &mut out);
        out
    });
    let large = (any::<u8>(), 200..=LIMIT as usize - 4).prop_map(|(tag, len)| {
        let mut out = Vec::new();
        encode::frame(tag, &vec![tag; len], &mut out);
        out
    });
    let broken = vec(any::<u8>(), 0..12);
    vec(prop_oneof![8 => good, 2 => large, 1 => broken], 0..12).prop_map(|frames| frames.concat())
}

/// A stream and where its reads end.
fn cut_streams() -> impl Strategy<Value = (Vec<u8>, Vec<usize>)> {
    (streams(), vec(any::<Index>(), 0..20)).prop_map(|(stream, cuts)| {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        cuts.sort_unstable();
        (stream, cuts)
    })
}

/// Bytes that look a little like bodies: many NULs and small counts.
fn bodies() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![3 => Just(0u8), 3 => 0u8..6, 3 => any::<u8>(), 1 => Just(0xff)];
    let text = "[a-zA-Z=\\\\ -]{0,6}".prop_map(|text| [text.as_bytes(), b"\0"].concat());
    let piece = prop_oneof![
        text,
        vec(byte, 0..6),
        prop_oneof![Just("S"), Just("P"), Just("-c a=b")].prop_map(|text| text.as_bytes().to_vec()),
    ];
    vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

/// Hands `body` to everything that reads one, and uses whatever comes out to its end.
fn read_in_every_way(body: &[u8]) {
    let _ = header(body, u32::MAX);
    let _ = frontend::parse(body);
    if let Some(names) = frontend::bind_names(body) {
        assert_eq!(
            names.rest_at,
            names.portal.len() + names.statement.len() + 2
        );
        let _ = &body[names.rest_at..];
    }
    let _ = frontend::describe(body);
    let _ = frontend::close(body);
    let _ = frontend::execute(body);
    let _ = frontend::query(body);
    let _ = frontend::password(body);
    let _ = frontend::copy_fail(body);
    let _ = frontend::sasl_initial(body);
    let _ = frontend::sasl_response(body);
    if let Ok(backend::Authentication::Sasl { mechanisms }) = backend::authentication(body) {
        assert!(mechanisms.clone().all(|mechanism| !mechanism.is_empty()));
    }
    let _ = backend::parameter_status(body);
    let _ = backend::backend_key(body);
    let _ = backend::ready(body);
    let _ = backend::command_tag(body);
    assert!(backend::Fields::new(body).count() <= body.len() / 2);
    if let Ok(negotiate) = backend::negotiate(body) {
        assert!(negotiate.options.count() <= body.len() - 8);
    }
    let _ = startup::packet_len(body);
    read_packet(body);
    for setting in startup::options(body).into_iter().flatten() {
        assert!(!setting.0.is_empty());
    }
}

/// Writes one message.
type Writer<'a> = &'a dyn Fn(&mut Vec<u8>);

fn read_packet(bytes: &[u8]) {
    match startup::packet(bytes) {
        Ok(startup::Packet::Startup(startup)) => {
            assert!(startup.parameters().all(|(name, _)| !name.is_empty()));
            let _ = startup.parameter("user");
        }
        Ok(startup::Packet::Cancel(cancel)) => assert!((4..=256).contains(&cancel.key.len())),
        Ok(_) => assert_eq!(bytes.len(), 8),
        Err(_) => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn w1_no_body_makes_it_panic(body in bodies()) {
        read_in_every_way(&body);
        for code in [0, 3, 5, 10, 11, 12] {
            read_in_every_way(&[&[0, 0, 0, code], &body[..]].concat());
        }
        read_in_every_way(&[&[0, 3, 0, 2], &body[..]].concat());
    }

    #[test]
    fn w1_no_noise_makes_it_panic(bytes in vec(any::<u8>(), 0..300)) {
        read_in_every_way(&bytes);
        scan(&bytes, &[]);
    }

    #[test]
    fn w1_no_packet_makes_it_panic(
        body in bodies(),
        code in prop_oneof![Just(196_608u32), 80_877_102..80_877_105u32, any::<u32>()],
        wrong in prop_oneof![9 => Just(0i32), 1 => -9..9i32],
    ) {
        let len = i32::try_from(body.len()).unwrap() + 8 + wrong;
        read_packet(&[&len.to_be_bytes(), &code.to_be_bytes(), &body[..]].concat());
    }

    #[test]
    fn w1_no_value_makes_a_second_frame(name in vec(any::<u8>(), 0..20), text in vec(any::<u8>(), 0..60)) {
        let own = String::from_utf8_lossy(&text);
        let fields = encode::ErrorFields { message: &own, detail: Some(&own), ..Default::default() };
        let writers: [Writer<'_>; 12] = [
            &|out| encode::parse(&name, &text, &name, out),
            &|out| encode::bind(&name, &name, &[Some(&text), None], out),
            &|out| encode::describe(b'S', &name, out),
            &|out| encode::query(&text, out),
            &|out| encode::password(&text, out),
            &|out| encode::sasl_initial(&own, Some(&text), out),
            &|out| encode::parameter_status(&name, &text, out),
            &|out| encode::error(&fields, out),
            &|out| encode::row_description(&[(&own, 25), (&own, 23)], out),
            &|out| encode::data_row(&[Some(&text), Some(&name)], out),
            &|out| encode::authentication_sasl(&[&own], out),
            &|out| encode::negotiate_version(2, &[&name, &text], out),
        ];
        let mut out = Vec::new();
        for write in writers {
            out.clear();
            write(&mut out);
            let found = header(&out, u32::MAX).unwrap().unwrap();
            prop_assert_eq!(found.frame_len(), out.len() as u64);
        }
        // Nor a second parameter out of one.
        out.clear();
        encode::startup_message(startup::PROTOCOL_3_0, [(&name, &text)], &mut out);
        match startup::packet(&out) {
            Ok(startup::Packet::Startup(startup)) => prop_assert!(startup.parameters().count() <= 1),
            _ => prop_assert!(false, "not a startup: {:?}", out),
        }
    }

    #[test]
    fn w2_cuts_are_invisible((stream, cuts) in cut_streams()) {
        prop_assert_eq!(scan(&stream, &cuts), scan(&stream, &[]));
    }

    #[test]
    fn w2_single_bytes_are_enough(stream in streams()) {
        let everywhere: Vec<usize> = (0..stream.len()).collect();
        prop_assert_eq!(scan(&stream, &everywhere), scan(&stream, &[]));
    }

    #[test]
    fn w3_frames_are_the_input((stream, cuts) in cut_streams()) {
        let scanned = scan(&stream, &cuts);
        let mut again: Vec<u8> = scanned.frames.iter().flat_map(|frame| frame.1.clone()).collect();
        again.extend_from_slice(&scanned.rest);
        prop_assert_eq!(again, stream);
        // And each but the last is exactly as long as its header says.
        for (number, (tag, bytes)) in scanned.frames.iter().enumerate() {
            let found = header(bytes, LIMIT).unwrap().unwrap();
            prop_assert_eq!(found.tag, *tag);
            let whole = found.frame_len() == bytes.len() as u64;
            prop_assert!(whole || number + 1 == scanned.frames.len() && !scanned.at_border);
        }
    }

    #[test]
    fn w5_a_length_is_judged_by_its_header(
        tag in any::<u8>(),
        len in prop_oneof![0u32..10, (LIMIT - 3)..(LIMIT + 3), any::<u32>()],
    ) {
        let bytes = [&[tag], &len.to_be_bytes()[..]].concat();
        let judged = Scanner::new(LIMIT).next(&bytes).map(|piece| piece.map(|piece| piece.bytes.len()));
        let expected = match len {
            0..4 => Err(Error::FrameTooShort { tag, len }),
            4..=LIMIT => Ok(Some(HEADER_LEN)),
            _ => Err(Error::FrameTooLong { tag, len, limit: LIMIT }),
        };
        prop_assert_eq!(judged, expected);
    }

    #[test]
    fn w5_a_packet_length_is_judged_by_its_field(
        len in prop_oneof![0u32..12, 9_990u32..10_010, any::<u32>()],
    ) {
        let judged = startup::packet_len(&len.to_be_bytes());
        let expected = match len {
            8..=10_000 => Ok(Some(len as usize)),
            _ => Err(Error::PacketLength { len }),
        };
        prop_assert_eq!(judged, expected);
    }
}
