//! What a database and a client have that the text alone does not tell.

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
