//! The settings (run-time parameters) that follow a client from server to server.
//!
//! A server connection starts with the values of its login, its *base*. What differs from the base
//! is a [`Settings`] value: of the client (what it asked for and was told) and of the server
//! connection (what is in force there). Where the two differ at the start of a lease, `SET`
//! statements go ahead of the client's request in the same write.

use std::sync::Arc;

use crate::spelling::spelled;

/// Reported by the server but not to be set by anybody (runtime-config-preset, libpq-status).
const PRESET: [&[u8]; 7] = [
    b"server_version",
    b"server_encoding",
    b"is_superuser",
    b"session_authorization",
    b"integer_datetimes",
    b"in_hot_standby",
    b"max_identifier_length",
];

/// Whether a reported parameter is one that a client can set, so that it must follow it.
pub fn settable(name: &[u8]) -> bool {
    !PRESET
        .iter()
        .any(|preset| preset.eq_ignore_ascii_case(name))
        && !name.starts_with(b"pgweir.")
}

type Pair = (Box<[u8]>, Box<[u8]>);

/// Parameter values as a server reported them at login, names as it spells them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parameters(Vec<Pair>);

impl Parameters {
    /// A parameter's name as the server spells it, and its value; names compare without case.
    pub fn find(&self, name: &[u8]) -> Option<(&[u8], &[u8])> {
        self.iter().find(|(key, _)| key.eq_ignore_ascii_case(name))
    }

    /// The value of a parameter; names compare without case.
    pub fn value(&self, name: &[u8]) -> Option<&[u8]> {
        self.find(name).map(|(_, value)| value)
    }

    /// Where a name stands among them.
    pub(crate) fn place(&self, name: &[u8]) -> Option<u8> {
        let place = self
            .0
            .iter()
            .position(|(key, _)| key.eq_ignore_ascii_case(name))?;
        u8::try_from(place).ok()
    }

    /// The name that stands at a place.
    pub(crate) fn name_at(&self, place: u8) -> Option<&[u8]> {
        self.0.get(usize::from(place)).map(|(name, _)| &**name)
    }

    /// Sets one value, in the place of the old one if there is one.
    pub fn insert(&mut self, name: &[u8], value: &[u8]) {
        match self
            .0
            .iter_mut()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
        {
            Some((_, old)) => *old = value.into(),
            None => self.0.push((name.into(), value.into())),
        }
    }

    /// All of them, in the order in which the server reported them.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }
}

/// Values that differ from a server's base. Cheap to clone and to compare.
///
/// Invariant: sorted by name, names in lower case, each once.
#[derive(Debug, Clone, Default)]
pub struct Settings(Option<Arc<[Pair]>>);

impl PartialEq for Settings {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (None, None) => true,
            (Some(a), Some(b)) => Arc::ptr_eq(a, b) || a == b,
            _ => false,
        }
    }
}

impl Eq for Settings {}

impl Settings {
    /// From name and value pairs; a later one wins.
    pub fn new<'a>(pairs: impl IntoIterator<Item = (&'a [u8], &'a [u8])>) -> Self {
        let mut all: Vec<Pair> = Vec::new();
        for (name, value) in pairs {
            put(&mut all, name, value);
        }
        Self::from_sorted(all)
    }

    fn from_sorted(all: Vec<Pair>) -> Self {
        Self(if all.is_empty() {
            None
        } else {
            Some(all.into())
        })
    }

    /// Whether nothing differs from the base.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Takes over the allocation of an equal value.
    pub(crate) fn share(&mut self, other: &Self) {
        debug_assert!(self == other);
        if let (Some(a), Some(b)) = (&self.0, &other.0)
            && !Arc::ptr_eq(a, b)
        {
            *self = other.clone();
        }
    }

    fn pairs(&self) -> &[Pair] {
        self.0.as_deref().unwrap_or_default()
    }

    /// The value of one setting, if it differs from the base.
    pub fn value(&self, name: &[u8]) -> Option<&[u8]> {
        self.pairs()
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, v)| &**v)
    }

    /// Where a name stands among those that differ from the base.
    pub(crate) fn place(&self, name: &[u8]) -> Option<u8> {
        let mut pairs = self.pairs().iter();
        let place = pairs.position(|(key, _)| key.eq_ignore_ascii_case(name))?;
        u8::try_from(place).ok()
    }

    /// The name that stands at a place.
    pub(crate) fn name_at(&self, place: u8) -> Option<&[u8]> {
        self.pairs()
            .get(usize::from(place))
            .map(|(name, _)| &**name)
    }

    /// The same without those that `keep` does not want.
    pub(crate) fn only(&self, keep: impl Fn(&[u8]) -> bool) -> Self {
        let pairs = self.pairs().iter();
        Self::from_sorted(pairs.filter(|(name, _)| keep(name)).cloned().collect())
    }

    /// All names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.pairs().iter().map(|(name, value)| (&**name, &**value))
    }

    /// The same with one value changed; a value equal to the base's is not kept.
    #[must_use]
    pub fn with(&self, name: &[u8], value: &[u8], base: &Parameters) -> Self {
        let mut all = self.pairs().to_vec();
        if base.value(name) == Some(value) {
            all.retain(|(key, _)| !key.eq_ignore_ascii_case(name));
        } else {
            put(&mut all, name, value);
        }
        Self::from_sorted(all)
    }

    /// What of these values, asked for in a startup packet, differs from what a server has that
    /// reports `base`.
    #[must_use]
    pub fn differing(&self, base: &Parameters) -> Self {
        let mut all = Vec::new();
        for (name, value) in self.iter() {
            match base.value(name).filter(|_| settable(name)) {
                Some(reported) => {
                    let value = spelled(name, value, reported);
                    if *value != *reported {
                        put(&mut all, name, &value);
                    }
                }
                None => put(&mut all, name, value),
            }
        }
        Self::from_sorted(all)
    }

    /// The same values, which differ from the base `from`, as what differs from the base `to`:
    /// what both bases have is as in `from`, also where it is not named here.
    ///
    /// Allocates only if that is another set of values.
    #[must_use]
    pub fn rebased(&self, from: &Parameters, to: &Parameters) -> Self {
        let gone = |name: &[u8], value: &[u8]| to.value(name) == Some(value);
        let is_new = |name: &[u8], value: &[u8]| {
            settable(name)
                && self.value(name).is_none()
                && to.value(name).is_some_and(|other| other != value)
        };
        let as_it_is = !self.iter().any(|(name, value)| gone(name, value))
            && !from.iter().any(|(name, value)| is_new(name, value));
        if as_it_is {
            return self.clone();
        }
        let mut all = self.pairs().to_vec();
        all.retain(|(name, value)| !gone(name, value));
        for (name, value) in from.iter().filter(|(name, value)| is_new(name, value)) {
            put(&mut all, name, value);
        }
        Self::from_sorted(all)
    }

    /// Those that can change what a statement means when it is parsed.
    #[must_use]
    pub fn planning(&self) -> Self {
        const OTHER: &[u8] = b"application_name";
        if self.value(OTHER).is_none() {
            return self.clone();
        }
        let pairs = self.pairs().iter();
        Self::from_sorted(
            pairs
                .filter(|(name, _)| **name != *OTHER)
                .cloned()
                .collect(),
        )
    }

    /// Writes the statements that lead from `self` to `target`, for one simple Query.
    ///
    /// All of them run in one implicit transaction: they take effect together or not at all.
    /// `encoding` is the client encoding in which the values of `target` are written; the text
    /// means the same under every one.
    pub fn write_changes(&self, target: &Self, encoding: &[u8], text: &mut Vec<u8>) {
        for (name, value) in target.iter() {
            if self.value(name) != Some(value) {
                write_set(name, value, encoding, text);
            }
        }
        for (name, _) in self.iter() {
            if target.value(name).is_none() {
                text.extend_from_slice(b"RESET ");
                quote(name, b'"', text);
                text.push(b';');
            }
        }
    }
}

fn put(all: &mut Vec<Pair>, name: &[u8], value: &[u8]) {
    let name = name.to_ascii_lowercase();
    match all.binary_search_by(|(key, _)| (**key).cmp(&name)) {
        Ok(at) => all[at].1 = value.into(),
        Err(at) => all.insert(at, (name.into(), value.into())),
    }
}

fn write_set(name: &[u8], value: &[u8], encoding: &[u8], text: &mut Vec<u8>) {
    if !name.is_ascii() || !value.is_ascii() {
        // The server reads the text in the encoding of whoever had the connection before, in which
        // these bytes may be other letters, or the second half of one may look like a backslash.
        text.extend_from_slice(b"SELECT pg_catalog.set_config(");
        decoded(name, encoding, text);
        text.push(b',');
        decoded(value, encoding, text);
        // The value itself, as a result, might not exist in the encoding of before.
        text.extend_from_slice(b",false)IS NULL;");
        return;
    }
    // These take a list: SET would read a quoted value as one element of it.
    if matches!(
        name,
        b"search_path" | b"temp_tablespaces" | b"session_preload_libraries"
    ) {
        text.extend_from_slice(b"SELECT pg_catalog.set_config(");
        literal(name, text);
        text.push(b',');
        literal(value, text);
        text.extend_from_slice(b",false);");
        return;
    }
    text.extend_from_slice(b"SET ");
    quote(name, b'"', text);
    text.push(b'=');
    literal(value, text);
    text.push(b';');
}

/// A literal that means the same whatever `standard_conforming_strings` is (sql-syntax-lexical).
fn literal(value: &[u8], text: &mut Vec<u8>) {
    if value.contains(&b'\\') {
        text.extend_from_slice(b" E'");
        for &byte in value {
            if byte == b'\'' || byte == b'\\' {
                text.push(byte);
            }
            text.push(byte);
        }
        text.push(b'\'');
    } else {
        quote(value, b'\'', text);
    }
}

/// An expression for a text in some encoding, itself in ASCII.
fn decoded(value: &[u8], encoding: &[u8], text: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    text.extend_from_slice(b"pg_catalog.convert_from(pg_catalog.decode('");
    for byte in value {
        text.push(DIGITS[usize::from(byte >> 4)]);
        text.push(DIGITS[usize::from(byte & 15)]);
    }
    text.extend_from_slice(b"','hex'),");
    literal(encoding, text);
    text.push(b')');
}

fn quote(value: &[u8], mark: u8, text: &mut Vec<u8>) {
    text.push(mark);
    for &byte in value {
        if byte == mark {
            text.push(mark);
        }
        text.push(byte);
    }
    text.push(mark);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(pairs: &[(&str, &str)]) -> Settings {
        Settings::new(pairs.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes())))
    }

    fn check(from: &[(&str, &str)], to: &[(&str, &str)], expected: &str) {
        let mut text = Vec::new();
        settings(from).write_changes(&settings(to), b"LATIN1", &mut text);
        assert_eq!(String::from_utf8(text).unwrap(), expected);
    }

    #[test]
    fn changes_are_the_difference() {
        check(&[], &[], "");
        check(&[], &[("TimeZone", "UTC")], "SET \"timezone\"='UTC';");
        check(&[("timezone", "UTC")], &[("TimeZone", "UTC")], "");
        check(&[("timezone", "UTC")], &[], "RESET \"timezone\";");
        check(
            &[("a", "1"), ("b", "2")],
            &[("b", "3")],
            "SET \"b\"='3';RESET \"a\";",
        );
    }

    #[test]
    fn values_mean_the_same_in_every_encoding() {
        check(
            &[],
            &[("search_path", "é\\'")],
            "SELECT pg_catalog.set_config(\
             pg_catalog.convert_from(pg_catalog.decode('7365617263685f70617468','hex'),'LATIN1'),\
             pg_catalog.convert_from(pg_catalog.decode('c3a95c27','hex'),'LATIN1'),false)IS NULL;",
        );
    }

    #[test]
    fn values_cannot_break_out() {
        check(
            &[],
            &[("a\"b", "x'; drop--")],
            "SET \"a\"\"b\"='x''; drop--';",
        );
        check(&[], &[("a", "\\'")], "SET \"a\"= E'\\\\''';");
        check(
            &[],
            &[("search_path", "a, b")],
            "SELECT pg_catalog.set_config('search_path','a, b',false);",
        );
    }

    #[test]
    fn a_base_value_is_no_difference() {
        let mut base = Parameters::default();
        base.insert(b"TimeZone", b"UTC");
        let changed = Settings::default().with(b"TimeZone", b"Asia/Tokyo", &base);
        assert_eq!(changed.value(b"timezone"), Some(&b"Asia/Tokyo"[..]));
        assert!(changed.with(b"TIMEZONE", b"UTC", &base).is_empty());
    }

    fn parameters(pairs: &[(&str, &str)]) -> Parameters {
        let mut parameters = Parameters::default();
        for (name, value) in pairs {
            parameters.insert(name.as_bytes(), value.as_bytes());
        }
        parameters
    }

    #[test]
    fn what_a_server_has_anyway_is_no_difference() {
        let base = parameters(&[("client_encoding", "UTF8"), ("DateStyle", "ISO, MDY")]);
        let asked = settings(&[("client_encoding", "utf-8"), ("datestyle", "ISO")]);
        assert!(asked.differing(&base).is_empty());
        let asked = settings(&[("DateStyle", "german"), ("work_mem", "1MB")]);
        let differing = settings(&[("DateStyle", "German, DMY"), ("work_mem", "1MB")]);
        assert_eq!(asked.differing(&base), differing);
    }

    #[test]
    fn values_are_the_same_on_servers_of_other_defaults() {
        let (here, there) = (
            [("TimeZone", "UTC"), ("DateStyle", "ISO, MDY")],
            [("TimeZone", "Asia/Tokyo"), ("server_version", "18")],
        );
        let (here, there) = (parameters(&here), parameters(&there));
        for (on_here, on_there) in [
            (settings(&[]), settings(&[("timezone", "UTC")])),
            (settings(&[("timezone", "Asia/Tokyo")]), settings(&[])),
            (
                settings(&[("a", "1"), ("timezone", "Europe/Berlin")]),
                settings(&[("a", "1"), ("timezone", "Europe/Berlin")]),
            ),
        ] {
            assert_eq!(on_here.rebased(&here, &there), on_there);
            assert_eq!(on_there.rebased(&there, &here), on_here);
        }
    }

    #[test]
    fn preset_parameters_do_not_follow() {
        assert!(!settable(b"server_version"));
        assert!(!settable(b"Is_Superuser"));
        assert!(settable(b"application_name"));
    }
}
