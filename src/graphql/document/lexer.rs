//! The lexer: turns the text of a document into tokens
//! (<https://spec.graphql.org/October2021/#sec-Language.Source-Text>), in one pass and within limits.

use std::borrow::Cow;

use async_graphql::parser::Pos;

use super::errors::{Refusal, syntax, too_complex};
use super::limits::Limits;

/// The maximum length of a name, in bytes. The response repeats names for each field and in error paths.
const MAX_NAME: usize = 256;

/// A token and its position.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token<'a> {
    pub(super) kind: TokenKind<'a>,
    pub(super) pos: Pos,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum TokenKind<'a> {
    /// One of `! $ & ( ) : = @ [ ] { | }`.
    Punctuator(u8),
    /// `...`
    Spread,
    Name(&'a str),
    Int(&'a str),
    Float(&'a str),
    String(Cow<'a, str>),
    End,
}

pub(super) struct Lexer<'a> {
    text: &'a str,
    at: usize,
    /// The position of the byte at `counted`.
    pos: Pos,
    counted: usize,
    tokens: usize,
    nesting: usize,
    limits: Limits,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str, limits: &Limits) -> Self {
        Self { text, at: 0, pos: Pos { line: 1, column: 1 }, counted: 0, tokens: 0, nesting: 0, limits: *limits }
    }

    pub(super) fn next(&mut self) -> Result<Token<'a>, Refusal> {
        self.skip_ignored();
        let pos = self.position();
        let start = self.at;
        let Some(&first) = self.text.as_bytes().get(start) else { return Ok(Token { kind: TokenKind::End, pos }) };
        self.tokens += 1;
        if self.tokens > self.limits.tokens {
            return Err(too_complex("The document has too many tokens.", Some(pos)));
        }
        let kind = match first {
            b'{' | b'[' | b'(' => {
                self.nesting += 1;
                if self.nesting > self.limits.nesting {
                    return Err(too_complex("The document is nested too deeply.", Some(pos)));
                }
                self.punctuator(first)
            }
            b'}' | b']' | b')' => {
                self.nesting = self.nesting.saturating_sub(1);
                self.punctuator(first)
            }
            b'!' | b'$' | b'&' | b':' | b'=' | b'@' | b'|' => self.punctuator(first),
            b'.' if self.rest().starts_with("...") => {
                self.at += 3;
                TokenKind::Spread
            }
            b'_' | b'a'..=b'z' | b'A'..=b'Z' => {
                self.skip_while(is_name);
                if self.at - start > MAX_NAME {
                    return Err(too_complex("A name is too long.", Some(pos)));
                }
                TokenKind::Name(&self.text[start..self.at])
            }
            b'-' | b'0'..=b'9' => self.number(pos)?,
            b'"' if self.rest().starts_with("\"\"\"") => self.block_string(pos)?,
            b'"' => self.string(pos)?,
            _ => return Err(syntax("a token", pos)),
        };
        Ok(Token { kind, pos })
    }

    /// The number of tokens so far.
    pub(super) fn tokens(&self) -> usize {
        self.tokens
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn punctuator(&mut self, byte: u8) -> TokenKind<'a> {
        self.at += 1;
        TokenKind::Punctuator(byte)
    }

    fn skip_while(&mut self, is_wanted: impl Fn(u8) -> bool) {
        let rest = &self.text.as_bytes()[self.at..];
        self.at += rest.iter().position(|byte| !is_wanted(*byte)).unwrap_or(rest.len());
    }

    fn skip_ignored(&mut self) {
        loop {
            match self.peek() {
                Some(b' ' | b'\t' | b',' | b'\n' | b'\r') => self.at += 1,
                Some(b'#') => self.skip_while(|byte| !matches!(byte, b'\n' | b'\r')),
                Some(0xEF) if self.rest().starts_with('\u{FEFF}') => self.at += '\u{FEFF}'.len_utf8(),
                _ => return,
            }
        }
    }

    /// The position of the next byte. Lines end at the specification's line terminators; columns count characters.
    fn position(&mut self) -> Pos {
        let passed = &self.text[self.counted..self.at];
        let mut letters = passed.chars().peekable();
        while let Some(letter) = letters.next() {
            match letter {
                '\r' if letters.peek() == Some(&'\n') => {}
                '\n' | '\r' => self.pos = Pos { line: self.pos.line + 1, column: 1 },
                _ => self.pos.column += 1,
            }
        }
        self.counted = self.at;
        self.pos
    }

    fn number(&mut self, pos: Pos) -> Result<TokenKind<'a>, Refusal> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        let whole = self.at;
        self.digits(pos)?;
        if self.text.as_bytes()[whole] == b'0' && self.at - whole > 1 {
            return Err(syntax("a number without leading zeros", pos));
        }
        let mut is_float = false;
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits(pos)?;
            is_float = true;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits(pos)?;
            is_float = true;
        }
        if self.peek().is_some_and(|byte| byte == b'.' || is_name(byte)) {
            return Err(syntax("a number", pos));
        }
        let number = &self.text[start..self.at];
        Ok(if is_float { TokenKind::Float(number) } else { TokenKind::Int(number) })
    }

    fn digits(&mut self, pos: Pos) -> Result<(), Refusal> {
        let start = self.at;
        self.skip_while(|byte| byte.is_ascii_digit());
        if self.at == start { Err(syntax("a digit", pos)) } else { Ok(()) }
    }

    fn string(&mut self, pos: Pos) -> Result<TokenKind<'a>, Refusal> {
        self.at += 1;
        let start = self.at;
        self.skip_while(|byte| !matches!(byte, b'"' | b'\\' | b'\n' | b'\r'));
        if self.peek() == Some(b'"') {
            let text = &self.text[start..self.at];
            self.at += 1;
            return Ok(TokenKind::String(Cow::Borrowed(text)));
        }
        let mut text = self.text[start..self.at].to_owned();
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(TokenKind::String(Cow::Owned(text)));
                }
                Some(b'\\') => {
                    self.at += 1;
                    text.push(self.escape(pos)?);
                }
                Some(b'\n' | b'\r') | None => return Err(syntax("the end of a string", pos)),
                Some(_) => {
                    let plain = self.at;
                    self.skip_while(|byte| !matches!(byte, b'"' | b'\\' | b'\n' | b'\r'));
                    text.push_str(&self.text[plain..self.at]);
                }
            }
        }
    }

    /// Reads an escape sequence after its backslash. A surrogate pair is one character.
    fn escape(&mut self, pos: Pos) -> Result<char, Refusal> {
        let wrong = || syntax("an escape sequence", pos);
        let letter = self.peek().ok_or_else(wrong)?;
        self.at += 1;
        Ok(match letter {
            b'"' | b'\\' | b'/' => char::from(letter),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' if self.peek() == Some(b'{') => {
                let end = self.rest().find('}').filter(|end| (2..=9).contains(end)).ok_or_else(wrong)?;
                let digits = &self.text[self.at + 1..self.at + end];
                self.at += end + 1;
                hex(digits).and_then(char::from_u32).ok_or_else(wrong)?
            }
            b'u' => {
                let first = self.four_digits().ok_or_else(wrong)?;
                if !(0xD800..0xDC00).contains(&first) {
                    return char::from_u32(first).ok_or_else(wrong);
                }
                self.at += self.rest().strip_prefix("\\u").map(|_| 2).ok_or_else(wrong)?;
                let second = self.four_digits().filter(|second| (0xDC00..0xE000).contains(second)).ok_or_else(wrong)?;
                char::from_u32(0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00)).ok_or_else(wrong)?
            }
            _ => return Err(wrong()),
        })
    }

    fn four_digits(&mut self) -> Option<u32> {
        let value = hex(self.text.get(self.at..self.at + 4)?)?;
        self.at += 4;
        Some(value)
    }

    fn block_string(&mut self, pos: Pos) -> Result<TokenKind<'a>, Refusal> {
        self.at += 3;
        let mut raw = String::new();
        loop {
            let rest = self.rest();
            let quotes = rest.find("\"\"\"").ok_or_else(|| syntax("the end of a block string", pos))?;
            self.at += quotes + 3;
            match rest[..quotes].strip_suffix('\\') {
                Some(before) => {
                    raw.push_str(before);
                    raw.push_str("\"\"\"");
                }
                None => {
                    raw.push_str(&rest[..quotes]);
                    return Ok(TokenKind::String(Cow::Owned(block_value(&raw))));
                }
            }
        }
    }
}

fn is_name(byte: u8) -> bool {
    byte == b'_' || byte.is_ascii_alphanumeric()
}

fn hex(digits: &str) -> Option<u32> {
    let is_hex = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hex.then(|| u32::from_str_radix(digits, 16).ok()).flatten()
}

/// Removes the common indentation and the blank lines at the beginning and end. See
/// <https://spec.graphql.org/October2021/#BlockStringValue()>.
fn block_value(raw: &str) -> String {
    let raw = raw.replace("\r\n", "\n").replace('\r', "\n");
    let mut lines: Vec<&str> = raw.split('\n').collect();
    let indent = |line: &str| line.bytes().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    let common = lines.iter().skip(1).filter(|line| indent(line) < line.len()).map(|line| indent(line)).min();
    for line in lines.iter_mut().skip(1) {
        *line = &line[common.unwrap_or_default().min(line.len())..];
    }
    let is_blank = |line: &&str| indent(line) == line.len();
    let first = lines.iter().position(|line| !is_blank(line)).unwrap_or(lines.len());
    let last = lines.iter().rposition(|line| !is_blank(line)).map_or(first, |last| last + 1);
    lines[first..last].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lex(text: &str) -> Result<Vec<(TokenKind<'_>, usize, usize)>, String> {
        let limits = Limits::default();
        let mut lexer = Lexer::new(text, &limits);
        let mut tokens = Vec::new();
        loop {
            let token = lexer.next().map_err(|refusal| refusal.message)?;
            if token.kind == TokenKind::End {
                return Ok(tokens);
            }
            tokens.push((token.kind, token.pos.line, token.pos.column));
        }
    }

    #[test]
    fn tokens_have_positions() {
        let text = "\u{feff}{ a, # é { \"\r\n  \"é😀\" ... b\r}\n";
        let tokens = lex(text).unwrap();
        let places: Vec<_> = tokens.iter().map(|(_, line, column)| (*line, *column)).collect();
        assert_eq!(places, [(1, 2), (1, 4), (2, 3), (2, 8), (2, 12), (3, 1)]);
        assert_eq!(tokens[3].0, TokenKind::Spread);
    }

    #[test]
    fn reads_strings() {
        for (text, wanted) in [
            (r#""""#, ""),
            (r#""a\n\"\\\/\u00e9""#, "a\n\"\\/é"),
            (r#""\uD83D\uDE00\u{1F600}""#, "😀😀"),
            (r#""""""""#, ""),
            ("\"\"\"\n    a\n      b\r\n\n    c \\\"\"\" d\n  \"\"\"", "a\n  b\n\nc \"\"\" d"),
            ("\"\"\"a\n  b\"\"\"", "a\nb"),
        ] {
            assert_eq!(lex(text).unwrap()[0].0, TokenKind::String(wanted.into()), "{text}");
        }
        for text in [
            "\"",
            "\"a\n\"",
            r#""\x""#,
            r#""\uD83D""#,
            r#""\uDE00""#,
            r#""\u{110000}""#,
            r#""\u{}""#,
            "\"\"\" \"\"",
            r#""\u12"#,
        ] {
            assert!(lex(text).is_err(), "{text}");
        }
    }

    #[test]
    fn reads_numbers() {
        for (text, is_float) in [("0", false), ("-12", false), ("0.5", true), ("1e9", true), ("-1.5E-3", true)] {
            let wanted = if is_float { TokenKind::Float(text) } else { TokenKind::Int(text) };
            assert_eq!(lex(text).unwrap()[0].0, wanted);
        }
        for text in ["01", "-", "1.", "1.a", "1e", "1a", "1.5.2", "0x1", ".5", "..", "?", "é"] {
            assert!(lex(text).is_err(), "{text}");
        }
    }
}
