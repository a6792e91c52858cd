//! Words in texts: host names, addresses and numbers of ports, wherever they stand.

/// Where a word is in a text, each time: the text before it, and the text behind it.
pub(super) fn find<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
    text.match_indices(word).filter_map(|(at, _)| {
        let (before, after) = (text.get(..at)?, text.get(at + word.len()..)?);
        (!word.is_empty() && !goes_on_before(before) && !goes_on_after(after)).then_some((before, after))
    })
}

/// Whether a name that begins here is the end of a longer one.
fn goes_on_before(before: &str) -> bool {
    before.chars().next_back().is_some_and(|letter| is_of_names(letter) || letter == '.')
}

/// Whether a name that ends here is the beginning of a longer one. A full stop may be that of a sentence.
fn goes_on_after(after: &str) -> bool {
    let mut letters = after.chars();
    match letters.next() {
        Some('.') => letters.next().is_some_and(is_of_names),
        Some(letter) => is_of_names(letter),
        None => false,
    }
}

fn is_of_names(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '-' || letter == '_'
}

/// The words of a text that may be names of hosts, each with the text before it and behind it.
pub(super) fn all(text: &str) -> impl Iterator<Item = (&str, &str, &str)> {
    let mut at = 0;
    text.split_inclusive(|letter: char| !is_of_names(letter) && letter != '.').filter_map(move |piece| {
        let from = at;
        at += piece.len();
        let word = piece.trim_end_matches(|letter: char| !is_of_names(letter));
        let (before, after) = (text.get(..from)?, text.get(from + word.len()..)?);
        (!word.is_empty()).then_some((before, word, after))
    })
}

/// The numbers in a text, without those that are parts of words, addresses or fractions.
pub(super) fn numbers(text: &str) -> impl Iterator<Item = u16> {
    text.split(|letter: char| !is_of_names(letter) && letter != '.')
        .filter_map(|word| word.trim_end_matches('.').parse().ok())
}

/// The first characters of a text.
pub(super) fn head(text: &str, characters: usize) -> &str {
    let end = text.char_indices().nth(characters).map_or(text.len(), |(end, _)| end);
    text.get(..end).unwrap_or(text)
}

/// The end of a text, at most so many bytes.
pub(super) fn tail(text: &str, most: usize) -> &str {
    let mut from = text.len().saturating_sub(most);
    while !text.is_char_boundary(from) {
        from += 1;
    }
    text.get(from..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_no_part_of_another() {
        let has = |text, word| find(text, word).next().is_some();
        for text in ["redis", "at redis:6379", "'redis'", "redis.", "tcp://user@redis/0", "redis, db"] {
            assert!(has(text, "redis"), "{text}");
        }
        for text in ["redis-cli", "my-redis", "redis.example", "redis2", "x.redis", "Redis", "", "äredis"] {
            assert!(!has(text, "redis"), "{text}");
        }
        assert!(!has("anything", ""));
    }

    #[test]
    fn words_have_what_is_around_them() {
        let words: Vec<_> = all("at redis:80, 'a-b.c'. .x").collect();
        let found: Vec<_> = words.iter().map(|(_, word, _)| *word).collect();
        assert_eq!(found, ["at", "redis", "80", "a-b.c", ".x"]);
        assert_eq!(words[1], ("at ", "redis", ":80, 'a-b.c'. .x"));
        assert_eq!(all("").count() + all(" .. ").count(), 0);
    }

    #[test]
    fn numbers_stand_by_themselves() {
        let found: Vec<u16> = numbers(":6379 port 5432. 127.0.0.1 1.5 x80 99999 (8080) 10-11").collect();
        assert_eq!(found, [6379, 5432, 8080]);
    }

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!((head("äöü", 2), head("ab", 5), head("", 1)), ("äö", "ab", ""));
        assert_eq!((tail("äöü", 3), tail("ab", 5), tail("ab", 0), tail("", 1)), ("ü", "ab", "", ""));
    }
}
