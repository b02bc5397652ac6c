//! Which ciphers and curves TLS may use, in OpenSSL's notation.
//!
//! What OpenSSL has and we do not speak is passed over in a list, as OpenSSL passes over what it does
//! not know; a list of which nothing is left is a mistake.

use super::Value;

/// A cipher suite that is spoken, of TLS 1.2 or 1.3. All encrypt and authenticate in one (AEAD), with
/// keys of the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Suite {
    EcdsaAes256,
    EcdsaAes128,
    EcdsaChacha20,
    RsaAes256,
    RsaAes128,
    RsaChacha20,
    Tls13Aes256,
    Tls13Aes128,
    Tls13Chacha20,
}

/// A suite of TLS 1.2: OpenSSL's name, the standard's, and the other words that mean it among others.
type Names = (Suite, &'static str, &'static str, &'static str);

/// In the order of preference.
const TLS12: [Names; 6] = [
    (
        Suite::EcdsaAes256,
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
        "AECDSA ECDSA AES AES256 AESGCM FIPS",
    ),
    (
        Suite::EcdsaAes128,
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        "AECDSA ECDSA AES AES128 AESGCM FIPS",
    ),
    (
        Suite::EcdsaChacha20,
        "ECDHE-ECDSA-CHACHA20-POLY1305",
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
        "AECDSA ECDSA CHACHA20",
    ),
    (
        Suite::RsaAes256,
        "ECDHE-RSA-AES256-GCM-SHA384",
        "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
        "ARSA AES AES256 AESGCM FIPS",
    ),
    (
        Suite::RsaAes128,
        "ECDHE-RSA-AES128-GCM-SHA256",
        "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        "ARSA AES AES128 AESGCM FIPS",
    ),
    (
        Suite::RsaChacha20,
        "ECDHE-RSA-CHACHA20-POLY1305",
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
        "ARSA CHACHA20",
    ),
];

/// Words that mean all of them: of those that are spoken none is weak.
const ALL: &[&str] = &[
    "ALL", "DEFAULT", "HIGH", "TLSV1.2", "AEAD", "ECDHE", "EECDH", "KECDHE", "KEECDH", "ECDH",
];

/// PgBouncer's words, each for a list of OpenSSL's or LibreSSL's of which the same is left.
const WORDS: &[&str] = &["default", "secure", "fast", "normal", "all"];

const TLS13: [(Suite, &str); 3] = [
    (Suite::Tls13Aes256, "TLS_AES_256_GCM_SHA384"),
    (Suite::Tls13Aes128, "TLS_AES_128_GCM_SHA256"),
    (Suite::Tls13Chacha20, "TLS_CHACHA20_POLY1305_SHA256"),
];

/// Suites of OpenSSL for TLS 1.3 that are not spoken.
const NO_TLS13: [&str; 2] = ["TLS_AES_128_CCM_SHA256", "TLS_AES_128_CCM_8_SHA256"];

/// The ciphers of TLS 1.2. Invariant: at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsCiphers {
    text: String,
    suites: Vec<Suite>,
}

impl TlsCiphers {
    /// Those that may be used, the favourite first.
    pub fn suites(&self) -> &[Suite] {
        &self.suites
    }

    /// Whether somebody has asked for some in their order.
    pub fn is_chosen(&self) -> bool {
        !WORDS.contains(&&*self.text)
    }
}

impl Value for TlsCiphers {
    const KIND: &'static str = "ciphers in OpenSSL's notation, or \"default\"";

    fn from_text(text: &str) -> Result<Self, String> {
        let lower = text.trim().to_ascii_lowercase();
        // As PgBouncer has it, where nothing is the same as its default.
        let word = if lower.is_empty() { "default" } else { &lower };
        if let Some(word) = WORDS.iter().find(|known| **known == word) {
            return Ok(Self {
                text: (*word).to_owned(),
                suites: TLS12.iter().map(|names| names.0).collect(),
            });
        }
        let suites = list(text)?;
        if suites.is_empty() {
            let names: Vec<&str> = TLS12.iter().map(|names| names.1).collect();
            return Err(format!(
                "none of \"{}\" is spoken: expected \"default\", or some of {}",
                text.escape_debug(),
                names.join(":")
            ));
        }
        Ok(Self {
            text: text.to_owned(),
            suites,
        })
    }

    fn to_text(&self) -> Option<String> {
        Some(self.text.clone())
    }
}

/// Reads a list as `openssl-ciphers` describes it.
fn list(text: &str) -> Result<Vec<Suite>, String> {
    let mut chosen: Vec<Suite> = Vec::new();
    let mut killed: Vec<Suite> = Vec::new();
    for item in text
        .split([':', ',', ' ', ';'])
        .filter(|item| !item.is_empty())
    {
        if let Some(command) = item.strip_prefix('@') {
            match command {
                "STRENGTH" => chosen
                    .sort_by_key(|suite| matches!(suite, Suite::EcdsaAes128 | Suite::RsaAes128)),
                // Nothing that is spoken is below any of them.
                level if level.starts_with("SECLEVEL=") => {}
                _ => return Err(format!("\"@{command}\" is not known: expected @STRENGTH")),
            }
            continue;
        }
        let (verb, words) = match item.as_bytes()[0] {
            verb @ (b'!' | b'-' | b'+') => (verb, &item[1..]),
            _ => (b' ', item),
        };
        let is_name = |c: char| c.is_ascii_alphanumeric() || "-_+.".contains(c);
        if words.is_empty() || !words.chars().all(is_name) {
            let found = item.escape_debug();
            return Err(format!("\"{found}\" is no name of a cipher"));
        }
        let meant: Vec<Suite> = TLS12
            .iter()
            .filter(|names| words.split('+').all(|word| is_meant(names, word)))
            .map(|names| names.0)
            .collect();
        let there = |suite: &Suite| meant.contains(suite);
        match verb {
            b'!' => {
                chosen.retain(|suite| !there(suite));
                killed.extend(&meant);
            }
            b'-' => chosen.retain(|suite| !there(suite)),
            b'+' => {
                let (moved, stay): (Vec<_>, Vec<_>) = chosen.iter().partition(|it| there(it));
                chosen = [stay, moved].concat();
            }
            _ => {
                for suite in meant {
                    if !chosen.contains(&suite) && !killed.contains(&suite) {
                        chosen.push(suite);
                    }
                }
            }
        }
    }
    Ok(chosen)
}

fn is_meant((_, name, standard, tags): &Names, word: &str) -> bool {
    let word = word.to_ascii_uppercase();
    word == *name
        || word == *standard
        || ALL.contains(&&*word)
        || tags.split(' ').any(|tag| tag == word)
}

/// The ciphers of TLS 1.3. Invariant: at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls13Ciphers {
    text: String,
    suites: Vec<Suite>,
}

impl Tls13Ciphers {
    /// Those that may be used, the favourite first.
    pub fn suites(&self) -> &[Suite] {
        &self.suites
    }

    /// All that there are.
    pub fn all() -> Vec<Suite> {
        TLS13.iter().map(|(suite, _)| *suite).collect()
    }
}

impl Value for Tls13Ciphers {
    const KIND: &'static str = "ciphers of TLS 1.3 in OpenSSL's notation";
    const EMPTY_IS_ABSENT: bool = true;

    fn from_text(text: &str) -> Result<Self, String> {
        let spoken = || TLS13.map(|(_, name)| name).join(":");
        let mut suites = Vec::new();
        for name in text.split([':', ',']).map(str::trim) {
            match TLS13.iter().find(|(_, known)| *known == name) {
                Some((suite, _)) if suites.contains(suite) => {}
                Some((suite, _)) => suites.push(*suite),
                None if NO_TLS13.contains(&name) => {}
                None => {
                    let found = name.escape_debug();
                    let names = spoken();
                    return Err(format!(
                        "\"{found}\" is not known: expected some of {names}"
                    ));
                }
            }
        }
        if suites.is_empty() {
            let found = text.escape_debug();
            let names = spoken();
            return Err(format!(
                "none of \"{found}\" is spoken: expected some of {names}"
            ));
        }
        Ok(Self {
            text: text.to_owned(),
            suites,
        })
    }

    fn to_text(&self) -> Option<String> {
        Some(self.text.clone())
    }
}

/// How keys are agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Curve {
    X25519MlKem768,
    X25519,
    P256,
    P384,
}

const CURVES: [(Curve, &[&str]); 4] = [
    (Curve::X25519MlKem768, &["x25519mlkem768"]),
    (Curve::X25519, &["x25519"]),
    (Curve::P256, &["prime256v1", "secp256r1", "p-256"]),
    (Curve::P384, &["secp384r1", "p-384"]),
];

/// How keys are agreed on. Invariant: in at least one way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsCurves {
    text: String,
    curves: Vec<Curve>,
}

impl TlsCurves {
    /// Those that may be used, the favourite first.
    pub fn curves(&self) -> &[Curve] {
        &self.curves
    }

    /// Everything that there is.
    pub fn auto() -> Self {
        Self {
            text: "auto".to_owned(),
            curves: CURVES.iter().map(|(curve, _)| *curve).collect(),
        }
    }
}

impl Value for TlsCurves {
    const KIND: &'static str =
        "\"auto\", or a list of X25519MLKEM768, X25519, prime256v1, secp384r1";

    fn from_text(text: &str) -> Result<Self, String> {
        let lower = text.trim().to_ascii_lowercase();
        match &*lower {
            "auto" => return Ok(Self::auto()),
            "none" => {
                return Err("without a curve no key can be agreed on: expected \"auto\"".to_owned());
            }
            _ => {}
        }
        let mut curves = Vec::new();
        for name in lower.split([':', ',']).map(str::trim) {
            let found = CURVES.iter().find(|(_, names)| names.contains(&name));
            let (curve, _) = found.ok_or_else(|| super::expected::<Self>(name))?;
            if !curves.contains(curve) {
                curves.push(*curve);
            }
        }
        Ok(Self {
            text: text.to_owned(),
            curves,
        })
    }

    fn to_text(&self) -> Option<String> {
        Some(self.text.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::Suite::*;
    use super::*;

    const EVERY: [Suite; 6] = [
        EcdsaAes256,
        EcdsaAes128,
        EcdsaChacha20,
        RsaAes256,
        RsaAes128,
        RsaChacha20,
    ];

    #[test]
    fn lists_of_openssl() {
        let check = |text, suites: &[Suite]| {
            let read = TlsCiphers::from_text(text);
            assert_eq!(read.as_ref().map(TlsCiphers::suites), Ok(suites), "{text}");
            assert_eq!(
                read.map(|it| TlsCiphers::from_text(&it.text)),
                Ok(TlsCiphers::from_text(text))
            );
        };
        for word in [
            "default",
            "secure",
            "fast",
            "normal",
            "all",
            "",
            "HIGH:!aNULL:!MD5",
        ] {
            check(word, &EVERY);
        }
        check("TLSv1.2+AEAD+ECDHE:TLSv1.2+AEAD+DHE", &EVERY);
        check("HIGH:MEDIUM:+3DES:!aNULL", &EVERY);
        check("ECDHE-RSA-AES256-GCM-SHA384", &[RsaAes256]);
        check(
            "ECDHE-RSA-AES128-GCM-SHA256:AES128-SHA:ECDHE-RSA-AES256-GCM-SHA384",
            &[RsaAes128, RsaAes256],
        );
        check(
            "ECDHE+CHACHA20:ECDHE+AESGCM:!aECDSA",
            &[RsaChacha20, RsaAes256, RsaAes128],
        );
        check("ALL:!AES:@SECLEVEL=2", &[EcdsaChacha20, RsaChacha20]);
        check(
            "AES128 AES256 @STRENGTH",
            &[EcdsaAes256, RsaAes256, EcdsaAes128, RsaAes128],
        );
        check(
            "CHACHA20,aRSA,+CHACHA20,-AES128",
            &[RsaAes256, EcdsaChacha20, RsaChacha20],
        );
        check("!AES:AES:CHACHA20+aRSA", &[RsaChacha20]);
        check("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", &[RsaAes128]);
    }

    #[test]
    fn lists_of_which_nothing_is_left() {
        for text in [
            "3DES",
            "AES128-SHA:DHE-RSA-AES256-GCM-SHA384",
            "!ALL",
            "kRSA",
            "HIGH:!ECDHE",
        ] {
            let error = TlsCiphers::from_text(text).expect_err(text);
            assert!(
                error.starts_with("none of") && error.contains("ECDHE-RSA-"),
                "{error}"
            );
        }
        for text in ["@FAST", "a b*", "HIGH:!", "ECDHE/RSA"] {
            assert!(TlsCiphers::from_text(text).is_err(), "{text}");
        }
    }

    #[test]
    fn tls_13() {
        let read = |text| Tls13Ciphers::from_text(text).map(|it| it.suites);
        let two = "TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_CCM_SHA256:TLS_AES_128_GCM_SHA256";
        assert_eq!(read(two), Ok(vec![Tls13Chacha20, Tls13Aes128]));
        assert!(read("TLS_AES_128_CCM_SHA256").is_err_and(|error| error.starts_with("none of")));
        assert!(read("TLS_AES_512_GCM").is_err_and(|error| error.contains("is not known")));
        assert_eq!(Option::<Tls13Ciphers>::from_text(""), Ok(None));
    }

    #[test]
    fn curves() {
        let read = |text| TlsCurves::from_text(text).map(|it| it.curves);
        assert_eq!(read("prime256v1"), Ok(vec![Curve::P256]));
        assert_eq!(
            read("X25519:P-384:secp384r1"),
            Ok(vec![Curve::X25519, Curve::P384])
        );
        assert_eq!(read("auto"), Ok(TlsCurves::auto().curves));
        for text in ["none", "", "secp521r1", "auto:X25519"] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
