//! What is known about a setting: the one table behind parsing help, `.env.example` and the tests of both.

use std::fmt;
use std::ops::RangeInclusive;

/// Whether a setting must be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// The roles that read it do not start without it.
    Required,
    /// Without it, what it configures is off.
    Optional,
    /// Without it, this value counts.
    Default(&'static str),
}

/// What a value looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expects {
    /// As these words say.
    Words(&'static str),
    /// A whole number.
    Number {
        /// The least.
        least: u64,
        /// The most.
        most: u64,
        /// What comes behind the range when it is shown.
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
    /// Older names that mean the same.
    pub aliases: &'static [&'static str],
    /// Whether it must be given.
    pub presence: Presence,
    /// What a value looks like.
    pub expects: Expects,
    /// A value that is safe to publish.
    pub example: &'static str,
    /// What it is for.
    pub doc: &'static str,
    /// Whether its value must never be shown; secrets may also come from `NAME_FILE` or a systemd credential.
    pub secret: bool,
}

impl Key {
    /// A setting without which its roles do not start.
    pub(super) const fn required(name: &'static str) -> Self {
        let (presence, secret) = (Presence::Required, false);
        Self { name, aliases: &[], presence, expects: Expects::Words("text"), example: "", doc: "", secret }
    }

    /// A setting whose absence switches something off.
    pub(super) const fn optional(name: &'static str) -> Self {
        Self { presence: Presence::Optional, ..Self::required(name) }
    }

    /// A setting with a value to start from, which is also its example.
    pub(super) const fn default(name: &'static str, value: &'static str) -> Self {
        Self { presence: Presence::Default(value), example: value, ..Self::required(name) }
    }

    /// What a value looks like, in words.
    pub(super) const fn expects(self, words: &'static str) -> Self {
        Self { expects: Expects::Words(words), ..self }
    }

    /// A whole number within `range`; [`Reader::number`](super::Reader::number) and its like read it.
    pub(super) const fn number(self, range: RangeInclusive<u64>) -> Self {
        Self { expects: Expects::Number { least: *range.start(), most: *range.end(), unit: "" }, ..self }
    }

    /// What a reader has to know of the number beside its range, such as its unit.
    pub(super) const fn in_unit(self, unit: &'static str) -> Self {
        match self.expects {
            Expects::Number { least, most, .. } => Self { expects: Expects::Number { least, most, unit }, ..self },
            Expects::Words(_) => self,
        }
    }

    /// The range of the number. All numbers, when it is none.
    pub(super) const fn range(&self) -> RangeInclusive<u64> {
        match self.expects {
            Expects::Number { least, most, .. } => least..=most,
            Expects::Words(_) => 0..=u64::MAX,
        }
    }

    /// A value that is safe to publish.
    pub(super) const fn example(self, example: &'static str) -> Self {
        Self { example, ..self }
    }

    /// Older names that mean the same.
    pub(super) const fn aliases(self, aliases: &'static [&'static str]) -> Self {
        Self { aliases, ..self }
    }

    /// Never shown, and readable from a file.
    pub(super) const fn secret(self) -> Self {
        Self { secret: true, ..self }
    }

    const fn doc(self, doc: &'static str) -> Self {
        Self { doc, ..self }
    }
}

/// What the examples of secrets contain, and no secret may.
pub(super) const PLACEHOLDER: &str = "change-me";

/// The settings of one concern, in the order they are read.
#[derive(Clone, Copy, Debug)]
pub struct Group {
    /// What they are about.
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

/// `key` with the text of its doc comment.
pub(super) const fn documented(key: Key, doc: &'static str) -> Key {
    key.doc(doc)
}
