//! Makes SQL: most of it valid, and full of what could be mistaken for something else.
//!
//! A form is words with a space between them; `<part>` stands for one of the parts that have several forms.

use crate::random::Random;

/// Built-in functions that read; the names of the other functions here are not known, or do more.
const SAFE: [&str; 5] = ["lower", "count", "abs", "now", "left"];

/// Of a call, by the parts of its name.
pub(crate) fn is_safe(name: &[String]) -> bool {
    match name {
        [name] => SAFE.contains(&name.as_str()),
        [schema, name] => schema == "pg_catalog" && SAFE.contains(&name.as_str()),
        _ => false,
    }
}

/// One to three statements.
pub(crate) fn text(random: &mut Random) -> String {
    let mut sentence = Sentence {
        random,
        text: String::new(),
        depth: 0,
    };
    sentence.blank();
    for _ in 0..=sentence.random.below(4) / 2 {
        sentence.part("statement");
        sentence.put(";");
        if sentence.random.one_in(6) {
            sentence.put(";");
        }
    }
    sentence.text
}

/// Pieces in any order.
pub(crate) fn rubbish(random: &mut Random) -> String {
    let mut text = String::new();
    for _ in 0..random.below(14) {
        text.push_str(random.pick(RUBBISH));
    }
    text
}

struct Sentence<'a> {
    random: &'a mut Random,
    text: String,
    /// Of parts in parts.
    depth: usize,
}

/// From this depth on the first forms of a part are taken, which have few parts in them.
const DEEP: usize = 9;

impl Sentence<'_> {
    /// A token, and what separates it from the next.
    fn put(&mut self, token: &str) {
        self.text.push_str(token);
        self.blank();
    }

    fn blank(&mut self) {
        let blank = self.random.pick(BLANKS);
        self.text.push_str(blank);
    }

    /// Words and parts, as they stand in a form.
    fn form(&mut self, form: &str) {
        for word in form.split(' ').filter(|word| !word.is_empty()) {
            if let Some(part) = word
                .strip_prefix('<')
                .and_then(|part| part.strip_suffix('>'))
            {
                self.part(part);
            } else if self.random.one_in(3) && word.bytes().all(|byte| byte.is_ascii_lowercase()) {
                self.put(&word.to_ascii_uppercase());
            } else {
                self.put(word);
            }
        }
    }

    /// One of a part's forms. `part*` is a list of it, `part?` may be left out.
    fn part(&mut self, part: &str) {
        if let Some(item) = part.strip_suffix('*') {
            self.part(item);
            for _ in 0..self.random.below(3) {
                self.put(",");
                self.part(item);
            }
            return;
        }
        if let Some(item) = part.strip_suffix('?') {
            if self.random.one_in(4) {
                self.part(item);
            }
            return;
        }
        let (_, simple, forms) = PARTS
            .iter()
            .find(|(name, ..)| *name == part)
            .unwrap_or_else(|| panic!("no part is called {part}"));
        self.depth += 1;
        let choices = if self.depth > DEEP {
            &forms[..*simple]
        } else {
            forms
        };
        if part.ends_with("name") || part == "literal" {
            let token = self.random.pick(choices);
            self.put(token);
        } else {
            let form = self.random.pick(choices);
            self.form(form);
        }
        self.depth -= 1;
    }
}

const BLANKS: &[&str] = &[
    " ",
    " ",
    " ",
    " ",
    " ",
    " ",
    " ",
    " ",
    " ",
    " ",
    " ",
    " ",
    "\n",
    "\t\r\n ",
    " --\r",
    "/* ; delete from t */",
    "-- ' ; insert into t\n",
    "/* /* nested */ for update */",
];

const RUBBISH: &[&str] = &[
    "select",
    "delete from t",
    "'",
    "''",
    "'a'",
    "\"",
    "\"a\"",
    "$$",
    "$a$",
    "$1",
    "/*",
    "*/",
    "--",
    "\n",
    "\r",
    " ",
    "e'",
    "E'\\'",
    "u&'",
    "U&\"",
    "b'0'",
    "x'f'",
    "n'",
    "\\",
    "\\'",
    ".",
    ",",
    ":",
    "::",
    ":=",
    "(",
    ")",
    "[",
    ";",
    "1",
    "1.5",
    "1e5",
    "+",
    "-",
    "/",
    "*",
    "@",
    "é",
    "_a1$",
];

/// A part: its name, how many of its forms are simple, and the forms.
type Part = (&'static str, usize, &'static [&'static str]);

#[rustfmt::skip]
const PARTS: &[Part] = &[
    ("name", 16, &[
        "a", "tbl", "\"for update\"", "\"into\"", "\"a\"\"b;\"", "nextval", "update", "delete", "share", "data",
        "u&\"d\\0061t\"", "été", "x$1$", "key", "\"select\"", "insert",
    ]),
    ("table_name", 8, &["a", "tbl", "\"for update\"", "s . \"into\"", "x$1$", "\"Data\"", "été", "public.tbl"]),
    ("label_name", 8, &["into", "update", "for", "delete", "x", "\"into\"", "select", "end"]),
    ("with_name", 6, &["w", "w2", "\"w 3\"", "time", "mine", "data"]),
    ("function_name", 9, &[
        "lower", "LOWER", "\"lower\"", "pg_catalog.lower", "pg_catalog . \"abs\"", "count", "abs", "now", "left",
        "lower", "LOWER", "\"lower\"", "pg_catalog.lower", "count", "abs", "now", "left", "lower", "abs", "now",
        "lower", "LOWER", "\"lower\"", "pg_catalog.lower", "count", "abs", "now", "left", "lower", "abs", "now",
        "mine", "s.lower", "nextval", "\"nextval\"", "pg_catalog.nextval", "pg_advisory_lock", "\"Lower\"",
    ]),
    ("literal", 24, &[
        "1", "1.5", "1e10", "$1", "'x'", "'; delete from t; --'", "'it''s'", "E'\\'; for update'", "e'\\\\'",
        "$$ ; insert into t $$", "$a$ $$ ; $a$", "B'01'", "x'1F'", "'a'\n'b'", "'a' -- c\n ';'", "null", "true", "N'n'",
        "E'a'\n'\\''", "$q$'$q$", "'back\\slash'", "'a' -- c\n\n'b'", "-1", "U&'d\\0061'",
    ]),
    ("operator_name", 9, &["+", "||", "=", "<>", "@>", "->>", "*/**/", "-", "operator(pg_catalog.+)"]),
    ("qualified", 2, &["<name>", "q . <name>"]),
    ("function", 2, &["<function_name> ( )", "<function_name> ( <literal*> )", "<function_name> ( <value*> )"]),
    ("value", 4, &[
        "<literal>", "a . b", "<qualified>", "<function>", "<function>", "<function>", "<value> <operator_name> <value>",
        "<value> <operator_name> <value>", "( <value> )", "( <query> )", "case when <value> then <value> else <value> end",
        "cast ( <value> as numeric (5 , 2) )", "a :: varchar (3)", "a :: public . varchar (3)", "exists ( <query> )",
        "a in ( <value*> )", "substring ( <value> from 1 for 2 )", "array [ <value> ]", "coalesce ( <value*> )",
        "count ( * ) filter ( where true ) over ( partition by a order by b )", "a not like ( <value> )",
        "extract ( year from current_timestamp )", "a . update", "- <function>", "( <value*> , <value> )", "not ( <value> )",
    ]),
    ("target", 1, &["<value>", "<value>", "<value>", "<value> as <label_name>"]),
    ("alias", 5, &["as q", "q", "as q ( c1 , c2 )", "q ( c1 )", ""]),
    ("source", 2, &[
        "<table_name> <alias>", "<table_name>", "( <query> ) <alias>", "<function> <alias>",
        "<function> with ordinality <alias>", "<table_name> left join <table_name> on <value>",
        "<table_name> cross join ( <query> ) j", "<table_name> natural join ( <query> ) j",
    ]),
    ("distinct", 2, &["distinct", "distinct on ( a )"]),
    ("into", 3, &["into made", "into temp made", "into table made"]),
    ("where", 1, &["where <value>"]),
    ("group", 4, &[
        "group by a", "group by ( a , b )", "group by rollup ( a , b )", "group by grouping sets ( ( a ) , ( ) )",
    ]),
    ("order", 1, &["order by <value*>"]),
    ("limit", 3, &["limit 1", "limit ( 1 ) offset 2", "fetch first ( 3 ) rows only"]),
    ("lock", 6, &[
        "for update", "for share", "for no key update", "for key share", "for update of tbl nowait", "for share skip locked",
    ]),
    ("rare_lock", 6, &["", "", "", "", "", "", "<lock>"]),
    ("select", 1, &[
        "select <target*>", "select <distinct?> <target*> from <source*> <where?> <group?> <order?> <limit?>",
        "select <distinct?> <target*> from <source*> <where?> <order?> <rare_lock>",
    ]),
    ("recursive", 1, &["recursive"]),
    ("columns", 1, &["( c1 , c2 )"]),
    ("how", 2, &["materialized", "not materialized"]),
    ("with_item", 1, &[
        "<with_name> as ( table a )", "<with_name> <columns?> as <how?> ( <query> )", "<with_name> <columns?> as <how?> ( <query> )",
        "<with_name> <columns?> as <how?> ( <query> )", "<with_name> <columns?> as <how?> ( <query> )",
    ]),
    ("with_write", 1, &["<with_name> <columns?> as <how?> ( <write> )"]),
    ("cycle", 4, &[
        "cycle c1 set is_cycle to varchar (3) 'y' default varchar (3) 'n' using path",
        "search depth first by c1 set ord", "cycle c1 set is_cycle using path",
        "cycle c1 , c2 set is_cycle to true default false using path",
    ]),
    ("with", 1, &["with <recursive?> <with_item*> <cycle?>"]),
    ("query", 3, &[
        "values ( <literal*> )", "table <table_name>", "select <target>", "<with?> <select>", "<with?> <select>", "<with?> <select>",
        "<select>", "<select>", "values ( <value*> )", "( <query> ) union all ( <query> )", "( <query> ) except <select>",
        "<with> ( <query> )", "<with> ( <query> ) order by <value*>", "<with> values ( <value*> )",
    ]),
    ("only", 1, &["only"]),
    ("returning", 1, &["returning *"]),
    ("write", 1, &[
        "delete from <table_name>", "insert into <table_name> values ( <value*> ) <returning?>",
        "insert into <table_name> <select> <returning?>", "update <only?> <table_name> set a = <value> <returning?>",
        "delete from <only?> <table_name> <where?> <returning?>", "<with> <write>",
        "merge into <table_name> using u on true when matched then delete",
    ]),
    ("any", 1, &["<query>", "<query>", "<write>"]),
    ("explain", 8, &[
        "explain", "explain verbose", "explain analyze", "explain ( analyze , buffers )", "explain ( costs off )",
        "explain ( analyze off )", "explain ( costs , \"analyze\" )", "explain ( format json , analyze true )",
    ]),
    ("body", 1, &["<any> ;"]),
    ("statement", 1, &[
        "<query>", "<query>", "<query>", "<query>", "<query>", "<query>", "<write>", "<explain> <any>",
        "with <recursive?> <with_write*> <cycle?> <any>", "with <with_item> , <with_write> <select>",
        "select <target*> <into> from <source*> <where?>", "copy ( <any> ) to stdout",
        "copy ( delete from tbl returning * ) to stdout", "copy tbl ( a , b ) to stdout", "copy tbl from stdin",
        "copy \"to\" to stdout", "copy s.tbl from stdin csv", "prepare p as <any>", "prepare transaction as <any>",
        "prepare p ( int , numeric ( 5 , 2 ) ) as <any>", "declare c scroll cursor with hold for <query>",
        "create function f ( ) returns int begin atomic <body> <body?> <body?> end",
        "create rule r as on insert to tbl do also ( <write> ; select 1 ; )", "<other>", "<other>",
    ]),
    ("other", 14, &[
        "begin", "commit", "set a.b = 'c'", "show work_mem", "create table t2 ( a int default 1 )", "drop table t2",
        "truncate tbl", "lock tbl", "listen x", "vacuum tbl", "call p ( 1 )", "do $$ begin ; end $$",
        "create view v as select 1", "refresh materialized view m",
    ]),
];
