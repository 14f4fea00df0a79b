//! Splits a text into the words that are indexed and searched. Both databases store these words and do not split or
//! fold text themselves, so that both find the same messages.

use std::borrow::Cow;
use std::ops::Range;

use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;

/// The characters around a match in a snippet. They are removed from all texts.
pub const MATCH_START: char = '\u{E000}';
/// The end of a match in a snippet.
pub const MATCH_END: char = '\u{E001}';
/// The longest word, in bytes. The rest of a longer one is ignored, in texts and in queries.
const MAX_WORD: usize = 64;

/// A word of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// The word in lower case, without accents.
    pub text: String,
    /// Its bytes in the normal form of the text.
    pub range: Range<usize>,
    /// Whether it is one character of a script without spaces between words.
    pub is_single: bool,
}

/// The normal form of a text: Unicode NFC, without the marks of matches.
pub fn normal(text: &str) -> Cow<'_, str> {
    let is_marked = text.contains([MATCH_START, MATCH_END]);
    if !is_marked && (text.is_ascii() || unicode_normalization::is_nfc(text)) {
        return Cow::Borrowed(text);
    }
    text.chars().filter(|letter| ![MATCH_START, MATCH_END].contains(letter)).nfc().collect::<String>().into()
}

/// The words of a text in normal form. A word is a sequence of letters, digits and the marks that belong to them. In
/// scripts without spaces between words, each character is a word.
pub fn words(normal: &str) -> impl Iterator<Item = Word> {
    let mut letters = normal.char_indices().peekable();
    std::iter::from_fn(move || {
        let (start, first) = letters.find(|(_, letter)| is_letter(*letter))?;
        let mut word = Word { text: String::new(), range: start..start, is_single: is_single(first) };
        let mut next = Some((start, first));
        while let Some((place, letter)) = next {
            if word.text.len() < MAX_WORD {
                fold(letter, &mut word.text);
            }
            word.range.end = place + letter.len_utf8();
            // Marks belong to the character before them.
            next = letters.next_if(|(_, next)| {
                is_combining_mark(*next) || (!word.is_single && is_letter(*next) && !is_single(*next))
            });
        }
        Some(word)
    })
    // A letter that is only an accent has no word.
    .filter(|word| !word.text.is_empty())
}

fn is_letter(letter: char) -> bool {
    letter.is_alphanumeric()
}

/// Whether a letter is of a script that has no spaces between words: Chinese, Japanese and Korean, and Thai, Lao, Khmer
/// and Burmese. Words of these are found as sequences of characters.
fn is_single(letter: char) -> bool {
    matches!(letter,
        '\u{0E00}'..='\u{0EFF}' | '\u{1000}'..='\u{109F}' | '\u{1100}'..='\u{11FF}' | '\u{1780}'..='\u{17FF}'
        | '\u{2E80}'..='\u{2FDF}' | '\u{3005}'..='\u{3007}' | '\u{3021}'..='\u{3029}' | '\u{3031}'..='\u{3035}'
        | '\u{3040}'..='\u{318F}' | '\u{31A0}'..='\u{31BF}' | '\u{31F0}'..='\u{31FF}' | '\u{3400}'..='\u{4DBF}'
        | '\u{4E00}'..='\u{9FFF}' | '\u{A960}'..='\u{A97F}' | '\u{AC00}'..='\u{D7FF}' | '\u{F900}'..='\u{FAFF}'
        | '\u{FF66}'..='\u{FFDC}' | '\u{20000}'..='\u{323AF}')
}

/// Appends a letter in lower case, without accents and in its compatible form (`ﬁ` as `fi`).
fn fold(letter: char, to: &mut String) {
    if letter.is_ascii() {
        to.push(letter.to_ascii_lowercase());
        return;
    }
    let parts = std::iter::once(letter).nfkd().filter(|part| !is_accent(*part)).flat_map(char::to_lowercase);
    // Composed again, for Korean syllables and Japanese voiced kana.
    for part in parts.filter(|part| !is_accent(*part)).nfc() {
        match part {
            'ß' => to.push_str("ss"),
            'æ' => to.push_str("ae"),
            'œ' => to.push_str("oe"),
            'ø' => to.push('o'),
            'đ' => to.push('d'),
            'ł' => to.push('l'),
            'ı' => to.push('i'),
            'ς' => to.push('σ'),
            part if part.is_alphanumeric() || is_combining_mark(part) => to.push(part),
            // The compatible form of a letter can contain other characters: `⑴` is `(1)`.
            _ => {}
        }
    }
}

/// Whether a mark is an accent: of the Latin, Greek and Cyrillic scripts, or a vowel of Hebrew or Arabic. The marks of
/// other scripts distinguish words.
fn is_accent(mark: char) -> bool {
    matches!(mark,
        '\u{0300}'..='\u{036F}' | '\u{0483}'..='\u{0489}' | '\u{0591}'..='\u{05BD}' | '\u{05BF}' | '\u{05C1}'..='\u{05C7}'
        | '\u{0610}'..='\u{061A}' | '\u{0640}' | '\u{064B}'..='\u{065F}' | '\u{0670}' | '\u{06D6}'..='\u{06ED}'
        | '\u{1AB0}'..='\u{1AFF}' | '\u{1DC0}'..='\u{1DFF}' | '\u{20D0}'..='\u{20FF}' | '\u{FE00}'..='\u{FE0F}'
        | '\u{FE20}'..='\u{FE2F}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split(text: &str) -> Vec<String> {
        words(&normal(text)).map(|word| word.text).collect()
    }

    #[test]
    fn case_and_accents_are_ignored() {
        for (text, wanted) in [
            ("Hello, WORLD!", vec!["hello", "world"]),
            ("Crème brûlée à l'amour", vec!["creme", "brulee", "a", "l", "amour"]),
            ("e\u{301}te\u{301} É", vec!["ete", "e"]),
            ("Straße STRASSE ẞ", vec!["strasse", "strasse", "ss"]),
            ("ΣΊΣΥΦΟΣ σίσυφος", vec!["σισυφοσ", "σισυφοσ"]),
            ("İstanbul ıI", vec!["istanbul", "ii"]),
            ("Łódź Ørsted Æsir", vec!["lodz", "orsted", "aesir"]),
            ("ｆｕｌｌ ﬁne x²", vec!["full", "fine", "x2"]),
            ("Ёлка й", vec!["елка", "и"]),
            ("שָׁלוֹם مُحَمَّد", vec!["שלום", "محمد"]),
            ("हिन्दी", vec!["हिन्दी"]),
            ("snake_case a.b-c 3.14 C++", vec!["snake", "case", "a", "b", "c", "3", "14", "c"]),
            ("!?*\"'() \u{E000}\u{0}", vec![]),
            ("\u{301}", vec![]),
            ("fo\u{E000}o", vec!["foo"]),
        ] {
            assert_eq!(split(text), wanted, "{text}");
        }
    }

    #[test]
    fn scripts_without_spaces_are_split_into_characters() {
        assert_eq!(split("日本語abc が한국"), ["日", "本", "語", "abc", "が", "한", "국"]);
        let decomposed: String = "が한국".nfd().collect();
        assert_eq!(split(&decomposed), ["が", "한", "국"]);
        assert_eq!(split("ｱ々〇"), ["ア", "々", "〇"]);
        assert_eq!(split("ที่นี่"), ["ที่", "นี่"]);
    }

    #[test]
    fn long_words_are_cut() {
        let long = "x".repeat(1_000_000);
        assert_eq!(split(&long), ["x".repeat(64)]);
        assert!(split(&"ß".repeat(1_000))[0].len() <= 66);
    }

    proptest! {
        #[test]
        fn words_lie_in_their_text_in_order(text in any::<String>()) {
            let normal = normal(&text);
            let mut end = 0;
            for word in words(&normal) {
                prop_assert!(word.range.start >= end && word.range.start < word.range.end);
                prop_assert!(normal.is_char_boundary(word.range.start) && normal.is_char_boundary(word.range.end));
                prop_assert!(!word.text.is_empty() && !word.text.contains([' ', '\'', '"', '\\', '%', '_', '@', '#', '\0']));
                prop_assert!(!word.text.contains(|letter: char| letter.is_ascii_uppercase()));
                end = word.range.end;
            }
        }

        #[test]
        fn folding_twice_changes_nothing(text in "[a-zA-ZÀ-ÿΑ-ωЀ-яא-ת가-힣ぁ-ん一-龥ａ-ｚ0-9 .,_'\u{301}-]{0,40}") {
            let once = split(&text);
            let words: Vec<String> = split(&once.join(" "));
            prop_assert_eq!(words, once);
        }

        #[test]
        fn forms_of_a_text_have_the_same_words(text in "[a-zäöüßéÉñ가-힣がぱ日 ]{0,40}") {
            let decomposed: String = text.nfd().collect();
            prop_assert_eq!(split(&decomposed), split(&text));
            prop_assert_eq!(split(&text.to_uppercase()), split(&text));
        }
    }
}
