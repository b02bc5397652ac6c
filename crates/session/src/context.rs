//! Under which settings a statement's text is parsed: they decide what its bytes, escapes and
//! literals mean.

use std::sync::Arc;

use crate::settings::{Parameters, Settings};

/// Settings that can change what a text means, as what differs from a base.
///
/// Two of different bases are different, whatever their settings come to.
#[derive(Debug, Clone, Default)]
pub struct Context {
    base: Arc<Parameters>,
    settings: Settings,
}

impl Context {
    /// The context of a client that wants these settings.
    pub fn new(base: Arc<Parameters>, settings: &Settings) -> Self {
        let settings = settings.planning();
        Self { base, settings }
    }

    /// The client wants other settings.
    pub(crate) fn change(&mut self, settings: &Settings) {
        self.settings = settings.planning();
    }

    /// The settings that differ from the base.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }
}

impl PartialEq for Context {
    fn eq(&self, other: &Self) -> bool {
        let is_same_base = Arc::ptr_eq(&self.base, &other.base) || self.base == other.base;
        is_same_base && self.settings == other.settings
    }
}

impl Eq for Context {}
