//! Passwords that a directory knows.

use std::fs;
use std::io::Read;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::OnceLock;
use std::time::Duration;

use pgweir_tests::{
    Cluster, Config, Directory, Major, Pooler, Room, Target, Wire, cases, certificates,
};
use pgweir_wire::encode;
use pgweir_wire::startup::PROTOCOL_3_0;

cases! {
    entries_of_a_name;
    entries_that_are_found;
    what_is_wrong_with_a_search;
    encrypted;
    directories_that_do_not_answer;
    a_silent_directory_holds_up_nobody;
    lines_of_a_file;
    options_that_do_not_fit;
}

/// One directory for all tests; `twin` is there twice.
fn directory() -> &'static Directory {
    static DIRECTORY: OnceLock<Directory> = OnceLock::new();
    DIRECTORY.get_or_init(|| Directory::start(&["app", "other", "a*b", "twin", "twin"]))
}

const PEOPLE: &str = "ou=people,dc=example,dc=net";

/// Where the directory is, and who searches in it.
fn search(more: &str) -> String {
    format!(
        "ldapserver=127.0.0.1 ldapport={} ldapbinddn=\"cn=admin,dc=example,dc=net\" \
         ldapbindpasswd=admin-secret ldapbasedn=\"{PEOPLE}\" {more}",
        directory().port()
    )
}

fn config(cluster: &Cluster, database: &str, options: &str) -> Config {
    Config::new()
        .database(database, cluster)
        .set("auth_type", "ldap")
        .set("auth_ldap_options", options)
}

/// The same where the server is logged in to as somebody else.
fn in_the_name_of_other(cluster: &Cluster, database: &str, options: &str) -> Config {
    config(cluster, database, options)
        .database_set(database, "user", "other")
        .database_set(database, "password", "other-secret")
}

fn works(target: &Target, user: &str) {
    let target = target.user(user).password(&format!("{user}-ldap"));
    assert_eq!(target.sql("SELECT current_user"), "other");
}

fn fails(target: &Target, user: &str, password: &str) {
    let target = target.user(user).password(password);
    let error = Wire::try_connect(&target, &[]).unwrap_err();
    assert_eq!(
        (error.sqlstate.as_str(), error.message.as_str()),
        ("28P01", "LDAP authentication failed"),
        "{user}"
    );
}

fn entries_of_a_name(major: Major) {
    let cluster = Cluster::shared(major);
    let database = cluster.database();
    let options = format!(
        "ldapserver=127.0.0.1 ldapport={} ldapprefix=\"cn=\" ldapsuffix=\",{PEOPLE}\"",
        directory().port()
    );
    let pooler = Pooler::start(&in_the_name_of_other(cluster, &database, &options));
    let target = pooler.target(&database);
    works(&target, "app");
    works(&target, "a*b");
    fails(&target, "app", "wrong");
    fails(&target, "nobody", "app-ldap");
    // A name does not become several parts of an entry's.
    fails(&target, &format!("app,{PEOPLE}"), "app-ldap");
    // With an empty password, a directory would let anybody in as nobody.
    let error = Wire::try_connect(&target.password(""), &[]).unwrap_err();
    assert_eq!(error.message, "empty password returned by client");

    // The password is also what the server is told.
    let pooler = Pooler::start(&config(cluster, &database, &options));
    let role = "CREATE ROLE \"a*b\" LOGIN PASSWORD 'a*b-ldap'";
    let created = "SELECT 1 FROM pg_roles WHERE rolname = 'a*b'";
    if cluster.admin("postgres", created).is_empty() {
        cluster.admin("postgres", role);
    }
    let target = pooler.target(&database).user("a*b").password("a*b-ldap");
    assert_eq!(target.sql("SELECT current_user"), "a*b");
}

fn entries_that_are_found(major: Major) {
    let cluster = Cluster::shared(major);
    let database = cluster.database();
    let url = format!(
        "ldapurl=\"ldap://127.0.0.1:{}/{PEOPLE}?uid?sub\" \
         ldapbinddn=\"cn=admin,dc=example,dc=net\" ldapbindpasswd=admin-secret",
        directory().port()
    );
    for options in [
        search(""),
        search("ldapsearchattribute=sn"),
        search("ldapsearchfilter=\"(&(objectClass=inetOrgPerson)(uid=$username))\""),
        url,
    ] {
        let pooler = Pooler::start(&in_the_name_of_other(cluster, &database, &options));
        let target = pooler.target(&database);
        works(&target, "app");
        works(&target, "a*b");
        fails(&target, "app", "wrong");
        fails(&target, "nobody", "app-ldap");
        // A name is no pattern, and no part of a filter.
        fails(&target, "a*", "app-ldap");
        fails(&target, "app)(uid=other", "other-ldap");
        // Of two it is open which one is meant.
        fails(&target, "twin", "twin-ldap");
        pooler.logs("finds 2 entries");
    }
}

fn what_is_wrong_with_a_search(major: Major) {
    let cluster = Cluster::shared(major);
    let database = cluster.database();
    let port = directory().port();
    let place = format!("ldapserver=127.0.0.1 ldapport={port} ldapbasedn");
    for (options, detail) in [
        (format!("{place}=\"{PEOPLE}\""), "does not let us search"),
        (
            search("").replace("admin-secret", "wrong"),
            "does not let us search",
        ),
        (
            search("").replace("ou=people", "ou=nobody"),
            "does not let us search",
        ),
        (search("ldapsearchfilter=\"((\""), "does not let us search"),
    ] {
        let pooler = Pooler::start(&in_the_name_of_other(cluster, &database, &options));
        fails(&pooler.target(&database), "app", "app-ldap");
        pooler.logs(detail);
        assert!(!pooler.log().contains("admin-secret"));
    }
}

fn encrypted(major: Major) {
    let cluster = Cluster::shared(major);
    let database = cluster.database();
    let (port, tls_port) = (directory().port(), directory().tls_port());
    let plain = format!("ldapport={port}");
    let start = search("ldaptls=1");
    let tls = search("ldapscheme=ldaps").replace(&plain, &format!("ldapport={tls_port}"));
    for options in [start, tls] {
        let config = in_the_name_of_other(cluster, &database, &options);
        let pooler = Pooler::start_trusting(&config, &certificates().authority());
        works(&pooler.target(&database), "app");
        let pooler = Pooler::start_trusting(&config, &certificates().stranger());
        fails(&pooler.target(&database), "app", "app-ldap");
        pooler.logs("no directory can be reached");
    }
}

fn directories_that_do_not_answer(major: Major) {
    let cluster = Cluster::shared(major);
    let database = cluster.database();
    let nobody = pgweir_tests::free_port();
    let options = search("").replace(&format!("={} ", directory().port()), &format!("={nobody} "));
    let pooler = Pooler::start(&in_the_name_of_other(cluster, &database, &options));
    fails(&pooler.target(&database), "app", "app-ldap");
    pooler.logs("no directory can be reached");
}

fn a_silent_directory_holds_up_nobody(major: Major) {
    let cluster = Cluster::shared(major);
    let database = cluster.database();
    // The kernel takes connections, and nobody reads what comes on them.
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = silent.local_addr().unwrap().port();
    let room = Room::new("rules");
    let file = room.join("hba.conf");
    let rules = format!(
        "host all app all ldap ldapserver=127.0.0.1 ldapport={port} ldapprefix=\"cn=\"\n\
         host all all all scram-sha-256\n"
    );
    fs::write(&file, rules).unwrap();
    let config = Config::of(cluster, &database)
        .set("auth_type", "hba")
        .set("auth_hba_file", file)
        .set("workers", 1);
    let pooler = Pooler::start(&config);
    let target = pooler.target(&database);
    let ask = || {
        let mut wire = Wire::open(&target);
        wire.startup(&target, PROTOCOL_3_0, &[]);
        assert_eq!(wire.frame().tag, b'R');
        wire.write(|out| encode::password(b"app-ldap", out));
        (wire, silent.accept().expect("it is asked"))
    };
    let (waiting, directory) = ask();
    assert_eq!(target.user("other").sql("SELECT 1"), "1");
    // A client that leaves meanwhile is noticed: its question is taken back.
    drop(waiting);
    let (mut directory, _) = directory;
    directory
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let asked = directory.read_to_end(&mut Vec::new());
    assert!(asked.is_ok_and(|len| len > 0), "the connection ends");
    // A directory that hangs up is one that cannot be asked.
    let (mut waiting, directory) = ask();
    drop(directory);
    let error = waiting.login(&target).unwrap_err();
    assert_eq!(error.message, "LDAP authentication failed");
    // And one that goes on saying nothing has as long as a login may take.
    pooler.write(&config.set("client_login_timeout", "1s"));
    pooler.ask("RELOAD");
    let password = target.password("app-ldap");
    let error = Wire::try_connect(&password, &[]).unwrap_err();
    assert_eq!(error.message, "LDAP authentication failed");
    pooler.logs("there is no answer");
}

fn lines_of_a_file(major: Major) {
    let cluster = Cluster::shared(major);
    let database = cluster.database();
    let room = Room::new("rules");
    let file = room.join("hba.conf");
    let rules = format!(
        "host all app all ldap {}\nhost all all all scram-sha-256\n",
        search("")
    );
    fs::write(&file, rules).unwrap();
    let config = in_the_name_of_other(cluster, &database, "")
        .user("walker")
        .set("auth_type", "hba")
        .set("auth_hba_file", file);
    let pooler = Pooler::start(&config);
    let target = pooler.target(&database);
    works(&target, "app");
    fails(&target, "app", "app-secret");
    let walker = target.user("walker");
    assert_eq!(walker.sql("SELECT current_user"), "other");
    assert!(!pooler.ask("SHOW VERSION").is_empty());
}

fn options_that_do_not_fit(major: Major) {
    let cluster = Cluster::shared(major);
    let database = cluster.database();
    let pooler = Pooler::start(&Config::of(cluster, &database));
    let set = |text: &str| pooler.console().psql(text);
    set("SET auth_type = 'ldap'").check_failure("needs ldapserver");
    set("SET auth_ldap_options = 'ldapserver=h'").check("only with auth_type = ldap");
    set("SET auth_type = 'ldap'").check_failure("needs ldapbasedn");
    // It holds on.
    assert_eq!(pooler.target(&database).sql("SELECT 1"), "1");
    assert!(!pooler.ask("SHOW CONFIG").contains("ldapserver"));
}
