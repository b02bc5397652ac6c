//! What the console shows.

use pgweir_tests::Wire;

use super::stage::Stage;
use super::talk;

/// Tables of the console.
const TABLES: &[&str] = &[
    "CLIENTS",
    "SERVERS",
    "SOCKETS",
    "FDS",
    "ACTIVE_SOCKETS",
    "POOLS",
    "DATABASES",
    "USERS",
    "LISTS",
    "STATS",
    "STATS_TOTALS",
    "STATS_AVERAGES",
    "TOTALS",
    "CONFIG",
    "MEM",
    "DNS_HOSTS",
    "DNS_ZONES",
    "VERSION",
    "STATE",
    "PEERS",
    "PEER_POOLS",
];

/// Columns that are alike from run to run, of tables whose rows are compared.
const ROWS: &[(&str, &[&str])] = &[
    (
        "CLIENTS",
        &[
            "type",
            "user",
            "database",
            "state",
            "addr",
            "local_addr",
            "close_needed",
            "tls",
        ],
    ),
    (
        "SERVERS",
        &[
            "type",
            "user",
            "database",
            "state",
            "addr",
            "local_addr",
            "close_needed",
            "tls",
        ],
    ),
    (
        "POOLS",
        &[
            "database",
            "user",
            "cl_active",
            "cl_waiting",
            "sv_active",
            "sv_idle",
            "sv_used",
            "sv_tested",
            "sv_login",
            "maxwait",
            "pool_mode",
        ],
    ),
    (
        "DATABASES",
        &[
            "name",
            "host",
            "port",
            "database",
            "force_user",
            "pool_size",
            "min_pool_size",
            "pool_mode",
            "max_connections",
            "current_connections",
            "paused",
            "disabled",
        ],
    ),
    ("USERS", &["name", "pool_mode"]),
];

/// Tables whose rows are told apart by the first column.
const BY_NAME: &[(&str, &[&str])] = &[
    ("CONFIG", &["default", "changeable"]),
    ("LISTS", &["items"]),
];

/// Columns of all tables, and the rows of those that are alike from run to run.
pub(super) fn shows(stage: &mut Stage) {
    let databases = "more = SERVER dbname=DATABASE user=app password=app-secret pool_size=3 \
                     min_pool_size=0 pool_mode=statement max_db_connections=9\n\
                     socket = dbname=DATABASE\n* = SERVER";
    let pooler = stage.start(&[("pool_mode", "transaction")], databases);
    let mut client = Wire::connect(&pooler.target("shop"));
    client.sql("SELECT 1");
    let mut busy = Wire::connect(&pooler.target("more"));
    busy.sql("SELECT 1");
    let mut auto = Wire::connect(&pooler.target(&stage.database.clone()));
    auto.sql("BEGIN");
    let mut console = Wire::connect(&Stage::console(&pooler));
    for table in TABLES {
        let frames = console.query(&format!("SHOW {table}"));
        let Some(described) = frames.iter().find(|frame| frame.tag == b'T') else {
            stage.note(format!("SHOW {table}"), talk::frame(&frames[0]));
            continue;
        };
        let mut seen = talk::columns(described);
        let done = frames.iter().find(|frame| frame.tag == b'C');
        seen.push(("at the end".to_owned(), talk::frame(done.expect("it ends"))));
        stage.list(format!("SHOW {table}"), seen);
    }
    for (table, columns) in ROWS {
        let mut rows = rows(&mut console, table, columns);
        if matches!(*table, "CLIENTS" | "SERVERS") {
            rows.sort();
        }
        let rows = rows
            .join("; ")
            .replace(&pooler.port().to_string(), "POOLER");
        stage.note(format!("SHOW {table}, rows"), rows);
    }
    for (table, columns) in BY_NAME {
        let rows = rows_of(&mut console, table);
        let seen = rows.iter().map(|row| {
            let values: Vec<String> = columns.iter().map(|name| value(row, name)).collect();
            (row[0].1.clone(), values.join(" "))
        });
        let seen = seen.filter(|(name, _)| !is_of_the_run(name)).collect();
        stage.list(format!("SHOW {table}, rows"), seen);
    }
    stage.ask("", &mut console, "SHOW HELP");
    drop((client, busy, auto));
}

/// What says how much of something there is at the moment.
fn is_of_the_run(name: &str) -> bool {
    name.starts_with("free_") || name.starts_with("used_") || name.starts_with("dns_")
}

fn rows(console: &mut Wire, table: &str, columns: &[&str]) -> Vec<String> {
    rows_of(console, table)
        .iter()
        .map(|row| {
            let values: Vec<String> = columns.iter().map(|name| value(row, name)).collect();
            values.join(" ")
        })
        .collect()
}

fn value(row: &[(String, String)], column: &str) -> String {
    let found = row.iter().find(|(name, _)| name == column);
    found.map_or("no such column".to_owned(), |(_, value)| {
        match value.as_str() {
            "" => "empty".to_owned(),
            other => other.to_owned(),
        }
    })
}

fn rows_of(console: &mut Wire, table: &str) -> Vec<Vec<(String, String)>> {
    let frames = console.query(&format!("SHOW {table}"));
    let described = frames.iter().find(|frame| frame.tag == b'T');
    let names = talk::columns(described.expect("it is a table"));
    let rows = frames.iter().filter(|frame| frame.tag == b'D');
    rows.map(|row| {
        let names = names.iter().map(|(name, _)| name.clone());
        names.zip(row.row()).collect()
    })
    .collect()
}
