use super::*;

const OFF: Dialect = Dialect {
    standard_conforming_strings: false,
    trails: Trails::High,
};
const TRAILING: Dialect = Dialect {
    standard_conforming_strings: true,
    trails: Trails::Ascii,
};

fn tokens(text: &[u8], dialect: Dialect) -> Vec<(Kind, String)> {
    let mut lexer = Lexer::new(text, dialect);
    let mut found = Vec::new();
    loop {
        let token = lexer.token();
        if token.kind == Kind::End {
            return found;
        }
        let bytes = lexer.bytes(token).escape_ascii().to_string();
        found.push((token.kind, bytes));
    }
}

/// `expected`: the texts of the tokens, with a bar between them.
fn check(text: &str, expected: &str) {
    let found = tokens(text.as_bytes(), Dialect::default());
    let texts: Vec<&str> = found.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(texts.join(" | "), expected, "{text}");
}

fn check_kinds(text: &[u8], dialect: Dialect, expected: &[Kind]) {
    let found = tokens(text, dialect);
    let kinds: Vec<Kind> = found.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, expected, "{}", text.escape_ascii());
}

#[test]
fn borders_are_where_the_scanner_has_them() {
    check("select a,b", "select | a | , | b");
    check("a.b.*", "a | . | b | . | *");
    check("a::b", "a | :: | b");
    check("f($1,$22)", "f | ( | $1 | , | $22 | )");
    check("a$1$ b$$c", "a$1$ | b$$c");
    check(
        "1.5 .5 1. 1..2 1e5 1a",
        "1.5 | .5 | 1. | 1 | .. | 2 | 1 | e5 | 1 | a",
    );
    check("a<=b", "a | <= | b");
    check("a@--x", "a | @");
    check("a+/*x*/b", "a | + | b");
    check("a->>'b'", "a | ->> | \\'b\\'");
    check("x /* /* */ y */ z", "x | z");
    check("/*/*/**/*/*/ z", "z");
    check("'a''b' 'c'", "\\'a\\'\\'b\\' | \\'c\\'");
    check("\"a\"\"b\" \"c\"", "\\\"a\\\"\\\"b\\\" | \\\"c\\\"");
    check("$a$ $b$ $a$ x", "$a$ $b$ $a$ | x");
    check("$a x", "$ | a | x");
    check("$a$b$$a$", "$a$b$$a$");
    check("e'\\'' x", "e\\'\\\\\\'\\' | x");
    check("x'1' b'0' n'a'", "x\\'1\\' | b\\'0\\' | n | \\'a\\'");
    check("u&'a' u&\"b\" u & c", "u&\\'a\\' | u&\\\"b\\\" | u | & | c");
    check("u&b", "u | & | b");
    check("{\\}", "{ | \\\\ | }");
}

#[test]
fn strings_go_on_behind_an_end_of_line() {
    check("'a'\n'b'", "\\'a\\'\\n\\'b\\'");
    check(
        "'a' \t\r\n --x\n 'b' c",
        "\\'a\\' \\t\\r\\n --x\\n \\'b\\' | c",
    );
    check("'a' 'b'", "\\'a\\' | \\'b\\'");
    check("'a' --x", "\\'a\\'");
    check("'a' /*\n*/ 'b'", "\\'a\\' | \\'b\\'");
    check("'a'\n/*x*/'b'", "\\'a\\' | \\'b\\'");
    check("E'a'\n'\\''", "E\\'a\\'\\n\\'\\\\\\'\\'");
    check("'a'\n'\\'", "\\'a\\'\\n\\'\\\\\\'");
}

#[test]
fn a_dialect_decides_what_a_backslash_is() {
    let text = b"'\\' y'";
    let bad = Kind::Bad(Bad::Unterminated);
    check_kinds(text, Dialect::default(), &[Kind::Text, Kind::Word, bad]);
    check_kinds(text, OFF, &[Kind::Text]);
    check_kinds(b"b'\\'", OFF, &[Kind::Text]);
    check_kinds(b"\"\\\"", OFF, &[Kind::Quoted]);
}

#[test]
fn characters_that_look_like_ascii_are_not_taken_for_it() {
    let bad = Kind::Bad(Bad::Encoding);
    // In SJIS the two bytes are one letter, and the quote ends the string.
    check_kinds(b"e'\x95\\' x", TRAILING, &[bad]);
    check_kinds(b"e'\x95x' x", TRAILING, &[Kind::Text, Kind::Word]);
    check_kinds(b"'\x95\\' x", TRAILING, &[Kind::Text, Kind::Word]);
    check_kinds(b"\"\x95\\\" x", TRAILING, &[Kind::Quoted, Kind::Word]);
    check_kinds(b"\x95\\ x", TRAILING, &[bad]);
    check_kinds(b"$\x95$ $\x95$", TRAILING, &[bad]);
    check_kinds(
        b"e'\x95\\'' x",
        Dialect::default(),
        &[Kind::Text, Kind::Word],
    );
    assert_eq!(Trails::of_encoding(b"sjis"), Trails::Ascii);
    assert_eq!(Trails::of_encoding(b"UTF8"), Trails::High);
}

#[test]
fn what_cannot_be_read_ends_the_text() {
    let unterminated = Kind::Bad(Bad::Unterminated);
    for text in [
        "'a", "\"a", "$$a", "$a$ $b$", "/* a", "/* /* */", "e'\\'", "e'\\", "u&'a", "x'a",
    ] {
        check_kinds(text.as_bytes(), Dialect::default(), &[unterminated]);
    }
    check_kinds(
        b"a \0 b",
        Dialect::default(),
        &[Kind::Word, Kind::Bad(Bad::Zero)],
    );
    check_kinds(b"'\0'", Dialect::default(), &[Kind::Text]);
    check_kinds(b"\xff\xfe", Dialect::default(), &[Kind::Word]);
}

#[test]
fn comments_are_told_without_their_marks() {
    let found = |text: &'static str| {
        comments(text.as_bytes())
            .map(|comment| comment.escape_ascii().to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        found(" /* a */ --b\n\t/*c*/select /* d */"),
        [" a ", "b", "c"]
    );
    assert_eq!(found("--a"), ["a"]);
    assert_eq!(found("/* /* a */ */"), [" /* a */ "]);
    assert_eq!(found("/**/"), [""]);
    assert!(found("/* a").is_empty());
    assert!(found("/*/").is_empty());
}
