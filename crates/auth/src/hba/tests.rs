//! What files say, what is wrong with them, and random files against a plain reading of the rules.

mod random;

use super::names::FILES_MAX;
use super::*;
use crate::exchange::Method;

/// Names files that cases refer to.
pub(super) fn name_file(name: &str) -> Result<String, String> {
    Ok(match name {
        "ops" => "alice, bob # two\n\n\"all\"\n".to_owned(),
        "nested" => "@ops carol\n".to_owned(),
        "everybody" => "all".to_owned(),
        "bad" => "dave\n+group, @missing\n\"open\n".to_owned(),
        "itself" => "@itself".to_owned(),
        "twins" => "@twins @twins".to_owned(),
        _ => return Err("there is no such file".to_owned()),
    })
}

fn read(text: &str) -> Parsed<Rules> {
    parse(text, name_file)
}

fn attempt<'a>(from: &str, database: &'a str, user: &'a str) -> Attempt<'a> {
    let channel = match from.split_once(' ') {
        Some(("tls", address)) => Channel::Tls(address.parse().unwrap()),
        Some(("tcp", address)) => Channel::Plain(address.parse().unwrap()),
        _ => Channel::Local,
    };
    let replication = Replication::No;
    Attempt {
        channel,
        database,
        user,
        replication,
    }
}

/// What becomes of an attempt: the number of the rule that admits it, or why none does.
fn outcome(rules: &Rules, attempt: &Attempt<'_>) -> String {
    match rules.decide(attempt) {
        Ok(decision) => decision.line.to_string(),
        Err(Refusal::Rejected { line }) => format!("rejected by {line}"),
        Err(Refusal::NoRule) => "no rule".to_owned(),
    }
}

const FILE: &str = "\
# type     database         user        address                  method
local      all              postgres                             peer map=ops
local      sameuser         all                                  md5
host       shop,\"all\"       @nested     10.1.0.0/16              scram-sha-256
hostssl    shop             all         2001:db8::/32            cert
hostnossl  all              all         192.168.0.0 255.255.0.0  reject
host       replication      standby     192.168.7.7/32           password

host       all              \"all\"       all                      trust
host       stock            eve         0.0.0.0/0                ldap ldapserver=d ldapprefix=\"cn=\"
host       stock            eve         ::/0                     reject
";

#[test]
fn the_first_rule_that_fits_decides() {
    let rules = read(FILE).strict().unwrap();
    let check = |from: &str, database: &str, user: &str, expected: &str| {
        let found = outcome(&rules, &attempt(from, database, user));
        assert_eq!(found, expected, "{from} {database} {user}");
    };
    check("local", "shop", "postgres", "2");
    check("local", "bob", "bob", "3");
    check("local", "shop", "bob", "no rule");
    check("tcp 127.0.0.1", "shop", "postgres", "no rule");
    check("tcp 10.1.255.255", "shop", "alice", "4");
    check("tls 10.1.0.0", "shop", "carol", "4");
    check("tcp 10.2.0.0", "shop", "alice", "no rule");
    check("tcp 10.1.0.1", "shop", "dave", "no rule");
    check("tcp 10.1.0.1", "all", "bob", "4");
    check("tcp 10.1.0.1", "stock", "bob", "no rule");
    check("tcp 10.1.0.1", "shop", "all", "4");
    check("tls 2001:db8::1", "shop", "eve", "5");
    check("tcp 2001:db8::1", "shop", "eve", "no rule");
    check("tls 2001:db9::1", "shop", "eve", "no rule");
    check("tcp 192.168.3.4", "shop", "eve", "rejected by 6");
    check("tls 192.168.3.4", "shop", "eve", "no rule");
    check("tls 1.2.3.4", "x", "all", "9");
    check("tls 1.2.3.4", "stock", "eve", "10");
    check("tls 1::2", "stock", "eve", "rejected by 11");
    // A socket for both kinds shows IPv4 inside of IPv6.
    check("tcp ::ffff:10.1.2.3", "shop", "alice", "4");
    check("tcp ::ffff:192.168.1.1", "x", "y", "rejected by 6");
    // Names are compared as they are.
    check("tcp 10.1.0.1", "Shop", "alice", "no rule");
    check("local", "shop", "Postgres", "no rule");
}

#[test]
fn only_replication_is_about_physical_replication() {
    let rules = read(FILE).strict().unwrap();
    let check = |from: &str, user: &str, replication: Replication, expected: &str| {
        let attempt = Attempt {
            replication,
            ..attempt(from, user, user)
        };
        assert_eq!(outcome(&rules, &attempt), expected, "{from} {user}");
    };
    check("tls 192.168.7.7", "standby", Replication::Physical, "7");
    check(
        "tls 192.168.7.7",
        "standby",
        Replication::Logical,
        "no rule",
    );
    check("tls 192.168.7.7", "other", Replication::Physical, "no rule");
    check("local", "postgres", Replication::Physical, "no rule");
    check("local", "postgres", Replication::Logical, "2");
    check("local", "bob", Replication::Physical, "no rule");
    check("local", "bob", Replication::Logical, "3");
}

#[test]
fn each_method_has_its_way() {
    let rules = read(FILE).strict().unwrap();
    let way = |from: &str, database: &str, user: &str| {
        let attempt = attempt(from, database, user);
        rules.decide(&attempt).unwrap().way.clone()
    };
    let map = Some("ops".to_owned());
    assert_eq!(way("local", "x", "postgres"), Way::Peer { map });
    assert_eq!(way("local", "x", "x"), Way::Ask(Method::Md5));
    assert_eq!(way("tcp 10.1.0.1", "shop", "bob"), Way::Ask(Method::Scram));
    let map = None;
    assert_eq!(way("tls 2001:db8::", "shop", "x"), Way::Certificate { map });
    assert_eq!(way("tcp 8.8.8.8", "x", "all"), Way::Ask(Method::Trust));
    let Way::Ldap(directory) = way("tcp 8.8.8.8", "stock", "eve") else {
        panic!("no LDAP")
    };
    assert_eq!(directory.servers, ["ldap://d:389"]);
    let attempt = Attempt {
        replication: Replication::Physical,
        ..attempt("tls 192.168.7.7", "", "standby")
    };
    let decision = rules.decide(&attempt).unwrap();
    assert_eq!(decision.way, &Way::Ask(Method::Password));
}

#[test]
fn refusals_have_pgbouncers_texts() {
    assert_eq!(
        Refusal::NoRule.to_string(),
        "no authentication method is found"
    );
    assert_eq!(Refusal::Rejected { line: 1 }.to_string(), "login rejected");
    assert_eq!(
        Rules::default().decide(&attempt("local", "a", "a")),
        Err(Refusal::NoRule)
    );
}

/// Lines that do not count.
const LEFT_OUT: &[(&str, &[&str])] = &[
    (
        "HOST all all all md5",
        &["expected local, host, hostssl or hostnossl, found \"HOST\""],
    ),
    (
        "\"host\" all all all md5",
        &["expected local, host, hostssl or hostnossl, found \"host\""],
    ),
    (
        "hostgssenc all all all md5",
        &["hostgssenc is not supported: there is no GSS encryption"],
    ),
    ("include other.conf", &["include is not supported"]),
    ("include_dir conf.d", &["include_dir is not supported"]),
    ("host", &["expected a database"]),
    ("host all", &["expected a user"]),
    ("host a,", &["expected a database"]),
    ("host a,,b all all md5", &["expected a database"]),
    ("local all", &["expected a user"]),
    ("local all all", &["expected a method after the user"]),
    (
        "host all all",
        &["expected an address and a method after the user"],
    ),
    (
        "host all all all",
        &[
            "expected a method: one of trust, reject, md5, password, scram-sha-256, cert, peer, ldap",
        ],
    ),
    ("local samerole all md5", &["samerole is not supported"]),
    ("local samegroup all md5", &["samegroup is not supported"]),
    (
        "local all +admins md5",
        &["groups are not supported: \"+admins\""],
    ),
    ("host all all samehost md5", &["samehost is not supported"]),
    ("host all all samenet md5", &["samenet is not supported"]),
    (
        "host all all .example.com md5",
        &["\".example.com\" is no address: host names are not supported"],
    ),
    (
        "host all all \"all\" md5",
        &["\"all\" is no address: host names are not supported"],
    ),
    (
        "host all all 1.2.3.400/32 md5",
        &["\"1.2.3.400\" is no IPv4 or IPv6 address"],
    ),
    (
        "host all all fe80::1%eth0/64 md5",
        &["\"fe80::1%eth0\" is no IPv4 or IPv6 address"],
    ),
    (
        "host all all 1.2.3.4/33 md5",
        &["\"33\" is no number of bits"],
    ),
    (
        "host all all 1.2.3.4/+8 md5",
        &["\"+8\" is no number of bits"],
    ),
    ("host all all 1.2.3.4/ md5", &["\"\" is no number of bits"]),
    (
        "host all all ::1/129 md5",
        &["\"129\" is no number of bits"],
    ),
    (
        "host all all 1.2.3.4 md5",
        &["expected a mask: 1.2.3.4/bits, or a mask behind it"],
    ),
    (
        "host all all 10.0.0.0 ffff:: md5",
        &["10.0.0.0 and mask ffff:: are of different kinds"],
    ),
    (
        "host all all 10.1.2.3/8 md5",
        &["10.1.2.3 has bits outside of its mask: it would be 10.0.0.0"],
    ),
    (
        "host all all 1::2/16 md5",
        &["1::2 has bits outside of its mask: it would be 1::"],
    ),
    (
        "local all all pam",
        &[
            "method \"pam\" is not supported: expected one of trust, reject, md5, password, \
            scram-sha-256, cert, peer, ldap",
        ],
    ),
    (
        "local all all md5 map=x",
        &["option \"map\" is not supported with md5"],
    ),
    (
        "hostssl all all all cert clientname=DN",
        &["option \"clientname\" is not supported with cert"],
    ),
    ("local all all peer map=", &["option \"map\" needs a name"]),
    (
        "local all all peer map=a map=b",
        &["option \"map\" is given twice"],
    ),
    (
        "local all all peer ops",
        &["expected options as key=value after peer"],
    ),
    ("local all \"bob md5", &["a quote is not closed"]),
    (
        "local all @missing md5",
        &["@missing: there is no such file"],
    ),
    ("local all @ md5", &["expected the name of a file after @"]),
    (
        "local all @bad md5",
        &[
            "@bad line 2: groups are not supported: \"+group\"",
            "@bad line 2: @missing: there is no such file",
            "@bad line 3: a quote is not closed",
        ],
    ),
    (
        "host samerole,a,+b +c,+d 1.2.3.0/8 md5",
        &[
            "groups are not supported: \"+b\"",
            "samerole is not supported",
            "groups are not supported: \"+c\"",
            "groups are not supported: \"+d\"",
            "1.2.3.0 has bits outside of its mask: it would be 1.0.0.0",
        ],
    ),
    (
        "host samerole all 1.0.0.0/8 gss a=b",
        &[
            "samerole is not supported",
            "method \"gss\" is not supported: expected one of trust, reject, md5, password, \
             scram-sha-256, cert, peer, ldap",
        ],
    ),
];

/// Lines that count all the same.
const KEPT: &[(&str, &[&str])] = &[
    (
        "host all all all peer",
        &["peer can only succeed on local connections: all of this line are refused"],
    ),
    (
        "local all all cert",
        &["cert can only succeed with TLS: all of this line are refused"],
    ),
    (
        "hostnossl all all all cert map=x",
        &["cert can only succeed with TLS: all of this line are refused"],
    ),
    (
        "local /^x all,/y md5",
        &[
            "regular expressions are not supported: \"/^x\" is taken for a name",
            "regular expressions are not supported: \"/y\" is taken for a name",
        ],
    ),
];

#[test]
fn mistakes_say_what_is_wrong() {
    for (cases, rules) in [(LEFT_OUT, 0), (KEPT, 1)] {
        for (line, expected) in cases {
            let parsed = read(line);
            let found: Vec<&str> = parsed
                .mistakes
                .iter()
                .map(|mistake| mistake.what.as_str())
                .collect();
            assert_eq!(found, *expected, "{line}");
            assert_eq!(parsed.good.len(), rules, "{line}");
        }
    }
}

#[test]
fn all_mistakes_are_told_at_once_with_their_lines() {
    let good: Vec<&str> = FILE.lines().collect();
    let bad = LEFT_OUT.iter().map(|(line, _)| *line);
    let text: Vec<&str> = bad.clone().chain(good.iter().copied()).collect();
    let parsed = read(&text.join("\r\n"));
    let mut lines: Vec<usize> = parsed.mistakes.iter().map(|mistake| mistake.line).collect();
    lines.dedup();
    assert_eq!(lines, (1..=LEFT_OUT.len()).collect::<Vec<_>>());
    // The good lines count as if they stood alone.
    let alone = read(FILE).good;
    let attempt = attempt("tls 1.2.3.4", "stock", "eve");
    let (alone_line, line) = (
        alone.decide(&attempt).unwrap().line,
        parsed.good.decide(&attempt).unwrap().line,
    );
    assert_eq!(line, alone_line + LEFT_OUT.len());
    assert_eq!(parsed.good.len(), alone.len());
    assert_eq!(parsed.clone().strict(), Err(parsed.mistakes));
}

#[test]
fn a_line_that_admits_nobody_does_not_hand_on() {
    let rules = read("host all all all peer\nhost all all all trust").good;
    let decision = rules.decide(&attempt("tcp 1.2.3.4", "a", "a"));
    assert_eq!(decision.map(|decision| decision.line), Ok(1));
}

#[test]
fn names_files_end() {
    for (file, calls_max) in [("itself", 10), ("twins", FILES_MAX)] {
        let mut calls = 0;
        let parsed = parse(&format!("local all @{file} trust"), |name| {
            calls += 1;
            name_file(name)
        });
        assert!(calls <= calls_max, "{file}: {calls}");
        assert!(!parsed.mistakes.is_empty() && parsed.good.is_empty());
    }
    // A keyword in a file is one; quoted, it is a name.
    let rules = read("local @ops @everybody trust").strict().unwrap();
    assert_eq!(outcome(&rules, &attempt("local", "alice", "x")), "1");
    assert_eq!(outcome(&rules, &attempt("local", "all", "x")), "1");
    assert_eq!(outcome(&rules, &attempt("local", "carol", "x")), "no rule");
}

#[test]
fn masks_need_not_be_prefixes() {
    let check = |line: &str, client: &str, expected: &str| {
        let rules = read(&format!("host all all {line} trust"));
        let rules = rules.strict().unwrap();
        let found = outcome(&rules, &attempt(&format!("tcp {client}"), "a", "a"));
        assert_eq!(found, expected, "{line} {client}");
    };
    check("10.0.7.0 255.0.255.0", "10.9.7.9", "1");
    check("10.0.7.0 255.0.255.0", "10.9.8.9", "no rule");
    check("1::2 ffff::ffff", "1:5::2", "1");
    check("1::2 ffff::ffff", "1:5::3", "no rule");
    check("0.0.0.0/0", "255.255.255.255", "1");
    check("0.0.0.0/0", "::1", "no rule");
    check("::/0", "1.2.3.4", "no rule");
    check("::/0", "ffff::", "1");
    check("::1/128", "::1", "1");
    check("::1/128", "::2", "no rule");
    check("::ffff:10.0.0.0/104", "10.9.9.9", "1");
    check("::ffff:10.0.0.0/104", "11.9.9.9", "no rule");
    check("\"10.0.0.0/8\"", "10.1.2.3", "1");
}

#[test]
fn maps_that_rules_name_must_be_there() {
    let rules = read("local all all peer map=ops\nhostssl all all all cert map=\"of theirs\"\n");
    let rules = rules.strict().unwrap();
    let maps = crate::ident::parse("ops alice shop").strict().unwrap();
    let missing = rules.missing_maps(&maps);
    let what = "map \"of theirs\" is not in the ident file".to_owned();
    assert_eq!(missing, [Mistake { line: 2, what }]);
    assert_eq!(rules.missing_maps(&Maps::default()).len(), 2);
}

#[test]
fn a2_options_do_not_print_their_values() {
    let line = "host all all all ldap ldapserver=d ldapbasedn=x ldapbindpasswd=hunter2";
    let parsed = read(line);
    assert!(parsed.mistakes.is_empty());
    assert!(!format!("{parsed:?}").contains("hunter2"));
    for wrong in [
        "host all all all ldap ldapbindpasswd hunter2",
        "host all all all ldap ldapbindpasswd=\"hunter2",
        "host all all all ldap ldapbindpasswd=hunter2 ldapbindpasswd=hunter2",
        "host all all all ldap ldapbindpassword=hunter2",
        "host all all all ldapbindpasswd=hunter2",
        "host all all ldap ldapbindpasswd=hunter2",
        "host all all ldapbindpasswd=hunter2",
        "ldapbindpasswd=hunter2",
        "host all +a=hunter2 all trust",
        "host all /a=hunter2 all trust",
    ] {
        let parsed = read(wrong);
        assert!(!parsed.mistakes.is_empty(), "{wrong}");
        let shown = format!("{:?}", parsed.mistakes);
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}

#[test]
fn ldap_options_may_stand_alone() {
    let directory = ldap_options(" ldapurl=\"ldap://h/dc=x,dc=y?uid?sub\" ldaptls=1").unwrap();
    assert_eq!(directory.servers, ["ldap://h:389"]);
    assert!(directory.start_tls);
    let mistakes = ldap_options("map=x ldaptls=1 ldaptls=2").unwrap_err();
    assert_eq!(mistakes.len(), 2, "{mistakes:?}");
}
