//! Problems with the settings, described so that an operator can fix all of them in one pass.

use std::fmt;

use super::key::Expects;
use super::source::SourceError;

/// One problem. No variant contains the value of a setting that is a secret.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingProblem {
    /// A required setting is missing.
    #[error("{name} is missing; expected {expects}, for example {name}={example}")]
    Missing {
        /// The setting.
        name: &'static str,
        /// What a valid value looks like.
        expects: Expects,
        /// A sample value.
        example: &'static str,
    },
    /// A value cannot be parsed.
    #[error("{name} {why}; expected {expects}, for example {name}={example}")]
    Malformed {
        /// Where the value came from.
        name: String,
        /// What is wrong with it.
        why: String,
        /// What a valid value looks like.
        expects: Expects,
        /// A sample value.
        example: &'static str,
    },
    /// A setting is given in two places.
    #[error("{first} and {second} both set {name} {how}; keep one of them")]
    Conflict {
        /// The setting.
        name: &'static str,
        /// The first place.
        first: String,
        /// The second place.
        second: String,
        /// Why the two exclude each other.
        how: &'static str,
    },
    /// A setting exists but cannot be read.
    #[error("{0}")]
    Unreadable(SourceError),
    /// Well-formed settings that cannot be used together.
    #[error("{names}: {why}")]
    Impossible {
        /// The settings.
        names: String,
        /// Why they cannot be used together.
        why: String,
    },
}

/// Everything that is wrong with the settings of a role.
#[derive(Debug, thiserror::Error)]
pub struct ConfigProblems(Vec<SettingProblem>);

impl ConfigProblems {
    pub(super) fn new(problems: Vec<SettingProblem>) -> Self {
        Self(problems)
    }

    /// The problems, in the order of the settings.
    pub fn list(&self) -> &[SettingProblem] {
        &self.0
    }
}

impl fmt::Display for ConfigProblems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.len() {
            1 => f.write_str("1 setting needs attention:")?,
            count => write!(f, "{count} settings need attention:")?,
        }
        self.0.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}
