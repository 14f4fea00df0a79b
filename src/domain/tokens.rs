//! Counting tokens without a tokenizer.
//!
//! Tokenizers differ between models, and those of several vendors are not public. The estimate here costs one pass over
//! the text, and depends on nothing but the text. [`Ratio`] corrects it with the counts that providers report.

use crate::llm::{CompletionRequest, Usage};

/// The overhead of a message in addition to its text, in tokens.
const MESSAGE_TOKENS: i32 = 4;
/// Providers whose counts differ more from the estimate are believed only up to here: some report only the part of
/// the prompt that was not cached.
const RATIO_LIMITS: (i64, i64) = (750, 2_000);

/// Estimates the tokens of a text by the length of its characters in UTF-8: a token for four characters of one byte
/// (ASCII), two of two bytes (other Latin, Greek, Cyrillic, Hebrew, Arabic) or one of three bytes (Chinese, Japanese,
/// Korean, Indic); two tokens for one of four bytes (emoji). For prose the estimate is rather too high, so that context
/// windows and quotas are not exceeded.
pub fn estimate_tokens(text: &str) -> i32 {
    let quarters: usize = text.chars().map(quarters).sum();
    i32::try_from(quarters.div_ceil(4)).unwrap_or(i32::MAX)
}

/// The fourths of a token that a character counts for.
fn quarters(character: char) -> usize {
    1 << (character.len_utf8() - 1)
}

/// The text, or its beginning and an ellipsis if it has more than `most` tokens, which are at least 1.
pub fn cut_to_tokens(text: &str, most: i32) -> String {
    if estimate_tokens(text) <= most {
        return text.to_owned();
    }
    let mut left = usize::try_from(most).unwrap_or(0) * 4;
    // The ellipsis takes a token.
    left = left.saturating_sub(quarters('…'));
    let fitting = text.chars().take_while(|character| {
        let fits = quarters(*character) <= left;
        left = left.saturating_sub(quarters(*character));
        fits
    });
    fitting.chain(['…']).collect()
}

/// Estimates the tokens of a message.
pub fn message_tokens(content: &str) -> i32 {
    estimate_tokens(content).saturating_add(MESSAGE_TOKENS)
}

/// Estimates the tokens of a request.
pub fn request_tokens(request: &CompletionRequest) -> i32 {
    let contents = request.messages.iter().map(|message| &message.content);
    request.system.iter().chain(contents).fold(0, |sum: i32, text| sum.saturating_add(message_tokens(text)))
}

/// The tokens that a provider counts for 1,000 estimated ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ratio(i32);

impl Ratio {
    /// The estimate is taken as it is.
    pub const ONE: Self = Self(1_000);

    /// A stored ratio.
    pub fn from_stored(per_thousand: i32) -> Self {
        Self::new(per_thousand.into())
    }

    /// The ratio that a report shows. None if nothing was counted.
    pub fn measured(reported: u32, estimated: i32) -> Option<Self> {
        let is_count = reported > 0 && estimated > 0;
        is_count.then(|| Self::new(i64::from(reported) * 1_000 / i64::from(estimated.max(1))))
    }

    fn new(per_thousand: i64) -> Self {
        let (least, most) = RATIO_LIMITS;
        Self(i32::try_from(per_thousand.clamp(least, most)).unwrap_or(1_000))
    }

    /// The value to store.
    pub fn per_thousand(self) -> i32 {
        self.0
    }

    /// The tokens that a provider counts for an estimate, rounded up.
    pub fn real(self, estimated: i32) -> i32 {
        let real = (i64::from(estimated) * i64::from(self.0) + 999) / 1_000;
        i32::try_from(real).unwrap_or(i32::MAX)
    }

    /// The largest estimate that a provider counts as at most `real` tokens.
    pub fn estimated(self, real: i32) -> i32 {
        i32::try_from(i64::from(real) * 1_000 / i64::from(self.0)).unwrap_or(i32::MAX)
    }
}

/// The usage of a call, and whether it is an estimate: what the provider reported, if the answer is whole, or else at
/// least the tokens of the text that arrived. None if the call failed before any output.
pub fn settled_usage(
    reported: Option<Usage>,
    is_whole: bool,
    has_output: bool,
    prompt_tokens: i32,
    written_tokens: i32,
) -> Option<(Usage, bool)> {
    let written = written_tokens.unsigned_abs();
    match reported {
        // A count of zero for an answer with text is treated as missing.
        Some(counted) if is_whole && (counted.output_tokens > 0 || written == 0) => Some((counted, false)),
        // Providers send the final count at the end. For an answer that was cut short, the last count may be the
        // initial one.
        Some(counted) => Some((Usage { output_tokens: counted.output_tokens.max(written), ..counted }, true)),
        None if is_whole || has_output => Some((estimated_usage(prompt_tokens, written_tokens), true)),
        None => None,
    }
}

/// The usage of a call whose provider reported nothing.
pub fn estimated_usage(prompt_tokens: i32, written_tokens: i32) -> Usage {
    let (input_tokens, output_tokens) = (prompt_tokens.unsigned_abs(), written_tokens.unsigned_abs());
    Usage { input_tokens, output_tokens, cached_input_tokens: 0 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn characters_count_by_their_length() {
        for (text, wanted) in [
            ("", 0),
            ("Hello, world!", 4),
            ("Привет, мир!", 6),
            ("日本語", 3),
            ("안녕하세요", 5),
            ("नमस्ते", 6),
            ("🦀", 2),
            ("a日", 2),
        ] {
            assert_eq!(estimate_tokens(text), wanted, "{text}");
        }
    }

    #[test]
    fn a_ratio_is_limited() {
        let ratio = |reported, estimated| Ratio::measured(reported, estimated).map(Ratio::per_thousand);
        assert_eq!(ratio(120, 100), Some(1_200));
        assert_eq!((ratio(1, 1_000_000), ratio(u32::MAX, 1)), (Some(750), Some(2_000)));
        assert_eq!((ratio(0, 100), ratio(100, 0)), (None, None));
        assert_eq!(Ratio::from_stored(0).per_thousand(), 750);
        assert_eq!((Ratio::ONE.real(7), Ratio::ONE.estimated(7)), (7, 7));
    }

    proptest! {
        #[test]
        fn a_cut_text_is_the_longest_beginning_that_fits(text in "[a-z日🦀é]{0,60}", most in 1..40_i32) {
            let cut = cut_to_tokens(&text, most);
            prop_assert!(estimate_tokens(&cut) <= most);
            if estimate_tokens(&text) <= most {
                prop_assert_eq!(cut, text);
            } else {
                let kept = cut.strip_suffix('…').unwrap();
                prop_assert!(text.starts_with(kept));
                let next = text[kept.len()..].chars().next().unwrap();
                let longer = format!("{kept}{next}…");
                prop_assert!(estimate_tokens(&longer) > most);
            }
        }

        #[test]
        fn an_estimate_that_fits_is_never_counted_as_more(stored in 0..3_000_i32, real in 0..2_000_000_i32) {
            let ratio = Ratio::from_stored(stored);
            prop_assert!(ratio.real(ratio.estimated(real)) <= real);
            prop_assert!(ratio.real(ratio.estimated(real) + 1) > real);
        }
    }
}
