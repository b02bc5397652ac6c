//! One client of a run, with its script and what it has seen.

use pgweir_session::{Client, Mode, Settings};

use crate::backend;
use crate::script::Script;

pub struct Peer {
    pub script: Script,
    pub client: Client,
    pub burst: usize,
    /// How much of the burst is on its way.
    pub written: usize,
    pub wire: Vec<u8>,
    pub held: Vec<u8>,
    pub received: Vec<u8>,
    pub lease: Option<usize>,
    pub waiting: bool,
    pub hold_back: bool,
    pub waits_its_turn: bool,
    pub asked: Asked,
    pub over: bool,
    /// Its backend died.
    pub lost: bool,
    /// Goes without a word after so many bytes.
    pub vanishes_after: Option<usize>,
    pub judged: usize,
}

/// What the client has asked on its lease, while that may have to be asked anew.
#[derive(Default)]
pub struct Asked {
    pub bytes: Vec<u8>,
    pub of_primary: bool,
    pub times: u8,
}

impl Peer {
    pub fn new(script: &Script, mode: Mode, vanishes_after: Option<usize>) -> Self {
        let pairs = script.startup.iter();
        let startup = Settings::new(pairs.map(|(n, v)| (n.as_bytes(), v.as_bytes())));
        Self {
            script: script.clone(),
            client: Client::new(mode, &startup, backend::base(script.defaults)),
            burst: 0,
            written: 0,
            wire: Vec::new(),
            held: Vec::new(),
            received: Vec::new(),
            lease: None,
            waiting: false,
            hold_back: false,
            waits_its_turn: false,
            asked: Asked::default(),
            over: false,
            lost: false,
            vanishes_after,
            judged: 0,
        }
    }

    pub fn may_write(&self) -> bool {
        self.written < self.script.bursts[self.burst].bytes.len() || self.is_answered()
    }

    pub fn is_answered(&self) -> bool {
        self.received.len() >= self.script.bursts[self.burst].answered_at
    }

    pub fn next_burst(&mut self) {
        while let Some(burst) = self.script.bursts.get(self.burst)
            && self.written == burst.bytes.len()
            && self.is_answered()
        {
            self.burst += 1;
            self.written = 0;
        }
    }
}

/// What a client of statement mode sees of these answers: all in front of the ReadyForQuery that
/// tells of an open transaction.
pub fn up_to_a_block(answers: &[u8]) -> &[u8] {
    let mut at = 0;
    while let Ok(Some(head)) = pgweir_wire::header(&answers[at..], u32::MAX) {
        let end = at + head.frame_len() as usize;
        if head.tag == b'Z' && answers[end - 1] != b'I' {
            return &answers[..at];
        }
        at = end;
    }
    answers
}
