//! What a client does from its login to its end, made at random, with what it must see.
//!
//! A script is a list of bursts. A client sends a burst at its own pace, and the next one when it
//! has got every answer that a backend of its own would have given by then. Making a script runs
//! it on such a backend.
//!
//! Left out, because a pooler in transaction mode promises nothing about it: looking at what a
//! session left behind in an earlier transaction, and, within one burst, using names whose fate
//! depends on an earlier segment in more than one way (`Maker::may_name`).

use std::collections::{BTreeMap, BTreeSet};

use pgweir_wire::encode;

use crate::backend::Defaults;
use crate::engine::Block;
use crate::fake::Fake;
use crate::rng::Rng;

#[derive(Clone)]
pub struct Burst {
    pub bytes: Vec<u8>,
    /// How many bytes the client has received when this burst is answered.
    pub answered_at: usize,
}

#[derive(Clone)]
pub struct Script {
    pub startup: Vec<(&'static str, &'static str)>,
    /// Of the backend that it would have for itself.
    pub defaults: Defaults,
    pub bursts: Vec<Burst>,
    /// What the client sees behind its login.
    pub answers: Vec<u8>,
    /// Its messages in words.
    pub log: Vec<String>,
}

const TEXTS: [&str; 33] = [
    "select 1",
    "select 1",
    "select 2",
    "select 3",
    "select $1",
    "select $1",
    "select rows 5",
    "select rows 900",
    "show TimeZone",
    "show application_name",
    "parsed DateStyle",
    "fail",
    "syntax x",
    "missing t",
    "begin",
    "begin",
    "commit",
    "commit",
    "rollback",
    "begin; select 1; commit",
    "set TimeZone = Tokyo",
    "set local TimeZone = Paris",
    "set TimeZone = bad",
    "reset TimeZone",
    "set work_mem = 9MB",
    "listen c",
    "select pg_advisory_lock(1)",
    "create temp table t",
    "declare c cursor with hold for select 1",
    "prepare sqlp as select 1",
    "notice",
    "copy out 3",
    "",
];
/// Those about which host it is.
const ROUTED: [&str; 5] = [
    "begin read only",
    "begin read only",
    "set transaction read only",
    "begin; set transaction read only; select 1; commit",
    "begin read only; select 2",
];
/// Those that let go of names or values.
const SWEEPING: [&str; 3] = ["deallocate all", "discard all", "reset all"];
const NAMES: [&str; 5] = ["n0", "n1", "n2", "pgweir_1", "pgweir_2"];
const PORTALS: [&str; 3] = ["", "", "p1"];

/// What an earlier segment of this burst did to a name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Touch {
    Parsed(&'static str),
    Other,
}

struct Maker<'a> {
    rng: &'a mut Rng,
    fake: Fake,
    startup: Vec<(&'static str, &'static str)>,
    /// Whether RESET may lead elsewhere on other backends.
    own_defaults: bool,
    routed: bool,
    bytes: Vec<u8>,
    log: Vec<String>,
    segment: usize,
    /// Syncs and Queries.
    rounds: usize,
    names: BTreeMap<&'static str, (usize, Touch)>,
    texts: BTreeMap<&'static str, usize>,
    /// Segment in which names or values were swept away.
    swept: Option<usize>,
    /// A sweep failed, which shows only in its answer.
    kept: bool,
    /// Names that were ever given to something that sweeps.
    sweepers: BTreeSet<&'static str>,
    /// One of them was bound in this burst.
    tries: bool,
    /// A setting was given its default, at the end of a burst: the next one looks at it.
    look_at: Option<&'static str>,
}

/// Makes a script of `bursts` bursts; `mixed` says whether backends have different defaults, `routed` whether they
/// are of different hosts: then the client asks for an answer before it waits for one.
pub fn make(rng: &mut Rng, bursts: usize, mixed: bool, routed: bool) -> Script {
    let defaults = if mixed && rng.percent(50) {
        Defaults::Odd
    } else {
        Defaults::Usual
    };
    let mut startup = Vec::new();
    for (name, value) in [
        ("DateStyle", "German"),
        ("TimeZone", "Berlin"),
        ("application_name", "psql"),
        ("work_mem", "7MB"),
    ] {
        if rng.percent(25) {
            startup.push((name, value));
        }
    }
    let mut maker = Maker {
        fake: Fake::new(&[defaults.values(), &startup].concat()),
        own_defaults: mixed || !startup.is_empty(),
        routed,
        rng,
        startup,
        bytes: Vec::new(),
        log: Vec::new(),
        segment: 0,
        rounds: 0,
        names: BTreeMap::new(),
        texts: BTreeMap::new(),
        swept: None,
        kept: false,
        sweepers: BTreeSet::new(),
        tries: false,
        look_at: None,
    };
    let mut made = Vec::new();
    for number in 0..bursts {
        let last = number + 1 == bursts;
        maker.look();
        for _ in 0..1 + maker.rng.below(8) {
            maker.step();
        }
        maker.give_default();
        if last || maker.look_at.is_some() || maker.rng.percent(75) {
            maker.sync();
            maker.forget();
        } else if maker.rng.percent(60) || routed {
            maker.flush();
        }
        maker.log.push("-- answers".into());
        made.push(Burst {
            bytes: std::mem::take(&mut maker.bytes),
            answered_at: maker.fake.output.len(),
        });
    }
    Script {
        startup: maker.startup,
        defaults,
        bursts: made,
        answers: maker.fake.output,
        log: maker.log,
    }
}

impl Maker<'_> {
    fn send(&mut self, log: String, write: impl FnOnce(&mut Vec<u8>)) {
        let from = self.bytes.len();
        write(&mut self.bytes);
        self.fake.feed(&self.bytes[from..]);
        self.rounds += usize::from(log == "Sync" || log.starts_with("Query"));
        self.log.push(log);
    }

    /// All is answered: what the client knows is certain again.
    fn forget(&mut self) {
        self.segment += 1;
        self.names.clear();
        self.texts.clear();
        self.swept = None;
        self.kept = false;
        self.tries = false;
    }

    /// The last request was to sweep.
    fn sweeps(&mut self) {
        self.swept = Some(self.segment);
        self.names.retain(|name, _| name.is_empty());
        self.kept |= !self.fake.engine.named.is_empty();
    }

    fn step(&mut self) {
        match self.rng.below(22) {
            0..=4 => self.query(),
            5..=8 => self.unit(),
            9..=10 => drop(self.parse()),
            11..=13 => self.bind(),
            14 => self.describe(),
            15 => self.execute(),
            16 => self.close(),
            17 => self.flush(),
            18..=19 => self.sync(),
            20 => self.copy(),
            _ => self.odd(),
        }
    }

    fn sync(&mut self) {
        self.send("Sync".into(), encode::sync);
        self.segment += 1;
    }

    fn flush(&mut self) {
        self.send("Flush".into(), encode::flush);
    }

    fn text(&mut self) -> &'static str {
        if self.routed && self.rng.percent(10) {
            return self.rng.pick(&ROUTED);
        }
        if self.rng.percent(94) {
            return self.rng.pick(&TEXTS);
        }
        self.rng.pick(&SWEEPING)
    }

    /// Where a client has defaults of its own, sweeping them away is followed up only outside
    /// of transactions and of the extended protocol.
    fn may_sweep(&self, text: &str, simple: bool) -> bool {
        if !SWEEPING.contains(&text) && !text.starts_with("reset") || text == "deallocate all" {
            return true;
        }
        !self.own_defaults
            || (simple
                && self.fake.is_idle()
                && self.log.ends_with(&["Sync".into(), "-- answers".into()]))
    }

    /// One setting gets its default, whatever is open; what stands behind it is only sent when it
    /// is answered, as a pooler cannot put it right any sooner.
    fn give_default(&mut self) {
        const TEXTS: [(&str, &str); 5] = [
            ("reset TimeZone", "TimeZone"),
            ("set TimeZone to default", "TimeZone"),
            ("set session DateStyle = default", "DateStyle"),
            ("reset work_mem", "work_mem"),
            ("reset all", "work_mem"),
        ];
        if !self.rng.percent(20) {
            return;
        }
        let (text, name) = self.rng.pick(&TEXTS);
        self.sync();
        if self.failed_block() {
            return;
        }
        self.look_at = Some(name);
        // Session mode does not look into statements that have been prepared.
        if self.rng.percent(50) || text != "reset TimeZone" {
            return self.send(format!("Query {text}"), |out| {
                encode::query(text.as_bytes(), out)
            });
        }
        self.send(format!("Parse, Bind, Execute {text}, Close"), |out| {
            encode::parse(b"", text.as_bytes(), b"", out);
            encode::bind(b"", b"", &[], out);
            encode::execute(b"", 0, out);
            encode::close(b'S', b"", out);
        });
    }

    fn look(&mut self) {
        if let Some(name) = self.look_at.take() {
            self.send(format!("Query show {name}"), |out| {
                encode::query(format!("show {name}").as_bytes(), out);
            });
        }
    }

    fn query(&mut self) {
        let text = self.text();
        if SWEEPING.contains(&text) {
            if self.may_sweep(text, true) {
                self.touch("", Touch::Other);
                self.send(format!("Query {text}"), |out| {
                    encode::query(text.as_bytes(), out)
                });
                self.sweeps();
            }
            return;
        }
        if !self.may_sweep(text, false) {
            return;
        }
        let mut text = text.to_owned();
        while self.rng.percent(15) {
            let more = self.rng.pick(&TEXTS);
            if !self.may_sweep(more, false) {
                return;
            }
            text = format!("{text}; {more}");
        }
        if text.contains("$1") {
            return;
        }
        self.touch("", Touch::Other);
        self.send(format!("Query {text}"), |out| {
            encode::query(text.as_bytes(), out)
        });
    }

    /// Whether a request may use a name, as things stand in this burst.
    fn may_name(&self, name: &str, only_uses: bool) -> bool {
        // After a sweep only names that were given anew in the same segment.
        let touched = self.names.get(name).map(|(segment, _)| *segment);
        if self.swept.is_some() && only_uses && touched != Some(self.segment) {
            return false;
        }
        // What the server has without a name depends on who was there before.
        if name.is_empty() {
            return self
                .names
                .get(name)
                .is_none_or(|(segment, _)| *segment == self.segment);
        }
        match self.names.get(name) {
            _ if self.kept => false,
            None => true,
            Some((segment, _)) if *segment == self.segment => true,
            Some((_, Touch::Parsed(text))) => {
                only_uses && self.texts.get(text) != Some(&usize::MAX)
            }
            Some((_, Touch::Other)) => false,
        }
    }

    fn touch(&mut self, name: &'static str, touch: Touch) {
        let again = self
            .names
            .get(name)
            .is_some_and(|(segment, _)| *segment == self.segment);
        let touch = if again { Touch::Other } else { touch };
        self.names.insert(name, (self.segment, touch));
        if let Touch::Parsed(text) = touch {
            // Two segments that prepare one text: the later one hides the first one's fate. A Query ends one, too.
            let round = self.rounds;
            let entry = self.texts.entry(text).or_insert(round);
            if *entry != round {
                *entry = usize::MAX;
            }
        }
    }

    fn name(&mut self) -> &'static str {
        if self.rng.percent(40) {
            return "";
        }
        self.rng.pick(&NAMES)
    }

    fn parse(&mut self) -> Option<&'static str> {
        let (name, text) = (self.name(), self.text());
        let taken = self.fake.engine.named.contains_key(name.as_bytes());
        if !self.may_sweep(text, false) || (taken && self.failed_block()) {
            return None;
        }
        if !name.is_empty() && !self.may_name(name, false) {
            return None;
        }
        self.touch(name, Touch::Parsed(text));
        if SWEEPING.contains(&text) {
            self.sweepers.insert(name);
        }
        self.send(format!("Parse {name:?} {text}"), |out| {
            encode::parse(name.as_bytes(), text.as_bytes(), b"", out);
        });
        let accepted = !taken && self.fake.engine.named.contains_key(name.as_bytes());
        let refused = text.starts_with("syntax") || text.starts_with("missing");
        if !accepted && !refused {
            // Skipped: the text may be on the server all the same, for others.
            self.touch(name, Touch::Other);
        }
        Some(name)
    }

    fn bind_name(&mut self, portal: &str, name: &str) {
        self.tries |= self.sweepers.contains(name);
        let params = match self.fake.engine.prepared(name.as_bytes()) {
            Ok(prepared) => prepared.params,
            Err(_) => 0,
        };
        let params = if self.rng.percent(4) && !self.failed_block() {
            params + 1
        } else {
            params
        };
        let large = self.rng.percent(3);
        let value = vec![b'x'; if large { 20_000 } else { 2 }];
        self.send(format!("Bind {portal:?} {name:?} {params}"), |out| {
            let values = vec![Some(&value[..]); params];
            encode::bind(portal.as_bytes(), name.as_bytes(), &values, out);
        });
    }

    fn bind(&mut self) {
        let (portal, name) = (self.rng.pick(&PORTALS), self.name());
        if self.may_name(name, true) {
            self.bind_name(portal, name);
        }
    }

    fn execute(&mut self) {
        let portal = self.rng.pick(&PORTALS);
        let rows = [0, 0, 0, 1, 5][self.rng.below(5)];
        self.run(portal, rows);
    }

    fn run(&mut self, portal: &str, rows: u32) {
        // A Bind that was skipped may have been of one.
        let sweeps = self.tries;
        self.send(format!("Execute {portal:?} {rows}"), |out| {
            encode::execute(portal.as_bytes(), rows, out);
        });
        if sweeps {
            self.sweeps();
        }
    }

    /// What drivers do: all of one statement in a row.
    fn unit(&mut self) {
        let name = if self.rng.percent(70) {
            let Some(name) = self.parse() else { return };
            name
        } else {
            self.name()
        };
        if !self.may_name(name, true) {
            return;
        }
        if self.rng.percent(30) && !self.failed_block() {
            self.send(format!("Describe S {name:?}"), |out| {
                encode::describe(b'S', name.as_bytes(), out);
            });
        }
        self.bind_name("", name);
        if self.rng.percent(50) {
            self.send("Describe P \"\"".into(), |out| {
                encode::describe(b'P', b"", out)
            });
        }
        self.run("", 0);
        if self.rng.percent(60) {
            self.sync();
        }
    }

    fn describe(&mut self) {
        let name = self.name();
        if self.rng.percent(30) {
            let portal = self.rng.pick(&PORTALS);
            self.send(format!("Describe P {portal:?}"), |out| {
                encode::describe(b'P', portal.as_bytes(), out);
            });
        } else if self.may_name(name, true) && !self.failed_block() {
            self.send(format!("Describe S {name:?}"), |out| {
                encode::describe(b'S', name.as_bytes(), out);
            });
        }
    }

    /// In a failed transaction a statement that gives no rows can be described where it is, but
    /// not be prepared anew for it.
    fn failed_block(&self) -> bool {
        self.fake.engine.block == Block::Failed
    }

    fn close(&mut self) {
        let name = self.name();
        if self.rng.percent(30) {
            let portal = self.rng.pick(&PORTALS);
            self.send(format!("Close P {portal:?}"), |out| {
                encode::close(b'P', portal.as_bytes(), out);
            });
        } else if name.is_empty() || self.may_name(name, false) {
            self.touch(name, Touch::Other);
            self.send(format!("Close S {name:?}"), |out| {
                encode::close(b'S', name.as_bytes(), out);
            });
        }
    }

    fn copy(&mut self) {
        let text = [
            "copy in",
            "copy in bad",
            "copy in; copy in",
            "copy in refused",
        ][self.rng.below(4)];
        let extended = self.rng.percent(50) && !text.contains(';');
        self.touch("", Touch::Other);
        if extended {
            self.send(format!("Parse \"\" {text}"), |out| {
                encode::parse(b"", text.as_bytes(), b"", out);
            });
            self.bind_name("", "");
            self.send("Execute \"\" 0".into(), |out| encode::execute(b"", 0, out));
            // libpq sends Sync at once; the server ignores it while it reads data.
            if self.rng.percent(50) && text != "copy in refused" {
                self.sync();
            }
        } else {
            self.send(format!("Query {text}"), |out| {
                encode::query(text.as_bytes(), out)
            });
        }
        for _ in 0..1 + usize::from(text.contains(';')) {
            for _ in 0..self.rng.below(4) {
                self.send("CopyData".into(), |out| encode::frame(b'd', b"1\n", out));
            }
            if self.rng.percent(80) {
                self.send("CopyDone".into(), |out| encode::frame(b'c', b"", out));
            } else {
                self.send("CopyFail".into(), |out| encode::copy_fail("enough", out));
            }
        }
        if extended {
            self.sync();
            // So that nothing goes on to bind it without data to follow.
            self.send("Close S \"\"".into(), |out| encode::close(b'S', b"", out));
            self.sync();
        }
    }

    fn odd(&mut self) {
        match self.rng.below(4) {
            0 => self.send("FunctionCall".into(), |out| {
                encode::frame(b'F', &[0, 0, 0, 7, 0, 0, 0, 0, 0, 0], out);
            }),
            1 => self.send("CopyData".into(), |out| encode::frame(b'd', b"late", out)),
            2 => self.send("CopyDone".into(), |out| encode::frame(b'c', b"", out)),
            _ => {
                // Names of others: they must not be reached.
                let name = format!("pgweir_{}", 1 + self.rng.below(20));
                if NAMES.contains(&&*name) {
                    return;
                }
                self.send(format!("Describe S {name:?}"), |out| {
                    encode::describe(b'S', name.as_bytes(), out);
                });
            }
        }
    }
}
