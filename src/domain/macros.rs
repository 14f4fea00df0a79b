//! Macros and variables: `{{name}}` in the texts of characters and prompts. The macros `{{user}}`, `{{char}}` and
//! `{{date}}` are replaced when a text is used. All other names are variables of prompts, which clients replace.

use std::collections::HashSet;
use std::ops::Range;

use chrono::{DateTime, Utc};

use crate::entity::{character, user};

/// The names of the macros.
const MACROS: [&str; 3] = ["user", "char", "date"];
/// The longest name, in bytes.
const MAX_NAME: usize = 64;

/// The values of the macros.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Macros<'a> {
    /// `{{user}}`: the full name of the user, or the username of a user without one.
    pub user: &'a str,
    /// `{{char}}`: the name of the character. Without a character, `{{char}}` is not replaced.
    pub character: Option<&'a str>,
    /// `{{date}}`: the date of this time in UTC, as YYYY-MM-DD.
    pub now: DateTime<Utc>,
}

impl<'a> Macros<'a> {
    /// The values for a chat of `user` with `character`.
    pub fn new(user: &'a user::Model, character: Option<&'a character::Model>, now: DateTime<Utc>) -> Self {
        let user = user.full_name.as_deref().unwrap_or(&user.username);
        Self { user, character: character.map(|character| character.name.as_str()), now }
    }

    /// The text with all macros replaced. Replacements are not searched for macros, and unknown names are not changed.
    pub fn expand(&self, text: &str) -> String {
        let (mut expanded, mut end) = (String::with_capacity(text.len()), 0);
        for (place, name) in names(text) {
            expanded.push_str(&text[end..place.start]);
            end = place.end;
            match (name, self.character) {
                ("user", _) => expanded.push_str(self.user),
                ("char", Some(character)) => expanded.push_str(character),
                ("date", _) => expanded.push_str(&self.now.format("%Y-%m-%d").to_string()),
                _ => expanded.push_str(&text[place]),
            }
        }
        expanded.push_str(&text[end..]);
        expanded
    }
}

/// The names of the variables of a text, in the order of their first use, each once. Macros are not variables.
pub fn variables(text: &str) -> Vec<&str> {
    let mut seen = HashSet::from(MACROS);
    names(text).map(|(_, name)| name).filter(|name| seen.insert(name)).collect()
}

/// Each `{{name}}` of a text: its byte range, and the name. A name consists of letters, digits, `_` and `-`.
fn names(text: &str) -> impl Iterator<Item = (Range<usize>, &str)> {
    let mut from = 0;
    std::iter::from_fn(move || {
        loop {
            let start = from + text[from..].find("{{")?;
            let rest = &text[start + 2..];
            let length = rest.find(|letter: char| !(letter.is_alphanumeric() || matches!(letter, '_' | '-')));
            match length {
                Some(length @ 1..=MAX_NAME) if rest[length..].starts_with("}}") => {
                    from = start + 2 + length + 2;
                    return Some((start..from, &rest[..length]));
                }
                // The second brace may begin a name: `{{{user}}`.
                Some(0) => from = start + 1,
                Some(length) => from = start + 2 + length,
                None => return None,
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn expand(text: &str, user: &str, character: Option<&str>) -> String {
        let now = "2026-11-27T23:59:59Z".parse().unwrap();
        Macros { user, character, now }.expand(text)
    }

    #[test]
    fn macros_are_replaced_once() {
        let ada = |text: &str| expand(text, "Ada", Some("Bot"));
        assert_eq!(ada("Hi {{user}}, I am {{char}}. Today is {{date}}."), "Hi Ada, I am Bot. Today is 2026-11-27.");
        assert_eq!(ada("{{user}}{{user}}"), "AdaAda");
        assert_eq!(expand("{{user}} {{char}}", "{{char}} {{date}}", Some("{{user}}")), "{{char}} {{date}} {{user}}");
        assert_eq!(expand("{{us{{user}}er}}", "er", None), "{{userer}}", "what replacements form is not replaced");
        assert_eq!(expand("{{char}} of {{user}}", "Ada", None), "{{char}} of Ada");
    }

    #[test]
    fn other_text_is_not_changed() {
        for text in ["", "{{", "}}", "{{}}", "{{topic}}", "{{User}}", "{{ user }}", "{user}", "{{user}", "{ {user}}"] {
            assert_eq!(expand(text, "Ada", Some("Bot")), text);
        }
        assert_eq!(expand("{{{user}}}", "Ada", None), "{Ada}");
        assert_eq!(expand("{{user{{user}}", "Ada", None), "{{userAda");
        assert_eq!(expand("{{üa{{user}}", "Ada", None), "{{üaAda");
    }

    #[test]
    fn variables_are_in_the_order_of_their_first_use() {
        assert_eq!(variables("{{to}} {{text}} {{user}} {{to}} {{char}} {{date}} {{From}}"), ["to", "text", "From"]);
        assert_eq!(variables("{{größe}} {{a_b-1}} {{ a }} {{a.b}} {{}} {{{x}}}"), ["größe", "a_b-1", "x"]);
        assert_eq!(variables(&format!("{{{{{}}}}}", "x".repeat(64))).len(), 1);
        assert!(variables(&format!("{{{{{}}}}}", "x".repeat(65))).is_empty());
        let many: String = (0..3_000).map(|number| format!("{{{{{number}}}}}")).collect();
        assert_eq!(variables(&many).len(), 3_000);
    }

    proptest! {
        #[test]
        fn all_names_are_found(parts in prop::collection::vec("[{}aü ]{0,6}|\\{\\{[aü]{1,3}\\}\\}", 0..12)) {
            let text = parts.concat();
            let mut wanted = Vec::new();
            let mut from = 0;
            while from < text.len() {
                let rest = &text[from..];
                let name = rest.strip_prefix("{{").and_then(|rest| rest.split_once("}}")).map(|(name, _)| name);
                match name.filter(|name| !name.is_empty() && name.chars().all(char::is_alphanumeric)) {
                    Some(name) => {
                        wanted.push(name);
                        from += name.len() + 4;
                    }
                    None => from += rest.chars().next().unwrap().len_utf8(),
                }
            }
            prop_assert_eq!(names(&text).map(|(_, name)| name).collect::<Vec<_>>(), wanted);
        }
    }
}
