//! A DNS name in canonical spelling, so that names can be compared.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::hostname::Hostname;

/// The longest name without its final dot (RFC 1035, 2.3.4).
const MAX_NAME: usize = 253;

/// An absolute name: ASCII (IDNA), lower-case, without a final dot. Labels may begin with an underscore.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct DnsName(String);

/// The text is not a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a domain name")]
pub struct DnsNameError(String);

impl DnsName {
    /// Parses a name as listed in a zone: relative names and `@` belong to `zone` (docs/contracts/edge.md A8.1).
    pub fn in_zone(text: &str, zone: &Self) -> Result<Self, DnsNameError> {
        let trimmed = text.trim();
        let absolute = trimmed.ends_with('.');
        if trimmed == "@" {
            return Ok(zone.clone());
        }
        let name: Self = trimmed.parse()?;
        if absolute || name.is_within(zone) { Ok(name) } else { format!("{name}.{zone}").parse() }
    }

    /// Parses the target of a record: a single label belongs to `zone`, every other name is absolute.
    pub fn target(text: &str, zone: &Self) -> Result<Self, DnsNameError> {
        if text.trim_end_matches('.').contains('.') { text.parse() } else { Self::in_zone(text, zone) }
    }

    /// The name of `host` in `zone`.
    pub fn of_host(host: &Hostname, zone: &Self) -> Self {
        Self(format!("{host}.{zone}"))
    }

    /// The name `label` below this one, for example `_minecraft._tcp`.
    pub fn below(&self, label: &str) -> Result<Self, DnsNameError> {
        format!("{label}.{self}").parse()
    }

    /// Whether this is `zone` or a name below it, label by label: `evilzone.tld` is not within `zone.tld`.
    pub fn is_within(&self, zone: &Self) -> bool {
        self.0.strip_suffix(&zone.0).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its first label.
    pub fn first_label(&self) -> &str {
        self.0.split('.').next().unwrap_or_default()
    }
}

impl FromStr for DnsName {
    type Err = DnsNameError;

    /// Parses an absolute name in any case and script, with or without final dots.
    fn from_str(text: &str) -> Result<Self, DnsNameError> {
        if is_canonical(text) {
            return Ok(Self(text.to_owned()));
        }
        let refused = || DnsNameError(text.chars().take(80).collect());
        let name = idna::domain_to_ascii(text.trim().trim_end_matches('.')).map_err(|_| refused())?;
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        let fits = |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(allowed);
        // A zone may contain a wildcard, `*`; no other label is special.
        let labels = name.strip_prefix("*.").unwrap_or(&name);
        if name.len() <= MAX_NAME && labels.split('.').all(fits) { Ok(Self(name)) } else { Err(refused()) }
    }
}

/// Whether `text` is certainly a name in canonical spelling: its labels are of lower-case letters, digits, underscores
/// and inner hyphens, and none can be an encoded one (`xn--`). Stored names are, and need not be converted again.
fn is_canonical(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
    let plain = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(allowed)
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.as_bytes().get(2..4) != Some(b"--".as_slice())
    };
    text.len() <= MAX_NAME && text.split('.').all(plain)
}

impl fmt::Display for DnsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<DnsName> for String {
    fn from(name: DnsName) -> String {
        name.0
    }
}

impl TryFrom<String> for DnsName {
    type Error = DnsNameError;

    fn try_from(text: String) -> Result<Self, DnsNameError> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> DnsName {
        text.parse().unwrap()
    }

    #[test]
    fn all_spellings_of_a_name_become_one() {
        let zone = name("Zone.TLD.");
        for text in ["mc-1", "MC-1.zone.tld", "mc-1.Zone.Tld...", " mc-1.zone.tld. "] {
            assert_eq!(DnsName::in_zone(text, &zone).unwrap().as_str(), "mc-1.zone.tld", "{text}");
        }
        assert_eq!(DnsName::in_zone("@", &zone).unwrap(), zone);
        assert_eq!(DnsName::in_zone("evilzone.tld", &zone).unwrap().as_str(), "evilzone.tld.zone.tld");
        assert_eq!(DnsName::in_zone("other.example.", &zone).unwrap().as_str(), "other.example");
        assert_eq!(name("bücher.example").as_str(), "xn--bcher-kva.example");
        assert_eq!(name("_Minecraft._TCP.a.b").as_str(), "_minecraft._tcp.a.b");
    }

    #[test]
    fn a_target_is_absolute_unless_it_is_one_label() {
        let zone = name("zone.tld");
        assert_eq!(DnsName::target("mc-1", &zone).unwrap().as_str(), "mc-1.zone.tld");
        assert_eq!(DnsName::target("edge.other.org.", &zone).unwrap().as_str(), "edge.other.org");
    }

    #[test]
    fn names_are_compared_with_a_zone_label_by_label() {
        assert!(name("a.zone.tld").is_within(&name("zone.tld")) && name("zone.tld").is_within(&name("zone.tld")));
        assert!(!name("evilzone.tld").is_within(&name("zone.tld")));
    }

    proptest::proptest! {
        #[test]
        fn a_canonical_name_would_be_converted_to_itself(text in "[a-z0-9_-]{1,6}(\\.[a-z0-9_-]{1,6}){0,3}") {
            proptest::prop_assume!(is_canonical(&text));
            proptest::prop_assert_eq!(idna::domain_to_ascii(&text).ok(), Some(text));
        }
    }

    #[test]
    fn texts_that_are_not_names_are_refused() {
        for text in ["", ".", "a..b", "a b.c", &"a".repeat(64), &["abcdefg."; 40].concat(), "a/b", "*.*.a"] {
            assert!(text.parse::<DnsName>().is_err(), "{text}");
        }
    }
}
