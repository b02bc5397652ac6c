//! Users whom no file names: their secrets are asked of a server.

use pgweir_tests::{Cluster, Config, Gate, Major, Options, Pooler, Wire, cases, eventually};

use super::failed_login;

cases! {
    verifiers_of_the_server;
    passwords_and_hashes_of_a_table;
    a_password_that_has_expired;
    unknown_users_look_the_same;
    the_name_is_the_servers;
    queries_that_cannot_be_used;
    who_may_not_ask;
    no_client_steers_the_query;
    another_database_is_asked;
    waiting_for_the_server;
    a_server_that_goes_and_comes;
    connections_that_fell_silent;
    a_client_that_leaves_costs_no_connection;
    users_of_the_console_are_not_looked_up;
    the_password_of_a_forced_user_is_not_the_askers;
}

/// A database, and a superuser of its own who asks about others.
struct Stage {
    cluster: &'static Cluster,
    database: String,
    asker: String,
}

impl Stage {
    fn new(major: Major) -> Self {
        let cluster = Cluster::shared(major);
        let database = cluster.database();
        let asker = format!("{database}_asker");
        let role = format!("CREATE ROLE {asker} LOGIN SUPERUSER PASSWORD '{asker}-secret'");
        cluster.admin("postgres", &role);
        Self {
            cluster,
            database,
            asker,
        }
    }

    /// Nobody is known but those of the console and the asker.
    fn config(&self) -> Config {
        Config::new()
            .database(&self.database, self.cluster)
            .user(&self.asker)
            .set("auth_user", self.asker.as_str())
    }

    /// The same with a query of its own.
    fn asking(&self, query: &str) -> Config {
        self.config().set("auth_query", query)
    }

    fn admin(&self, sql: &str) -> String {
        self.cluster.admin(&self.database, sql)
    }

    /// A role that may log in, with a name that only this test has.
    fn role(&self, what: &str, options: &str) -> String {
        let role = format!("{}_{what}", self.database);
        let sql = format!("CREATE ROLE {role} LOGIN PASSWORD '{role}-secret' {options}");
        self.admin(&sql);
        role
    }
}

fn verifiers_of_the_server(major: Major) {
    let stage = Stage::new(major);
    for auth_type in ["scram-sha-256", "md5", "plain"] {
        let pooler = Pooler::start(&stage.config().set("auth_type", auth_type));
        let target = pooler.target(&stage.database);
        // What the client proves it with also lets it in at the server, who asks for SCRAM.
        assert_eq!(target.sql("SELECT current_user"), "app", "{auth_type}");
        assert_eq!(target.user("other").sql("SELECT current_user"), "other");
        assert!(Wire::try_connect(&target.password("wrong"), &[]).is_err());
        assert!(Wire::try_connect(&target.password(""), &[]).is_err());
        // A new password counts at once.
        let role = stage.role(&auth_type.replace('-', "_"), "");
        let target = target.user(&role);
        assert_eq!(target.sql("SELECT current_user"), role);
        stage.admin(&format!("ALTER ROLE {role} PASSWORD 'new'"));
        assert!(Wire::try_connect(&target, &[]).is_err());
        pooler.ask("RECONNECT");
        assert_eq!(target.password("new").sql("SELECT current_user"), role);
    }
}

fn passwords_and_hashes_of_a_table(major: Major) {
    let stage = Stage::new(major);
    stage.admin(
        "CREATE TABLE secrets (name text, secret text);
         INSERT INTO secrets VALUES ('app', 'app-secret'),
             ('old', (SELECT rolpassword FROM pg_authid WHERE rolname = 'old')), ('other', '')",
    );
    let query = "SELECT name, secret FROM secrets WHERE name = $1";
    for (auth_type, user, works) in [
        ("scram-sha-256", "app", true),
        ("md5", "app", true),
        ("md5", "old", true),
        ("scram-sha-256", "old", false),
        ("plain", "app", true),
        ("plain", "other", false),
        ("md5", "nobody", false),
    ] {
        let pooler = Pooler::start(&stage.asking(query).set("auth_type", auth_type));
        let target = pooler.target(&stage.database).user(user);
        let outcome = target.psql("SELECT current_user");
        assert_eq!(outcome.success, works, "{auth_type} {user} {outcome:?}");
        assert!(!target.password("wrong").psql("SELECT 1").success);
    }
    // Who is trusted must be known all the same.
    let pooler = Pooler::start(&stage.asking(query).set("auth_type", "trust"));
    let target = pooler.target(&stage.database).password("whatever");
    assert_eq!(target.sql("SELECT current_user"), "app");
    let nobody = target.user("nobody").psql("SELECT 1");
    nobody.check_failure("\"trust\" authentication failed");
}

fn a_password_that_has_expired(major: Major) {
    let stage = Stage::new(major);
    let pooler = Pooler::start(&stage.config());
    let role = stage.role("late", "VALID UNTIL '2020-01-01'");
    let target = pooler.target(&stage.database).user(&role);
    let refused = || {
        let outcome = target.psql("SELECT 1");
        outcome.check_failure("SASL authentication failed");
    };
    refused();
    stage.admin(&format!("ALTER ROLE {role} VALID UNTIL 'infinity'"));
    assert_eq!(target.sql("SELECT current_user"), role);
    stage.admin(&format!("ALTER ROLE {role} NOLOGIN"));
    refused();
}

fn unknown_users_look_the_same(major: Major) {
    let stage = Stage::new(major);
    for auth_type in ["plain", "md5", "scram-sha-256"] {
        let pooler = Pooler::start(&stage.config().set("auth_type", auth_type));
        // One whose hash the asker finds, where that is what is asked for.
        let known = if auth_type == "md5" { "old" } else { "app" };
        let wrong = pooler.target(&stage.database).user(known).password("wrong");
        let unknown = wrong.user("nobody").password("wrong");
        assert_eq!(failed_login(&wrong), failed_login(&unknown), "{auth_type}");
    }
}

fn the_name_is_the_servers(major: Major) {
    let stage = Stage::new(major);
    let query = "SELECT rolname, rolpassword FROM pg_authid WHERE rolname = lower($1)";
    let pooler = Pooler::start(&stage.asking(query));
    let target = pooler.target(&stage.database).user("APP");
    let good = target.password("app-secret");
    assert_eq!(good.sql("SELECT current_user"), "app");
    assert!(Wire::try_connect(&target.password("other-secret"), &[]).is_err());
    // A row without a name is nobody's.
    let pooler = Pooler::start(&stage.asking("SELECT NULL, 'app-secret' WHERE $1 <> ''"));
    let outcome = pooler.target(&stage.database).psql("SELECT 1");
    outcome.check_failure("SASL authentication failed");
}

fn queries_that_cannot_be_used(major: Major) {
    let stage = Stage::new(major);
    for (query, detail) in [
        (
            "SELECT rolname FROM pg_authid WHERE rolname = $1",
            "it has 1 columns",
        ),
        ("SELECT $1::text, 'x', 'y'", "it has 3 columns"),
        (
            "SELECT $1::text, (1 / (length($1) - 3))::text",
            "division by zero",
        ),
        (
            "SELECT nothing FROM nowhere WHERE x = $1",
            "\"nowhere\" does not exist",
        ),
        (
            "SELECT rolname, rolpassword FROM pg_authid WHERE rolname >= $1",
            "more than one row",
        ),
        ("SELECT 'no', 'parameter'", "bind message supplies 1"),
    ] {
        let pooler = Pooler::start(&stage.asking(query));
        let target = pooler.target(&stage.database);
        let error = Wire::try_connect(&target, &[]).expect_err(query);
        let told = (error.sqlstate.as_str(), error.message.as_str());
        assert_eq!(told, ("F0000", "bouncer config error"), "{query}");
        pooler.logs(detail);
        // The connection has come to no harm: it is asked again.
        assert!(Wire::try_connect(&target, &[]).is_err());
        let servers = pooler.rows("SHOW SERVERS");
        assert_eq!(servers.len(), 1, "{query} {servers:?}");
    }
}

fn who_may_not_ask(major: Major) {
    let stage = Stage::new(major);
    let config = stage.config().set("auth_user", "other").user("other");
    let wrong = config.clone().user_set("other", "password", "wrong");
    for (config, detail) in [
        (config, "permission denied"),
        (wrong, "password authentication failed for user"),
    ] {
        let pooler = Pooler::start(&config);
        let outcome = pooler.target(&stage.database).psql("SELECT 1");
        outcome.check_failure("bouncer config error");
        pooler.logs(detail);
    }
}

fn no_client_steers_the_query(major: Major) {
    let stage = Stage::new(major);
    stage.admin(
        "CREATE TABLE secrets (name text, secret text);
         INSERT INTO secrets VALUES ('app', 'app-secret');
         CREATE SCHEMA evil;
         CREATE TABLE evil.secrets (name text, secret text);
         INSERT INTO evil.secrets VALUES ('app', 'evil'), ('other', 'evil')",
    );
    let config = stage.asking("SELECT name, secret FROM secrets WHERE name = $1");
    let config = config.set("default_pool_size", 1).set("auth_type", "plain");
    let pooler = Pooler::start(&config);
    let target = pooler.target(&stage.database);
    let refused = |user: &str, parameters: &[(&str, &str)]| {
        let evil = target.user(user).password("evil");
        let error = Wire::try_connect(&evil, parameters).unwrap_err();
        assert_eq!(error.message, "password authentication failed");
    };
    for user in ["app", "other"] {
        refused(user, &[("search_path", "evil")]);
        refused(user, &[("options", "-c search_path=evil")]);
    }
    // The asker is a client of the same pool, whose only connection it uses in between.
    let mut asker = Wire::connect(&target.user(&stage.asker));
    for sql in [
        "SET search_path = evil",
        "CREATE TEMPORARY TABLE secrets AS SELECT 'app' AS name, 'evil' AS secret",
        "SET client_encoding = LATIN1",
    ] {
        asker.sql(sql);
        refused("app", &[]);
        assert_eq!(target.sql("SELECT 1"), "1", "{sql}");
    }
    let servers = pooler.rows("SHOW SERVERS");
    let askers = servers.iter().filter(|row| row.text("user") == stage.asker);
    assert_eq!(askers.count(), 1);
    // What is the asker's is its own again.
    assert_eq!(asker.sql("SHOW client_encoding"), ["LATIN1"]);
}

fn another_database_is_asked(major: Major) {
    let stage = Stage::new(major);
    let elsewhere = stage.cluster.database();
    let table = "CREATE TABLE secrets AS SELECT 'app'::text AS name, 'app-secret'::text AS secret";
    stage.cluster.admin(&elsewhere, table);
    let query = "SELECT name, secret FROM secrets WHERE name = $1";
    let config = stage
        .asking(query)
        .database(&elsewhere, stage.cluster)
        .set("server_login_retry", "100ms");
    let pooler = Pooler::start(&config);
    let target = pooler.target(&stage.database);
    let refused = |why: &str| target.psql("SELECT 1").check_failure(why);
    refused("bouncer config error");

    let general = config.clone().set("auth_dbname", elsewhere.as_str());
    let own = config
        .clone()
        .set("auth_dbname", "nowhere")
        .set("auth_user", "nobody")
        .set("auth_query", "SELECT 1")
        .database_set(&stage.database, "auth_dbname", elsewhere.as_str())
        .database_set(&stage.database, "auth_query", query)
        .database_set(&stage.database, "auth_user", stage.asker.as_str());
    for config in [&own, &general] {
        pooler.write(config);
        pooler.ask("RELOAD");
        assert_eq!(target.sql("SELECT current_database()"), stage.database);
    }
    // A database that does not exist is told of after the login only.
    let missing = target.database("missing");
    let outcome = missing.psql("SELECT 1");
    outcome.check_failure("no such database: missing");
    let outcome = missing.password("wrong").psql("SELECT 1");
    outcome.check_failure("SASL authentication failed");
    pooler.ask(&format!("DISABLE {elsewhere}"));
    refused(&format!(
        "authentication database \"{elsewhere}\" is disabled"
    ));
    pooler.write(&config.set("auth_dbname", "nowhere"));
    pooler.ask("RELOAD");
    refused("bouncer config error");
    pooler.logs("there is no such database");
}

fn waiting_for_the_server(major: Major) {
    let stage = Stage::new(major);
    let pooler = Pooler::start(&stage.config().set("query_wait_timeout", "300ms"));
    let target = pooler.target(&stage.database);
    pooler.ask(&format!("PAUSE {}", stage.database));
    let error = Wire::try_connect(&target, &[]).unwrap_err();
    assert_eq!(error.message, "query_wait_timeout");
    pooler.ask(&format!("RESUME {}", stage.database));
    assert_eq!(target.sql("SELECT 1"), "1");
}

fn a_server_that_goes_and_comes(major: Major) {
    let cluster = Cluster::start(major, &Options::default());
    let role = "CREATE ROLE asker LOGIN SUPERUSER PASSWORD 'asker-secret'";
    cluster.admin("postgres", role);
    let config = Config::new()
        .database("postgres", &cluster)
        .user("asker")
        .set("auth_user", "asker")
        .set("server_login_retry", "100ms");
    let pooler = Pooler::start(&config);
    let target = pooler.target("postgres");
    assert_eq!(target.sql("SELECT 1"), "1");
    // A connection that has died while it was idle is no reason to refuse anybody.
    // Told to end, a server may still take a query; what is asked for here is one that has ended.
    cluster.admin(
        "postgres",
        "SELECT pg_terminate_backend(pid, 20000) FROM pg_stat_activity WHERE usename IN ('app', 'asker')",
    );
    assert_eq!(target.sql("SELECT 1"), "1");
    cluster.stop();
    pooler.write(&config.set("client_login_timeout", "1s"));
    pooler.ask("RELOAD");
    let error = Wire::try_connect(&target, &[]).unwrap_err();
    assert_eq!(error.sqlstate, "08006", "{error:?}");
    cluster.start_again();
    eventually("logins work again", || {
        target.psql("SELECT 1").success.then_some(())
    });
}

fn connections_that_fell_silent(major: Major) {
    let stage = Stage::new(major);
    let gate = Gate::before(stage.cluster);
    let config = stage
        .config()
        .database_set(&stage.database, "hosts", [gate.host().as_str()])
        .set("server_check_delay", 0)
        .set("server_connect_timeout", "500ms");
    let pooler = Pooler::start(&config);
    let target = pooler.target(&stage.database);
    assert_eq!(target.sql("SELECT 1"), "1");
    // No end of these connections is to be seen: they say nothing any more. New ones do.
    gate.hush();
    assert_eq!(target.sql("SELECT 1"), "1");
}

fn a_client_that_leaves_costs_no_connection(major: Major) {
    let stage = Stage::new(major);
    stage.admin(
        "CREATE FUNCTION patient(who text) RETURNS TABLE (u name, p text) LANGUAGE sql AS
         'SELECT pg_advisory_xact_lock(7);
          SELECT rolname, rolpassword FROM pg_authid WHERE rolname = who'",
    );
    let config = stage.asking("SELECT u, p FROM patient($1)");
    let pooler = Pooler::start(&config.set("default_pool_size", 1));
    let target = pooler.target(&stage.database);
    assert_eq!(target.sql("SELECT 1"), "1");
    let asker = format!(
        "SELECT pid FROM pg_stat_activity WHERE usename = '{}'",
        stage.asker
    );
    let pid = stage.admin(&asker);
    let mut holder = Wire::connect(&stage.cluster.target(&stage.database));
    holder.sql("SELECT pg_advisory_lock(7)");
    let mut wire = Wire::open(&target);
    wire.startup(&target, pgweir_wire::startup::PROTOCOL_3_0, &[]);
    let waits = format!("{asker} AND wait_event = 'advisory'");
    eventually("the query waits", || {
        (!stage.admin(&waits).is_empty()).then_some(())
    });
    drop(wire);
    eventually("the client is gone", || {
        let clients = pooler.rows("SHOW CLIENTS");
        let mut databases = clients.iter().map(|row| row.text("database"));
        (!databases.any(|name| name == stage.database)).then_some(())
    });
    holder.sql("SELECT pg_advisory_unlock(7)");
    assert_eq!(target.sql("SELECT 1"), "1");
    assert_eq!(stage.admin(&asker), pid);
}

fn users_of_the_console_are_not_looked_up(major: Major) {
    let stage = Stage::new(major);
    let config = stage
        .asking("SELECT $1::text, 'known'")
        .set("admin_users", ["ops", "boss"])
        .set("auth_type", "plain");
    let pooler = Pooler::start(&config);
    let boss = pooler.console().user("boss").password("known");
    let outcome = boss.psql("SHOW VERSION");
    outcome.check_failure("password authentication failed");
    assert!(!pooler.ask("SHOW VERSION").is_empty());
}

fn the_password_of_a_forced_user_is_not_the_askers(major: Major) {
    let stage = Stage::new(major);
    let forced = stage
        .config()
        .database_set(&stage.database, "user", "other");
    let secret = forced
        .clone()
        .database_set(&stage.database, "password", "other-secret");
    let pooler = Pooler::start(&secret);
    let target = pooler.target(&stage.database);
    assert_eq!(target.sql("SELECT current_user"), "other");
    assert!(Wire::try_connect(&target.password("wrong"), &[]).is_err());
    // And what is found of those who log in is no password of the forced user's.
    let pooler = Pooler::start(&forced);
    let target = pooler.target(&stage.database);
    assert!(Wire::try_connect(&target, &[]).is_err());
}
