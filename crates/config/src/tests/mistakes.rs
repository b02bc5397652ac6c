//! C1: every mistake of a file is reported at once, with line and key.

use proptest::prelude::*;

use super::{bad, good, parse};
use crate::oddities;

/// Twenty mistakes; each line that has one says what its message is, after `##`.
const TWENTY: &str = r####"
listen_port = 6432             ## listen_port: belongs into a section: put [pgweir] above it
[pgweir]
listen_prot = 6432             ## listen_prot: is not a key of [pgweir] (did you mean "listen_port"?)
listen_port = 70000            ## listen_port: expected a whole number from 0 to 65535, found 70000
listen_addr = ["127.0.0.1", 5] ## listen_addr: expected text, found a number
unix_socket_dir = "tmp"        ## unix_socket_dir: expected an absolute path, "@name" or ""
unix_socket_mode = "0999"      ## unix_socket_mode: expected permission bits in octal, as text ("0777"), found "0999"
pool_mode = "transction"       ## pool_mode: expected one of session, transaction, statement, found "transction" (did you mean "transaction"?)
pool_size = 20                 ## pool_size: is not a key of [pgweir], but of [databases.NAME], [users.NAME] and [peers.ID]
default_pool_size = "many"     ## default_pool_size: expected a whole number from 0 to 4294967295, found "many"
server_lifetime = "5 fortnights" ## server_lifetime: expected a duration ("500ms", "30s", "5min", "1h", or a number of seconds), found "5 fortnights"
pkt_buf = "64 kilo"            ## pkt_buf: expected a size ("64kB", "1MB", or a number of bytes), found "64 kilo"
tcp_keepalive = "perhaps"      ## tcp_keepalive: expected true or false, found "perhaps"
client_tls_protocols = "tlsv1.1" ## client_tls_protocols: tlsv1.1 is not spoken: it is broken; use tlsv1.2 or tlsv1.3
client_tls_sslmode = "verify"  ## client_tls_sslmode: expected one of disable, allow, prefer, require, verify-ca, verify-full, found "verify"
server_tls_key_file = "k.pem"  ## server_tls_key_file: server_tls_key_file and server_tls_cert_file need each other
stats_period = 0               ## stats_period: expected more than 0
[databases.shop]
hosts = ["db:0"]               ## databases.shop.hosts: "0" is no port: expected a number from 1 to 65535
server_tls_sslmode = "verify-ca" ## databases.shop.server_tls_sslmode: "verify-ca" needs server_tls_ca_file; without it, use "verify-full"
pasword = "hunter2"            ## databases.shop.pasword: is not a key of [databases.NAME] (did you mean "password"?)
[users.ann]
query_timeout = -1             ## users.ann.query_timeout: expected a duration ("500ms", "30s", "5min", "1h", or a number of seconds), found "-1"
"####;

#[test]
fn c1_twenty_mistakes_give_twenty_messages_with_line_and_key() {
    let marked = TWENTY.lines().enumerate().filter_map(|(at, line)| {
        let (_, message) = line.split_once("## ")?;
        Some(format!("{}: {message}", at + 1))
    });
    let expected: Vec<String> = marked.collect();
    let found: Vec<String> = bad(TWENTY).iter().map(ToString::to_string).collect();
    assert_eq!(found, expected);
    assert_eq!(found.len(), 20);
}

#[test]
fn c1_one_mistake_each() {
    let check = |text: &str, expected: &str| {
        let found: Vec<String> = bad(text).iter().map(ToString::to_string).collect();
        assert_eq!(found, [expected], "{text}");
    };
    check(
        "[database.a]",
        "1: database: is not a section (did you mean \"databases\"?): they are [pgweir], [databases.NAME], [users.NAME] and [peers.ID]",
    );
    check("pgweir = 1", "1: pgweir: expected a section: [pgweir]");
    check(
        "[databases]\na = 'host=b'",
        "2: databases.a: expected a section: [databases.a]",
    );
    check(
        "[pgweir]\npool_mode = transaction",
        "2: expected a value; text needs quotes",
    );
    check(
        "[pgweir]\nlisten_port = 1\nlisten_port = 2",
        "3: duplicate key",
    );
    check(
        "[databases.pgbouncer]\nhosts = ['a']",
        "1: databases.pgbouncer: database name \"pgbouncer\" is reserved",
    );
    check(
        "[databases.'']\nhosts = ['a']",
        "1: databases.\"\": the name is empty",
    );
    check(
        "[databases.a]\nport = 1",
        "2: databases.a.port: needs \"host\" beside it",
    );
    check(
        "[databases.a]\nhosts = ['b']\nport = 1",
        "3: databases.a.port: is already said by \"hosts\"",
    );
    check(
        "[databases.a]\nhost = 'b'\nport = 0",
        "3: databases.a.port: expected a port from 1 to 65535, found 0",
    );
    check(
        "[databases.a]\nhost = 'b c'",
        "2: databases.a.host: ' ' does not belong in a host",
    );
    check(
        "[databases.a]\nhosts = ['b,c']",
        "2: databases.a.hosts: \"b,c\" contains a comma: write the items of a list one by one",
    );
    check(
        "[databases.a]\nhosts = ['b']\npassword = 'x'",
        "3: databases.a.password: needs \"user\" beside it: it is the password of that user",
    );
    check(
        "[databases.a]\nhosts = ['b']\ndbname = ''",
        "3: databases.a.dbname: is empty",
    );
    check(
        "[pgweir]\nunix_socket_dir = ''\n[databases.a]",
        "3: databases.a.hosts: is missing, and there is no unix_socket_dir",
    );
    check(
        "[pgweir]\nunix_socket_dir = ''\nlisten_addr = []",
        "3: listen_addr: is empty, and so is unix_socket_dir: nobody could connect",
    );
    check(
        "[pgweir]\nadmin_users = 1979-05-27",
        "2: admin_users: expected a list of texts, found a date",
    );
    check("[pgweir.more]", "1: more: is not a key of [pgweir]");
    check(
        "[pgweir]\nclient_tls_sslmode = 'require'\nclient_tls_key_file = 'k'",
        "2: client_tls_sslmode: client_tls_sslmode \"require\" needs client_tls_cert_file",
    );
}

#[test]
fn c1_consequences_of_a_mistake_are_not_reported() {
    // The file names a key, although not well; that it is needed is no second mistake.
    let text = "[pgweir]\nclient_tls_sslmode = 'require'\nclient_tls_key_file = 1\n\
                client_tls_cert_file = 'c'";
    assert_eq!(bad(text).len(), 1, "{:?}", bad(text));
    let text = "[pgweir]\nunix_socket_dir = ''\n[databases.a]\nhosts = ['b:x']";
    assert_eq!(bad(text).len(), 1, "{:?}", bad(text));
}

#[test]
fn c1_what_is_broken_does_not_hide_what_is_wrong() {
    let text =
        "[pgweir]\npool_mode = transaction\nlisten_prot = 1\n[users.ann]\nage = 5\nname = x\n";
    let lines: Vec<Option<usize>> = bad(text).iter().map(|mistake| mistake.line).collect();
    assert_eq!(
        lines,
        [Some(2), Some(3), Some(5), Some(6)],
        "{:?}",
        bad(text)
    );
}

#[test]
fn a_secret_is_in_no_message_and_no_debug() {
    let texts = [
        "[users.ann]\npassword = hunter2",
        "[users.ann]\npassword = \"hunter2",
        "[users.ann]\npassword = ['hunter2']",
        "[users.ann]\npasword = 'hunter2'",
        "[users.ann]\npassword = \"hunter2\\u0000\"",
        "[databases.shop]\npassword = 'hunter2'",
        "[databases]\nshop = 'password=hunter2'",
        "[users]\nann = 'hunter2'",
        "[pgweir]\npassword = 'hunter2'",
        "password = 'hunter2'",
    ];
    for text in texts {
        let mistakes = format!("{:?}", bad(text));
        assert!(!mistakes.contains("hunter2"), "{text}: {mistakes}");
    }
    let config = good(
        "[databases.shop]\nhosts = ['a']\nuser = 'ann'\npassword = 'hunter2'\n\
         [users.ann]\npassword = 'hunter2'",
    );
    assert!(!format!("{config:?} {:?}", config.show(crate::Notation::Pgweir)).contains("hunter2"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whatever stands in a file, the answer is a model or mistakes with lines that exist.
    #[test]
    fn c1_any_text_is_judged(
        lines in prop::collection::vec(
            prop_oneof![
                "[a-z_]{1,12} = [ -~]{0,20}",
                "[\\[\\]a-z.\"']{0,20}",
                Just("[pgweir]".to_owned()),
                Just("[databases.shop]".to_owned()),
                Just("hosts = [\"a\", 'b:1']".to_owned()),
                Just("pool_mode = \"session\"".to_owned()),
                Just("server_lifetime = 5".to_owned()),
                "\\PC{0,30}",
            ],
            0..12,
        ),
    ) {
        let text = lines.join("\n");
        if let Err(mistakes) = parse(&text) {
            prop_assert!(!mistakes.is_empty());
            for mistake in mistakes {
                let line = mistake.line.expect("a mistake in a text has a line");
                prop_assert!((1..=lines.len().max(1)).contains(&line), "{}", mistake);
            }
        }
    }

    /// As many mistakes as keys that are none, each at its place among good ones.
    #[test]
    fn c1_each_unknown_key_is_named_where_it_stands(unknown in prop::collection::vec(any::<bool>(), 1..40)) {
        let mut text = "[pgweir]\n".to_owned();
        let mut expected = Vec::new();
        for (at, unknown) in unknown.iter().enumerate() {
            if *unknown {
                text += &format!("unheard_of_{at} = {at}\n");
                expected.push((Some(at + 2), format!("unheard_of_{at}")));
            } else {
                text += "# good\n";
            }
        }
        let found = parse(&text).err().unwrap_or_default();
        let found: Vec<_> = found.into_iter().map(|mistake| (mistake.line, mistake.key)).collect();
        prop_assert_eq!(found, expected);
    }
}

#[test]
fn c1_all_that_is_wrong_with_a_list_is_told() {
    let found = bad("[databases.shop]\nhosts = [\"a:0\", \"b\", \"c:x\", 7]");
    let [mistake] = &found[..] else {
        panic!("{found:#?}");
    };
    assert_eq!(
        mistake.to_string(),
        "2: databases.shop.hosts: \"0\" is no port: expected a number from 1 to 65535; \"x\" is no port: \
         expected a number from 1 to 65535; expected a host (\"db:5432\", \"[::1]:5432\", \"/socket/dir:5432\"), \
         found a number"
    );
    let found = bad("[databases.shop]\nhost = \"a b,c,d/e\"");
    assert!(
        found[0].message.contains("' '") && found[0].message.contains("'/'"),
        "{found:#?}"
    );
}

#[test]
fn what_is_hardly_meant_is_told() {
    let odd = |text: &str| {
        let odd = oddities(&good(text));
        odd.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(
        odd(""),
        ["databases: there are none: clients can reach the console and nothing else"]
    );
    assert_eq!(
        odd(
            "[pgweir]\nmin_pool_size = 30\n[databases.a]\nhosts = ['a']\npool_size = 5\nmin_pool_size = 6"
        ),
        [
            "min_pool_size: 30 is more than the size of the pool, which keeps it at 20",
            "databases.a.min_pool_size: 6 is more than the size of the pool, which keeps it at 5",
        ]
    );
    let none = "[pgweir]\nmin_pool_size = 30\ndefault_pool_size = 0\n[databases.a]\nhosts = ['a']\nmin_pool_size = 2";
    assert_eq!(odd(none), [""; 0]);
}
