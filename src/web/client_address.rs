//! The address of the client: the TCP peer, or the address that a trusted proxy forwards.
//!
//! The forwarded addresses are walked from the right, the end that our own proxies wrote, to the first address that is
//! not a trusted proxy. Everything left of it was sent by the client and proves nothing.

use std::net::{IpAddr, SocketAddr};

use actix_web::http::header::{HeaderMap, HeaderName, X_FORWARDED_FOR};
use ipnet::IpNet;

/// The proxies whose forwarded headers are trusted.
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies(Vec<IpNet>);

impl From<Vec<IpNet>> for TrustedProxies {
    fn from(networks: Vec<IpNet>) -> Self {
        Self(networks)
    }
}

impl TrustedProxies {
    /// The address of the client behind `peer`.
    pub fn client_address(&self, peer: Option<SocketAddr>, headers: &HeaderMap) -> IpAddr {
        let Some(peer) = peer.map(|peer| peer.ip().to_canonical()) else {
            return IpAddr::from([0, 0, 0, 0]);
        };
        if !self.trusts(peer) {
            return peer;
        }
        let mut nearest = peer;
        let chain = forwarded_chain(headers);
        for hop in chain.iter().rev() {
            // An entry that is not an address ends the part that our proxies wrote.
            let Some(address) = parse_hop(hop) else { return nearest };
            if !self.trusts(address) {
                return address;
            }
            nearest = address;
        }
        match single(headers, &CF_CONNECTING_IP) {
            Some(address) if chain.is_empty() => address,
            _ => nearest,
        }
    }

    /// Whether `address` is one of them.
    pub fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }
}

const CF_CONNECTING_IP: HeaderName = HeaderName::from_static("cf-connecting-ip");
const FORWARDED: HeaderName = HeaderName::from_static("forwarded");

/// The hops of `X-Forwarded-For`, or of `Forwarded` if the former is absent; all header lines joined in order.
fn forwarded_chain(headers: &HeaderMap) -> Vec<&str> {
    let lines = |name: HeaderName| headers.get_all(name).map(|value| value.to_str().unwrap_or("unreadable"));
    if headers.contains_key(X_FORWARDED_FOR) {
        return lines(X_FORWARDED_FOR).flat_map(elements).collect();
    }
    lines(FORWARDED).flat_map(elements).map(forwarded_for).collect()
}

fn elements(line: &str) -> impl Iterator<Item = &str> {
    line.split(',').map(str::trim)
}

/// The `for` parameter of one element of `Forwarded` (RFC 7239).
fn forwarded_for(element: &str) -> &str {
    let pairs = element.split(';').filter_map(|pair| pair.split_once('='));
    let mut named = pairs.filter(|(name, _)| name.trim().eq_ignore_ascii_case("for"));
    named.next().map_or("unknown", |(_, value)| value.trim().trim_matches('"'))
}

/// `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]` or `[2001:db8::1]:80`.
fn parse_hop(text: &str) -> Option<IpAddr> {
    let address = text
        .parse::<IpAddr>()
        .or_else(|_| text.parse::<SocketAddr>().map(|socket| socket.ip()))
        .or_else(|_| text.trim_start_matches('[').trim_end_matches(']').parse());
    address.ok().map(|address| address.to_canonical())
}

fn single(headers: &HeaderMap, name: &HeaderName) -> Option<IpAddr> {
    let mut lines = headers.get_all(name);
    let only = lines.next().filter(|_| lines.next().is_none());
    parse_hop(only?.to_str().ok()?.trim())
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    fn client(trusted: &str, peer: &str, lines: &[(&'static str, &'static str)]) -> String {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let peer = SocketAddr::new(peer.parse().unwrap(), 40_000);
        let networks: Vec<IpNet> = trusted.split_whitespace().map(|network| network.parse().unwrap()).collect();
        TrustedProxies::from(networks).client_address(Some(peer), &headers).to_string()
    }

    const XFF: &str = "x-forwarded-for";

    #[test]
    fn headers_of_an_untrusted_peer_are_ignored() {
        let lies = [(XFF, "1.1.1.1"), ("forwarded", "for=2.2.2.2"), ("cf-connecting-ip", "3.3.3.3")];
        assert_eq!(client("10.0.0.0/8", "203.0.113.9", &lies), "203.0.113.9");
        assert_eq!(client("", "10.0.0.1", &lies), "10.0.0.1");
    }

    #[test]
    fn hops_are_read_from_the_right_over_all_lines() {
        // HAProxy with forwardfor keeps the client's own line and appends a second one.
        let lines = [(XFF, "1.1.1.1"), (XFF, "198.51.100.7")];
        assert_eq!(client("10.0.0.0/8", "10.0.0.1", &lines), "198.51.100.7");
        let chain = [(XFF, "1.1.1.1, 198.51.100.7, 10.0.0.5")];
        assert_eq!(client("10.0.0.0/8", "10.0.0.1", &chain), "198.51.100.7");
        assert_eq!(client("10.0.0.0/8", "::ffff:10.0.0.1", &chain), "198.51.100.7");
    }

    #[test]
    fn an_entry_that_is_not_an_address_ends_the_chain() {
        assert_eq!(client("10.0.0.1/32", "10.0.0.1", &[(XFF, "8.8.8.8, unknown")]), "10.0.0.1");
        assert_eq!(client("10.0.0.0/8", "10.0.0.1", &[(XFF, "evil, 10.0.0.7")]), "10.0.0.7");
    }

    #[test]
    fn forwarded_comes_second_and_the_cloudflare_header_third() {
        let forwarded = [("forwarded", "for=9.9.9.9, For=\"[2001:db8::7]:4711\";proto=https")];
        assert_eq!(client("10.0.0.1/32", "10.0.0.1", &forwarded), "2001:db8::7");
        assert_eq!(client("10.0.0.1/32", "10.0.0.1", &[("cf-connecting-ip", "198.51.100.3")]), "198.51.100.3");
        let both = [("cf-connecting-ip", "6.6.6.6"), (XFF, "198.51.100.3:5000")];
        assert_eq!(client("10.0.0.1/32", "10.0.0.1", &both), "198.51.100.3");
        let twice = [("cf-connecting-ip", "6.6.6.6"), ("cf-connecting-ip", "7.7.7.7")];
        assert_eq!(client("10.0.0.1/32", "10.0.0.1", &twice), "10.0.0.1");
    }
}
