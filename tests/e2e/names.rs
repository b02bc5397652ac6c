//! Hosts by their names: how long their addresses are believed, and what happens when they change.

use std::net::Ipv4Addr;

use pgweir_tests::{Cluster, Config, Major, NameServer, Pooler, Target, Wire, cases, eventually};

cases! {
    a_name_that_has_moved;
    a_name_is_asked_once_for_many;
    an_answer_is_believed_for_its_time;
    a_name_that_is_not_there;
    addresses_take_turns;
    an_address_that_is_down;
    one_bad_name_of_several;
    a_zone_that_has_changed;
    name_servers_that_say_nothing;
    the_systems_names;
    a_reload_forgets_names;
}

const ONE: Ipv4Addr = Ipv4Addr::LOCALHOST;
const TWO: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const THREE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);
/// Nobody listens there.
const NOBODY: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 99);

const NAME: &str = "db.example.org";

/// A pooler whose database is on a host that a name server knows.
struct Named {
    server: NameServer,
    pooler: Pooler,
    database: String,
    config: Config,
}

impl Named {
    /// `None`: nobody may be a name server here.
    fn start(
        major: Major,
        names: &[&str],
        change: impl FnOnce(Config, &NameServer) -> Config,
    ) -> Option<Self> {
        let Some(server) = NameServer::start() else {
            eprintln!("not run: port 53 is for root (or net.ipv4.ip_unprivileged_port_start)");
            return None;
        };
        let cluster = Cluster::shared(major);
        let database = cluster.database();
        let hosts: Vec<String> = names
            .iter()
            .map(|name| format!("{name}:{}", cluster.port()))
            .collect();
        let config = Config::of(cluster, &database)
            .database_set(&database, "hosts", hosts.join(","))
            .set("resolv_conf", server.resolv_conf());
        let config = change(config, &server);
        let pooler = Pooler::start(&config);
        Some(Self {
            server,
            pooler,
            database,
            config,
        })
    }

    fn target(&self) -> Target {
        self.pooler.target(&self.database)
    }

    /// Which address the server connection of a client was made to.
    fn address(&self, wire: &mut Wire) -> String {
        wire.sql("SELECT host(inet_server_addr())").remove(0)
    }

    fn hosts(&self) -> Vec<String> {
        let hosts = self.pooler.rows("SHOW DNS_HOSTS");
        let hosts = hosts
            .iter()
            .map(|row| format!("{} {}", row.text("hostname"), row.text("addrs")));
        hosts.collect()
    }
}

fn a_name_that_has_moved(major: Major) {
    let Some(named) = Named::start(major, &[NAME], |config, server| {
        server.set(NAME, &[ONE, TWO], 3600);
        config.set("default_pool_size", 5)
    }) else {
        return;
    };
    let mut clients: Vec<Wire> = (0..3).map(|_| Wire::connect(&named.target())).collect();
    for wire in &mut clients {
        wire.sql("BEGIN");
    }
    let before: Vec<String> = clients.iter_mut().map(|wire| named.address(wire)).collect();
    assert_eq!(before, ["127.0.0.1", "127.0.0.2", "127.0.0.1"]);
    assert_eq!(named.hosts(), [format!("{NAME} 127.0.0.1:0,127.0.0.2:0")]);
    // One lies idle at the old address, one is used there.
    clients[0].sql("COMMIT");
    named.server.set(NAME, &[TWO, THREE], 3600);
    let asked = named.server.asked(NAME);
    // Until it is asked again, nothing happens. The console can say so, for this database.
    assert_eq!(named.address(&mut clients[0]), "127.0.0.1");
    assert_eq!(named.server.asked(NAME), asked);
    named.pooler.ask(&format!("RECONNECT {}", named.database));
    assert_eq!(
        named.address(&mut clients[2]),
        "127.0.0.1",
        "in a transaction"
    );
    let moved = named.address(&mut clients[0]);
    assert!(["127.0.0.2", "127.0.0.3"].contains(&&*moved), "{moved}");
    assert!(named.server.asked(NAME) > asked);
    clients[2].sql("COMMIT");
    assert_ne!(named.address(&mut clients[2]), "127.0.0.1");
}

fn a_name_is_asked_once_for_many(major: Major) {
    let Some(named) = Named::start(major, &[NAME], |config, server| {
        server.set(NAME, &[ONE], 3600);
        config.set("default_pool_size", 10).set("workers", 2)
    }) else {
        return;
    };
    let mut clients: Vec<Wire> = (0..8).map(|_| Wire::connect(&named.target())).collect();
    for wire in &mut clients {
        wire.sql("BEGIN");
    }
    assert_eq!(named.server.asked(NAME), 1);
    assert!(named.pooler.ask("SHOW LISTS").contains("dns_names|1\n"));
}

fn an_answer_is_believed_for_its_time(major: Major) {
    let Some(named) = Named::start(major, &[NAME], |config, server| {
        // Shorter than dns_max_ttl.
        server.set(NAME, &[ONE], 1);
        config.set("default_pool_size", 5)
    }) else {
        return;
    };
    let mut first = Wire::connect(&named.target());
    first.sql("BEGIN");
    assert_eq!(named.address(&mut first), "127.0.0.1");
    named.server.set(NAME, &[TWO], 3600);
    eventually("its time is over", || {
        (named.pooler.rows("SHOW DNS_HOSTS")[0].number("ttl") == 0).then_some(())
    });
    let mut second = Wire::connect(&named.target());
    second.sql("BEGIN");
    assert_eq!(named.address(&mut second), "127.0.0.2");
    // And longer than that.
    let ttl = named.pooler.rows("SHOW DNS_HOSTS")[0].number("ttl");
    assert!((1..=15).contains(&ttl), "{ttl}");
    // The old one is kept for its client, and for nobody else.
    assert_eq!(named.address(&mut first), "127.0.0.1");
    first.sql("COMMIT");
    for _ in 0..5 {
        assert_eq!(named.address(&mut first), "127.0.0.2");
    }
}

fn a_name_that_is_not_there(major: Major) {
    let Some(named) = Named::start(major, &[NAME], |config, _| {
        config
            .set("dns_nxdomain_ttl", 2)
            .set("server_login_retry", 1)
    }) else {
        return;
    };
    let target = named.target();
    let waits = std::thread::spawn(move || Wire::connect(&target).sql("SELECT 1"));
    named
        .pooler
        .logs("server DNS lookup failed: db.example.org: Name or service not known");
    named.server.set(NAME, &[ONE], 3600);
    assert_eq!(waits.join().expect("it has come up"), ["1"]);
    // What was believed for 2 s was not asked all the time; the name is asked with both kinds of address.
    assert!(named.server.asked(NAME) < 6, "{}", named.server.asked(NAME));
}

fn addresses_take_turns(major: Major) {
    let Some(named) = Named::start(major, &[NAME], |config, server| {
        server.set(NAME, &[THREE, ONE, TWO], 3600);
        config.set("default_pool_size", 6)
    }) else {
        return;
    };
    let mut clients: Vec<Wire> = (0..6).map(|_| Wire::connect(&named.target())).collect();
    for wire in &mut clients {
        wire.sql("BEGIN");
    }
    let mut addresses: Vec<String> = clients.iter_mut().map(|wire| named.address(wire)).collect();
    addresses.sort();
    let all = ["127.0.0.1", "127.0.0.2", "127.0.0.3"];
    assert_eq!(addresses, all.map(|it| [it, it]).as_flattened());
}

fn an_address_that_is_down(major: Major) {
    let Some(named) = Named::start(major, &[NAME], |config, server| {
        server.set(NAME, &[NOBODY, ONE], 3600);
        config.set("default_pool_size", 4)
    }) else {
        return;
    };
    for _ in 0..4 {
        let mut wire = Wire::connect(&named.target());
        wire.sql("BEGIN");
        assert_eq!(named.address(&mut wire), "127.0.0.1");
    }
}

fn one_bad_name_of_several(major: Major) {
    let names = ["nowhere.example.org", NAME];
    let Some(named) = Named::start(major, &names, |config, server| {
        server.set(NAME, &[ONE], 3600);
        config
    }) else {
        return;
    };
    assert_eq!(Wire::connect(&named.target()).sql("SELECT 1"), ["1"]);
    assert_eq!(
        named.hosts(),
        [
            format!("{NAME} 127.0.0.1:0"),
            "nowhere.example.org ".to_owned()
        ]
    );
}

fn a_zone_that_has_changed(major: Major) {
    let Some(named) = Named::start(major, &[NAME], |config, server| {
        server.set(NAME, &[ONE], 3600);
        server.set_serial("example.org", 7);
        config
            .set("dns_max_ttl", 3600)
            .set("dns_zone_check_period", "100ms")
    }) else {
        return;
    };
    let mut wire = Wire::connect(&named.target());
    assert_eq!(named.address(&mut wire), "127.0.0.1");
    eventually("the zone is known", || {
        (named.pooler.ask("SHOW DNS_ZONES") == "example.org|7|1").then_some(())
    });
    named.server.set(NAME, &[TWO], 3600);
    assert_eq!(named.address(&mut wire), "127.0.0.1");
    // Another number is another zone, also a smaller one.
    named.server.set_serial("example.org", 6);
    eventually("the connection has gone to the new address", || {
        (named.address(&mut wire) == "127.0.0.2").then_some(())
    });
    assert_eq!(named.pooler.ask("SHOW DNS_ZONES"), "example.org|6|1");
    assert!(named.pooler.log().contains("zone has changed"));
}

fn name_servers_that_say_nothing(major: Major) {
    let Some(named) = Named::start(major, &[NAME], |config, server| {
        server.set(NAME, &[ONE], 0);
        config
            .set("default_pool_size", 2)
            .set("dns_nxdomain_ttl", 0)
    }) else {
        return;
    };
    let mut first = Wire::connect(&named.target());
    first.sql("BEGIN");
    named.server.hush(true);
    let mut second = Wire::connect(&named.target());
    second.write(|out| pgweir_wire::encode::query(b"SELECT 1", out));
    named
        .pooler
        .logs("server DNS lookup failed: db.example.org: ");
    // That nobody can tell is no reason to close anything.
    first.sql("COMMIT");
    second.until_ready();
    assert_eq!(named.address(&mut first), "127.0.0.1");
    named.server.hush(false);
}

fn the_systems_names(major: Major) {
    let cluster = Cluster::shared(major);
    let database = cluster.database();
    let config = Config::of(cluster, &database);
    let host = format!("localhost:{}", cluster.port());
    let pooler = Pooler::start(&config.database_set(&database, "hosts", [&*host]));
    assert_eq!(
        Wire::connect(&pooler.target(&database)).sql("SELECT 1"),
        ["1"]
    );
    let row = pooler.rows("SHOW DNS_HOSTS").remove(0);
    assert_eq!(row.text("hostname"), "localhost");
    assert!(row.text("addrs").contains("127.0.0.1:0"));
    assert!((1..=15).contains(&row.number("ttl")));
}

fn a_reload_forgets_names(major: Major) {
    let Some(named) = Named::start(major, &[NAME], |config, server| {
        server.set(NAME, &[ONE], 3600);
        config
    }) else {
        return;
    };
    assert_eq!(Wire::connect(&named.target()).sql("SELECT 1"), ["1"]);
    assert_eq!(named.hosts().len(), 1);
    let cluster = Cluster::shared(major);
    named
        .pooler
        .write(&named.config.clone().database(&named.database, cluster));
    named.pooler.ask("RELOAD");
    assert_eq!(named.hosts(), [""; 0]);
    assert_eq!(Wire::connect(&named.target()).sql("SELECT 1"), ["1"]);
    // An address is no name.
    assert_eq!(named.hosts(), [""; 0]);
}
