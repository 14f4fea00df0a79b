//! The parameters of a GraphQL request (GraphQL over HTTP, section 5), from a body, a query string or a WebSocket
//! message.

use async_graphql::{Extensions, Variables};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::graphql::document::names_document;

/// The parameters of a well-formed request.
#[derive(Debug)]
pub(super) struct Parameters {
    /// Empty if the extensions identify the document by its hash.
    pub(super) query: String,
    pub(super) operation_name: Option<String>,
    pub(super) variables: Variables,
    pub(super) extensions: Extensions,
}

/// Why a request is malformed: a fixed message, because values are never echoed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed(pub(super) &'static str);

/// A batch exceeds the limit of one operation.
pub(super) const BATCH: Malformed = Malformed("Batches are not supported; send one operation per request.");
/// Like [`BATCH`].
pub(super) const TOO_MANY_VALUES: Malformed = Malformed("The variables have too many values.");
/// Maximum number of values in variables or extensions, including nested ones.
const MAX_VALUES: usize = 20_000;
/// Maximum number of values in a body: those of the variables and the extensions, and its own members.
const MAX_VALUES_OF_BODY: usize = 2 * MAX_VALUES + 64;
const QUERY: Malformed = Malformed("The parameter `query` must be a string.");
const OPERATION_NAME: Malformed = Malformed("The parameter `operationName` must be a string.");
const VARIABLES: Malformed = Malformed("The parameter `variables` must be a map.");
const EXTENSIONS: Malformed = Malformed("The parameter `extensions` must be a map.");

impl Parameters {
    /// Parses a JSON object.
    pub(super) fn from_json(json: &[u8]) -> Result<Self, Malformed> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Raw<'a> {
            #[serde(borrow)]
            query: Option<&'a RawValue>,
            #[serde(borrow)]
            operation_name: Option<&'a RawValue>,
            #[serde(borrow)]
            variables: Option<&'a RawValue>,
            #[serde(borrow)]
            extensions: Option<&'a RawValue>,
        }
        if json.trim_ascii_start().first() == Some(&b'[') {
            return Err(BATCH);
        }
        let raw: Raw<'_> = serde_json::from_slice(json)
            .map_err(|_| Malformed("The request body must be one JSON object in UTF-8."))?;
        let extensions = read(raw.extensions.map(RawValue::get), EXTENSIONS)?.unwrap_or_default();
        Ok(Self {
            query: text_of(read(raw.query.map(RawValue::get), QUERY)?, &extensions)?,
            operation_name: read(raw.operation_name.map(RawValue::get), OPERATION_NAME)?,
            variables: read(raw.variables.map(RawValue::get), VARIABLES)?.unwrap_or_default(),
            extensions,
        })
    }

    /// Parses the query string of a URL, in which `variables` and `extensions` are JSON.
    pub(super) fn from_query_string(text: &str) -> Result<Self, Malformed> {
        let [mut query, mut operation_name, mut variables, mut extensions] = [None, None, None, None];
        for (name, value) in form_urlencoded::parse(text.as_bytes()) {
            let parameter = match &*name {
                "query" => &mut query,
                "operationName" => &mut operation_name,
                "variables" => &mut variables,
                "extensions" => &mut extensions,
                _ => continue,
            };
            if parameter.replace(value).is_some() {
                return Err(Malformed("The query string contains a parameter twice."));
            }
        }
        let extensions = read(extensions.as_deref(), EXTENSIONS)?.unwrap_or_default();
        Ok(Self {
            query: text_of(query.map(Into::into), &extensions)?,
            operation_name: operation_name.map(Into::into),
            variables: read(variables.as_deref(), VARIABLES)?.unwrap_or_default(),
            extensions,
        })
    }
}

/// The text of the document, which may be absent only if a hash identifies the document.
fn text_of(query: Option<String>, extensions: &Extensions) -> Result<String, Malformed> {
    query.or_else(|| names_document(extensions).then(String::new)).ok_or(QUERY)
}

/// Null counts as absent. The number of values is limited before they are parsed, because a value takes many times the
/// memory of its text.
fn read<'a, T: Deserialize<'a>>(json: Option<&'a str>, otherwise: Malformed) -> Result<Option<T>, Malformed> {
    if json.is_some_and(|json| count_values(json) > MAX_VALUES) {
        return Err(TOO_MANY_VALUES);
    }
    json.map_or(Ok(None), |json| serde_json::from_str(json).map_err(|_| otherwise))
}

/// An upper bound of the number of values in a JSON text.
fn count_values(json: &str) -> usize {
    let mut counter = ValueCounter::default();
    counter.add(json.as_bytes());
    1 + counter.count
}

/// Counts the values of a JSON text that arrives in pieces: its commas, and the openings of its lists and maps.
#[derive(Debug, Default)]
pub(super) struct ValueCounter {
    count: usize,
    is_text: bool,
    is_escaped: bool,
}

impl ValueCounter {
    /// Counts the next piece.
    pub(super) fn add(&mut self, mut bytes: &[u8]) {
        while let Some((first, rest)) = bytes.split_first() {
            bytes = rest;
            match first {
                _ if self.is_escaped => self.is_escaped = false,
                b'\\' => self.is_escaped = self.is_text,
                b'"' => {
                    self.is_text = !self.is_text;
                    if self.is_text {
                        let is_special = |byte: &u8| matches!(byte, b'"' | b'\\');
                        bytes = &rest[rest.iter().position(is_special).unwrap_or(rest.len())..];
                    }
                }
                b',' | b'[' | b'{' if !self.is_text => self.count += 1,
                _ => {}
            }
        }
    }

    /// Whether the text has more values than a request may have.
    pub(super) fn is_exceeded(&self) -> bool {
        self.count > MAX_VALUES_OF_BODY
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Result<Parameters, Malformed> {
        Parameters::from_json(text.as_bytes())
    }

    #[test]
    fn reads_json() {
        let parameters =
            json(r#"{"query":"{a}","operationName":null,"variables":{"n":1},"extensions":null,"more":[]}"#).unwrap();
        assert_eq!(parameters.query, "{a}");
        assert_eq!(parameters.operation_name, None);
        assert_eq!(parameters.variables["n"], async_graphql::Value::from(1));
        assert!(parameters.extensions.is_empty());
    }

    #[test]
    fn values_are_counted_before_parsing() {
        assert_eq!(count_values(r#"{"a":[1,2,{"b":"x,[{\"","c":null}]}"#), 7);
        let variables = |values: usize| {
            let list = vec!["0"; values - 2].join(",");
            json(&format!(r#"{{"query":"{{a}}","variables":{{"n":[{list}]}}}}"#)).map(drop)
        };
        assert_eq!((variables(MAX_VALUES), variables(MAX_VALUES + 1)), (Ok(()), Err(TOO_MANY_VALUES)));
    }

    #[test]
    fn values_are_counted_in_pieces() {
        let text = r#"{"a":[1,2,{"b\\":"x,[{\",\\","c":null}],"d":"\\\"[["}"#;
        let whole = count_values(text);
        assert_eq!(whole, 8);
        for size in 1..text.len() {
            let mut counter = ValueCounter::default();
            text.as_bytes().chunks(size).for_each(|piece| counter.add(piece));
            assert_eq!(1 + counter.count, whole, "pieces of {size} bytes");
        }
    }

    #[test]
    fn refuses_wrong_types() {
        for value in ["0", "false", "[]", "{}"] {
            assert_eq!(json(&format!(r#"{{"query":{value}}}"#)).unwrap_err(), QUERY);
            assert_eq!(json(&format!(r#"{{"query":"","operationName":{value}}}"#)).unwrap_err(), OPERATION_NAME);
        }
        for value in ["0", "false", "[]", r#""{}""#] {
            assert_eq!(json(&format!(r#"{{"query":"","variables":{value}}}"#)).unwrap_err(), VARIABLES);
            assert_eq!(json(&format!(r#"{{"query":"","extensions":{value}}}"#)).unwrap_err(), EXTENSIONS);
        }
        assert_eq!(json("{}").unwrap_err(), QUERY);
        assert_eq!(json(r#"{"query":null}"#).unwrap_err(), QUERY);
        assert_eq!(json(r#"{"extensions":{"persistedQuery":null}}"#).unwrap_err(), QUERY);
        assert_eq!(json(r#"{"extensions":{"persistedQuery":1}}"#).unwrap().query, "");
        for text in ["", "null", "\"\"", "{", r#"{"query":"a","query":"b"}"#, "{\"query\":\"\u{1}\"}", "[{}]"] {
            assert!(json(text).is_err(), "{text}");
        }
        assert!(Parameters::from_json(b"{\"query\":\"\xff\"}").is_err());
    }

    #[test]
    fn reads_query_strings() {
        let parameters =
            Parameters::from_query_string("query=%7Ba+b%7D&variables=%7B%22n%22%3A1%7D&operationName=A&x=1").unwrap();
        assert_eq!(parameters.query, "{a b}");
        assert_eq!(parameters.operation_name.as_deref(), Some("A"));
        assert_eq!(parameters.variables["n"], async_graphql::Value::from(1));
        for (text, wanted) in [
            ("", QUERY),
            ("query=a&variables=1", VARIABLES),
            ("query=a&variables=", VARIABLES),
            ("query=a&extensions=[]", EXTENSIONS),
            ("query=a&query=b", Malformed("The query string contains a parameter twice.")),
        ] {
            assert_eq!(Parameters::from_query_string(text).unwrap_err(), wanted, "{text}");
        }
    }
}
