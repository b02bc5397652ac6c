//! Names of hosts become addresses.
//!
//! The system is asked, or, if `resolv_conf` or `dns_zone_check_period` ask for more than the system can
//! tell, name servers are. What is believed of the answers, and for how long, is [`Names`].

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use hashbrown::HashMap;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{LookupIpStrategy, ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{RData, RecordType};
use hickory_resolver::system_conf::parse_resolv_conf;
use parking_lot::Mutex;
use pgweir_admin::{DnsHostRow, DnsZoneRow};
use pgweir_config::Settings;
use pgweir_route::{Names, Trust, Unknown};

/// Where the system says which name servers there are.
const SYSTEM_RESOLV_CONF: &str = "/etc/resolv.conf";

/// Names of hosts and who is asked for them.
#[derive(Debug, Default)]
pub struct Dns {
    names: Mutex<Names>,
    /// Held by who asks for a name, so that nobody else does. As many as there are names.
    turns: Mutex<HashMap<Box<str>, Arc<tokio::sync::Mutex<()>>>>,
    /// Made when it is needed first.
    resolver: Mutex<Option<TokioResolver>>,
    /// Lookups under way.
    pending: AtomicU64,
    /// When the zones were checked last.
    checked: Mutex<Option<Instant>>,
    /// Held by who checks them.
    checking: tokio::sync::Mutex<()>,
}

/// What a lookup has found.
#[derive(Debug)]
pub struct Found {
    /// Where to connect to, one after the other; the port is 0.
    pub addresses: Vec<SocketAddr>,
    /// Addresses that the name had before, and has no longer.
    pub gone: Vec<SocketAddr>,
}

impl Found {
    fn known(addresses: Vec<SocketAddr>) -> Self {
        let gone = Vec::new();
        Self { addresses, gone }
    }
}

/// One of the lookups under way.
struct Pending<'a>(&'a AtomicU64);

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

fn trust(settings: &Settings) -> Trust {
    Trust {
        max: settings.dns_max_ttl,
        nothing: settings.dns_nxdomain_ttl,
    }
}

impl Dns {
    /// The addresses of a name; of one that is an address, that.
    ///
    /// # Errors
    /// If it has none, or nobody can tell.
    pub async fn resolve(&self, settings: &Settings, name: &str) -> Result<Found, Unknown> {
        if let Ok(address) = name.parse::<IpAddr>() {
            return Ok(Found::known(vec![SocketAddr::new(address, 0)]));
        }
        let known = || self.names.lock().look(name, Instant::now());
        if let Some(known) = known() {
            return known.map(Found::known);
        }
        let turn = Arc::clone(self.turns.lock().entry(name.into()).or_default());
        let _turn = turn.lock().await;
        // Somebody may have asked meanwhile.
        match known() {
            Some(known) => known.map(Found::known),
            None => self.ask(settings, name).await,
        }
    }

    /// Asks, whatever is believed.
    async fn ask(&self, settings: &Settings, name: &str) -> Result<Found, Unknown> {
        self.pending.fetch_add(1, Relaxed);
        let pending = Pending(&self.pending);
        let answer = match self.resolver(settings) {
            Ok(None) => ask_system(name).await,
            Ok(Some(resolver)) => ask_servers(&resolver, name).await,
            Err(why) => Err(why),
        };
        drop(pending);
        let (now, trust) = (Instant::now(), trust(settings));
        let mut names = self.names.lock();
        let (addresses, ttl) = match answer {
            Ok((addresses, ttl)) => (addresses, ttl),
            Err(why) => {
                let unknown = Unknown(why);
                names.failed(name, unknown.clone(), trust, now);
                return Err(unknown);
            }
        };
        let gone = names.found(name, addresses.clone(), ttl, trust, now);
        // In turn, if they are believed at all.
        let in_turn = names.look(name, now).and_then(Result::ok);
        Ok(Found {
            addresses: in_turn.unwrap_or(addresses),
            gone,
        })
    }

    /// Who is asked instead of the system.
    fn resolver(&self, settings: &Settings) -> Result<Option<TokioResolver>, String> {
        if settings.resolv_conf.is_none() && settings.dns_zone_check_period.is_zero() {
            return Ok(None);
        }
        let mut resolver = self.resolver.lock();
        if resolver.is_none() {
            let path = settings.resolv_conf.as_deref();
            *resolver = Some(open(path.unwrap_or(Path::new(SYSTEM_RESOLV_CONF)))?);
        }
        Ok(resolver.clone())
    }

    /// Has names asked again: these, or all.
    pub fn distrust<'a>(&self, some: Option<impl Iterator<Item = &'a str>>) {
        let mut names = self.names.lock();
        match some {
            Some(some) => some.for_each(|name| names.distrust(name)),
            None => names.distrust_all(),
        }
    }

    /// After a change of the configuration: only these names are used. The files that say whom to ask
    /// are read again.
    pub fn keep(&self, is_used: impl Fn(&str) -> bool) {
        self.names.lock().retain(&is_used);
        // Who asks for one of the others holds on to its turn.
        self.turns.lock().retain(|name, _| is_used(name));
        *self.resolver.lock() = None;
    }

    /// Whether it is time to look after the zones; if so, the next time is a period away.
    pub fn is_check_due(&self, settings: &Settings, now: Instant) -> bool {
        let period = settings.dns_zone_check_period;
        let mut checked = self.checked.lock();
        let due = match *checked {
            Some(last) => now.saturating_duration_since(last) >= period,
            None => true,
        };
        if period.is_zero() || !due {
            return false;
        }
        *checked = Some(now);
        true
    }

    /// Asks for the serial number of each zone. Names in those that have changed are asked for at once;
    /// `changed` is told of those, with the addresses that they have no longer.
    pub async fn check_zones(&self, settings: &Settings, changed: impl Fn(&str, &[SocketAddr])) {
        // The name servers may take longer than a period.
        let Ok(_turn) = self.checking.try_lock() else {
            return;
        };
        let Ok(Some(resolver)) = self.resolver(settings) else {
            return;
        };
        let zones = self.names.lock().zones();
        for zone in zones {
            let serial = match serial(&resolver, &zone).await {
                Ok(serial) => serial,
                Err(error) => {
                    tracing::warn!(zone, %error, "zone check failed");
                    continue;
                }
            };
            let names = self.names.lock().serial(&zone, serial);
            if !names.is_empty() {
                tracing::info!(zone, serial, "zone has changed");
            }
            for name in names {
                if let Ok(found) = self.ask(settings, &name).await {
                    changed(&name, &found.gone);
                }
            }
        }
    }

    /// For SHOW DNS_HOSTS.
    pub fn host_rows(&self) -> Vec<DnsHostRow> {
        let names = self.names.lock();
        let rows = names.rows(Instant::now()).into_iter();
        let row = rows.map(|row| DnsHostRow {
            hostname: row.name.to_owned(),
            // Begun seconds count: 0 is over.
            ttl: row.ttl.as_secs() + u64::from(row.ttl.subsec_nanos() > 0),
            addrs: row.addresses.iter().map(ToString::to_string).collect(),
        });
        row.collect()
    }

    /// For SHOW DNS_ZONES.
    pub fn zone_rows(&self) -> Vec<DnsZoneRow> {
        let names = self.names.lock();
        let rows = names.zone_rows().into_iter();
        let row = rows.map(|row| DnsZoneRow {
            zonename: row.name.to_owned(),
            serial: row.serial.into(),
            count: row.count,
        });
        row.collect()
    }

    /// Lookups under way, for SHOW LISTS.
    pub fn pending(&self) -> u64 {
        self.pending.load(Relaxed)
    }
}

/// What is wrong with a `resolv_conf`, if anything is.
pub fn check(path: &Path) -> Result<(), String> {
    read(path).map(|_| ())
}

fn read(path: &Path) -> Result<(ResolverConfig, ResolverOpts), String> {
    let text = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    parse_resolv_conf(text).map_err(|error| format!("{}: {error}", path.display()))
}

fn open(path: &Path) -> Result<TokioResolver, String> {
    let (config, mut options) = read(path)?;
    // What is believed for how long is our business.
    options.cache_size = 0;
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    let provider = TokioRuntimeProvider::default();
    let builder = TokioResolver::builder_with_config(config, provider).with_options(options);
    builder.build().map_err(|error| error.to_string())
}

type Answer = Result<(Vec<SocketAddr>, Option<Duration>), String>;

async fn ask_system(name: &str) -> Answer {
    let found = tokio::net::lookup_host((name, 0)).await;
    let found = found.map_err(|error| {
        let said = error.to_string();
        let why = said.strip_prefix("failed to lookup address information: ");
        format!("{name}: {}", why.unwrap_or(&said))
    })?;
    Ok((found.collect(), None))
}

async fn ask_servers(resolver: &TokioResolver, name: &str) -> Answer {
    let found = resolver.lookup_ip(name).await.map_err(|error| {
        if error.is_no_records_found() || error.is_nx_domain() {
            format!("{name}: Name or service not known")
        } else {
            format!("{name}: {error}")
        }
    })?;
    let ttl = found
        .valid_until()
        .saturating_duration_since(Instant::now());
    let addresses = found.iter().map(|address| SocketAddr::new(address, 0));
    Ok((addresses.collect(), Some(ttl)))
}

async fn serial(resolver: &TokioResolver, zone: &str) -> Result<u32, String> {
    // Not a name of the search list.
    let absolute = format!("{}.", zone.trim_end_matches('.'));
    let answer = resolver.lookup(absolute, RecordType::SOA).await;
    let answer = answer.map_err(|error| error.to_string())?;
    let serial = answer
        .answers()
        .iter()
        .find_map(|record| match &record.data {
            RData::SOA(soa) => Some(soa.serial),
            _ => None,
        });
    serial.ok_or_else(|| "there is no SOA record".to_owned())
}
