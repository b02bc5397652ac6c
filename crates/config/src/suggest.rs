//! Guesses what a mistyped word was meant to be.

/// ` (did you mean "…"?)`, or nothing where no word is close.
pub(crate) fn did_you_mean<'a>(word: &str, words: impl IntoIterator<Item = &'a str>) -> String {
    match closest(word, words) {
        Some(meant) => format!(" (did you mean \"{meant}\"?)"),
        None => String::new(),
    }
}

fn closest<'a>(word: &str, words: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // One slip in three letters is still the same word; more is another one.
    let slips_max = (word.len() / 3).clamp(1, 3);
    words
        .into_iter()
        .map(|candidate| (slips(word, candidate), candidate))
        .filter(|(slips, _)| *slips <= slips_max)
        .min_by_key(|(slips, _)| *slips)
        .map(|(_, candidate)| candidate)
}

/// Letters to add, drop, change or swap with their neighbour to get from one word to the other.
fn slips(from: &str, to: &str) -> usize {
    let from: Vec<char> = from.to_lowercase().chars().take(WORD_MAX).collect();
    let to: Vec<char> = to.to_lowercase().chars().take(WORD_MAX).collect();
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=to.len()).collect();
    for i in 1..=from.len() {
        let mut row = vec![i; to.len() + 1];
        for j in 1..=to.len() {
            let change = usize::from(from[i - 1] != to[j - 1]);
            row[j] = (last[j] + 1).min(row[j - 1] + 1).min(last[j - 1] + change);
            if i > 1 && j > 1 && from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = last;
        last = row;
    }
    last[to.len()]
}

/// Letters of a word that are looked at; no key is longer.
const WORD_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn close_words_are_found_and_far_ones_are_not() {
        let words = ["pool_mode", "pool_size", "listen_addr", "listen_port"];
        let check = |word, meant: Option<&str>| assert_eq!(closest(word, words), meant, "{word}");
        check("pool_mod", Some("pool_mode"));
        check("poolsize", Some("pool_size"));
        check("listen_prot", Some("listen_port"));
        check("LISTEN_ADDR", Some("listen_addr"));
        check("listen_address", Some("listen_addr"));
        check("password", None);
        check("", None);
    }
}
