//! What PostgreSQL's parser makes of a text, and what of it matters here.

use pg_query::ParserOptions;
use pgweir_route::lex::{self, Dialect};
use serde_json::Value;

/// The statements of a text.
pub(crate) struct Trees(Value);

/// One of them.
pub(crate) struct Tree<'a> {
    /// The name of the node at the top, and what is in it.
    node: (&'a str, &'a Value),
}

impl Trees {
    /// None if PostgreSQL would refuse the text.
    pub(crate) fn of(text: &str, dialect: Dialect) -> Option<Self> {
        let options = if dialect.standard_conforming_strings {
            ParserOptions::DEFAULT
        } else {
            ParserOptions::DISABLE_STANDARD_CONFORMING_STRINGS
        };
        let parsed = pg_query::parse(text, options).ok()?;
        Some(Self(
            serde_json::to_value(parsed.protobuf).expect("a tree is JSON"),
        ))
    }

    fn list(&self) -> impl Iterator<Item = &Value> {
        self.0["stmts"].as_array().expect("a list").iter()
    }

    pub(crate) fn statements(&self) -> impl Iterator<Item = Tree<'_>> {
        self.list().map(|raw| Tree {
            node: node(&raw["stmt"]).expect("a statement"),
        })
    }

    /// First byte of each statement, and where its semicolon or the end of the text is.
    pub(crate) fn borders(&self, text: &str) -> impl Iterator<Item = (usize, usize)> {
        self.list().map(|raw| {
            let number = |name: &str| raw[name].as_u64().expect("a number") as usize;
            let (start, len) = (number("stmt_location"), number("stmt_len"));
            let end = if len == 0 { text.len() } else { start + len };
            let blank = lex::blank_len(&text.as_bytes()[start..]).expect("comments end");
            (start + blank, end)
        })
    }
}

/// The variant of a node with what is in it.
fn node(value: &Value) -> Option<(&str, &Value)> {
    let (name, inside) = value.get("node")?.as_object()?.iter().next()?;
    Some((name, inside))
}

/// Calls `see` with each node below a value, by name.
fn walk<'a>(value: &'a Value, see: &mut impl FnMut(&'a str, &'a Value)) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| walk(item, see)),
        Value::Object(fields) => {
            if let Some((name, inside)) = node(value) {
                see(name, inside);
            }
            for (field, inside) in fields {
                // Fields of one type have no node around them.
                if ["into_clause", "relation"].contains(&field.as_str()) && !inside.is_null() {
                    see(field, inside);
                }
                walk(inside, see);
            }
        }
        _ => {}
    }
}

impl<'a> Tree<'a> {
    fn any(&self, is_it: impl Fn(&str, &Value) -> bool) -> bool {
        let mut found = is_it(self.node.0, self.node.1);
        walk(self.node.1, &mut |name, value| found |= is_it(name, value));
        found
    }

    fn has(&self, names: &[&str]) -> bool {
        self.any(|name, _| names.contains(&name))
    }

    /// The statement that EXPLAIN, PREPARE, COPY and DECLARE have in them, if any is to be run.
    fn inner(&self) -> Option<Tree<'a>> {
        let (name, value) = self.node;
        let field = match name {
            "ExplainStmt" | "PrepareStmt" | "CopyStmt" | "DeclareCursorStmt" => "query",
            _ => return None,
        };
        Some(Tree {
            node: node(&value[field])?,
        })
    }

    /// Of these kinds everything is known but what functions do.
    pub(crate) fn is_query(&self) -> bool {
        match self.node {
            ("SelectStmt", _) => true,
            ("CopyStmt", copy) => {
                copy["filename"] == "" && self.inner().is_some_and(|inner| inner.is_query())
            }
            ("ExplainStmt", _) => self.inner().is_some_and(|inner| inner.is_query()),
            ("PrepareStmt", _) => self.inner().is_some_and(|inner| inner.is_query()),
            _ => false,
        }
    }

    pub(crate) fn is_only_planned(&self) -> bool {
        let ("ExplainStmt", explain) = self.node else {
            return false;
        };
        let options = explain["options"].as_array().expect("a list").iter();
        let mut analyze = options
            .filter_map(node)
            .filter(|(_, option)| option["defname"] == "analyze");
        let runs = analyze.next_back().is_some_and(|(_, option)| {
            let value = option["arg"].to_string();
            !["\"off\"", "\"false\"", "\"ival\":0"]
                .iter()
                .any(|off| value.contains(off))
        });
        !runs
    }

    pub(crate) fn writes(&self) -> bool {
        !self.is_only_planned()
            && self.has(&[
                "InsertStmt",
                "UpdateStmt",
                "DeleteStmt",
                "MergeStmt",
                "TruncateStmt",
            ])
    }

    pub(crate) fn locks_rows(&self) -> bool {
        !self.is_only_planned() && self.has(&["LockingClause"])
    }

    pub(crate) fn makes_table(&self) -> bool {
        !self.is_only_planned() && self.has(&["into_clause"])
    }

    pub(crate) fn copies_in(&self) -> bool {
        self.node.0 == "CopyStmt" && self.node.1["is_from"] == true
    }

    /// No standby would do it, or not the same.
    pub(crate) fn must_write(&self) -> bool {
        const OTHERS: [&str; 15] = [
            "SelectStmt",
            "ExplainStmt",
            "PrepareStmt",
            "CopyStmt",
            "DeclareCursorStmt",
            "TransactionStmt",
            "VariableSetStmt",
            "VariableShowStmt",
            "DiscardStmt",
            "DeallocateStmt",
            "ExecuteStmt",
            "FetchStmt",
            "ClosePortalStmt",
            "ConstraintsSetStmt",
            "LoadStmt",
        ];
        let statement = self.inner().map_or(self.node.0, |inner| inner.node.0);
        let is_other = OTHERS.contains(&self.node.0)
            && (self.is_only_planned() || OTHERS.contains(&statement));
        !is_other || self.writes() || self.locks_rows() || self.makes_table() || self.copies_in()
    }

    /// Each function that is called by name, not by syntax of its own, is one of those.
    pub(crate) fn runs_only_safe_functions(&self, is_safe: impl Fn(&[String]) -> bool) -> bool {
        const BY_NAME: u64 = 1;
        !self.any(|name, call| {
            if name != "FuncCall" || call["funcformat"].as_u64() != Some(BY_NAME) {
                return false;
            }
            let parts = call["funcname"].as_array().expect("a list").iter();
            let parts = parts
                .filter_map(node)
                .filter_map(|(_, part)| part["sval"].as_str());
            !is_safe(&parts.map(str::to_owned).collect::<Vec<_>>())
        })
    }

    fn names_relation(&self, is_it: impl Fn(&str) -> bool) -> bool {
        self.any(|_, value| {
            ["schemaname", "relname", "sval"]
                .into_iter()
                .any(|field| value[field].as_str().is_some_and(&is_it))
        })
    }

    pub(crate) fn names_temporary(&self) -> bool {
        self.names_relation(|name| name.starts_with("pg_temp"))
    }

    pub(crate) fn names_host_views(&self) -> bool {
        self.names_relation(|name| name.starts_with("pg_"))
    }
}
