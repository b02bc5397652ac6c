//! What a server said, for people to read.

/// Where two streams of a server part.
pub fn difference(expected: &[u8], seen: &[u8]) -> String {
    let (expected, seen) = (words(expected), words(seen));
    let pairs = expected.iter().zip(&seen);
    let same = pairs.take_while(|(a, b)| a == b).count();
    let from = same.saturating_sub(8);
    let part = |all: &[String]| all[from..all.len().min(same + 6)].join("\n");
    format!(
        "-- {from} frames are the same\n-- expected\n{}\n-- saw\n{}",
        part(&expected),
        part(&seen)
    )
}

/// Frames of a server in words, one to a line.
pub fn words(mut bytes: &[u8]) -> Vec<String> {
    let mut out = Vec::new();
    while let Ok(Some(head)) = pgweir_wire::header(bytes, u32::MAX) {
        let len = (head.frame_len() as usize).min(bytes.len());
        let body = String::from_utf8_lossy(&bytes[5..len]).replace('\0', "·");
        let body: String = body.chars().filter(|c| !c.is_control()).take(120).collect();
        out.push(format!("{} {body}", char::from(head.tag)));
        bytes = &bytes[len..];
    }
    if !bytes.is_empty() {
        out.push(format!("{} bytes more", bytes.len()));
    }
    out
}
