//! The description of a setting, from which parsing, error messages and `.env.example` are derived.

use std::fmt;
use std::ops::RangeInclusive;

/// Whether a setting has to be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// The roles that read it refuse to start without it.
    Required,
    /// Without it, the feature it configures is off.
    Optional,
    /// Without it, this value is used.
    Default(&'static str),
}

/// What a valid value looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expects {
    /// Described in words.
    Words(&'static str),
    /// A whole number.
    Number {
        /// The minimum.
        least: u64,
        /// The maximum.
        most: u64,
        /// Text shown after the range.
        unit: &'static str,
    },
}

impl fmt::Display for Expects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Words(words) => f.write_str(words),
            Self::Number { least, most, unit } => write!(f, "{least} to {most}{unit}"),
        }
    }
}

/// One setting.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// Older names of the same setting.
    pub aliases: &'static [&'static str],
    /// Whether it has to be given.
    pub presence: Presence,
    /// What a valid value looks like.
    pub expects: Expects,
    /// A sample value that is safe to publish.
    pub example: &'static str,
    /// Its documentation.
    pub doc: &'static str,
    /// Whether its value must never be shown. A secret may also come from the file in `NAME_FILE` or from a systemd
    /// credential.
    pub secret: bool,
}

impl Key {
    /// A setting without which its roles refuse to start.
    pub(super) const fn required(name: &'static str) -> Self {
        let (presence, secret) = (Presence::Required, false);
        Self { name, aliases: &[], presence, expects: Expects::Words("text"), example: "", doc: "", secret }
    }

    /// A setting whose absence turns a feature off.
    pub(super) const fn optional(name: &'static str) -> Self {
        Self { presence: Presence::Optional, ..Self::required(name) }
    }

    /// A setting with a default, which is also its example.
    pub(super) const fn default(name: &'static str, value: &'static str) -> Self {
        Self { presence: Presence::Default(value), example: value, ..Self::required(name) }
    }

    /// What a valid value looks like, in words.
    pub(super) const fn expects(self, words: &'static str) -> Self {
        Self { expects: Expects::Words(words), ..self }
    }

    /// A whole number within `range`, read by [`Reader::number`](super::Reader::number),
    /// [`Reader::millis`](super::Reader::millis) or [`Reader::seconds`](super::Reader::seconds).
    pub(super) const fn number(self, range: RangeInclusive<u64>) -> Self {
        Self { expects: Expects::Number { least: *range.start(), most: *range.end(), unit: "" }, ..self }
    }

    /// Text shown after the range, such as a unit.
    pub(super) const fn in_unit(self, unit: &'static str) -> Self {
        match self.expects {
            Expects::Number { least, most, .. } => Self { expects: Expects::Number { least, most, unit }, ..self },
            Expects::Words(_) => self,
        }
    }

    /// The range of the number; every number if the setting is not one.
    pub(super) const fn range(&self) -> RangeInclusive<u64> {
        match self.expects {
            Expects::Number { least, most, .. } => least..=most,
            Expects::Words(_) => 0..=u64::MAX,
        }
    }

    /// A sample value that is safe to publish.
    pub(super) const fn example(self, example: &'static str) -> Self {
        Self { example, ..self }
    }

    /// Older names of the same setting.
    pub(super) const fn aliases(self, aliases: &'static [&'static str]) -> Self {
        Self { aliases, ..self }
    }

    /// The value is never shown, and may be read from a file.
    pub(super) const fn secret(self) -> Self {
        Self { secret: true, ..self }
    }

    const fn doc(self, doc: &'static str) -> Self {
        Self { doc, ..self }
    }
}

/// The example of each secret contains this, and no secret in production may.
pub(super) const PLACEHOLDER: &str = "change-me";

/// The settings of one section, in the order in which they are read.
#[derive(Clone, Copy, Debug)]
pub struct Group {
    /// The heading of the section.
    pub title: &'static str,
    /// The settings.
    pub keys: &'static [Key],
}

/// Declares the keys of a section; the comment above a key is its documentation everywhere.
macro_rules! keys {
    ($title:literal; $($(#[doc = $doc:literal])+ $name:ident = $key:expr;)+) => {
        $($(#[doc = $doc])+ pub(super) const $name: $crate::config::Key = $crate::config::key::documented($key, concat!($($doc, "\n"),+));)+

        /// The settings declared above.
        pub(super) const GROUP: $crate::config::Group = $crate::config::Group { title: $title, keys: &[$($name),+] };
    };
}
pub(super) use keys;

/// `key` with `doc` as its documentation.
pub(super) const fn documented(key: Key, doc: &'static str) -> Key {
    key.doc(doc)
}
