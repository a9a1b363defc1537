//! The official API schema: which paths and methods exist, and which parameters each takes.
//!
//! `pve-schema.json` is the request half of Proxmox's own schema. What it does not list does not exist.

use std::collections::BTreeMap;

use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Deserializer};

use crate::sim::error::SimError;

const SCHEMA: &str = include_str!("pve-schema.json");

/// The whole schema.
pub struct Schema {
    routes: Vec<Route>,
}

struct Route {
    template: String,
    methods: BTreeMap<String, MethodSpec>,
}

/// One method of one path.
#[derive(Deserialize)]
pub struct MethodSpec {
    /// Whether API tokens may call it.
    #[serde(default, rename = "allowtoken", deserialize_with = "flag")]
    pub allow_token: bool,
    /// Whether it runs in the privileged daemon of its node.
    #[serde(default, deserialize_with = "flag")]
    pub protected: bool,
    /// Its parameters, including those of the path.
    pub parameters: Parameters,
}

/// The parameters of a method.
#[derive(Deserialize)]
pub struct Parameters {
    /// By name; a name ending in `[n]` stands for a numbered family.
    #[serde(default)]
    pub properties: BTreeMap<String, Property>,
}

/// What values a parameter accepts.
#[derive(Deserialize)]
pub struct Property {
    /// `string`, `integer`, `number`, `boolean` or `array`.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// Whether it may be left out.
    #[serde(default, deserialize_with = "flag")]
    pub optional: bool,
    /// A named format, or the fields of a property string.
    pub format: Option<Format>,
    /// The smallest number.
    #[serde(default, deserialize_with = "loose_number")]
    pub minimum: Option<f64>,
    /// The largest number.
    #[serde(default, deserialize_with = "loose_number")]
    pub maximum: Option<f64>,
    /// The shortest text.
    #[serde(rename = "minLength")]
    pub min_length: Option<usize>,
    /// The longest text.
    #[serde(rename = "maxLength")]
    pub max_length: Option<usize>,
    /// The allowed texts.
    #[serde(rename = "enum")]
    pub variants: Option<Vec<String>>,
    /// A pattern for the whole text.
    #[serde(default, deserialize_with = "pattern")]
    pub pattern: Option<Regex>,
    /// Another parameter that must be given with this one.
    pub requires: Option<String>,
    /// In a property string: the field whose name may be left out.
    #[serde(default, deserialize_with = "flag")]
    pub default_key: bool,
}

/// The format of a text.
#[derive(Deserialize)]
#[serde(untagged)]
pub enum Format {
    /// A format known by name.
    Named(String),
    /// A property string with these fields.
    Fields(BTreeMap<String, Property>),
}

/// A request matched to its method.
pub struct Matched<'a> {
    /// The path with its placeholders, such as `/nodes/{node}/lxc`.
    pub template: &'a str,
    /// The method.
    pub spec: &'a MethodSpec,
    /// The values of the placeholders.
    pub path_params: BTreeMap<String, String>,
}

impl Schema {
    /// The built-in schema.
    pub fn load() -> Result<Self, SimError> {
        #[derive(Deserialize)]
        struct File {
            paths: BTreeMap<String, BTreeMap<String, MethodSpec>>,
        }
        let file: File = serde_json::from_str(SCHEMA).map_err(SimError::Schema)?;
        Ok(Self { routes: file.paths.into_iter().map(|(template, methods)| Route { template, methods }).collect() })
    }

    /// Finds the method for a request; a literal path wins over a placeholder.
    pub fn find(&self, method: &str, segments: &[String]) -> Option<Matched<'_>> {
        let candidates = self.routes.iter().filter_map(|route| {
            let path_params = match_path(&route.template, segments)?;
            let spec = route.methods.get(method)?;
            Some(Matched { template: &route.template, spec, path_params })
        });
        candidates.min_by_key(|matched| matched.path_params.len())
    }
}

fn match_path(template: &str, segments: &[String]) -> Option<BTreeMap<String, String>> {
    let parts: Vec<&str> = template.split('/').filter(|part| !part.is_empty()).collect();
    if parts.len() != segments.len() {
        return None;
    }
    let mut params = BTreeMap::new();
    for (part, segment) in parts.iter().zip(segments) {
        match part.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
            Some(name) => {
                params.insert(name.to_owned(), segment.clone());
            }
            None if part == segment => {}
            None => return None,
        }
    }
    Some(params)
}

/// Finds the property of a parameter name; `net3` belongs to the family `net[n]`.
pub fn property<'a>(properties: &'a BTreeMap<String, Property>, name: &str) -> Option<&'a Property> {
    properties.get(name).or_else(|| {
        let digits = name.trim_start_matches(|c: char| !c.is_ascii_digit());
        let family = name.strip_suffix(digits)?;
        let number: u32 = digits.parse().ok().filter(|n: &u32| n.to_string() == digits)?;
        let limit = if family == "net" { 32 } else { 256 };
        (number < limit).then(|| properties.get(&format!("{family}[n]"))).flatten()
    })
}

fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    u8::deserialize(deserializer).map(|number| number != 0)
}

fn loose_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Loose {
        Number(f64),
        Text(String),
    }
    match Loose::deserialize(deserializer)? {
        Loose::Number(number) => Ok(Some(number)),
        Loose::Text(text) => text.parse().map(Some).map_err(serde::de::Error::custom),
    }
}

/// Perl's `(?^:…)` is a plain group here.
fn pattern<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Regex>, D::Error> {
    let perl = String::deserialize(deserializer)?;
    let whole = format!("^(?:{})$", perl.replace("(?^:", "(?:"));
    RegexBuilder::new(&whole).octal(true).build().map(Some).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segments(path: &str) -> Vec<String> {
        path.split('/').map(str::to_owned).collect()
    }

    #[test]
    fn requests_find_their_method() {
        let schema = Schema::load().unwrap();
        let found = schema.find("POST", &segments("nodes/pve1/lxc/9000/clone")).unwrap();
        assert_eq!(found.template, "/nodes/{node}/lxc/{vmid}/clone");
        assert_eq!(found.path_params["vmid"], "9000");
        assert!(schema.find("PATCH", &segments("version")).is_none());
        assert!(schema.find("GET", &segments("nodes/pve1/qemu")).is_none());
    }

    #[test]
    fn numbered_options_belong_to_their_family() {
        let schema = Schema::load().unwrap();
        let found = schema.find("PUT", &segments("nodes/pve1/lxc/9000/config")).unwrap();
        let known = |name| property(&found.spec.parameters.properties, name).is_some();
        assert!(known("net31") && known("mp255"));
        assert!(!known("net32") && !known("net01") && !known("net") && !known("colour"));
    }
}
