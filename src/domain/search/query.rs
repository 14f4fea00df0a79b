//! Parses a search text, ranks the messages that match it, and makes their snippets.

use std::ops::Range;

use memchr::memmem::Finder;

use super::words::{MATCH_END, MATCH_START, Word, normal, words};
use crate::domain::input::Checks;
use crate::domain::{FieldErrorCode, Result};

/// The maximum number of words and phrases of a search.
const MAX_PHRASES: usize = 32;
/// The length of a snippet before it is extended to whole words, in bytes.
const SNIPPET: usize = 240;
/// The part of a snippet that precedes its first match, in bytes.
const BEFORE_MATCH: usize = 60;
/// The factor by which scores are converted to integers, which cursors contain exactly.
const SCALE: f64 = 1_000_000.0;
/// The parameters of BM25 (Robertson and Zaragoza, 2009), with 100 words as the average length of a message.
const SATURATION: f64 = 1.2;
const LENGTH_WEIGHT: f64 = 0.75;
const AVERAGE_LENGTH: f64 = 100.0;

/// A parsed search: sequences of words, all of which a message must contain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    phrases: Vec<Vec<String>>,
}

impl Query {
    /// Parses a search text. Text in double quotes is a phrase, and so is a sequence of characters of a script without
    /// spaces between words. All other text is split into words.
    ///
    /// # Errors
    /// [`crate::domain::Error::Invalid`] at `path` for a malformed text, a text without words, and too many words.
    pub fn parse(path: &str, text: &str) -> Result<Self> {
        let mut checks = Checks::default();
        checks.search(path, text);
        let mut phrases: Vec<Vec<String>> = Vec::new();
        let parts: Vec<&str> = text.split('"').collect();
        for (number, part) in parts.iter().enumerate() {
            // A quote without a second one is plain text.
            let is_quoted = number % 2 == 1 && number + 1 < parts.len();
            let found =
                if is_quoted { vec![words(&normal(part)).map(|word| word.text).collect()] } else { plain(part) };
            for phrase in found {
                if !phrase.is_empty() && !phrases.contains(&phrase) {
                    phrases.push(phrase);
                }
            }
        }
        if phrases.is_empty() {
            checks.fail(path, FieldErrorCode::Required, "The search text must contain at least one word.");
        } else if phrases.len() > MAX_PHRASES {
            checks.fail(path, FieldErrorCode::TooLong, format!("At most {MAX_PHRASES} words are allowed."));
        }
        checks.finish()?;
        Ok(Self { phrases })
    }

    /// The phrases. Each has at least one word.
    pub fn phrases(&self) -> &[Vec<String>] {
        &self.phrases
    }

    /// How well a message matches: better if it contains the phrases more often and is shorter. All messages that are
    /// compared contain all phrases, so their frequency in other messages does not matter.
    ///
    /// `document` are the words of the message, each with a space before it.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        reason = "a score is at most 32 times the scale, and a message has few words"
    )]
    pub fn score(&self, document: &str) -> u32 {
        let count = |count: usize| count as f64;
        let words = document.bytes().filter(|byte| *byte == b' ').count();
        let length = 1.0 - LENGTH_WEIGHT + LENGTH_WEIGHT * count(words) / AVERAGE_LENGTH;
        let scores = self.phrases.iter().map(|phrase| {
            let found = count(occurrences(document, phrase));
            found / (found + SATURATION * length)
        });
        (scores.sum::<f64>() * SCALE) as u32
    }

    /// The part of a text with the most different phrases, as plain text with [`MATCH_START`] and [`MATCH_END`] around
    /// each match. The first part if none is found.
    pub fn snippet(&self, text: &str) -> String {
        let text = normal(text);
        let matches = self.matches(&text);
        let best = self.best(&matches);
        let start = best.start.saturating_sub(BEFORE_MATCH);
        let start = if start == 0 { 0 } else { word_start(&text, start, best.start) };
        let end = word_end(&text, (start + SNIPPET).min(text.len())).max(best.end);
        let (mut snippet, mut place) = (String::new(), start);
        if start > 0 {
            snippet.push('…');
        }
        for (range, _) in matches {
            // A match within another one, and one that is cut off, is not marked.
            if range.start < place || range.end > end {
                continue;
            }
            snippet.push_str(&text[place..range.start]);
            snippet.push(MATCH_START);
            snippet.push_str(&text[range.clone()]);
            snippet.push(MATCH_END);
            place = range.end;
        }
        snippet.push_str(&text[place..end]);
        if end < text.len() {
            snippet.push('…');
        }
        snippet
    }

    /// The matches in a text in normal form, each with the number of its phrase, by place, longer ones first.
    fn matches(&self, normal: &str) -> Vec<(Range<usize>, usize)> {
        let document: Vec<Word> = words(normal).take(super::MAX_WORDS).collect();
        let mut matches = Vec::new();
        for (number, phrase) in self.phrases.iter().enumerate() {
            for part in document.windows(phrase.len()) {
                if let ([first, ..], Some(last)) = (part, part.last())
                    && part.iter().map(|word| &word.text).eq(phrase.iter())
                {
                    matches.push((first.range.start..last.range.end, number));
                }
            }
        }
        matches.sort_by_key(|(range, number)| (range.start, usize::MAX - range.end, *number));
        matches
    }

    /// The first match of the window with the most different phrases.
    fn best(&self, matches: &[(Range<usize>, usize)]) -> Range<usize> {
        let (mut best, mut most) = (0..0, 0);
        let (mut counts, mut different, mut end) = (vec![0_usize; self.phrases.len()], 0, 0);
        for (place, (range, number)) in matches.iter().enumerate() {
            while let Some((next, other)) = matches.get(end) {
                // The first match of a window may be longer than a snippet.
                if end > place && next.end > range.start + SNIPPET - BEFORE_MATCH {
                    break;
                }
                different += usize::from(counts[*other] == 0);
                counts[*other] += 1;
                end += 1;
            }
            if different > most {
                (best, most) = (range.clone(), different);
            }
            counts[*number] -= 1;
            different -= usize::from(counts[*number] == 0);
        }
        best
    }
}

/// How often a document contains a phrase. Each word of the document has a space before it.
fn occurrences(document: &str, phrase: &[String]) -> usize {
    let text: String = phrase.iter().flat_map(|word| [" ", word]).collect();
    let first = phrase.first().map_or(1, |word| word.len() + 1);
    let (finder, mut rest, mut found) = (Finder::new(&text), document.as_bytes(), 0);
    while let Some(place) = finder.find(rest) {
        found += usize::from(rest.get(place + text.len()).is_none_or(|next| *next == b' '));
        // Another occurrence may begin at the second word of this one.
        rest = &rest[place + first..];
    }
    found
}

/// The words of unquoted text: each is a phrase of its own, except characters that follow each other directly.
fn plain(text: &str) -> Vec<Vec<String>> {
    let mut phrases: Vec<Vec<String>> = Vec::new();
    let mut joinable = None;
    for word in words(&normal(text)) {
        match phrases.last_mut() {
            Some(last) if word.is_single && joinable == Some(word.range.start) => last.push(word.text),
            _ => phrases.push(vec![word.text]),
        }
        joinable = word.is_single.then_some(word.range.end);
    }
    phrases
}

/// The start of the first word after `from`, but not after `limit`.
fn word_start(text: &str, from: usize, limit: usize) -> usize {
    let from = text.floor_char_boundary(from);
    let rest = &text[from..limit];
    rest.find(char::is_whitespace).map_or(from, |space| limit - rest[space..].trim_start().len())
}

/// The end of the last word before `to`, or `to` within a long word.
fn word_end(text: &str, to: usize) -> usize {
    let to = text.floor_char_boundary(to);
    if to == text.len() {
        return to;
    }
    let head = &text[..to];
    head.rfind(char::is_whitespace).filter(|space| to - space <= BEFORE_MATCH).unwrap_or(to)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::Error;

    fn query(text: &str) -> Query {
        Query::parse("query", text).unwrap()
    }

    fn phrases(text: &str) -> Vec<String> {
        query(text).phrases.iter().map(|phrase| phrase.join(" ")).collect()
    }

    fn snippet(search: &str, text: &str) -> String {
        query(search).snippet(text).replace(MATCH_START, "[").replace(MATCH_END, "]")
    }

    fn score(search: &str, text: &str) -> u32 {
        query(search).score(&document(text))
    }

    fn document(text: &str) -> String {
        words(&normal(text)).flat_map(|word| [" ".to_owned(), word.text]).collect()
    }

    #[test]
    fn only_double_quotes_are_operators() {
        for (text, wanted) in [
            ("Cat dog cat", vec!["cat", "dog"]),
            ("\"Big cat\" dog", vec!["big cat", "dog"]),
            ("say \"big cat", vec!["say", "big", "cat"]),
            ("\"a b\" \"c d", vec!["a b", "c", "d"]),
            ("\"\" cat \"\"", vec!["cat"]),
            (
                "cat OR dog NOT -fish NEAR(a b) title:x c* ^d",
                vec!["cat", "or", "dog", "not", "fish", "near", "a", "b", "title", "x", "c", "d"],
            ),
            ("日本語 の本", vec!["日 本 語", "の 本"]),
            ("日本、語 abc日本", vec!["日 本", "語", "abc"]),
            ("don't", vec!["don", "t"]),
        ] {
            assert_eq!(phrases(text), wanted, "{text}");
        }
    }

    #[test]
    fn malformed_searches_are_refused() {
        let code = |text: &str| match Query::parse("query", text) {
            Err(Error::Invalid(fields)) => fields.into_iter().map(|field| field.code).collect::<Vec<_>>(),
            other => panic!("{other:?}"),
        };
        for blank in ["", " ", "\"", "\"\"", "*", "()", "🙂"] {
            assert_eq!(code(blank), [FieldErrorCode::Required], "{blank}");
        }
        assert_eq!(code("a\0b"), [FieldErrorCode::Malformed]);
        assert_eq!(code(&"a".repeat(201)), [FieldErrorCode::TooLong]);
        let many: Vec<String> = (0..33).map(|number| number.to_string()).collect();
        assert_eq!(code(&many.join(" ")), [FieldErrorCode::TooLong]);
        assert_eq!(phrases(&many[1..].join(" ")).len(), 32);
    }

    #[test]
    fn more_matches_in_a_shorter_text_are_better() {
        assert!(score("cat", "cat cat dog") > score("cat", "cat dog dog"));
        assert!(score("cat", "cat dog") > score("cat", &format!("cat {}", "dog ".repeat(100))));
        assert!(score("cat dog", "cat dog cat dog") > score("cat dog", "cat dog cat cat"));
        assert_eq!(score("\"cat dog\"", "dog cat"), 0);
        assert_eq!(score("cat", &"cat ".repeat(100_000)), score("cat", &"cat ".repeat(100_000)));
    }

    #[test]
    fn snippets_mark_matches() {
        assert_eq!(snippet("cat", "The CAT, a cát."), "The [CAT], a [cát].");
        assert_eq!(snippet("\"big cat\" cat", "A big - cat and a cat."), "A [big - cat] and a [cat].");
        assert_eq!(snippet("本語", "日本語です"), "日[本語]です");
        assert_eq!(snippet("cat", "a\u{E000}b\u{E001} c\u{E000}at"), "ab [cat]");
        assert_eq!(snippet("strasse", "Die Straße"), "Die [Straße]");
        assert_eq!(snippet("cat", "nothing"), "nothing");
        let long = format!("{}cat {}cat and dog {}", "x ".repeat(200), "y ".repeat(200), "z ".repeat(200));
        let both = snippet("dog cat", &long);
        assert!(both.starts_with("…y y") && both.contains("y [cat] and [dog] z") && both.ends_with("z…"), "{both}");
        assert!((200..300).contains(&both.len()), "{both}");
        let phrase = "word ".repeat(39);
        let whole =
            snippet(&format!("\"{}\"", phrase.trim()), &format!("{}{phrase}{}", "a ".repeat(100), "b ".repeat(100)));
        assert!(whole.contains(&format!("[{}]", phrase.trim())), "{whole}");
    }

    proptest! {
        #[test]
        fn snippets_are_parts_of_their_text(text in "[a-c日本é \n\u{E000}\u{301}]{0,400}", search in "[a-c日本\"é ]{0,12}[a日]") {
            let query = query(&search);
            let snippet = query.snippet(&text);
            let plain: String = snippet.chars().filter(|letter| ![MATCH_START, MATCH_END, '…'].contains(letter)).collect();
            prop_assert!(normal(&text).contains(&plain));
            prop_assert!(plain.len() <= SNIPPET + 4);
            let marks: String = snippet.chars().filter(|letter| [MATCH_START, MATCH_END].contains(letter)).collect();
            prop_assert_eq!(marks.replace("\u{E000}\u{E001}", ""), "");
            prop_assert_eq!(query.score(&document(&text)) > 0, snippet.contains(MATCH_START));
        }

        #[test]
        fn occurrences_may_overlap(
            document in prop::collection::vec("a|b|ab|ba|é", 0..30),
            phrase in prop::collection::vec("a|b|ab|é", 1..4),
        ) {
            let text: String = document.iter().flat_map(|word| [" ", word]).collect();
            let wanted = document.windows(phrase.len()).filter(|part| *part == phrase).count();
            prop_assert_eq!(occurrences(&text, &phrase), wanted);
        }
    }
}
