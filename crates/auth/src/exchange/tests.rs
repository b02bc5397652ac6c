//! What a failed login costs, counted in derivations of keys.

use super::*;
use crate::login::Login;
use crate::scram::{DERIVED, Salting};

const MOCK: Salting = Salting {
    key: [9; 32],
    iterations: 4096,
};

/// One of each kind, and none.
fn stored() -> [Option<Secret>; 4] {
    let verifier = ScramKeys::derive(b"right", b"0123456789abcdef", MOCK.iterations).verifier();
    let all = [
        None,
        Some(Secret::plain("right")),
        Some(Secret::parse(&md5::stored("bob", b"right"))),
        Some(Secret::parse(&verifier.to_text())),
    ];
    all.iter()
        .flatten()
        .for_each(|secret| secret.prepare("bob", &MOCK));
    all
}

fn ask(method: Method, secret: Option<&Secret>) -> Exchange {
    match Exchange::start(method, "bob", secret, None, [1; 32], &MOCK) {
        Start::Ask(exchange, _) => exchange,
        Start::Authenticated(_) => panic!("nothing asked"),
    }
}

/// Derivations during `what`.
fn cost(what: impl FnOnce()) -> u32 {
    let before = DERIVED.get();
    what();
    DERIVED.get() - before
}

#[test]
fn a3_a_wrong_password_costs_the_same_whoever_it_is() {
    for secret in stored() {
        let cost = cost(|| {
            let step = ask(Method::Password, secret.as_ref()).step(Message::Password(b"wrong"));
            assert_eq!(step.err(), Some(Error::Wrong));
        });
        assert_eq!(
            cost,
            1,
            "{}",
            secret.map_or("nobody", |secret| secret.kind_name())
        );
    }
}

#[test]
fn a3_a_wrong_proof_costs_the_same_whoever_it_is() {
    for secret in stored() {
        let name = secret.as_ref().map_or("nobody", Secret::kind_name);
        let wrong = Secret::plain("wrong");
        let login = Login::new("bob", Some(&wrong), None, None);
        let (client, _, first) = login.sasl_start(&[b"SCRAM-SHA-256"], [2; 32]).unwrap();
        let mut next = None;
        let first_cost = cost(|| {
            let message = Message::SaslInitial {
                mechanism: b"SCRAM-SHA-256",
                response: Some(&first),
            };
            next = ask(Method::Scram, secret.as_ref()).step(message).ok();
        });
        let Some(Step::Continue(exchange, Reply::SaslContinue(challenge))) = next else {
            panic!("{name}: no challenge")
        };
        let (_, proof) = client.step(&challenge).unwrap();
        let last_cost = cost(|| {
            let step = exchange.step(Message::SaslResponse(&proof));
            assert_eq!(step.err(), Some(Error::Wrong), "{name}");
        });
        assert_eq!((first_cost, last_cost), (0, 0), "{name}");
    }
}

#[test]
fn a3_what_is_shown_of_an_unknown_user_opens_nothing() {
    // Not even to somebody who knows the process's key, and with it all that is compared.
    let mock = Verifier::mock("bob", &MOCK);
    let response = md5::response(&md5::stored("bob", &mock.server_key), [1; 4]);
    let step = ask(Method::Md5, None).step(Message::Password(response.as_bytes()));
    assert_eq!(step.err(), Some(Error::Wrong));
}

#[test]
fn a_password_shows_the_keys_of_a_verifier() {
    let shown = |secret: &Option<Secret>| {
        let step = ask(Method::Password, secret.as_ref()).step(Message::Password(b"right"));
        match step {
            Ok(Step::Success(authenticated, None)) => authenticated.scram_keys().cloned(),
            other => panic!("{other:?}"),
        }
    };
    let [_, plain, md5, scram] = stored();
    assert!(shown(&plain).is_none() && shown(&md5).is_none());
    assert!(shown(&scram).is_some_and(|keys| keys.fit(b"0123456789abcdef", MOCK.iterations)));
}

#[test]
fn keys_are_derived_once_for_each_salt() {
    let secret = Secret::plain("right");
    let derive = |salt: &[u8]| cost(|| drop(secret.keys("right", salt, 10)));
    assert_eq!(
        (derive(b"a"), derive(b"a"), derive(b"b"), derive(b"a")),
        (1, 0, 1, 0)
    );
    // Clones share what is known, and what is used is kept.
    let other = secret.clone();
    for salt in 0..20 {
        assert_eq!(cost(|| drop(other.keys("right", &[salt], 10))), 1);
        assert_eq!(derive(b"a"), 0);
    }
    assert_eq!(derive(b"b"), 1);
}
