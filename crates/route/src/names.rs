//! What is known of the names of hosts: their addresses, and for how long they are believed.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// For how long answers are believed.
#[derive(Debug, Clone, Copy)]
pub struct Trust {
    /// Addresses at most (`dns_max_ttl`).
    pub max: Duration,
    /// That there are none (`dns_nxdomain_ttl`).
    pub nothing: Duration,
}

/// A lookup has failed, and for how long that is believed is not over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unknown(pub String);

/// Names of hosts. There are as many as the configuration has: who reads another one calls
/// [`retain`](Self::retain).
#[derive(Debug, Default)]
pub struct Names {
    names: HashMap<Box<str>, Entry>,
    zones: HashMap<Box<str>, Zone>,
}

#[derive(Debug, Default)]
struct Entry {
    /// Ports are 0. What was found last, also when a lookup has failed since.
    addresses: Vec<SocketAddr>,
    /// Why there is none, if that is the last that was heard.
    failure: Option<Unknown>,
    /// Until when all that is believed; `None`: not any more.
    until: Option<Instant>,
    /// Whose turn it is.
    next: usize,
    /// Its zone has changed, and nobody could tell since.
    is_due: bool,
}

#[derive(Debug, Default)]
struct Zone {
    serial: Option<u32>,
}

/// A row of SHOW DNS_HOSTS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameRow<'a> {
    /// The name.
    pub name: &'a str,
    /// For how long it is believed.
    pub ttl: Duration,
    /// Its addresses, with port 0.
    pub addresses: &'a [SocketAddr],
}

/// A row of SHOW DNS_ZONES.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZoneRow<'a> {
    /// The zone.
    pub name: &'a str,
    /// Its serial number; 0 if nobody knows it.
    pub serial: u32,
    /// How many of the names are in it.
    pub count: u64,
}

/// The zone that a name is taken to be in: what follows its first dot.
pub fn zone_of(name: &str) -> Option<&str> {
    let (_, zone) = name.split_once('.')?;
    (!zone.trim_end_matches('.').is_empty()).then_some(zone)
}

impl Names {
    /// What is believed of a name: its addresses, those first whose turn it is, each in its turn.
    /// `None`: it has to be asked.
    pub fn look(&mut self, name: &str, now: Instant) -> Option<Result<Vec<SocketAddr>, Unknown>> {
        let entry = self.names.get_mut(name)?;
        entry.until.filter(|until| now < *until)?;
        if let Some(failure) = &entry.failure {
            return Some(Err(failure.clone()));
        }
        let mut addresses = entry.addresses.clone();
        addresses.rotate_left(entry.next);
        entry.next = (entry.next + 1) % entry.addresses.len().max(1);
        Some(Ok(addresses))
    }

    /// Addresses have been found, to be believed for `ttl` if their answer says so. Gives those that it had before and has no
    /// longer: connections to them lead to where the name does not.
    pub fn found(
        &mut self,
        name: &str,
        mut addresses: Vec<SocketAddr>,
        ttl: Option<Duration>,
        trust: Trust,
        now: Instant,
    ) -> Vec<SocketAddr> {
        // Servers answer in any order, and some in another each time.
        addresses.sort_unstable();
        addresses.dedup();
        let ttl = ttl.map_or(trust.max, |ttl| ttl.min(trust.max));
        let entry = self.names.entry(name.into()).or_default();
        let before = std::mem::take(&mut entry.addresses);
        let gone = before.into_iter().filter(|it| !addresses.contains(it));
        let gone = gone.collect();
        *entry = Entry {
            next: entry.next % addresses.len().max(1),
            addresses,
            failure: None,
            until: now.checked_add(ttl),
            is_due: false,
        };
        gone
    }

    /// A lookup has failed. Its addresses are remembered: a name server that is down is no reason to
    /// close a connection.
    pub fn failed(&mut self, name: &str, why: Unknown, trust: Trust, now: Instant) {
        let entry = self.names.entry(name.into()).or_default();
        entry.failure = Some(why);
        entry.until = now.checked_add(trust.nothing);
    }

    /// Has a name asked again when it is needed next.
    pub fn distrust(&mut self, name: &str) {
        if let Some(entry) = self.names.get_mut(name) {
            entry.until = None;
        }
    }

    /// The same for all.
    pub fn distrust_all(&mut self) {
        for entry in self.names.values_mut() {
            entry.until = None;
        }
    }

    /// Forgets the names that are not these.
    pub fn retain(&mut self, mut is_used: impl FnMut(&str) -> bool) {
        self.names.retain(|name, _| is_used(name));
        let names = &self.names;
        self.zones
            .retain(|zone, _| names.keys().any(|name| zone_of(name) == Some(zone)));
    }

    /// The zones of the names, each once.
    pub fn zones(&self) -> Vec<String> {
        let zones = self.names.keys().filter_map(|name| zone_of(name));
        let mut zones: Vec<String> = zones.map(str::to_owned).collect();
        zones.sort_unstable();
        zones.dedup();
        zones
    }

    /// The serial number of a zone, as of now. Gives the names that have to be asked again: if the number is another
    /// than before, all that are in it; they are due until an answer for each has been [found](Self::found).
    pub fn serial(&mut self, zone: &str, serial: u32) -> Vec<String> {
        let known = self.zones.entry(zone.into()).or_default();
        let before = known.serial.replace(serial);
        let has_changed = before.is_some_and(|before| before != serial);
        let names = self.names.iter_mut();
        let inside = names.filter(|(name, _)| zone_of(name) == Some(zone));
        let due = inside.filter_map(|(name, entry)| {
            entry.is_due |= has_changed;
            entry.is_due.then(|| name.to_string())
        });
        due.collect()
    }

    /// The names, in their order.
    pub fn rows(&self, now: Instant) -> Vec<NameRow<'_>> {
        let mut rows: Vec<_> = self
            .names
            .iter()
            .map(|(name, entry)| NameRow {
                name,
                ttl: entry
                    .until
                    .map_or(Duration::ZERO, |until| until.saturating_duration_since(now)),
                addresses: match entry.failure {
                    Some(_) => &[],
                    None => &entry.addresses,
                },
            })
            .collect();
        rows.sort_unstable_by_key(|row| row.name);
        rows
    }

    /// The zones whose serial number was asked, in their order.
    pub fn zone_rows(&self) -> Vec<ZoneRow<'_>> {
        let mut rows: Vec<_> = self
            .zones
            .iter()
            .map(|(zone, known)| ZoneRow {
                name: zone,
                serial: known.serial.unwrap_or(0),
                count: self
                    .names
                    .keys()
                    .filter(|name| zone_of(name) == Some(zone))
                    .count() as u64,
            })
            .collect();
        rows.sort_unstable_by_key(|row| row.name);
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRUST: Trust = Trust {
        max: Duration::from_secs(15),
        nothing: Duration::from_secs(5),
    };

    fn addresses(last: &[u8]) -> Vec<SocketAddr> {
        last.iter()
            .map(|byte| SocketAddr::from(([10, 0, 0, *byte], 0)))
            .collect()
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn an_answer_is_believed_for_its_time_and_not_longer() {
        let start = Instant::now();
        for (ttl, expected) in [(None, 15), (Some(seconds(3)), 3), (Some(seconds(99)), 15)] {
            let mut names = Names::default();
            assert_eq!(names.look("db", start), None);
            assert_eq!(names.found("db", addresses(&[1]), ttl, TRUST, start), []);
            assert_eq!(names.rows(start)[0].ttl, seconds(expected));
            let last = start + seconds(expected) - Duration::from_nanos(1);
            assert_eq!(names.look("db", last), Some(Ok(addresses(&[1]))));
            assert_eq!(names.look("db", start + seconds(expected)), None);
        }
        let mut names = Names::default();
        let never = Trust {
            max: Duration::ZERO,
            ..TRUST
        };
        names.found("db", addresses(&[1]), None, never, start);
        assert_eq!(names.look("db", start), None, "0 is not at all");
    }

    #[test]
    fn addresses_take_turns() {
        let (mut names, now) = (Names::default(), Instant::now());
        names.found("db", addresses(&[3, 1, 2, 1]), None, TRUST, now);
        let mut first = || names.look("db", now).expect("fresh").expect("found")[0];
        let turns: Vec<SocketAddr> = (0..4).map(|_| first()).collect();
        assert_eq!(turns, addresses(&[1, 2, 3, 1]));
        // With fewer of them the turn is still one of theirs.
        names.found("db", addresses(&[7]), None, TRUST, now);
        assert_eq!(names.look("db", now), Some(Ok(addresses(&[7]))));
        assert_eq!(names.look("db", now), Some(Ok(addresses(&[7]))));
        names.found("db", Vec::new(), None, TRUST, now);
        assert_eq!(names.look("db", now), Some(Ok(Vec::new())));
    }

    #[test]
    fn addresses_that_are_gone_are_told_once() {
        let (mut names, now) = (Names::default(), Instant::now());
        names.found("db", addresses(&[1, 2]), None, TRUST, now);
        let gone = names.found("db", addresses(&[2, 3]), None, TRUST, now);
        assert_eq!(gone, addresses(&[1]));
        assert_eq!(names.found("db", addresses(&[3, 2]), None, TRUST, now), []);
    }

    #[test]
    fn a_failure_is_believed_too_and_closes_nothing() {
        let (mut names, start) = (Names::default(), Instant::now());
        names.found("db", addresses(&[1]), None, TRUST, start);
        names.failed("db", Unknown("no".to_owned()), TRUST, start);
        let fails = Some(Err(Unknown("no".to_owned())));
        assert_eq!(names.look("db", start + seconds(4)), fails);
        assert!(names.rows(start)[0].addresses.is_empty());
        assert_eq!(names.look("db", start + seconds(5)), None);
        // It knows again where connections may still be.
        let later = start + seconds(6);
        assert_eq!(
            names.found("db", addresses(&[2]), None, TRUST, later),
            addresses(&[1])
        );
    }

    #[test]
    fn a_zone_with_another_serial_has_its_names_asked_again() {
        let (mut names, now) = (Names::default(), Instant::now());
        for name in ["a.example.org", "b.example.org", "c.other.org", "alone"] {
            names.found(name, addresses(&[1]), None, TRUST, now);
        }
        assert_eq!(names.zones(), ["example.org", "other.org"]);
        assert!(names.serial("example.org", 7).is_empty(), "the first time");
        assert!(names.serial("example.org", 7).is_empty());
        let mut again = names.serial("example.org", 6);
        again.sort();
        assert_eq!(again, ["a.example.org", "b.example.org"]);
        // One that nobody could tell is asked at the next check, too.
        names.found("a.example.org", addresses(&[1]), None, TRUST, now);
        names.failed("b.example.org", Unknown("no".to_owned()), TRUST, now);
        assert_eq!(names.serial("example.org", 6), ["b.example.org"]);
        names.found("b.example.org", addresses(&[1]), None, TRUST, now);
        assert!(names.serial("example.org", 6).is_empty());
        let row = ZoneRow {
            name: "example.org",
            serial: 6,
            count: 2,
        };
        assert_eq!(names.zone_rows(), [row]);
        names.retain(|name| name == "c.other.org");
        assert_eq!(names.zone_rows(), []);
        assert_eq!(names.rows(now).len(), 1);
    }

    #[test]
    fn who_distrusts_asks_again() {
        let (mut names, now) = (Names::default(), Instant::now());
        names.found("a", addresses(&[1]), None, TRUST, now);
        names.found("b", addresses(&[2]), None, TRUST, now);
        names.distrust("a");
        assert_eq!(names.look("a", now), None);
        assert!(names.look("b", now).is_some());
        names.distrust_all();
        assert_eq!(names.look("b", now), None);
        assert_eq!(
            names.found("b", addresses(&[3]), None, TRUST, now),
            addresses(&[2])
        );
    }
}
