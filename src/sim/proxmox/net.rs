//! The value of a `netN` option.

use std::collections::BTreeMap;
use std::fmt;

use super::validate::split_property_string;

/// A parsed `netN`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetOption(BTreeMap<String, String>);

impl NetOption {
    /// Reads an option that has passed the schema; other text reads as empty.
    pub fn parse(text: &str) -> Self {
        Self(split_property_string(text, None).unwrap_or_default())
    }

    /// One field.
    pub fn get(&self, field: &str) -> Option<&str> {
        self.0.get(field).map(String::as_str)
    }

    /// The same with a new random hardware address that has Proxmox's prefix.
    pub fn with_random_mac(mut self) -> Self {
        let [a, b, c]: [u8; 3] = rand::random();
        self.0.insert("hwaddr".to_owned(), format!("BC:24:11:{a:02X}:{b:02X}:{c:02X}"));
        self
    }

    /// As Proxmox stores it: type filled in, a random hardware address unless one is given.
    pub fn completed(mut self) -> Self {
        self.0.entry("type".to_owned()).or_insert_with(|| "veth".to_owned());
        match self.0.get_mut("hwaddr") {
            Some(mac) => {
                *mac = mac.to_ascii_uppercase();
                self
            }
            None => self.with_random_mac(),
        }
    }
}

impl fmt::Display for NetOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "name={}", self.get("name").unwrap_or("eth0"))?;
        self.0.iter().filter(|(key, _)| *key != "name").try_for_each(|(key, value)| write!(f, ",{key}={value}"))
    }
}

/// Tags as Proxmox stores them: lower-case, sorted, each once, joined with `;`.
pub fn normalise_tags(text: &str) -> String {
    let mut tags: Vec<String> =
        text.split([',', ';', ' ']).filter(|tag| !tag.is_empty()).map(str::to_ascii_lowercase).collect();
    tags.sort();
    tags.dedup();
    tags.join(";")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_net_option_comes_back_complete_and_in_another_order() {
        let stored = NetOption::parse("bridge=vmbr3,ip=dhcp,name=eth0").completed().to_string();
        assert!(stored.starts_with("name=eth0,bridge=vmbr3,hwaddr=BC:24:11:"), "{stored}");
        assert!(stored.ends_with(",ip=dhcp,type=veth"), "{stored}");
        let fixed = NetOption::parse("name=eth0,hwaddr=bc:24:11:00:00:aa").completed();
        assert_eq!(fixed.get("hwaddr"), Some("BC:24:11:00:00:AA"));
    }

    #[test]
    fn tags_are_normalised() {
        assert_eq!(normalise_tags("Zpack game,zpack;Alpha"), "alpha;game;zpack");
    }
}
