//! Checks parameters against the schema and reports problems in the words of Proxmox.

use std::collections::BTreeMap;

use super::format;
use super::schema::{Format, Property, property};

/// A parameter as it was sent.
#[derive(Clone, Debug, PartialEq)]
pub enum Given {
    /// One value.
    One(String),
    /// A repeated form key or a JSON array.
    Many(Vec<String>),
}

/// Parameters that passed the schema.
#[derive(Clone, Debug, Default)]
pub struct Params(BTreeMap<String, String>);

impl Params {
    /// The text of a parameter.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The text of a parameter that the schema requires.
    pub fn text(&self, name: &str) -> &str {
        self.get(name).unwrap_or_default()
    }

    /// The number of a parameter.
    pub fn number(&self, name: &str) -> Option<u64> {
        self.get(name).and_then(|text| text.parse().ok())
    }

    /// The VMID in the path.
    pub fn vmid(&self) -> u32 {
        self.get("vmid").and_then(|text| text.parse().ok()).unwrap_or(0)
    }

    /// Whether a boolean parameter is given and true.
    pub fn flag(&self, name: &str) -> bool {
        self.choice(name) == Some(true)
    }

    /// A boolean parameter, when it is given.
    pub fn choice(&self, name: &str) -> Option<bool> {
        self.get(name).and_then(parse_boolean)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// Problems by parameter; several of one parameter are joined with a literal backslash-n, as upstream does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems(pub BTreeMap<String, String>);

impl Problems {
    /// One problem.
    pub fn of(field: &str, text: impl Into<String>) -> Self {
        Self(BTreeMap::from([(field.to_owned(), text.into())]))
    }

    fn add(&mut self, field: &str, text: impl Into<String>) {
        let text = text.into();
        self.0
            .entry(field.to_owned())
            .and_modify(|earlier| {
                earlier.push_str("\\n");
                earlier.push_str(&text);
            })
            .or_insert(text);
    }
}

/// Checks `given` against `properties`.
pub fn validate(properties: &BTreeMap<String, Property>, given: &BTreeMap<String, Given>) -> Result<Params, Problems> {
    let mut problems = Problems::default();
    let mut params = BTreeMap::new();
    for (name, value) in given {
        let Some(property) = property(properties, name) else {
            problems.add(name, "property is not defined in schema and the schema does not allow additional properties");
            continue;
        };
        let text = match value {
            Given::One(text) => text.clone(),
            Given::Many(texts) if takes_list(property) => texts.join(","),
            Given::Many(_) => {
                problems.add(name, format!("type check ('{}') failed", property.kind.as_deref().unwrap_or("string")));
                continue;
            }
        };
        check(name, &text, property, &mut problems);
        if let Some(other) = property.requires.as_ref().filter(|other| !given.contains_key(*other)) {
            problems.add(other, format!("missing property - '{name}' requires this property"));
        }
        params.insert(name.clone(), text);
    }
    for (name, property) in properties {
        if !property.optional && !name.ends_with("[n]") && !given.contains_key(name) {
            problems.add(name, "property is missing and it is not optional");
        }
    }
    if problems.0.is_empty() { Ok(Params(params)) } else { Err(problems) }
}

fn takes_list(property: &Property) -> bool {
    let list_format = matches!(&property.format, Some(Format::Named(name)) if name.ends_with("-list"));
    property.kind.as_deref() == Some("array") || list_format
}

fn check(name: &str, text: &str, property: &Property, problems: &mut Problems) {
    let kind = property.kind.as_deref().unwrap_or("string");
    let number = text.parse::<f64>().ok().filter(|n| n.is_finite());
    let fits = match kind {
        "integer" => text.strip_prefix('-').unwrap_or(text).bytes().all(|b| b.is_ascii_digit()) && number.is_some(),
        "number" => number.is_some(),
        "boolean" => parse_boolean(text).is_some(),
        _ => true,
    };
    if !fits {
        return problems.add(name, format!("type check ('{kind}') failed - got '{text}'"));
    }
    if let Some(problem) = property.format.as_ref().and_then(|format| format_problem(format, text)) {
        return problems.add(name, format!("invalid format - {problem}"));
    }
    if property.pattern.as_ref().is_some_and(|pattern| !pattern.is_match(text)) {
        return problems.add(name, "value does not match the regex pattern");
    }
    if let Some(most) = property.max_length.filter(|&most| text.chars().count() > most) {
        problems.add(name, format!("value may only be {most} characters long"));
    }
    if let Some(least) = property.min_length.filter(|&least| text.chars().count() < least) {
        problems.add(name, format!("value must be at least {least} characters long"));
    }
    if let Some((number, least)) = number.zip(property.minimum)
        && number < least
    {
        problems.add(name, format!("value must have a minimum value of {least}"));
    }
    if let Some((number, most)) = number.zip(property.maximum)
        && number > most
    {
        problems.add(name, format!("value must have a maximum value of {most}"));
    }
    if let Some(variants) = property.variants.as_ref().filter(|variants| !variants.iter().any(|v| v == text)) {
        problems
            .add(name, format!("value '{text}' does not have a value in the enumeration '{}'", variants.join(", ")));
    }
}

/// What is wrong with `text`, including the lines about the fields of a property string.
fn format_problem(format: &Format, text: &str) -> Option<String> {
    match format {
        Format::Named(name) => format::problem(name, text),
        Format::Fields(fields) => property_string_problem(fields, text),
    }
}

fn property_string_problem(fields: &BTreeMap<String, Property>, text: &str) -> Option<String> {
    let given = match split_property_string(text, default_key(fields)) {
        Ok(given) => given.into_iter().map(|(key, value)| (key, Given::One(value))).collect(),
        Err(problem) => return Some(problem),
    };
    let Problems(problems) = validate(fields, &given).err()?;
    let lines: String = problems.iter().map(|(field, text)| format!("{field}: {}\n", text.trim_end())).collect();
    Some(format!("format error\n{lines}"))
}

fn default_key(fields: &BTreeMap<String, Property>) -> Option<&str> {
    fields.iter().find(|(_, field)| field.default_key).map(|(name, _)| name.as_str())
}

/// Splits `a=1,b=2`; a value without a name belongs to `default_key`.
pub fn split_property_string(text: &str, default_key: Option<&str>) -> Result<BTreeMap<String, String>, String> {
    let mut fields = BTreeMap::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (key, value) = match (part.split_once('='), default_key) {
            (Some((key, value)), _) => (key, value),
            (None, Some(key)) if !fields.contains_key(key) => (key, part),
            (None, Some(key)) => return Err(format!("duplicate key in comma-separated list property: {key}\n")),
            (None, None) => {
                return Err("value without key, but schema does not define a default key\n".to_owned());
            }
        };
        if fields.insert(key.to_owned(), value.to_owned()).is_some() {
            return Err(format!("duplicate key in comma-separated list property: {key}\n"));
        }
    }
    Ok(fields)
}

/// Reads a boolean the way Proxmox does.
pub fn parse_boolean(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "on" | "yes" | "true" => Some(true),
        "0" | "off" | "no" | "false" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::schema::Schema;
    use super::*;

    fn problems(path: &str, method: &str, given: &[(&str, &str)]) -> BTreeMap<String, String> {
        let schema = Schema::load().unwrap();
        let segments: Vec<String> = path.split('/').map(str::to_owned).collect();
        let found = schema.find(method, &segments).unwrap();
        let mut all: BTreeMap<String, Given> =
            given.iter().map(|(key, value)| ((*key).to_owned(), Given::One((*value).to_owned()))).collect();
        all.extend(found.path_params.into_iter().map(|(key, value)| (key, Given::One(value))));
        validate(&found.spec.parameters.properties, &all).map(|_| BTreeMap::new()).unwrap_or_else(|Problems(map)| map)
    }

    #[test]
    fn clone_parameters_are_worded_as_upstream_words_them() {
        let found = problems(
            "nodes/pve1/lxc/9000/clone",
            "POST",
            &[("hostname", "my_srv"), ("newid", "99"), ("full", "perhaps"), ("memory", "512")],
        );
        assert_eq!(found["hostname"], "invalid format - value does not look like a valid DNS name\n");
        assert_eq!(
            found["newid"], "invalid format - value does not look like a valid VM ID\n",
            "99 is below the first VMID"
        );
        assert_eq!(found["full"], "type check ('boolean') failed - got 'perhaps'");
        assert!(found["memory"].starts_with("property is not defined in schema"));
        assert_eq!(
            problems("nodes/pve1/lxc/9000/clone", "POST", &[])["newid"],
            "property is missing and it is not optional"
        );
    }

    #[test]
    fn property_strings_are_checked_field_by_field() {
        let config = "nodes/pve1/lxc/9000/config";
        let found = problems(config, "PUT", &[("net0", "bridge=vmbr3,ip=10.0.0.300/24,tag=9999")]);
        let text = &found["net0"];
        assert!(text.starts_with("invalid format - format error\n"), "{text}");
        assert!(text.contains("name: property is missing"), "{text}");
        assert!(text.contains("tag: value must have a maximum value of 4094"), "{text}");
        assert!(text.contains("ip: invalid format"), "{text}");
        assert!(problems(config, "PUT", &[("net0", "name=eth0,bridge=vmbr3,ip=dhcp")]).is_empty());
    }

    #[test]
    fn several_problems_of_one_parameter_are_joined_with_a_literal_backslash_n() {
        let found = problems("nodes/pve1/lxc/9000/snapshot", "POST", &[("snapname", "1")]);
        assert!(!found["snapname"].is_empty());
        let mut problems = Problems::of("a", "one");
        problems.add("a", "two");
        assert_eq!(problems.0["a"], "one\\ntwo");
    }
}
