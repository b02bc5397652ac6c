//! What a database and a client have that the text alone does not tell.

use std::collections::{HashMap, HashSet};

use super::{Intent, Reason};

/// What is known of the functions of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Function {
    /// There is one, and all of that name are stable or immutable.
    Stable,
    /// One of that name at least is volatile.
    Volatile,
    /// Nothing is known: there is no such function, or nobody has looked.
    Unknown,
}

/// A snapshot of a database's catalog, and the client's prepared statements.
///
/// Names come as PostgreSQL stores them: folded, without quotes, cut at 63 bytes; in the client's
/// encoding.
pub trait Catalog {
    /// The functions of a name outside `pg_catalog`, in one schema or in any.
    fn function(&self, schema: Option<&[u8]>, name: &[u8]) -> Function;

    /// Whether [`Catalog::is_volatile_view`] is ever true: spares the question about each name.
    fn has_volatile_views(&self) -> bool;

    /// Whether reading from some relation of this name calls volatile functions (a view).
    fn is_volatile_view(&self, name: &[u8]) -> bool;

    /// What [`super::Judgement`] had as reason when the client prepared this name with SQL's PREPARE.
    fn prepared(&self, name: &[u8]) -> Option<Reason>;
}

/// What was in a database's catalog when somebody looked.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// By name: the schemas that have functions of it.
    functions: HashMap<Box<[u8]>, Vec<Own>>,
    volatile_views: HashSet<Box<[u8]>>,
}

/// The functions of a name in one schema.
#[derive(Debug, Clone)]
struct Own {
    schema: Box<[u8]>,
    /// Whether one of them is.
    volatile: bool,
}

impl Snapshot {
    /// There are functions of this name in a schema; `volatile`: one of them at least is.
    pub fn add_function(&mut self, schema: &[u8], name: &[u8], volatile: bool) {
        let schemas = self.functions.entry(name.into()).or_default();
        let schema = schema.into();
        schemas.push(Own { schema, volatile });
    }

    /// Reading from a view of this name calls volatile functions.
    pub fn add_volatile_view(&mut self, name: &[u8]) {
        self.volatile_views.insert(name.into());
    }
}

impl Catalog for Snapshot {
    fn function(&self, schema: Option<&[u8]>, name: &[u8]) -> Function {
        let Some(schemas) = self.functions.get(name) else {
            return Function::Unknown;
        };
        let meant = |own: &[u8]| schema.is_none_or(|schema| *schema == *own);
        let mut meant = schemas.iter().filter(|own| meant(&own.schema)).peekable();
        if meant.peek().is_none() {
            Function::Unknown
        } else if meant.any(|own| own.volatile) {
            Function::Volatile
        } else {
            Function::Stable
        }
    }

    fn has_volatile_views(&self) -> bool {
        !self.volatile_views.is_empty()
    }

    fn is_volatile_view(&self, name: &[u8]) -> bool {
        self.volatile_views.contains(name)
    }

    /// They do not outlive their transaction.
    fn prepared(&self, _name: &[u8]) -> Option<Reason> {
        None
    }
}

/// When nobody has looked at the catalog: no function is known but PostgreSQL's own.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoCatalog;

impl Catalog for NoCatalog {
    fn function(&self, _schema: Option<&[u8]>, _name: &[u8]) -> Function {
        Function::Unknown
    }

    fn has_volatile_views(&self) -> bool {
        false
    }

    fn is_volatile_view(&self, _name: &[u8]) -> bool {
        false
    }

    fn prepared(&self, _name: &[u8]) -> Option<Reason> {
        None
    }
}

/// What EXECUTE of a statement wants whose PREPARE had this reason.
pub(super) fn executed(reason: Option<Reason>) -> Reason {
    match reason {
        // A statement that is nothing by itself is not what PREPARE takes.
        Some(reason) if reason.intent() == Intent::Anywhere => Reason::UnknownPrepared,
        Some(reason) => reason,
        None => Reason::UnknownPrepared,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intent::judge;
    use crate::lex::Dialect;

    #[test]
    fn functions_and_views_of_a_snapshot() {
        let mut snapshot = Snapshot::default();
        snapshot.add_function(b"public", b"net", false);
        snapshot.add_function(b"public", b"mixed", false);
        snapshot.add_function(b"app", b"mixed", true);
        snapshot.add_volatile_view(b"noting");
        for (text, expected) in [
            ("select net(1)", Reason::Query),
            ("select public.net(1)", Reason::Query),
            ("select app.net(1)", Reason::UnknownFunction),
            ("select gross(1)", Reason::UnknownFunction),
            ("select mixed(1)", Reason::VolatileFunction),
            ("select public.mixed(1)", Reason::Query),
            ("select v from noting", Reason::VolatileView),
            ("select v from others", Reason::Query),
        ] {
            let judgement = judge(text.as_bytes(), Dialect::default(), &snapshot);
            assert_eq!(judgement.reason, expected, "{text}");
        }
    }
}
