//! The promises of the crate, its two sides against each other, and hostile input.

// Long because: it is a list of cases that have little to do with each other.

use pgweir_auth::{
    Authenticated, ChannelBinding, Error, Exchange, Login, Message, Method, Reply, Request,
    Salting, ScramKeys, Secret, Start, Step, ident, userlist,
};
use proptest::prelude::*;

const MOCK: Salting = Salting {
    key: [9; 32],
    iterations: 4096,
};

fn certificate() -> Vec<u8> {
    include_bytes!("data/certificate.der").to_vec()
}

fn begin(
    method: Method,
    secret: Option<&Secret>,
    binding: Option<&ChannelBinding>,
) -> (Exchange, Request) {
    match Exchange::start(method, "bob", secret, binding, [1; 32], &MOCK) {
        Start::Ask(exchange, request) => (exchange, request),
        Start::Authenticated(_) => panic!("asked for nothing"),
    }
}

/// A whole SCRAM dialogue between our two sides.
fn scram(
    stored: Option<&Secret>,
    login: Login,
    binding: Option<&ChannelBinding>,
) -> Result<Authenticated, Error> {
    let (exchange, request) = begin(Method::Scram, stored, binding);
    let Request::Sasl { mechanisms } = request else {
        panic!("no SASL")
    };
    let offered: Vec<&[u8]> = mechanisms.iter().map(|name| name.as_bytes()).collect();
    let (client, mechanism, first) = login.sasl_start(&offered, [2; 32])?;
    let step = exchange.step(Message::SaslInitial {
        mechanism: mechanism.as_bytes(),
        response: Some(&first),
    })?;
    let Step::Continue(exchange, Reply::SaslContinue(challenge)) = step else {
        panic!("no challenge")
    };
    let (client, answer) = client.step(&challenge)?;
    let Step::Success(authenticated, Some(last)) = exchange.step(Message::SaslResponse(&answer))?
    else {
        panic!("no end")
    };
    client.verify(&last)?;
    Ok(authenticated)
}

fn login(password: &str) -> Login {
    Login::new("bob", Some(&Secret::plain(password)), None, None)
}

fn verifier(password: &[u8]) -> Secret {
    Secret::parse(
        &ScramKeys::derive(password, b"0123456789abcdef", 4096)
            .verifier()
            .to_text(),
    )
}

#[test]
fn a1_every_method_knows_right_from_wrong() {
    for secret in [Secret::plain("pencil"), verifier(b"pencil")] {
        assert!(scram(Some(&secret), login("pencil"), None).is_ok());
        assert_eq!(
            scram(Some(&secret), login("Pencil"), None).err(),
            Some(Error::Wrong)
        );
        let (exchange, _) = begin(Method::Password, Some(&secret), None);
        assert!(matches!(
            exchange.step(Message::Password(b"pencil")),
            Ok(Step::Success(_, None))
        ));
        let (exchange, _) = begin(Method::Password, Some(&secret), None);
        assert_eq!(
            exchange.step(Message::Password(b"pen")).err(),
            Some(Error::Wrong)
        );
        let (exchange, _) = begin(Method::Password, Some(&secret), None);
        assert_eq!(
            exchange.step(Message::Password(b"")).err(),
            Some(Error::EmptyPassword)
        );
    }
    let secret = Secret::plain("pencil");
    for (given, right) in [("pencil", true), ("Pencil", false)] {
        let (exchange, request) = begin(Method::Md5, Some(&secret), None);
        let Request::Md5 { salt } = request else {
            panic!("no MD5")
        };
        let response = login(given).md5(salt).unwrap();
        assert_eq!(exchange.step(Message::Password(&response)).is_ok(), right);
    }
}

#[test]
fn a1_an_empty_secret_lets_nobody_in() {
    let (_, null) = userlist::row(b"bob", None).unwrap();
    for empty in [Secret::plain(""), null] {
        assert!(scram(Some(&empty), login(""), None).is_err());
        for password in [&b""[..], b"NULL"] {
            let (exchange, _) = begin(Method::Password, Some(&empty), None);
            assert!(exchange.step(Message::Password(password)).is_err());
        }
        let (exchange, request) = begin(Method::Md5, Some(&empty), None);
        let Request::Md5 { salt } = request else {
            panic!("no MD5")
        };
        let response = login("").md5(salt).unwrap();
        let step = exchange.step(Message::Password(&response));
        assert_eq!(step.err(), Some(Error::Wrong));
    }
}

#[test]
fn md5_asks_for_scram_where_a_verifier_is_stored() {
    assert!(matches!(
        begin(Method::Md5, Some(&verifier(b"x")), None).1,
        Request::Sasl { .. }
    ));
    assert!(matches!(
        begin(Method::Md5, None, None).1,
        Request::Md5 { .. }
    ));
}

#[test]
fn md5_lets_in_by_the_scram_that_it_asked_for() {
    let dialogue = |stored: &Secret, password: &str| {
        let (exchange, request) = begin(Method::Md5, Some(stored), None);
        assert!(matches!(request, Request::Sasl { .. }));
        let (client, mechanism, first) = login(password)
            .sasl_start(&[b"SCRAM-SHA-256"], [2; 32])
            .unwrap();
        let step = exchange.step(Message::SaslInitial {
            mechanism: mechanism.as_bytes(),
            response: Some(&first),
        })?;
        let Step::Continue(exchange, Reply::SaslContinue(challenge)) = step else {
            panic!("no challenge")
        };
        let (_, answer) = client.step(&challenge)?;
        match exchange.step(Message::SaslResponse(&answer))? {
            Step::Success(authenticated, Some(_)) => Ok(authenticated.scram_keys().is_some()),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(dialogue(&verifier(b"x"), "x"), Ok(true));
    assert_eq!(dialogue(&verifier(b"x"), "y"), Err(Error::Wrong));
    // The hash cannot be asked for: it could not be checked.
    let (exchange, _) = begin(Method::Md5, Some(&verifier(b"x")), None);
    let step = exchange.step(Message::Password(b"md50123456789abcdef0123456789abcdef"));
    assert!(matches!(step, Err(Error::Malformed(_))));
}

#[test]
fn a1_scram_lets_nobody_in_by_an_md5_hash() {
    let hash = postgres_protocol::password::md5(b"pencil", "bob");
    let stored = Secret::parse(&hash);
    for password in ["pencil", hash.as_str()] {
        let outcome = scram(Some(&stored), login(password), None);
        assert_eq!(outcome.err(), Some(Error::Wrong));
    }
}

#[test]
fn any_and_trust_ask_for_nothing() {
    for method in [Method::Any, Method::Trust] {
        for secret in [None, Some(Secret::plain("pencil"))] {
            let start = Exchange::start(method, "bob", secret.as_ref(), None, [1; 32], &MOCK);
            let Start::Authenticated(authenticated) = start else {
                panic!("asked")
            };
            assert!(authenticated.scram_keys().is_none());
        }
    }
}

#[test]
fn a1_a_certificate_opens_for_its_name_only() {
    let maps = ident::parse("ops alice shop\nall carol all")
        .strict()
        .unwrap();
    type Login = fn(&str, Option<&str>, ident::Mapping<'_>) -> Result<Authenticated, Error>;
    let methods: [(Login, Error, Error); 2] = [
        (
            Exchange::certificate,
            Error::NoCertificate,
            Error::CertificateName,
        ),
        (Exchange::peer, Error::NoPeer, Error::PeerName),
    ];
    for (login, none, other) in methods {
        let check = |user: &str, name: Option<&str>, map: Option<&str>, expected: Option<Error>| {
            let outcome = login(user, name, maps.mapping(map));
            assert_eq!(outcome.err(), expected, "{user} {name:?} {map:?}");
        };
        check("alice", Some("alice"), None, None);
        check("alice", Some("Alice"), None, Some(other));
        check("alice", Some("alice\0"), None, Some(other));
        check("alice", None, None, Some(none));
        check("", Some(""), None, Some(other));
        check("shop", Some("alice"), None, Some(other));
        check("shop", Some("alice"), Some("ops"), None);
        check("alice", Some("alice"), Some("ops"), Some(other));
        check("anybody", Some("carol"), Some("all"), None);
        check("anybody", None, Some("all"), Some(none));
        check("carol", Some("carol"), Some("missing"), Some(other));
    }
}

#[test]
fn a3_an_unknown_user_looks_like_a_wrong_password() {
    let challenge = |stored: Option<&Secret>| {
        let (exchange, request) = begin(Method::Scram, stored, None);
        let first = b"n,,n=,r=abc";
        let step = exchange.step(Message::SaslInitial {
            mechanism: b"SCRAM-SHA-256",
            response: Some(first),
        });
        let Ok(Step::Continue(_, Reply::SaslContinue(challenge))) = step else {
            panic!("no challenge")
        };
        (request, challenge)
    };
    let known = Secret::plain("pencil");
    let (request, shown) = challenge(None);
    assert_eq!(
        challenge(None).1,
        shown,
        "the salt of an unknown user stays the same"
    );
    assert_eq!(
        challenge(Some(&known)).1,
        shown,
        "and is the one that a known user would have"
    );
    assert_eq!(challenge(Some(&known)).0, request);
    assert_eq!(scram(None, login("pencil"), None).err(), Some(Error::Wrong));
    assert_eq!(
        scram(Some(&known), login("other"), None).err(),
        Some(Error::Wrong)
    );
    let (exchange, _) = begin(Method::Password, None, None);
    assert_eq!(
        exchange.step(Message::Password(b"x")).err(),
        Some(Error::Wrong)
    );
}

#[test]
fn a4_messages_out_of_place_end_the_exchange() {
    // That a step consumes the exchange is a matter of types; that the wrong one ends it, is not.
    let (exchange, _) = begin(Method::Scram, None, None);
    assert!(
        exchange
            .step(Message::SaslResponse(b"c=biws,r=x,p=y"))
            .is_err()
    );
    let (exchange, _) = begin(Method::Password, None, None);
    assert!(
        exchange
            .step(Message::SaslInitial {
                mechanism: b"SCRAM-SHA-256",
                response: None
            })
            .is_err()
    );
}

#[test]
fn keys_of_a_login_open_the_server() {
    let stored = verifier("pässwörd".as_bytes());
    let keys = scram(Some(&stored), login("pässwörd"), None)
        .unwrap()
        .scram_keys()
        .cloned();
    let again = Login::new("bob", Some(&stored), keys.clone(), None);
    assert!(scram(Some(&stored), again, None).is_ok());
    let elsewhere = Secret::parse(
        &ScramKeys::derive("pässwörd".as_bytes(), b"another salt", 4096)
            .verifier()
            .to_text(),
    );
    let again = Login::new("bob", Some(&stored), keys, None);
    assert!(matches!(
        scram(Some(&elsewhere), again, None),
        Err(Error::NoSecret(_))
    ));
    assert!(matches!(
        scram(
            Some(&stored),
            Login::new("bob", Some(&stored), None, None),
            None
        ),
        Err(Error::NoSecret(_))
    ));
}

#[test]
fn channel_binding_holds_both_ends_together() {
    let binding = ChannelBinding::end_point(&certificate()).unwrap();
    let secret = Secret::plain("pencil");
    let bound = || Login::new("bob", Some(&secret), None, Some(binding.clone()));
    assert!(scram(Some(&secret), bound(), Some(&binding)).is_ok());
    assert!(
        scram(Some(&secret), login("pencil"), Some(&binding)).is_ok(),
        "a client without TLS data says n"
    );
    assert!(
        scram(Some(&secret), bound(), None).is_ok(),
        "y is honest where we cannot"
    );
    let (exchange, _) = begin(Method::Scram, Some(&secret), Some(&binding));
    let hidden = exchange.step(Message::SaslInitial {
        mechanism: b"SCRAM-SHA-256",
        response: Some(b"y,,n=,r=abc"),
    });
    assert_eq!(hidden.err(), Some(Error::Downgrade));
    let mut other = certificate();
    *other.last_mut().unwrap() ^= 1;
    let other = ChannelBinding::end_point(&other).unwrap();
    assert_eq!(
        scram(Some(&secret), bound(), Some(&other)).err(),
        Some(Error::Binding)
    );
    assert!(ChannelBinding::end_point(b"no certificate").is_none());
}

#[test]
fn a_hostile_server_learns_nothing() {
    let start = || {
        let (client, _, first) = login("pencil")
            .sasl_start(&[b"SCRAM-SHA-256"], [2; 32])
            .unwrap();
        let first = String::from_utf8(first).unwrap();
        (client, first.split_once("r=").unwrap().1.to_owned())
    };
    let refused = |challenge: &dyn Fn(&str) -> String| {
        let (client, nonce) = start();
        client.step(challenge(&nonce).as_bytes()).err()
    };
    assert_eq!(
        refused(&|_| "r=other,s=AAAA,i=4096".to_owned()),
        Some(Error::Nonce)
    );
    assert_eq!(
        refused(&|nonce| format!("r={nonce},s=AAAA,i=4096")),
        Some(Error::Nonce),
        "it adds nothing"
    );
    assert_eq!(
        refused(&|nonce| format!("r={nonce}x,s=AAAA,i=0")),
        Some(Error::Iterations(0))
    );
    assert_eq!(
        refused(&|nonce| format!("r={nonce}x,s=AAAA,i=1000001")),
        Some(Error::Iterations(1_000_001))
    );
    let (client, nonce) = start();
    let (last, _) = client
        .step(format!("r={nonce}x,s=AAAA,i=1").as_bytes())
        .unwrap();
    let forged = "v=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    assert_eq!(last.verify(forged.as_bytes()), Err(Error::ServerSignature));
}

/// The client of another implementation, against our server side.
#[test]
fn postgres_protocol_logs_in() {
    use postgres_protocol::authentication::sasl;
    let certificate = certificate();
    let binding = ChannelBinding::end_point(&certificate).unwrap();
    let digest = <sha2::Sha256 as sha2::Digest>::digest(&certificate).to_vec();
    let cases: [(Option<&ChannelBinding>, sasl::ChannelBinding, &str); 3] = [
        (None, sasl::ChannelBinding::unsupported(), "SCRAM-SHA-256"),
        (None, sasl::ChannelBinding::unrequested(), "SCRAM-SHA-256"),
        (
            Some(&binding),
            sasl::ChannelBinding::tls_server_end_point(digest),
            "SCRAM-SHA-256-PLUS",
        ),
    ];
    for (ours, theirs, mechanism) in cases {
        let (exchange, _) = begin(Method::Scram, Some(&verifier(b"pencil")), ours);
        let mut client = sasl::ScramSha256::new(b"pencil", theirs);
        let first = client.message().to_vec();
        let step = exchange.step(Message::SaslInitial {
            mechanism: mechanism.as_bytes(),
            response: Some(&first),
        });
        let Ok(Step::Continue(exchange, Reply::SaslContinue(challenge))) = step else {
            panic!("no challenge")
        };
        client.update(&challenge).unwrap();
        let answer = client.message().to_vec();
        let Ok(Step::Success(_, Some(last))) = exchange.step(Message::SaslResponse(&answer)) else {
            panic!("refused with {mechanism}")
        };
        client.finish(&last).unwrap();
    }
}

/// A third implementation, on either side of ours.
#[test]
fn the_scram_crate_agrees() {
    use scram::{
        AuthenticationProvider, AuthenticationStatus, PasswordInfo, ScramClient, ScramServer,
    };
    let (exchange, _) = begin(Method::Scram, Some(&Secret::plain("pencil")), None);
    let (client, first) = ScramClient::new("bob", "pencil", None).client_first();
    let step = exchange.step(Message::SaslInitial {
        mechanism: b"SCRAM-SHA-256",
        response: Some(first.as_bytes()),
    });
    let Ok(Step::Continue(exchange, Reply::SaslContinue(challenge))) = step else {
        panic!("no challenge")
    };
    let client = client
        .handle_server_first(std::str::from_utf8(&challenge).unwrap())
        .unwrap();
    let (client, answer) = client.client_final();
    let Ok(Step::Success(_, Some(last))) = exchange.step(Message::SaslResponse(answer.as_bytes()))
    else {
        panic!("refused")
    };
    client
        .handle_server_final(std::str::from_utf8(&last).unwrap())
        .unwrap();

    struct Provider;
    impl AuthenticationProvider for Provider {
        fn get_password_for(&self, _: &str) -> Option<PasswordInfo> {
            let salted =
                scram::hash_password("pencil", std::num::NonZeroU32::new(4096).unwrap(), b"salt");
            Some(PasswordInfo::new(salted.to_vec(), 4096, b"salt".to_vec()))
        }
    }
    let (client, _, first) = login("pencil")
        .sasl_start(&[b"SCRAM-SHA-256"], [3; 32])
        .unwrap();
    let server = ScramServer::new(Provider);
    let server = server
        .handle_client_first(std::str::from_utf8(&first).unwrap())
        .unwrap();
    let (server, challenge) = server.server_first();
    let (client, answer) = client.step(challenge.as_bytes()).unwrap();
    let server = server
        .handle_client_final(std::str::from_utf8(&answer).unwrap())
        .unwrap();
    let (status, last) = server.server_final();
    assert_eq!(status, AuthenticationStatus::Authenticated);
    client.verify(last.as_bytes()).unwrap();
}

proptest! {
    #[test]
    fn hostile_input_never_panics(first in prop::collection::vec(any::<u8>(), 0..64), text in "[npyrcsi=,a-c0-9]{0,40}") {
        for message in [&first[..], text.as_bytes()] {
            let (exchange, _) = begin(Method::Scram, None, None);
            let step = exchange.step(Message::SaslInitial { mechanism: b"SCRAM-SHA-256", response: Some(message) });
            if let Ok(Step::Continue(exchange, _)) = step {
                prop_assert!(exchange.step(Message::SaslResponse(message)).is_err());
            }
            let (client, _, _) = login("x").sasl_start(&[b"SCRAM-SHA-256"], [2; 32]).unwrap();
            prop_assert!(client.step(message).is_err());
            let _ = pgweir_auth::userlist::parse(&String::from_utf8_lossy(message));
            let _ = Secret::parse(&String::from_utf8_lossy(message));
            prop_assert!(ChannelBinding::end_point(message).is_none());
        }
    }
}

/// Who sends a message of a SCRAM dialogue, in order.
const MESSAGES: usize = 4;

/// A dialogue in which `change` may replace each message on its way.
fn scram_with(change: impl Fn(usize, Vec<u8>) -> Vec<u8>) -> Result<(), Error> {
    let stored = Secret::parse(
        &ScramKeys::derive(b"pencil", b"salt", 1)
            .verifier()
            .to_text(),
    );
    let (exchange, _) = begin(Method::Scram, Some(&stored), None);
    let (client, mechanism, first) = login("pencil").sasl_start(&[b"SCRAM-SHA-256"], [2; 32])?;
    let first = change(0, first);
    let step = exchange.step(Message::SaslInitial {
        mechanism: mechanism.as_bytes(),
        response: Some(&first),
    })?;
    let Step::Continue(exchange, Reply::SaslContinue(challenge)) = step else {
        panic!("no challenge")
    };
    let (client, answer) = client.step(&change(1, challenge))?;
    let step = exchange.step(Message::SaslResponse(&change(2, answer)))?;
    let Step::Success(_, Some(last)) = step else {
        panic!("no end")
    };
    client.verify(&change(3, last))
}

#[test]
fn a1_no_byte_can_be_changed_on_the_way() {
    assert_eq!(scram_with(|_, message| message), Ok(()));
    for which in 0..MESSAGES {
        for at in 0..160 {
            for bit in [0x01, 0x10, 0x20, 0x80] {
                let changed = std::cell::Cell::new(false);
                let outcome = scram_with(|index, mut message| {
                    if index == which && at < message.len() {
                        message[at] ^= bit;
                        changed.set(true);
                    }
                    message
                });
                assert_eq!(
                    outcome.is_err(),
                    changed.get(),
                    "message {which}, byte {at}, bit {bit:#x}"
                );
            }
        }
    }
}

#[test]
fn a1_no_message_can_be_cut_or_grow_without_end() {
    for which in 0..MESSAGES {
        for len in 0..160 {
            let cut = std::cell::Cell::new(false);
            let outcome = scram_with(|index, mut message| {
                cut.set(cut.get() || index == which && len < message.len());
                message.truncate(if index == which { len } else { usize::MAX });
                message
            });
            assert_eq!(outcome.is_err(), cut.get(), "message {which}, length {len}");
        }
        let outcome = scram_with(|index, mut message| {
            if index == which {
                message.extend_from_slice(b",x=");
                message.resize(1025, b'x');
            }
            message
        });
        assert_eq!(outcome, Err(Error::Malformed("longer than 1024 bytes")));
    }
}

#[test]
fn the_first_message_may_come_late() {
    let (exchange, _) = begin(Method::Scram, Some(&Secret::plain("pencil")), None);
    let step = exchange.step(Message::SaslInitial {
        mechanism: b"SCRAM-SHA-256",
        response: None,
    });
    let Ok(Step::Continue(exchange, Reply::SaslContinue(empty))) = step else {
        panic!("refused")
    };
    assert!(empty.is_empty());
    let (client, _, first) = login("pencil")
        .sasl_start(&[b"SCRAM-SHA-256"], [2; 32])
        .unwrap();
    let step = exchange.step(Message::SaslResponse(&first));
    let Ok(Step::Continue(exchange, Reply::SaslContinue(challenge))) = step else {
        panic!("refused")
    };
    let (client, answer) = client.step(&challenge).unwrap();
    let Ok(Step::Success(_, Some(last))) = exchange.step(Message::SaslResponse(&answer)) else {
        panic!("refused")
    };
    client.verify(&last).unwrap();
}

/// Secrets and hashes as another implementation makes them.
#[test]
fn postgres_protocol_agrees_on_what_is_stored_and_sent() {
    use postgres_protocol::{authentication, password};
    for text in ["pencil", "pässwörd", "\u{2168}"] {
        let stored = Secret::parse(&password::scram_sha_256(text.as_bytes()));
        assert_eq!(stored.kind_name(), "SCRAM verifier");
        assert!(scram(Some(&stored), login(text), None).is_ok());
        let stored = Secret::parse(&password::md5(text.as_bytes(), "bob"));
        assert_eq!(stored.kind_name(), "MD5 hash");
        for known in [stored, Secret::plain(text)] {
            let (exchange, request) = begin(Method::Md5, Some(&known), None);
            let Request::Md5 { salt } = request else {
                panic!("no MD5")
            };
            let sent = authentication::md5_hash(b"bob", text.as_bytes(), salt);
            assert!(exchange.step(Message::Password(sent.as_bytes())).is_ok());
            let login = Login::new("bob", Some(&known), None, None);
            assert_eq!(login.md5(salt), Ok(sent.into_bytes()));
        }
    }
}

proptest! {
    #[test]
    fn a1_only_the_password_opens(password in "\\PC{1,12}", other in "\\PC{1,12}") {
        let stored = Secret::plain(&password);
        for given in [&password, &other] {
            let (exchange, _) = begin(Method::Password, Some(&stored), None);
            let opened = exchange.step(Message::Password(given.as_bytes())).is_ok();
            prop_assert_eq!(opened, *given == password);
        }
    }

    #[test]
    fn hostile_answers_open_nothing(answers in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 1..4)) {
        let secrets = [None, Some(Secret::parse("md50123456789abcdef0123456789abcdef"))];
        for method in [Method::Md5, Method::Scram] {
            for secret in &secrets {
                let (mut exchange, _) = begin(method, secret.as_ref(), None);
                for (index, answer) in answers.iter().enumerate() {
                    let message = match (method, index) {
                        (Method::Md5, _) => Message::Password(answer),
                        (_, 0) => Message::SaslInitial {
                            mechanism: b"SCRAM-SHA-256",
                            response: (answer.len() % 2 == 0).then_some(answer),
                        },
                        _ => Message::SaslResponse(answer),
                    };
                    match exchange.step(message) {
                        Ok(Step::Continue(next, _)) => exchange = next,
                        Ok(Step::Success(..)) => return Err(TestCaseError::fail("opened")),
                        Err(_) => break,
                    }
                }
            }
        }
    }
}
