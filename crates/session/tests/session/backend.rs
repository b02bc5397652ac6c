//! A backend together with what the pooler knows of it, and the bytes between the two.

use std::sync::Arc;

use pgweir_session::{Batch, Parameters, Server};

use crate::fake::Fake;

pub struct Backend {
    pub fake: Fake,
    pub server: Server,
    /// On the way to the backend.
    pub sent: Vec<u8>,
    /// Read from the backend and not dealt with.
    pub held: Vec<u8>,
}

/// Servers of one pool may have been configured apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Defaults {
    Usual,
    Odd,
}

impl Defaults {
    pub fn values(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Usual => &[],
            Self::Odd => &[("TimeZone", "Lima"), ("DateStyle", "SQL, DMY")],
        }
    }
}

/// What a backend reports at login.
pub fn base(defaults: Defaults) -> Arc<Parameters> {
    let mut base = Parameters::default();
    for (name, value) in Fake::new(defaults.values()).reported() {
        base.insert(name.as_bytes(), value.as_bytes());
    }
    Arc::new(base)
}

impl Backend {
    pub fn new(defaults: Defaults) -> Self {
        let fake = Fake::new(defaults.values());
        Self {
            server: Server::new(base(defaults)),
            fake,
            sent: Vec::new(),
            held: Vec::new(),
        }
    }

    /// S5: what the next client would find here.
    pub fn check_clean(&mut self) {
        // Copy data that came too late for its COPY, which the backend ignores.
        let late = std::mem::take(&mut self.sent);
        self.fake.feed(&late);
        assert!(self.fake.output.is_empty());
        let engine = &self.fake.engine;
        assert!(
            self.fake.is_idle(),
            "the backend is busy: {}",
            self.fake.place()
        );
        assert!(
            engine.locks.is_empty(),
            "a lock is left: {:?}",
            engine.locks
        );
        assert!(engine.listening.is_empty(), "it still listens");
        assert!(engine.temporary.is_empty(), "a temporary table is left");
        assert!(engine.held.is_empty(), "a cursor is left");
        for (name, prepared) in &engine.named {
            assert!(!prepared.by_sql, "a statement of PREPARE is left");
            assert!(
                name.starts_with(b"pgweir_") && name[7..].iter().all(u8::is_ascii_digit),
                "a statement is left under the name {:?}",
                String::from_utf8_lossy(name)
            );
        }
    }

    /// Reads what nobody is there to see.
    fn read_all(&mut self) {
        let mut to_client = Batch::new();
        self.held.append(&mut self.fake.output);
        let consumed = self
            .server
            .handle_replies(&self.held, None, &mut to_client)
            .expect("the backend keeps to the protocol");
        self.held.drain(..consumed);
    }

    /// Sends requests of ours and waits for their answers.
    pub fn exchange(&mut self, batch: &Batch) {
        let mut bytes = std::mem::take(&mut self.sent);
        batch.copy_after(&[], 0, &mut bytes);
        self.fake.feed(&bytes);
        self.read_all();
    }
}
