//! The session side of a client: its names, its settings, and where it stands in its own stream.

use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;

use pgweir_wire::{backend::Status, encode};

use crate::batch::Batch;
use crate::context::Context;
use crate::effects::{self, Verdict};
use crate::frame::Passing;
use crate::journal::Before;
use crate::names::{self, Named, Names};
use crate::reply::{Expect, Resets, Skipped};
use crate::routing::{Intents, Routing, Segment, Unit};
use crate::rules::{Mode, Rules};
use crate::server::Server;
use crate::settings::{Parameters, Settings, settable};
use crate::statement;
use crate::trial::Trial;
use crate::unnamed::ClientUnnamed;

/// What the portals of a lease were made from.
#[derive(Debug, Default)]
pub(crate) struct Bound {
    /// Number of the Bind that made the unnamed portal.
    number: u64,
    /// Statement of the unnamed portal; 0 when there is none or it has no id.
    pub(crate) statement: u64,
    /// The unnamed portal is a SET that leaves nothing to clean.
    pub(crate) harmless_set: bool,
    /// What the unnamed portal resets.
    pub(crate) resets: Resets,
    /// The unnamed portal may do away with prepared statements.
    pub(crate) sweeps: bool,
    /// Number of the last Bind that made a named portal which may.
    pub(crate) named_sweeps: Option<u64>,
}

/// What a client has cancelled while no server had heard of it yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GivenUp {
    Nothing,
    /// The next request.
    Request,
    /// Everything up to Sync: its first request has been answered with the error.
    ToSync,
}

/// The state of one client after its login.
#[derive(Debug)]
pub struct Client {
    mode: Mode,
    /// Whether statement names are mapped to shared statements.
    pub(crate) mapping: bool,
    pub(crate) names: Option<Box<Names>>,
    pub(crate) unnamed: ClientUnnamed,
    /// The defaults that it was told of at its login.
    base: Arc<Parameters>,
    /// What the client wants and believes to be in force, where it differs from `base`.
    settings: Settings,
    /// The part of them that decides what statements mean.
    pub(crate) context: Context,
    /// The part that came with its startup packet: what RESET goes back to.
    pub(crate) startup: Settings,
    /// Whether a server has accepted `startup`.
    verified: bool,
    /// Whether it has opened a transaction block that its mode does not allow.
    refused: bool,
    /// What it has given up while it waited for a server.
    pub(crate) given_up: GivenUp,
    /// Number of leases so far.
    pub(crate) lease: u32,
    pub(crate) bound: Bound,
    /// A frame of the client under way.
    pub(crate) passing: Passing,
    /// What its requests want of a host, if there are several.
    pub(crate) routing: Option<Box<Routing>>,
}

impl Client {
    /// A client that has just logged in; `startup` are the settings of its startup packet, and
    /// `base` is what a server for it has reported.
    pub fn new(mode: Mode, startup: &Settings, base: Arc<Parameters>) -> Self {
        let startup = startup.differing(&base);
        Self {
            mode,
            mapping: mode != Mode::Session,
            names: None,
            unnamed: ClientUnnamed::None,
            context: Context::new(Arc::clone(&base), &startup),
            base,
            verified: startup.is_empty(),
            settings: startup.clone(),
            startup,
            refused: false,
            given_up: GivenUp::Nothing,
            lease: 0,
            bound: Bound::default(),
            passing: Passing::default(),
            routing: None,
        }
    }

    /// The pool mode.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// What the client wants to be in force.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Its `application_name`.
    pub fn application_name(&self) -> &[u8] {
        self.known(b"application_name").unwrap_or_default()
    }

    /// From now on each unit is judged before a server connection is asked for.
    pub fn route(&mut self, intents: Rc<Intents>) {
        self.routing = Some(Box::new(Routing::new(intents)));
    }

    /// What the unit wants for which a server connection was asked for last, if units are judged.
    pub fn unit(&self) -> Option<Unit> {
        self.routing.as_ref().map(|routing| routing.unit)
    }

    /// The connection of the lease that begins is one of a standby, or not.
    pub fn leased_from(&mut self, standby: bool) {
        if let Some(routing) = &mut self.routing {
            routing.on_standby = standby;
            routing.is_granted = true;
            routing.segment = Segment::of(routing.unit);
        }
    }

    /// Whether the server connection that it holds is a standby's.
    pub(crate) fn is_on_standby(&self) -> bool {
        self.routing.as_ref().is_some_and(|it| it.on_standby)
    }

    /// Whether the unit that is about to begin may run a second time if the first comes to nothing.
    pub(crate) fn may_run_again(&self) -> bool {
        let unit = self.unit();
        unit.is_some_and(Unit::may_run_again)
    }

    /// How many prepared statements it has.
    pub fn prepared(&self) -> usize {
        self.names.as_ref().map_or(0, |names| names.len())
    }

    /// The client has cancelled what it waits for a server connection with: when its next request is
    /// judged, without a server, that is answered with PostgreSQL's own error.
    pub fn give_up(&mut self) {
        self.given_up = GivenUp::Request;
        self.fail_begun();
    }

    /// Whether no frame of the client is half-way.
    pub fn at_border(&self) -> bool {
        self.passing.remaining == 0
    }

    /// Whether the client has begun a transaction block, and its mode allows none.
    ///
    /// The ReadyForQuery that says so is held back, and all behind it: in its place the client is
    /// to be told why its connection ends.
    pub fn is_refused(&self) -> bool {
        self.refused
    }

    /// The server says in which state it is ready.
    pub(crate) fn is_ready(&mut self, status: Status) {
        self.refused |= self.mode == Mode::Statement && status != Status::Idle;
    }

    /// A lease begins: what the server connection needs before the client's first request.
    ///
    /// Returns whether the client's requests must wait until that has been answered: its startup
    /// settings have not been accepted by any server yet, and a request must not run without them.
    pub fn attach(
        &mut self,
        server: &mut Server,
        rules: &Rules<'_>,
        to_server: &mut Batch,
    ) -> bool {
        debug_assert!(server.at_boundary());
        self.lease = self.lease.wrapping_add(1);
        self.bound = Bound::default();
        server.swept = None;
        server.astray = false;
        server.trial = if self.may_run_again() {
            Trial::On
        } else {
            Trial::Over
        };
        if let Some(names) = &mut self.names {
            names.forget_gone();
        }
        server.journal.clear();
        server.segment += 1;
        if !Arc::ptr_eq(&self.base, &server.base) && self.base == server.base {
            // The same, read anew: from now on it is told by its address.
            self.base = Arc::clone(&server.base);
        }
        let wanted = self.settings_on(server);
        if server.settings != *wanted {
            server.change_settings(&wanted, to_server);
        } else {
            // Equal content: from now on the same allocation too, so that the next comparison
            // of these two is one of pointers.
            server.settings.share(&wanted);
        }
        if self.settings.value(b"search_path").is_some_and(names_temp) {
            // What it creates without a schema is a temporary table.
            server.left = server.left.and(effects::Effects::TEMPORARY);
        }
        server.evict(rules.max_prepared_statements, to_server);
        if let Some(texts) = self.take_begun() {
            server.ask(&texts, to_server);
        }
        if !server.setting_up() {
            self.verified = true;
        }
        !self.verified
    }

    /// A server has accepted the startup settings.
    pub(crate) fn verified(&mut self) {
        self.verified = true;
    }

    /// Settings of the client's, as they must be on a server whose defaults may be others than
    /// those that the client knows.
    fn on<'a>(&self, settings: &'a Settings, server: &Server) -> Cow<'a, Settings> {
        if Arc::ptr_eq(&self.base, &server.base) {
            return Cow::Borrowed(settings);
        }
        Cow::Owned(settings.rebased(&self.base, &server.base))
    }

    /// What is to be in force on a server.
    pub(crate) fn settings_on(&self, server: &Server) -> Cow<'_, Settings> {
        self.on(&self.settings, server)
    }

    /// What is to be in force on a server after all settings were reset.
    pub(crate) fn defaults_on(&self, server: &Server) -> Cow<'_, Settings> {
        self.on(&self.startup, server)
    }

    /// What a statement resets, by its text.
    pub(crate) fn resets(&self, text: &[u8]) -> Resets {
        match effects::reset_of(text) {
            None => Resets::Nothing,
            Some(name) if name.eq_ignore_ascii_case(b"all") => Resets::All,
            Some(name) => match (self.startup.place(name), self.base.place(name)) {
                (Some(place), _) => Resets::Startup(place),
                (None, Some(place)) => Resets::Reported(place),
                (None, None) => Resets::Other,
            },
        }
    }

    /// The one parameter that a statement resets.
    pub(crate) fn reset_name(&self, resets: Resets) -> Option<&[u8]> {
        match resets {
            Resets::Startup(place) => self.startup.name_at(place),
            Resets::Reported(place) => self.base.name_at(place),
            Resets::Nothing | Resets::Other | Resets::All => None,
        }
    }

    /// A RESET of one parameter went through. The server may have nothing to report, because its
    /// value was its own default already: the client's is the one that it began with.
    pub(crate) fn setting_was_reset(
        &mut self,
        resets: Resets,
        server: &Server,
        to_client: &mut Batch,
    ) {
        let Some(name) = self.reset_name(resets).map(<[u8]>::to_vec) else {
            return;
        };
        let Some((spelled, reported)) = self.base.find(&name) else {
            return;
        };
        let value = self.startup.value(&name).unwrap_or(reported);
        let was_set_since = server.settings.value(&name).is_some();
        if was_set_since || !settable(&name) || self.known(&name) == Some(value) {
            return;
        }
        let (spelled, value) = (spelled.to_vec(), value.to_vec());
        to_client.own(|out| encode::parameter_status(&spelled, &value, out));
        self.told(&name, &value);
    }

    /// Puts in force what the client wants where a RESET has led elsewhere; the server is at a
    /// place where a query of ours can be.
    pub(crate) fn put_right(&self, server: &mut Server, to_server: &mut Batch) {
        server.astray = false;
        let wanted = self.settings_on(server);
        if server.settings != *wanted {
            server.change_settings(&wanted, to_server);
        }
    }

    /// Whether RESET on this server may lead to other values than the client's defaults.
    pub(crate) fn has_own_defaults(&self, server: &Server) -> bool {
        !self.startup.is_empty() || !Arc::ptr_eq(&self.base, &server.base)
    }

    /// The value of a parameter as the client knows it.
    pub(crate) fn known(&self, name: &[u8]) -> Option<&[u8]> {
        let own = self.settings.value(name);
        own.or_else(|| self.base.value(name))
    }

    /// The value that RESET gives a parameter.
    pub(crate) fn default_of(&self, name: &[u8]) -> Option<&[u8]> {
        let own = self.startup.value(name);
        own.or_else(|| self.base.value(name))
    }

    /// The client has been told a parameter's value.
    pub(crate) fn told(&mut self, name: &[u8], value: &[u8]) {
        self.settings = self.settings.with(name, value, &self.base);
        self.context.change(&self.settings);
    }

    /// RESET ALL or DISCARD ALL went through: as with PostgreSQL, the values of the startup packet
    /// are in force again (they are sent to the server with the next lease), but for those that
    /// were set since, which `server` has.
    ///
    /// Tells the client of those that the server, which knows other ones, has not reported.
    pub(crate) fn settings_were_reset(&mut self, server: &Server, to_client: &mut Batch) {
        let startup = self.startup.clone();
        let base = Arc::clone(&self.base);
        // What it knows from its login and this server has otherwise is its default, too.
        let elsewhere = base.iter().filter(|(name, value)| {
            let here = server.base.value(name);
            settable(name) && startup.value(name).is_none() && here.is_some_and(|it| it != *value)
        });
        for (name, value) in startup.iter().chain(elsewhere) {
            if server.settings.value(name).is_some() || self.known(name) == Some(value) {
                continue;
            }
            if let Some((spelled, _)) = server.base.find(name) {
                to_client.own(|out| encode::parameter_status(spelled, value, out));
            }
            self.told(name, value);
        }
    }

    /// DISCARD ALL or DEALLOCATE ALL, the request of this number, went through.
    pub(crate) fn forget_statements(&mut self, number: u64, server: &mut Server) {
        let lease = self.lease;
        let stays = |named: &Named| named.lease == lease && named.number > number;
        if let Some(names) = &mut self.names {
            names.retain(stays);
        }
        server.journal.sweep(|named| !stays(named));
    }

    /// Requests of this lease failed or were skipped.
    pub(crate) fn skipped(&mut self, skipped: Skipped, server: &mut Server) {
        // Portals made before end with their transaction.
        let named_sweeps = self.bound.named_sweeps.filter(|bind| *bind >= skipped.to);
        if self.bound.number < skipped.to {
            self.bound = Bound::default();
        }
        self.bound.named_sweeps = named_sweeps;
        let mut journal = std::mem::take(&mut server.journal);
        journal.undo(skipped, |before| match before {
            Before::Name(name, named) => {
                self.names.get_or_insert_default().replace(&name, named);
            }
            Before::Client(unnamed) => self.unnamed = unnamed,
            Before::Server(unnamed) => server.unnamed = unnamed,
        });
        server.journal = journal;
    }

    /// Notes what a Bind makes a portal from.
    pub(crate) fn bound(
        &mut self,
        portal: &[u8],
        statement: u64,
        verdict: Verdict,
        resets: Resets,
        server: &mut Server,
    ) {
        server.left = server.left.and(verdict.effects);
        if portal.is_empty() {
            self.bound = Bound {
                number: server.replies.next_number(),
                statement,
                harmless_set: verdict.harmless_set,
                resets,
                sweeps: verdict.sweeps,
                ..self.bound
            };
        } else if verdict.sweeps {
            self.bound.named_sweeps = Some(server.replies.next_number());
        }
    }

    /// Whether the server's unnamed statement is the client's, whatever becomes of the requests
    /// that are outstanding.
    pub(crate) fn unnamed_is_exact(&self, server: &Server) -> bool {
        server.unnamed_is_certain() && self.unnamed.is_at(&server.unnamed.what, self.lease)
    }

    /// The text of an error about `entry` with this client's name in the place of ours.
    pub(crate) fn rename(&self, text: &[u8], entry: &Expect) -> Option<Vec<u8>> {
        let name = self.names.as_deref()?.name_of(entry.alias)?;
        let ours = match entry.statement {
            0 => statement::pretender(name),
            id => statement::server_name(id),
        };
        names::rename(text, &ours, name)
    }

    /// The parameter values that a login is told: the server's, with the client's own in place.
    pub fn welcome(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.base.iter().map(|(name, value)| {
            let own = if settable(name) {
                self.settings.value(name)
            } else {
                None
            };
            (name, own.unwrap_or(value))
        })
    }
}

/// Whether a search path has the schema of temporary tables in it, as far as one can see.
fn names_temp(path: &[u8]) -> bool {
    memchr::memmem::find(&path.to_ascii_lowercase(), b"pg_temp").is_some()
}
