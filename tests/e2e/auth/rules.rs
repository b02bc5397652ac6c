//! Who is asked what: `auth_type` without passwords, and `auth_hba_file`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use pgweir_tests::{
    Cluster, Config, Major, Outcome, Pooler, Room, Target, Wire, cases, certificates,
};

use crate::tls;

cases! {
    anybody;
    certificates_name_users;
    lines_of_a_file;
    maps_of_certificates;
    processes_behind_a_socket;
    a_broken_file_changes_nothing;
    all_bad_lines_are_told;
    doubtful_secrets_are_told;
    files_that_set_names;
}

fn refused(target: &Target, why: &str) {
    let error = Wire::try_connect(target, &[]).unwrap_err();
    assert_eq!(
        (error.sqlstate.as_str(), error.message.as_str()),
        ("28000", why)
    );
}

/// Who runs the tests.
fn whoami() -> String {
    let output = Command::new("id").arg("-un").output().expect("it is there");
    String::from_utf8(output.stdout)
        .expect("a name")
        .trim()
        .to_owned()
}

fn anybody(major: Major) {
    let cluster = Cluster::shared(major);
    let database = cluster.database();
    let open = cluster.database();
    let config = Config::of(cluster, &database)
        .database(&open, cluster)
        .database_set(&open, "user", "other")
        .set("auth_type", "any");
    let pooler = Pooler::start(&config);
    let nobody = pooler.target(&open).user("nobody").password("");
    assert_eq!(nobody.sql("SELECT current_user"), "other");
    // Who would it be on the server?
    let error = Wire::try_connect(&pooler.target(&database), &[]).unwrap_err();
    assert_eq!(error.message, "bouncer config error");
    pooler.logs("auth_type = any needs the database's");
    // Anybody may look at the console, and only those of admin_users may do more.
    let looker = pooler.console().user("nobody");
    assert!(!looker.sql("SHOW POOLS").is_empty());
    looker.psql("PAUSE").check_failure("admin access needed");
    pooler.ask("RELOAD");
}

/// A configuration that takes certificates of clients.
fn with_tls(config: Config) -> Config {
    config
        .set("client_tls_sslmode", "verify-full")
        .set("client_tls_cert_file", certificates().server())
        .set("client_tls_key_file", certificates().server_key())
        .set("client_tls_ca_file", certificates().authority())
}

/// The client with the certificate of `app`.
fn with_certificate(target: &Target, room: &Room) -> Target {
    let key = room.join("own.key");
    fs::copy(certificates().client_key(), &key).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    target
        .password("")
        .with("sslmode", "require")
        .with("sslcert", certificates().client())
        .with("sslkey", key)
}

fn certificates_name_users(major: Major) {
    let cluster = tls::cluster(major);
    let database = cluster.database();
    let config = with_tls(Config::of(cluster, &database)).set("auth_type", "cert");
    let pooler = Pooler::start(&config);
    let target = with_certificate(&pooler.target(&database), pooler.room());
    assert_eq!(target.sql("SELECT current_user"), "app");
    let no = |outcome: Outcome| outcome.check_failure("certificate authentication failed");
    no(target.user("other").psql("SELECT 1"));
    pooler.logs("common name may not log in as this user");
    // A certificate makes nobody a user.
    let config = with_tls(Config::new().database(&database, cluster)).set("auth_type", "cert");
    let pooler = Pooler::start(&config);
    let target = with_certificate(&pooler.target(&database), pooler.room());
    no(target.psql("SELECT 1"));
    pooler.logs("there is no such user");
}

/// A pooler with these rules.
fn by_rules(config: &Config, room: &Room, rules: &str) -> Config {
    let file = room.join("hba.conf");
    fs::write(&file, rules).unwrap();
    config
        .clone()
        .set("auth_type", "hba")
        .set("auth_hba_file", file)
}

fn lines_of_a_file(major: Major) {
    let cluster = Cluster::shared(major);
    let database = cluster.database();
    let closed = cluster.database();
    let room = Room::new("rules");
    fs::write(room.join("names"), "other\nplain").unwrap();
    let rules = format!(
        "# who may come in\n\
         host {closed} app 127.0.0.1/32 reject\n\
         host {database} app 127.0.0.0/8 scram-sha-256\n\
         host all @{} 127.0.0.1 255.255.255.255 trust\n\
         host pgweir ops all password\n",
        room.join("names").display()
    );
    let config = Config::of(cluster, &database).database(&closed, cluster);
    let pooler = Pooler::start(&by_rules(&config, &room, &rules));
    let target = pooler.target(&database);
    assert_eq!(target.sql("SELECT current_user"), "app");
    assert!(Wire::try_connect(&target.password("wrong"), &[]).is_err());
    refused(&target.database(&closed), "login rejected");
    pooler.logs("login rejected");
    let other = target.user("other").password("whatever");
    assert_eq!(other.sql("SELECT current_user"), "other");
    refused(&target.user("walker"), "no authentication method is found");
    refused(
        &target.database("nowhere"),
        "no authentication method is found",
    );
    // The console is a database like any other.
    assert!(!pooler.ask("SHOW VERSION").is_empty());
    refused(
        &pooler.console().user("watch"),
        "no authentication method is found",
    );
}

fn maps_of_certificates(major: Major) {
    let cluster = tls::cluster(major);
    let database = cluster.database();
    let room = Room::new("maps");
    let maps = room.join("ident.conf");
    fs::write(&maps, "people app plain\n").unwrap();
    let rules = "hostssl all plain,app,other all cert map=people\nhost all all all reject\n";
    let config = by_rules(&with_tls(Config::of(cluster, &database)), &room, rules);
    let pooler = Pooler::start(&config.set("auth_ident_file", maps));
    let target = with_certificate(&pooler.target(&database), pooler.room());
    assert_eq!(target.user("plain").sql("SELECT current_user"), "plain");
    for user in ["app", "other"] {
        let outcome = target.user(user).psql("SELECT 1");
        outcome.check_failure("certificate authentication failed");
    }
}

fn processes_behind_a_socket(major: Major) {
    let cluster = Cluster::shared(major);
    let database = cluster.database();
    let room = Room::new("peer");
    let maps = room.join("ident.conf");
    fs::write(
        &maps,
        format!("me {} app\nme nobody-here other\n", whoami()),
    )
    .unwrap();
    let rules = "local all plain peer\nlocal all app,other peer map=me\nhost all all all reject\n";
    let config = by_rules(&Config::of(cluster, &database), &room, rules)
        .set("auth_ident_file", maps)
        .set("unix_socket_dir", room.path().display().to_string());
    let pooler = Pooler::start(&config);
    let local = pooler.target(&database).host(room.path());
    assert_eq!(local.password("").sql("SELECT current_user"), "app");
    for user in ["other", "plain"] {
        refused(&local.user(user), "unix socket login rejected");
    }
    refused(&pooler.target(&database), "login rejected");
}

fn a_broken_file_changes_nothing(major: Major) {
    let cluster = Cluster::shared(major);
    let database = cluster.database();
    let room = Room::new("broken");
    let config = Config::of(cluster, &database);
    let rules = "host all app,ops all scram-sha-256\n";
    let config = by_rules(&config, &room, rules);
    let pooler = Pooler::start(&config);
    let target = pooler.target(&database);
    let file = room.join("hba.conf");
    let reload = || pooler.console().psql("RELOAD");
    let is_in_force = || {
        assert_eq!(target.sql("SELECT 1"), "1");
        refused(&target.user("other"), "no authentication method is found");
    };
    is_in_force();
    fs::write(
        &file,
        format!("{rules}host all other all magic\nhost all\n"),
    )
    .unwrap();
    reload().check_failure("hba.conf:2: ");
    is_in_force();
    pooler.logs("everything stays as it was");
    pooler.logs("hba.conf:3: ");
    fs::remove_file(&file).unwrap();
    reload().check_failure("No such file");
    is_in_force();
    fs::write(&file, format!("{rules}host all other all trust\n")).unwrap();
    reload().check("RELOAD");
    assert_eq!(target.user("other").sql("SELECT current_user"), "other");
}

/// What `pgweir check` says of a configuration.
fn check(room: &Room, text: &str) -> Outcome {
    let file = room.join("pgweir.toml");
    fs::write(&file, text).unwrap();
    let mut command = Command::new(Pooler::program());
    Outcome::of(command.arg("check").arg(file), "")
}

fn said(outcome: &Outcome, file: &Path) -> Vec<String> {
    let of_file = format!("{}:", file.display());
    let lines = outcome.stderr.lines();
    lines
        .filter_map(|line| line.strip_prefix(&of_file))
        .map(|line| line.split(' ').next().unwrap_or_default().to_owned())
        .collect()
}

fn all_bad_lines_are_told(_: Major) {
    let room = Room::new("lines");
    let write = |name: &str, text: &str| {
        fs::write(room.join(name), text).unwrap();
        room.join(name)
    };
    let users = write("users", "\"a\" \"b\"\n\"c\"\nd\n\"e\" \"f\"\n\"g\n");
    let rules = write(
        "rules",
        "host all all all md5\nhost all all all magic\nlocal all all peer map=none\nhost\n",
    );
    let maps = write("maps", "m a b\nm a\nm a +b\n");
    let text = format!(
        "[pgweir]\nauth_type = \"hba\"\nauth_file = {users:?}\nauth_hba_file = {rules:?}\n\
         auth_ident_file = {maps:?}\n"
    );
    let outcome = check(&room, &text);
    assert!(!outcome.success);
    assert_eq!(said(&outcome, &users), ["2:", "3:", "5:"]);
    assert_eq!(said(&outcome, &rules), ["2:", "3:", "4:"]);
    assert_eq!(said(&outcome, &maps), ["2:", "3:"]);
}

fn doubtful_secrets_are_told(_: Major) {
    let room = Room::new("doubts");
    let users = room.join("users");
    let hash = format!("md5{}", "a".repeat(31));
    fs::write(
        &users,
        format!("\"a\" \"b\"\n\"c\" \"{hash}\"\n\"d\" \"SCRAM-SHA-256$1\"\n"),
    )
    .unwrap();
    let text = format!(
        "[pgweir]\nauth_file = {users:?}\n[users.e]\npassword = \"md5me\"\n[users.f]\npassword = \"x\"\n\
         [databases.shop]\n"
    );
    let outcome = check(&room, &text);
    outcome.check("doubts are no mistakes");
    assert_eq!(said(&outcome, &users), ["2:", "3:"]);
    assert_eq!(said(&outcome, &room.join("pgweir.toml")), ["4:"]);
    assert!(!outcome.stderr.contains(&hash) && !outcome.stderr.contains("md5me"));
}

fn files_that_set_names(major: Major) {
    let cluster = Cluster::shared(major);
    let database = cluster.database();
    let pooler = Pooler::start(&Config::of(cluster, &database));
    let set = |key: &str, value: &Path| {
        pooler
            .console()
            .psql(&format!("SET {key} = '{}'", value.display()))
    };
    let nowhere = pooler.room().join("nowhere");
    for key in ["auth_file", "server_tls_ca_file"] {
        set(key, &nowhere).check_failure("nowhere: No such file");
        let shown = pooler.rows("SHOW CONFIG");
        let row = shown.iter().find(|row| row.text("key") == key);
        assert_eq!(row.expect(key).text("value"), "", "{key}");
    }
    let target = pooler.target(&database).user("late");
    assert!(Wire::try_connect(&target, &[]).is_err());
    let users = pooler.room().join("users");
    fs::write(&users, "\"late\" \"late-secret\"\n").unwrap();
    set("auth_file", &users).check("SET auth_file");
    // It is known from now on, here; the server does not know it.
    let error = Wire::try_connect(&target, &[]).unwrap_err();
    assert!(error.message.contains("for user \"late\""), "{error:?}");
    set("server_tls_ca_file", &certificates().authority()).check("SET server_tls_ca_file");
    assert_eq!(pooler.target(&database).sql("SELECT 1"), "1");
}
