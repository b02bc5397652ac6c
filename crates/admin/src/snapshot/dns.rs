//! Names of hosts, for SHOW DNS_HOSTS and DNS_ZONES.

/// A name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DnsHostRow {
    /// The name.
    pub hostname: String,
    /// Seconds for which what is known of it is believed.
    pub ttl: u64,
    /// Its addresses as `address:port`; the port is 0.
    pub addrs: Vec<String>,
}

/// A zone that names are in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DnsZoneRow {
    /// The zone.
    pub zonename: String,
    /// Its serial number.
    pub serial: u64,
    /// How many of the names are in it.
    pub count: u64,
}
