//! The named formats of the schema.

use std::net::{Ipv4Addr, Ipv6Addr};

/// What is wrong with `text` in the format `name`; a format that is not modelled accepts everything.
pub fn problem(name: &str, text: &str) -> Option<String> {
    if let Some(item) = name.strip_suffix("-list") {
        let mut items = text.split([',', ';', ' ', '\0']).filter(|part| !part.is_empty());
        return items.find_map(|part| problem(item, part));
    }
    let complaint = match name {
        "pve-vmid" => (!is_vmid(text)).then(|| "value does not look like a valid VM ID".to_owned()),
        "pve-node" => (!is_label(text)).then(|| "value does not look like a valid node name".to_owned()),
        "dns-name" => (!is_dns_name(text)).then(|| "value does not look like a valid DNS name".to_owned()),
        "pve-storage-id" => (!is_word(text, "-_.")).then(|| format!("storage ID '{text}' contains illegal characters")),
        "pve-poolid" => (!is_pool(text)).then(|| format!("pool name '{text}' contains invalid characters")),
        "pve-configid" => {
            let fits = is_word(text, "-_") && text.len() >= 2;
            (!fits).then(|| format!("invalid configuration ID '{text}'"))
        }
        "pve-tag" => (!is_tag(text)).then(|| format!("invalid characters in tag: {text}")),
        "ipv4" => text.parse::<Ipv4Addr>().is_err().then(|| "value does not look like a valid IPv4 address".to_owned()),
        "ipv6" => text.parse::<Ipv6Addr>().is_err().then(|| "value does not look like a valid IPv6 address".to_owned()),
        "pve-ipv4-config" => {
            (!is_ipv4_config(text)).then(|| "value does not look like a valid ipv4 network configuration".to_owned())
        }
        "pve-ipv6-config" => {
            (!is_ipv6_config(text)).then(|| "value does not look like a valid ipv6 network configuration".to_owned())
        }
        "mac-addr" => {
            (!is_unicast_mac(text)).then(|| "value does not look like a valid unicast MAC address".to_owned())
        }
        "lxc-ip-with-ll-iface" => {
            let host = text.split('%').next().unwrap_or_default();
            let fits = host == "host" || host.parse::<std::net::IpAddr>().is_ok();
            (!fits).then(|| "value does not look like a valid IP address".to_owned())
        }
        "disk-size" => (!is_disk_size(text)).then(|| "value does not look like a valid disk size".to_owned()),
        "pve-volume-id" => (!text.contains(':')).then(|| format!("unable to parse volume ID '{text}'")),
        _ => None,
    };
    complaint.map(|text| text + "\n")
}

fn is_vmid(text: &str) -> bool {
    (3..=9).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0')
}

fn is_label(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    (1..=63).contains(&text.len()) && text.bytes().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}

fn is_dns_name(text: &str) -> bool {
    text.len() <= 255 && text.split('.').all(is_label)
}

fn is_word(text: &str, extra: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || extra.contains(c))
}

fn is_pool(text: &str) -> bool {
    text.split('/').count() <= 3
        && text
            .split('/')
            .all(|level| !level.is_empty() && level.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)))
}

fn is_tag(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "_.+-".contains(c))
}

fn is_ipv4_config(text: &str) -> bool {
    let cidr = |text: &str| {
        let (address, prefix) = text.split_once('/')?;
        let prefix: u8 = prefix.parse().ok()?;
        Some(address.parse::<Ipv4Addr>().is_ok() && (8..=32).contains(&prefix))
    };
    matches!(text, "dhcp" | "manual") || cidr(text) == Some(true)
}

fn is_ipv6_config(text: &str) -> bool {
    let cidr = |text: &str| {
        let (address, prefix) = text.split_once('/')?;
        let prefix: u8 = prefix.parse().ok()?;
        Some(address.parse::<Ipv6Addr>().is_ok() && (8..=128).contains(&prefix))
    };
    matches!(text, "auto" | "dhcp" | "manual") || cidr(text) == Some(true)
}

fn is_unicast_mac(text: &str) -> bool {
    let bytes: Vec<Option<u8>> = text.split(':').map(|part| u8::from_str_radix(part, 16).ok()).collect();
    let shape = text.len() == 17 && bytes.len() == 6 && bytes.iter().all(Option::is_some);
    shape && bytes.first().copied().flatten().is_some_and(|first| first & 1 == 0)
}

fn is_disk_size(text: &str) -> bool {
    let digits = text.trim_end_matches(['K', 'M', 'G', 'T']);
    text.len() - digits.len() <= 1 && digits.parse::<f64>().is_ok_and(|n| n >= 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_accept_and_refuse() {
        let fits = |name, text| problem(name, text).is_none();
        assert!(fits("dns-name", "mc-paper-5013") && fits("dns-name", "a.example.com"));
        assert!(!fits("dns-name", "my_srv") && !fits("dns-name", "-a") && !fits("dns-name", ""));
        assert!(fits("pve-ipv4-config", "127.3.4.5/24") && !fits("pve-ipv4-config", "127.3.4.5"));
        assert!(fits("mac-addr", "BC:24:11:00:00:01") && !fits("mac-addr", "01:24:11:00:00:01"));
        assert!(fits("pve-tag-list", "zpack;game") && !fits("pve-tag-list", "zpack;!"));
        assert!(fits("pve-vmid-list", "100,101") && !fits("pve-vmid-list", "100,x"));
    }
}
