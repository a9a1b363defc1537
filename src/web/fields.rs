//! Reads the fields of a JSON object one by one and reports all problems at once, each with its pointer.
//!
//! A field that was not read is refused, so that a misspelt field name is an error and not a silent default.
//!
//! ```text
//! let name = fields.required(&["name"], text(1..=64));
//! let memory = fields.optional(&["memoryMiB"], whole(512..=32_768));
//! let (name, memory) = fields.finish((name, memory))?;
//! ```

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::error::{ApiError, ApiResult, FieldError};
use super::strict_json::pointer_step;

/// The value of a field, if it was accepted. [`Fields::finish`] unwraps it.
#[derive(Debug)]
#[must_use = "pass it to `Fields::finish`"]
pub struct Checked<T>(Option<T>);

impl<T> Checked<T> {
    /// The value, if it was accepted, to compare it with another field.
    pub fn value(&self) -> Option<&T> {
        self.0.as_ref()
    }
}

/// What an update does to a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FieldUpdate<T> {
    /// Absent: the field keeps its value.
    Keep,
    /// `null`: the field is cleared.
    Clear,
    /// A value: the field is set.
    Set(T),
}

impl<T> FieldUpdate<T> {
    /// The new value of a field that cannot be cleared.
    pub fn value(self) -> Option<T> {
        self.apply(None)
    }

    /// What to write to a column, if anything.
    pub fn write(self) -> Option<Option<T>> {
        match self {
            Self::Keep => None,
            Self::Clear => Some(None),
            Self::Set(value) => Some(Some(value)),
        }
    }

    /// The new value, given the `old` one.
    pub fn apply(self, old: Option<T>) -> Option<T> {
        match self {
            Self::Keep => old,
            Self::Clear => None,
            Self::Set(value) => Some(value),
        }
    }
}

/// The fields of one JSON object while they are read.
#[derive(Debug)]
pub struct Fields<'v> {
    object: &'v Map<String, Value>,
    at: String,
    known: BTreeSet<&'static str>,
    tolerant: bool,
    problems: Vec<FieldError>,
}

impl<'v> Fields<'v> {
    /// Begins to read `object`.
    pub fn new(object: &'v Map<String, Value>) -> Self {
        Self { object, at: String::new(), known: BTreeSet::new(), tolerant: false, problems: Vec::new() }
    }

    /// Accepts and ignores `names`: fields that older clients send and that are no longer used.
    pub fn ignore(&mut self, names: &[&'static str]) {
        self.known.extend(names);
    }

    /// Accepts fields that were not read: for peers that may add fields.
    pub fn tolerate_unknown(&mut self) {
        self.tolerant = true;
    }

    /// The raw value of a field, to decide which other fields to read.
    pub fn peek(&self, names: &[&'static str]) -> Option<&'v Value> {
        names.iter().find_map(|name| self.object.get(*name))
    }

    /// A field that must be present. `names` are its name and its aliases.
    pub fn required<T>(
        &mut self,
        names: &[&'static str],
        read: impl FnOnce(&Value) -> Result<T, String>,
    ) -> Checked<T> {
        match self.take(names) {
            Some((name, value)) => self.check(name, read(value)),
            None => {
                self.problem(names.first().copied().unwrap_or_default(), "is required");
                Checked(None)
            }
        }
    }

    /// A field that may be absent or `null`.
    pub fn optional<T>(
        &mut self,
        names: &[&'static str],
        read: impl FnOnce(&Value) -> Result<T, String>,
    ) -> Checked<Option<T>> {
        match self.take(names) {
            Some((name, value)) => Checked(self.check(name, read(value)).0.map(Some)),
            None => Checked(Some(None)),
        }
    }

    /// The same; a text without a visible character counts as absent.
    pub fn optional_filled<T>(
        &mut self,
        names: &[&'static str],
        read: impl FnOnce(&Value) -> Result<T, String>,
    ) -> Checked<Option<T>> {
        match self.take(names) {
            Some((name, value)) if !is_blank(value) => Checked(self.check(name, read(value)).0.map(Some)),
            _ => Checked(Some(None)),
        }
    }

    /// A field of an update: absent keeps, `null` clears, a value sets.
    pub fn change<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&Value) -> Result<T, String>,
    ) -> Checked<FieldUpdate<T>> {
        self.known.insert(name);
        match self.object.get(name) {
            None => Checked(Some(FieldUpdate::Keep)),
            Some(Value::Null) => Checked(Some(FieldUpdate::Clear)),
            Some(value) => Checked(self.check(name, read(value)).0.map(FieldUpdate::Set)),
        }
    }

    /// The same; a text without a visible character clears too.
    pub fn change_filled<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&Value) -> Result<T, String>,
    ) -> Checked<FieldUpdate<T>> {
        match self.object.get(name) {
            Some(value) if is_blank(value) => {
                self.known.insert(name);
                Checked(Some(FieldUpdate::Clear))
            }
            _ => self.change(name, read),
        }
    }

    /// An optional field that is itself an object; `read` reads its fields and need not finish them.
    pub fn object<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&mut Fields<'v>) -> Checked<T>,
    ) -> Checked<Option<T>> {
        match self.take(&[name]) {
            None => Checked(Some(None)),
            Some((name, Value::Object(object))) => {
                let at = format!("{}{}", self.at, pointer_step(name));
                let mut inner =
                    Fields { object, at, known: BTreeSet::new(), tolerant: self.tolerant, problems: Vec::new() };
                let read = read(&mut inner);
                inner.report_unknown();
                let accepted = inner.problems.is_empty();
                self.problems.append(&mut inner.problems);
                Checked(read.0.filter(|_| accepted).map(Some))
            }
            Some((name, other)) => {
                self.problem(name, &format!("must be an object, not {}", super::strict_json::kind(other)));
                Checked(None)
            }
        }
    }

    /// Reports a problem with the field `name` beyond its own value, for example in combination with another field.
    pub fn problem(&mut self, name: &str, message: &str) {
        self.problems
            .push(FieldError { pointer: format!("{}{}", self.at, pointer_step(name)), message: message.to_owned() });
    }

    /// The values, or all problems.
    pub fn finish<C: Complete>(mut self, checked: C) -> ApiResult<C::Values> {
        self.report_unknown();
        match checked.complete() {
            Some(values) if self.problems.is_empty() => Ok(values),
            _ => {
                self.problems.truncate(MOST_REPORTED);
                Err(ApiError::validation(self.problems))
            }
        }
    }

    /// The field among `names` that was sent with a value; two with different values are a problem.
    fn take(&mut self, names: &[&'static str]) -> Option<(&'static str, &'v Value)> {
        self.known.extend(names);
        let object = self.object;
        let sent = |name: &&'static str| object.get(*name).filter(|value| !value.is_null()).map(|value| (*name, value));
        let mut sent = names.iter().filter_map(sent);
        let first = sent.next()?;
        if let Some((other, _)) = sent.find(|(_, value)| *value != first.1) {
            self.problem(other, &format!("contradicts `{}`, which means the same", first.0));
        }
        Some(first)
    }

    fn check<T>(&mut self, name: &str, outcome: Result<T, String>) -> Checked<T> {
        match outcome {
            Ok(value) => Checked(Some(value)),
            Err(message) => {
                self.problem(name, &message);
                Checked(None)
            }
        }
    }

    fn report_unknown(&mut self) {
        if self.tolerant {
            return;
        }
        let unknown: Vec<&String> = self.object.keys().filter(|key| !self.known.contains(key.as_str())).collect();
        for key in unknown.into_iter().take(MOST_REPORTED) {
            self.problem(key, "is not a field of this request");
        }
    }
}

/// Whether `value` is a text without a visible character.
fn is_blank(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.trim().is_empty())
}

const MOST_REPORTED: usize = 32;

/// Tuples of [`Checked`] that become tuples of values.
pub trait Complete {
    /// The values.
    type Values;

    /// The values, if every field was accepted.
    fn complete(self) -> Option<Self::Values>;
}

impl Complete for () {
    type Values = ();

    fn complete(self) -> Option<()> {
        Some(())
    }
}

impl<T> Complete for Checked<T> {
    type Values = T;

    fn complete(self) -> Option<T> {
        self.0
    }
}

macro_rules! complete_tuples {
    ($(($($name:ident)+))+) => { $(
        #[allow(non_snake_case, reason = "type names double as variable names")]
        impl<$($name),+> Complete for ($(Checked<$name>,)+) {
            type Values = ($($name,)+);

            fn complete(self) -> Option<Self::Values> {
                let ($($name,)+) = self;
                Some(($($name.0?,)+))
            }
        }
    )+ };
}

complete_tuples! {
    (A) (A B) (A B C) (A B C D) (A B C D E) (A B C D E F) (A B C D E F G) (A B C D E F G H) (A B C D E F G H I)
    (A B C D E F G H I J) (A B C D E F G H I J K) (A B C D E F G H I J K L)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::readers::{text, whole};
    use super::*;

    fn object(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    fn pointers(error: &ApiError) -> Vec<&str> {
        error.errors().iter().map(|e| e.pointer.as_str()).collect()
    }

    #[test]
    fn all_problems_are_reported_at_once() {
        let body = object(json!({"memoryMiB": 0, "colour": "red", "a/b": 1}));
        let mut fields = Fields::new(&body);
        let name = fields.required(&["name"], text(1..=64));
        let memory = fields.optional(&["memoryMiB"], whole(512..=32_768));
        let error = fields.finish((name, memory)).unwrap_err();
        assert_eq!(pointers(&error), ["/name", "/memoryMiB", "/a~1b", "/colour"]);
        assert_eq!(error.errors()[1].message, "must be a whole number from 512 to 32768");
    }

    #[test]
    fn aliases_must_agree() {
        let names: &[&str] = &["ctype", "containerType"];
        for (body, good) in [
            (json!({"containerType": "game"}), true),
            (json!({"ctype": "game", "containerType": "game"}), true),
            (json!({"ctype": "game", "containerType": "dev"}), false),
        ] {
            let body = object(body);
            let mut fields = Fields::new(&body);
            let kind = fields.required(&["ctype", "containerType"], text(1..=9));
            assert_eq!(fields.finish(kind).is_ok(), good, "{names:?} {body:?}");
        }
    }

    #[test]
    fn an_update_distinguishes_absent_from_null() {
        let body = object(json!({"b": null, "c": "x"}));
        let mut fields = Fields::new(&body);
        let (a, b, c) =
            (fields.change("a", text(1..=9)), fields.change("b", text(1..=9)), fields.change("c", text(1..=9)));
        let all = fields.finish((a, b, c)).unwrap();
        assert_eq!(all, (FieldUpdate::Keep, FieldUpdate::Clear, FieldUpdate::Set("x".to_owned())));
    }

    #[test]
    fn inner_objects_report_their_own_pointers() {
        let body = object(json!({"world": {"seed": 7, "sneed": 1}}));
        let mut fields = Fields::new(&body);
        let world = fields.object("world", |world| world.optional(&["seed"], text(1..=9)));
        assert_eq!(pointers(&fields.finish(world).unwrap_err()), ["/world/seed", "/world/sneed"]);
    }

    #[test]
    fn legacy_names_can_be_ignored() {
        let body = object(json!({"customerId": 12}));
        let mut fields = Fields::new(&body);
        fields.ignore(&["customerId"]);
        assert!(fields.finish(()).is_ok());
    }
}
