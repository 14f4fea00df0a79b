//! Content negotiation: the content types of requests and responses.

use axum::http::{HeaderMap, HeaderName, header};

/// The two media types of GraphQL responses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Media {
    /// `application/json`: the status is 200 for every well-formed request.
    Json,
    /// `application/graphql-response+json`: the status of a request error is not 200.
    GraphqlResponse,
}

impl Media {
    pub(super) const fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json; charset=utf-8",
            Self::GraphqlResponse => "application/graphql-response+json; charset=utf-8",
        }
    }

    /// Selects the media type by `Accept` (RFC 9110, section 12.5.1): the higher weight first, then the more specific
    /// range, then the first in order. JSON if `Accept` does not decide, or accepts neither; the specification allows
    /// to ignore such a header.
    pub(super) fn negotiate(headers: &HeaderMap) -> Self {
        let [mut json, mut graphql] = [Preference::NONE; 2];
        for (position, (name, weight)) in accepted(headers, header::ACCEPT).enumerate() {
            let Some(range) = Range::named(&name) else { continue };
            let named = Preference { weight, specificity: range.specificity(), earliness: -(position as i64) };
            if range != Range::GraphqlResponse {
                json = json.refined(named);
            }
            if range != Range::Json {
                graphql = graphql.refined(named);
            }
        }
        if graphql.weight > 0 && graphql > json { Self::GraphqlResponse } else { Self::Json }
    }
}

/// The preference of a client for a media type, compared field by field.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Preference {
    weight: u16,
    specificity: u8,
    earliness: i64,
}

impl Preference {
    const NONE: Self = Self { weight: 0, specificity: 0, earliness: i64::MIN };

    /// Returns the more specific range.
    fn refined(self, other: Self) -> Self {
        if other.specificity > self.specificity || self == Self::NONE { other } else { self }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Range {
    Json,
    GraphqlResponse,
    Application,
    Any,
}

impl Range {
    /// A media range that covers one of the two types.
    fn named(name: &str) -> Option<Self> {
        match name {
            "application/json" => Some(Self::Json),
            "application/graphql-response+json" => Some(Self::GraphqlResponse),
            "application/*" => Some(Self::Application),
            "*/*" => Some(Self::Any),
            _ => None,
        }
    }

    const fn specificity(self) -> u8 {
        match self {
            Self::Json | Self::GraphqlResponse => 3,
            Self::Application => 2,
            Self::Any => 1,
        }
    }
}

/// Whether a client prefers an HTML page to a GraphQL response, as browsers do for a URL that the user enters: `Accept`
/// names HTML with a higher weight than the GraphQL media types it names. Ranges such as `*/*` do not count.
pub(super) fn prefers_page(headers: &HeaderMap) -> bool {
    let weight = |names: &[&str]| {
        let named = accepted(headers, header::ACCEPT).filter(|(name, _)| names.contains(&name.as_str()));
        named.map(|(_, weight)| weight).max().unwrap_or_default()
    };
    weight(&["text/html"]) > weight(&["application/json", "application/graphql-response+json"])
}

/// Whether a client accepts a content coding (RFC 9110, section 12.5.3). Without the header it accepts none.
pub(super) fn accepts_coding(headers: &HeaderMap, coding: &str) -> bool {
    let weight = |wanted: &str| {
        let mut named = accepted(headers, header::ACCEPT_ENCODING).filter(|(name, _)| name == wanted);
        named.next().map(|(_, weight)| weight)
    };
    weight(coding).or_else(|| weight("*")).is_some_and(|weight| weight > 0)
}

/// The items of `Accept` or `Accept-Encoding`, in lower case, with their weights in thousandths.
fn accepted(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = (String, u16)> {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).filter_map(parse_range)
}

fn parse_range(text: &str) -> Option<(String, u16)> {
    let mut parts = text.split(';').map(str::trim);
    let name = parts.next()?.to_ascii_lowercase();
    let weight = parts.find_map(|parameter| parameter.strip_prefix("q=").or_else(|| parameter.strip_prefix("Q=")));
    let weight: f32 = weight.map_or(Ok(1.0), str::parse).ok()?;
    Some((name, (weight.clamp(0.0, 1.0) * 1_000.0) as u16))
}

/// Whether `Content-Type` is JSON in UTF-8 (RFC 8259, section 8.1). Other types are refused, because pages of other
/// sites can send `text/plain` and forms without a preflight request.
pub(super) fn is_json(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return false };
    let Ok(value) = value.to_str() else { return false };
    let mut parts = value.split(';').map(str::trim);
    let is_json = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("application/json"));
    is_json
        && parts.filter(|parameter| !parameter.is_empty()).all(|parameter| match parameter.split_once('=') {
            Some((name, charset)) if name.trim().eq_ignore_ascii_case("charset") => {
                let charset = charset.trim().trim_matches('"');
                charset.eq_ignore_ascii_case("utf-8") || charset.eq_ignore_ascii_case("utf8")
            }
            _ => true,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: header::HeaderName, values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(&name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn negotiates() {
        for (accept, wanted) in [
            (&[][..], Media::Json),
            (&["*/*"], Media::Json),
            (&["application/*"], Media::Json),
            (&["text/html"], Media::Json),
            (&["application/json"], Media::Json),
            (&["application/graphql-response+json"], Media::GraphqlResponse),
            (&["Application/GraphQL-Response+JSON; charset=utf-8"], Media::GraphqlResponse),
            (&["application/graphql-response+json, application/json;q=0.9"], Media::GraphqlResponse),
            (&["application/graphql-response+json;q=0.5, application/json"], Media::Json),
            (&["application/json", "application/graphql-response+json"], Media::Json),
            (&["application/graphql-response+json, */*"], Media::GraphqlResponse),
            (&["application/graphql-response+json, application/json"], Media::GraphqlResponse),
            (&["application/json;q=0, */*"], Media::GraphqlResponse),
            (&["application/graphql-response+json;q=0"], Media::Json),
            (&["text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"], Media::Json),
        ] {
            assert_eq!(Media::negotiate(&headers(header::ACCEPT, accept)), wanted, "{accept:?}");
        }
    }

    #[test]
    fn browsers_prefer_html_and_clients_do_not() {
        for (accept, wanted) in [
            // Chrome, Firefox, Safari, and older versions.
            (
                &["text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,\
                   application/signed-exchange;v=b3;q=0.7"][..],
                true,
            ),
            (&["text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"], true),
            (&["text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"], true),
            (&["text/html, */*"], true),
            (&["Text/HTML"], true),
            (&["text/html", "application/json;q=0.9"], true),
            (&[], false),
            (&[""], false),
            (&["*/*"], false),
            (&["text/*"], false),
            (&["application/json"], false),
            (&["application/json, text/plain, */*"], false),
            (&["application/graphql-response+json, application/json;q=0.9"], false),
            (&["application/json, text/html"], false),
            (&["text/html;q=0.9, application/json"], false),
            (&["text/html;q=0.9, application/graphql-response+json"], false),
            (&["text/html;q=0"], false),
        ] {
            assert_eq!(prefers_page(&headers(header::ACCEPT, accept)), wanted, "{accept:?}");
        }
    }

    #[test]
    fn accepts_json_in_utf_8_only() {
        for (value, wanted) in [
            ("application/json", true),
            ("application/json;", true),
            ("Application/JSON; Charset=\"UTF-8\"", true),
            ("application/json; charset=utf-8; profile=x", true),
            ("application/json; charset=iso-8859-1", false),
            ("application/jsonp", false),
            ("text/plain", false),
            ("", false),
        ] {
            assert_eq!(is_json(&headers(header::CONTENT_TYPE, &[value])), wanted, "{value}");
        }
        assert!(!is_json(&HeaderMap::new()));
        assert!(!is_json(&headers(header::CONTENT_TYPE, &["application/json", "text/plain"])));
    }
}
