//! C1, for PgBouncer's format: every mistake of a file is reported at once, with file, line and key.

use proptest::prelude::*;

use super::{bad, read};
use crate::from_ini;

/// Mistakes; each line that has one says what its message is, after `##`.
const MAIN: &str = r####"
max_client_conn = 1            ## max_client_conn: value without section: max_client_conn
[pgbouncer]
listen_prot = 6432             ## listen_prot: unknown parameter: pgbouncer/listen_prot (did you mean "listen_port"?)
listen_port = 70000            ## listen_port: invalid value "70000" for parameter listen_port: expected a whole number from 0 to 65535
unix_socket_dir = tmp          ## unix_socket_dir: expected an absolute path, "@name" or ""
default_pool_size = many       ## default_pool_size: invalid value "many" for parameter default_pool_size: expected a whole number from 0 to 4294967295
tcp_keepalive = on             ## tcp_keepalive: invalid value "on" for parameter tcp_keepalive: expected 0 or 1
client_tls_protocols = tlsv1.1 ## client_tls_protocols: invalid value "tlsv1.1" for parameter client_tls_protocols: tlsv1.1 is not spoken: it is broken; use tlsv1.2 or tlsv1.3
server_tls_key_file = k.pem    ## server_tls_key_file: server_tls_key_file and server_tls_cert_file need each other
stats_period = 0               ## stats_period: expected more than 0
peer_id = 16384                ## peer_id: expected a number from 0 to 16383
dns_max_ttl = soon             ## dns_max_ttl: invalid value "soon" for parameter dns_max_ttl: expected seconds without a unit ("15", "0.5")
max_client_conn 100            ## syntax error in configuration: expected "=" after the key
%include more.ini
[database]                     ## invalid section "database"
a = host=b
[users]
ann = query_timeout=soon       ## users.ann.query_timeout: invalid value "soon" for parameter query_timeout: expected whole seconds
bob = pool_sise=1              ## users.bob.pool_sise: unrecognized user parameter: pool_sise (did you mean "pool_size"?)
cat = pool_mode                ## users.cat: syntax error in user settings: expected key=value, in what begins with character 1
%include none.ini              ## could not load file "none.ini": No such file or directory
[peers]
1 = host=other
0 = host=other                 ## peers.0: the name of a peer is its peer_id: a number from 1 to 16383
2 = port=5433                  ## peers.2.host: is missing
3 = host=a/b                   ## peers.3.host: '/' does not belong in a host
4 = host=other dbname=x        ## peers.4.dbname: unrecognized connection parameter: dbname
"####;

const MORE: &str = r####"
[databases]
pgbouncer = host=a             ## databases.pgbouncer: database name "pgbouncer" is reserved
shop = host=db bar=1           ## databases.shop.bar: unrecognized connection parameter: bar
jobs = host=db port=0          ## databases.jobs.port: expected a port from 1 to 65535, found 0
mail = host=db pool_size=5x    ## databases.mail.pool_size: invalid value "5x" for parameter pool_size: expected a whole number from 0 to 4294967295
news = host=db ; comment       ## databases.news: syntax error in connection string: expected key=value, in what begins with character 9
logs = host=db auth_usr=ann    ## databases.logs.auth_usr: unrecognized connection parameter: auth_usr (did you mean "auth_user"?)
"####;

/// The text without what it says about itself, and that.
fn marked(file: &str, text: &str) -> (String, Vec<String>) {
    let mut expected = Vec::new();
    let mut plain = String::new();
    for (at, line) in text.lines().enumerate() {
        let (line, message) = line.split_once("##").unwrap_or((line, ""));
        plain += line;
        plain.push('\n');
        if !message.is_empty() {
            expected.push(format!("{file}{}: {}", at + 1, message.trim_start()));
        }
    }
    (plain, expected)
}

#[test]
fn c1_mistakes_of_an_ini_give_messages_with_file_line_and_key() {
    let (main, mut expected) = marked("", MAIN);
    let (more, included) = marked("more.ini:", MORE);
    let after = expected
        .iter()
        .position(|message| message.starts_with("16:"));
    let after = after.expect("the line after the include has a mistake");
    expected.splice(after..after, included);
    let mistakes = read(&main, &[("more.ini", &more)]).expect_err("mistakes");
    let found: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
    assert_eq!(found, expected);
    assert!(found.len() > 20);
}

#[test]
fn c1_mistakes_of_the_whole() {
    let check = |text: &str, expected: &[&str]| assert_eq!(bad(text), expected, "{text}");
    let missing = "main section missing from config file: [pgbouncer]";
    check("", &[missing]);
    check("[databases]\na = host=b", &[missing]);
    check(
        "[pgbouncer",
        &["1: syntax error in configuration: expected \"]\"", missing],
    );
    check(
        "[pgbouncer]\nunix_socket_dir =",
        &["2: listen_addr: is empty, and so is unix_socket_dir: nobody could connect"],
    );
    check(
        "[pgbouncer]\nunix_socket_dir =\nlisten_addr = *\n[databases]\na = port=5",
        &["5: databases.a.port: needs \"host\" beside it"],
    );
    let name = "a".repeat(64);
    check(
        &format!("[pgbouncer]\n[databases]\n{name} = host=b"),
        &[&format!(
            "3: databases.{name}: too long db name: 64 bytes, more than 63"
        )],
    );
    // What stands in front of the one that counts is as wrong as that.
    check(
        "[pgbouncer]\n[databases]\na = port=x host=b\na = host=b",
        &["3: databases.a.port: expected a whole number from 0 to 65535, found \"x\""],
    );
}

#[test]
fn includes_end() {
    let deep: Vec<(String, String)> = (1..20)
        .map(|at| (format!("{at}.ini"), format!("%include {}.ini", at + 1)))
        .collect();
    let deep: Vec<(&str, &str)> = deep
        .iter()
        .map(|(name, text)| (name.as_str(), text.as_str()))
        .collect();
    let mistakes = read("[pgbouncer]\n%include 1.ini", &deep).expect_err("too deep");
    assert_eq!(
        mistakes[0].to_string(),
        "10.ini:1: include nesting level too deep: 11.ini"
    );
    let itself = [("a.ini", "%include b.ini"), ("b.ini", "\n%include a.ini")];
    let mistakes = read("[pgbouncer]\n%include a.ini", &itself).expect_err("a circle");
    assert_eq!(
        mistakes[0].to_string(),
        "b.ini:2: include nesting level too deep: a.ini"
    );
    // Twice in each file: 3 to the power of 9 lines, if nobody counted.
    let wide: Vec<(String, String)> = (1..10)
        .map(|at| {
            let next = format!("%include {}.ini\n", at + 1);
            (format!("{at}.ini"), next.repeat(3))
        })
        .chain([("10.ini".to_owned(), String::new())])
        .collect();
    let mut read_files = 0;
    let result = from_ini("[pgbouncer]\n%include 1.ini", &mut |path| {
        read_files += 1;
        let file = wide.iter().find(|(name, _)| name == path);
        Ok(file.expect("it is there").1.clone())
    });
    let mistakes = result.expect_err("too many").mistakes;
    assert!(mistakes[0].message.starts_with("more than 1000 includes"));
    assert_eq!(read_files, 1000);
}

#[test]
fn a_secret_is_in_no_message_and_no_debug() {
    let strings = [
        "password=hunter2 user='a",
        "user=a password='hunter2'x",
        "user=a password=my hunter2",
        "user=a pasword=hunter2",
        "user=a password='hunter2\0'",
        "hunter2",
    ];
    for string in strings {
        let text = format!("[pgbouncer]\n[databases]\na = {string}\n[users]\nb = {string}");
        let mistakes = read(&text, &[]).expect_err(string);
        assert!(!format!("{mistakes:?}").contains("hunter2"), "{mistakes:?}");
    }
    for line in [
        "[databases]\n'a b = password=hunter2",
        "[databases]\na b = password=hunter2",
    ] {
        assert!(
            !bad(&format!("[pgbouncer]\n{line}"))
                .concat()
                .contains("hunter2")
        );
    }
    let ini = read("[pgbouncer]\n[databases]\na = password=hunter2", &[]).expect("a warning");
    assert!(!format!("{ini:?}").contains("hunter2"));
}

#[test]
fn many_sections_on_one_line_are_only_that() {
    let text = format!("[pgbouncer]{}", "[users]".repeat(100_000));
    read(&text, &[]).expect("no mistakes");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whatever stands in a file, the answer is a model or mistakes with lines that exist.
    #[test]
    fn c1_any_ini_is_judged(
        lines in prop::collection::vec(
            prop_oneof![
                "[a-z_]{1,12} = [ -~]{0,20}",
                "[a-z]{1,3} = (host|port|user|pool_size|bar) ?= ?['a-z0-9 ]{0,8}",
                "[\\[\\]a-z.\"'%=]{0,20}",
                Just("[pgbouncer]".to_owned()),
                Just("[databases]".to_owned()),
                Just("[users]".to_owned()),
                Just("%include x".to_owned()),
                Just("pool_mode = session".to_owned()),
                "\\PC{0,30}",
            ],
            0..12,
        ),
    ) {
        let text = lines.join("\n");
        let included = lines.iter().rev().cloned().collect::<Vec<_>>().join("\n");
        if let Err(mistakes) = read(&format!("[pgbouncer]\n{text}"), &[("x", &included)]) {
            prop_assert!(!mistakes.is_empty());
            for mistake in mistakes {
                let line = mistake.line.expect("a mistake in a text has a line");
                prop_assert!((1..=lines.len() + 1).contains(&line), "{}", mistake);
                prop_assert!(matches!(mistake.file.as_deref(), None | Some("x")));
            }
        }
    }
}
