//! The words of a line, as `auth_hba_file` and `auth_ident_file` have them.
//!
//! Words are separated by blanks; a comma separates names of a list; `#` begins a comment. A quoted
//! word has no special meaning, and may contain anything; `""` in it is one quote.

/// A word and whether it was quoted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Word {
    pub(crate) text: String,
    pub(crate) quoted: bool,
}

impl Word {
    /// Whether it is this keyword: a quoted word is a name, whatever it says.
    pub(crate) fn is(&self, keyword: &str) -> bool {
        !self.quoted && self.text == keyword
    }

    /// What follows a character that makes an unquoted word special.
    pub(crate) fn after(&self, mark: char) -> Option<&str> {
        self.text.strip_prefix(mark).filter(|_| !self.quoted)
    }
}

/// A line that is read from its front.
#[derive(Debug, Clone)]
pub(crate) struct Line<'a> {
    /// Not yet read. Invariant: begins with no blank, and is empty where a comment begins.
    rest: &'a str,
}

/// Why a word cannot be read. Nothing behind it on the line can be.
pub(crate) type Unreadable = &'static str;

impl<'a> Line<'a> {
    pub(crate) fn of(line: &'a str) -> Self {
        let mut line = Self { rest: line };
        line.advance(0);
        line
    }

    /// Whether nothing more comes.
    pub(crate) fn is_end(&self) -> bool {
        self.rest.is_empty()
    }

    /// Takes a comma, if there is one.
    pub(crate) fn comma(&mut self) -> bool {
        let found = self.rest.starts_with(',');
        self.advance(usize::from(found));
        found
    }

    /// Takes a word; `None` at the end of the line and before a comma.
    pub(crate) fn word(&mut self) -> Result<Option<Word>, Unreadable> {
        if self.rest.is_empty() || self.rest.starts_with(',') {
            return Ok(None);
        }
        let mut text = String::new();
        if let Some(inside) = self.rest.strip_prefix('"') {
            let len = quoted(inside, &mut text)?;
            self.rest = &inside[len..];
            // PostgreSQL would read on, PgBouncer would begin the next word here.
            if !self.rest.is_empty() && !self.rest.starts_with(ends_word) {
                return Err("a quoted name must end where its quotes do");
            }
            self.advance(0);
            return Ok(Some(Word { text, quoted: true }));
        }
        let len = self.rest.find(ends_word).unwrap_or(self.rest.len());
        text.push_str(&self.rest[..len]);
        if text.contains('"') {
            return Err("a quote must stand at the front of a name");
        }
        self.advance(len);
        let quoted = false;
        Ok(Some(Word { text, quoted }))
    }

    /// Takes an option; `None` at the end of the line. Quotes may be around all of it or any part,
    /// and a comma is part of it.
    pub(crate) fn option(&mut self) -> Result<Option<String>, Unreadable> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let mut text = String::new();
        while let Some(char) = self.rest.chars().next() {
            if char.is_ascii_whitespace() || char == '#' {
                break;
            }
            self.rest = &self.rest[char.len_utf8()..];
            if char == '"' {
                let len = quoted(self.rest, &mut text)?;
                self.rest = &self.rest[len..];
            } else {
                text.push(char);
            }
        }
        self.advance(0);
        Ok(Some(text))
    }

    /// Passes over some bytes, and the blanks behind them.
    fn advance(&mut self, len: usize) {
        self.rest = self.rest[len..].trim_ascii();
        if self.rest.starts_with('#') {
            self.rest = "";
        }
    }
}

fn ends_word(char: char) -> bool {
    char.is_ascii_whitespace() || char == ',' || char == '#'
}

/// Reads what follows a quote into `text`; gives how many bytes that is, with the closing quote.
fn quoted(inside: &str, text: &mut String) -> Result<usize, Unreadable> {
    let mut at = 0;
    loop {
        let len = inside[at..].find('"').ok_or("a quote is not closed")?;
        text.push_str(&inside[at..at + len]);
        at += len + 1;
        if !inside[at..].starts_with('"') {
            return Ok(at);
        }
        text.push('"');
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Words as they are shown: quoted ones in angle brackets, commas as they are, `!` at a mistake.
    fn words(text: &str) -> Vec<String> {
        let mut line = Line::of(text);
        let mut all = Vec::new();
        while !line.is_end() {
            match line.word() {
                Ok(Some(word)) if word.quoted => all.push(format!("<{}>", word.text)),
                Ok(Some(word)) => all.push(word.text),
                Ok(None) => {
                    assert!(line.comma(), "neither word nor comma nor end");
                    all.push(",".to_owned());
                }
                Err(_) => {
                    all.push("!".to_owned());
                    break;
                }
            }
        }
        all
    }

    #[test]
    fn words_of_lines() {
        let check = |text: &str, expected: &[&str]| assert_eq!(words(text), expected, "{text:?}");
        check("", &[]);
        check(" \t # comment", &[]);
        check("host\tall  all\r", &["host", "all", "all"]);
        check("a,b , \"c, d\"#e", &["a", ",", "b", ",", "<c, d>"]);
        check("\"say \"\"hi\"\"\" \"\" x", &["<say \"hi\">", "<>", "x"]);
        check("\"a#b\" c#d", &["<a#b>", "c"]);
        check("a \"b", &["a", "!"]);
        check("a \"b\"c", &["a", "!"]);
        check("a b\"c\"", &["a", "!"]);
        check("ü \"é\"", &["ü", "<é>"]);
    }

    #[test]
    fn options_of_lines() {
        let options = |text: &str| {
            let mut line = Line::of(text);
            let mut all = Vec::new();
            while let Some(option) = line.option()? {
                all.push(option);
            }
            Ok::<_, Unreadable>(all)
        };
        let check = |text: &str, expected: &[&str]| {
            assert_eq!(options(text).unwrap(), expected, "{text:?}");
        };
        check("map=x # y", &["map=x"]);
        check("a=\"b \"\"c\"\"\" \"d=e f\"", &["a=b \"c\"", "d=e f"]);
        check("s=\", dc=é\" t=u,v#", &["s=, dc=é", "t=u,v"]);
        assert!(options("a=\"b").is_err());
    }
}
