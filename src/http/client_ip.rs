//! The client address of a request.

use std::net::{IpAddr, SocketAddr};

use axum::http::{Extensions, HeaderMap, HeaderValue};

use crate::config::server::TrustedProxies;

/// The peer's address or, behind trusted proxies, the right-most address of `X-Forwarded-For` that is not a trusted
/// proxy. Addresses further left may be forged by the client.
pub(super) fn client_ip(trusted: &TrustedProxies, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
    let mut client = peer.to_canonical();
    // Split as bytes, because a value from the client may not be valid text and must not hide the values that proxies
    // added.
    let forwarded = headers.get_all("x-forwarded-for").iter().map(HeaderValue::as_bytes);
    let mut hops: Vec<&[u8]> = forwarded.flat_map(|value| value.split(|byte| *byte == b',')).collect();
    while trusted.contains(client) {
        match hops.pop().map(parse_hop) {
            Some(Some(hop)) => client = hop,
            Some(None) | None => break,
        }
    }
    client
}

/// The address of the connection's peer.
pub(super) fn peer(extensions: &Extensions) -> IpAddr {
    let info = extensions.get::<axum::extract::ConnectInfo<SocketAddr>>();
    info.map_or(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), |info| info.0.ip())
}

/// Some proxies add the port.
fn parse_hop(bytes: &[u8]) -> Option<IpAddr> {
    let text = str::from_utf8(bytes.trim_ascii()).ok()?;
    let ip = text.parse().or_else(|_| text.parse::<SocketAddr>().map(|address| address.ip()));
    ip.ok().map(|ip: IpAddr| ip.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(proxies: &str, peer: &str, forwarded: &[&str]) -> String {
        client_of(proxies, peer, &forwarded.iter().map(|value| value.as_bytes()).collect::<Vec<_>>())
    }

    fn client_of(proxies: &str, peer: &str, forwarded: &[&[u8]]) -> String {
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-for", HeaderValue::from_bytes(value).unwrap());
        }
        let proxies: TrustedProxies = proxies.parse().unwrap();
        client_ip(&proxies, peer.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn uses_forwarded_addresses_of_trusted_proxies_only() {
        assert_eq!(client("", "10.0.0.1", &["1.2.3.4"]), "10.0.0.1");
        assert_eq!(client("10.0.0.0/8", "11.0.0.1", &["1.2.3.4"]), "11.0.0.1");
        assert_eq!(client("10.0.0.0/8", "10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(client("10.0.0.0/8", "10.0.0.1", &["1.2.3.4"]), "1.2.3.4");
    }

    #[test]
    fn uses_the_right_most_untrusted_address() {
        let proxies = "10.0.0.0/8, 192.168.1.1,fd00::/8";
        assert_eq!(client(proxies, "10.0.0.1", &["9.9.9.9, 1.2.3.4, 10.2.3.4"]), "1.2.3.4");
        assert_eq!(client(proxies, "10.0.0.1", &["9.9.9.9, 1.2.3.4", "192.168.1.1"]), "1.2.3.4");
        assert_eq!(client(proxies, "10.0.0.1", &["9.9.9.9, nonsense"]), "10.0.0.1");
        assert_eq!(client(proxies, "::ffff:10.0.0.1", &["1.2.3.4:5678"]), "1.2.3.4");
        assert_eq!(client(proxies, "fd12::1", &["2001:db8::7"]), "2001:db8::7");
        assert_eq!(client("10.0.0.0/8", "10.0.0.1", &["10.0.0.2, 10.0.0.3"]), "10.0.0.2");
    }

    #[test]
    fn invalid_text_does_not_hide_later_addresses() {
        let proxies = "10.0.0.0/8";
        assert_eq!(client_of(proxies, "10.0.0.1", &[b"\xff\xfe, 1.2.3.4"]), "1.2.3.4");
        assert_eq!(client_of(proxies, "10.0.0.1", &[b"\xff", b"1.2.3.4"]), "1.2.3.4");
        assert_eq!(client_of(proxies, "10.0.0.1", &[b"9.9.9.9, \xff"]), "10.0.0.1");
    }

    #[test]
    fn matches_networks_exactly() {
        assert_eq!(client("10.0.0.128/25", "10.0.0.127", &["1.2.3.4"]), "10.0.0.127");
        assert_eq!(client("10.0.0.128/25", "10.0.0.128", &["1.2.3.4"]), "1.2.3.4");
        assert_eq!(client("0.0.0.0/0", "8.8.8.8", &["1.2.3.4"]), "1.2.3.4");
        assert_eq!(client("0.0.0.0/0", "2001:db8::7", &["1.2.3.4"]), "2001:db8::7");
        for text in ["10.0.0.0/33", "::/129", "10.0.0/8", "host", "10.0.0.0/", "10.0.0.0/-1"] {
            assert!(text.parse::<TrustedProxies>().is_err(), "{text}");
        }
    }
}
