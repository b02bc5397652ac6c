//! Random files.

use std::net::{IpAddr, Ipv6Addr};

use proptest::prelude::*;

use super::super::*;
use super::name_file;

/// A line as its fields; `spelling` varies what means the same.
#[derive(Debug, Clone)]
struct Fields {
    origin: &'static str,
    databases: Vec<&'static str>,
    users: Vec<&'static str>,
    /// An address as its bits, and how many of them count; `None` is `all`.
    network: Option<(bool, String, usize)>,
    reject: bool,
    spelling: u8,
}

fn fields() -> impl Strategy<Value = Fields> {
    let origin = prop::sample::select(vec!["local", "host", "hostssl", "hostnossl"]);
    let databases = vec!["all", "sameuser", "replication", "a", "b", "\"all\""];
    let databases = prop::collection::vec(prop::sample::select(databases), 1..3);
    let users = prop::sample::select(vec!["all", "a", "b", "\"all\""]);
    let users = prop::collection::vec(users, 1..3);
    // Few bits that differ, so that much agrees.
    let network = (any::<bool>(), "[01]{3}0{29}", 0..5_usize);
    (
        origin,
        databases,
        users,
        prop::option::of(network),
        any::<bool>(),
        any::<u8>(),
    )
        .prop_map(
            |(origin, databases, users, network, reject, spelling)| Fields {
                origin,
                databases,
                users,
                network,
                reject,
                spelling,
            },
        )
}

/// An address whose first bits are these and whose others are zero.
fn address(v6: bool, bits: &str) -> IpAddr {
    let first = u32::from_str_radix(bits, 2).unwrap();
    if v6 {
        Ipv6Addr::from_bits(u128::from(first) << 96).into()
    } else {
        std::net::Ipv4Addr::from_bits(first).into()
    }
}

impl Fields {
    fn text(&self) -> String {
        let comma = if self.spelling & 1 == 0 { "," } else { " ,\t" };
        let method = if self.reject { "reject" } else { "trust" };
        let address = match &self.network {
            _ if self.origin == "local" => String::new(),
            None => "all".to_owned(),
            Some((v6, bits, count)) => {
                let kept = format!("{:0<32}", &bits[..*count]);
                let mask = format!("{:0<32}", "1".repeat(*count));
                let (address, mask) = (address(*v6, &kept), address(*v6, &mask));
                if self.spelling & 2 == 0 {
                    format!("{address}/{count}")
                } else {
                    format!("{address} {mask}")
                }
            }
        };
        format!(
            "{} {} {} {address} {method} # comment",
            self.origin,
            self.databases.join(comma),
            self.users.join(comma)
        )
    }

    /// What the manual says, word for word.
    fn fits(&self, client: &Client) -> bool {
        let origin = match (self.origin, client.from) {
            ("local", from) => return from == "local" && self.names_fit(client),
            (_, "local") => false,
            ("hostssl", from) => from == "tls",
            ("hostnossl", from) => from == "tcp",
            _ => true,
        };
        let address = self.network.as_ref().is_none_or(|(v6, bits, count)| {
            *v6 == client.v6 && bits[..*count] == client.bits[..*count]
        });
        origin && address && self.names_fit(client)
    }

    fn names_fit(&self, client: &Client) -> bool {
        let database = self.databases.iter().any(|word| match *word {
            "replication" => client.replication == Replication::Physical,
            _ if client.replication == Replication::Physical => false,
            "all" => true,
            "sameuser" => client.user == client.database,
            name => name.trim_matches('"') == client.database,
        });
        let user = self
            .users
            .iter()
            .any(|word| *word == "all" || word.trim_matches('"') == client.user);
        database && user
    }
}

#[derive(Debug, Clone)]
struct Client {
    from: &'static str,
    v6: bool,
    bits: String,
    database: &'static str,
    user: &'static str,
    replication: Replication,
}

fn client() -> impl Strategy<Value = Client> {
    let names = || prop::sample::select(vec!["a", "b", "all", "sameuser"]);
    let replication = prop::sample::select(vec![
        Replication::No,
        Replication::No,
        Replication::Logical,
        Replication::Physical,
    ]);
    (
        prop::sample::select(vec!["local", "tcp", "tls"]),
        any::<bool>(),
        "[01]{32}",
        names(),
        names(),
        replication,
    )
        .prop_map(|(from, v6, bits, database, user, replication)| Client {
            from,
            v6,
            bits,
            database,
            user,
            replication,
        })
}

impl Client {
    fn attempt(&self) -> Attempt<'_> {
        let address = address(self.v6, &self.bits);
        Attempt {
            channel: match self.from {
                "local" => Channel::Local,
                "tcp" => Channel::Plain(address),
                _ => Channel::Tls(address),
            },
            database: self.database,
            user: self.user,
            replication: self.replication,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn decisions_are_those_of_the_manual(
        lines in prop::collection::vec(fields(), 0..6),
        clients in prop::collection::vec(client(), 1..8),
    ) {
        let text: Vec<String> = lines.iter().map(Fields::text).collect();
        let rules = parse(&text.join("\n"), name_file).strict();
        let rules = rules.map_err(|mistakes| TestCaseError::fail(format!("{mistakes:?}")))?;
        for client in &clients {
            let expected = match lines.iter().position(|line| line.fits(client)) {
                None => Err(Refusal::NoRule),
                Some(at) if lines[at].reject => Err(Refusal::Rejected { line: at + 1 }),
                Some(at) => Ok(at + 1),
            };
            let found = rules.decide(&client.attempt()).map(|decision| decision.line);
            prop_assert_eq!(found, expected, "{:?}", client);
        }
    }

    /// A line is blank, or counts, or is a mistake: nothing is passed over. And what is wrong in one
    /// line changes nothing in another.
    #[test]
    fn each_line_counts_or_is_a_mistake(
        lines in prop::collection::vec(
            "(host|local|hostssl)( {1,2}(all|a,b|@ops|@bad|\\+g|\"x|10\\.0\\.0\\.0/8|::1/128|md5|peer|cert|map=a|#)){0,6}",
            0..6,
        ),
    ) {
        let whole = parse(&lines.join("\n"), name_file);
        let mut rules = Vec::new();
        for (index, line) in lines.iter().enumerate() {
            let alone = parse(line, name_file);
            prop_assert!(!alone.good.is_empty() || !alone.mistakes.is_empty(), "{}", line);
            prop_assert!(alone.good.len() <= 1);
            for mistake in alone.mistakes {
                let line = index + 1;
                let what = mistake.what;
                let told = whole.mistakes.contains(&Mistake { line, what });
                prop_assert!(told);
            }
            for mut rule in alone.good.0 {
                rule.line = index + 1;
                rules.push(rule);
            }
        }
        prop_assert_eq!(whole.good, Rules(rules));
    }

    #[test]
    fn hostile_text_never_panics(text in "[hostalme @+,#=\"/.:0-9é\\r\n\t]{0,80}", junk in "\\PC{0,40}") {
        for text in [&text, &junk] {
            let parsed = parse(text, |name| name_file(name).or_else(|_| Ok(name.to_owned())));
            for mistake in &parsed.mistakes {
                prop_assert!((1..=text.lines().count()).contains(&mistake.line));
            }
            let _ = ldap_options(text);
        }
    }
}
