//! What is known about a setting: the one table behind parsing help, `.env.example` and the tests of both.

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

/// One setting.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// Older names that mean the same.
    pub aliases: &'static [&'static str],
    /// Whether it must be given.
    pub presence: Presence,
    /// What a value looks like, in words.
    pub expects: &'static str,
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
        Self { name, aliases: &[], presence, expects: "text", example: "", doc: "", secret }
    }

    /// A setting whose absence switches something off.
    pub(super) const fn optional(name: &'static str) -> Self {
        Self { presence: Presence::Optional, ..Self::required(name) }
    }

    /// A setting with a value to start from, which is also its example.
    pub(super) const fn default(name: &'static str, value: &'static str) -> Self {
        Self { presence: Presence::Default(value), example: value, ..Self::required(name) }
    }

    /// What a value looks like.
    pub(super) const fn expects(self, expects: &'static str) -> Self {
        Self { expects, ..self }
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

/// Every setting zpack knows, by concern.
pub fn groups() -> Vec<Group> {
    vec![
        super::environment::GROUP,
        super::log::GROUP,
        super::database::GROUP,
        super::redis::GROUP,
        super::http::GROUP,
        super::auth::GROUP,
        super::tokens::GROUP,
        super::metrics::GROUP,
        super::catalog::GROUP,
        super::limits::GROUP,
        super::zone::GROUP,
        super::velocity::GROUP,
        super::dns::GROUP,
        super::proxmox::GROUP,
        super::agent::GROUP,
        super::poller::GROUP,
        super::provision::GROUP,
        super::jobs::GROUP,
        super::lease::GROUP,
    ]
}
