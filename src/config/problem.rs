//! What is wrong with the settings, said so that an operator can mend all of it in one go.

use std::fmt;

use super::key::Expects;
use super::source::SourceError;

/// One thing wrong. No variant carries the value of a setting.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// A required setting is not there.
    #[error("{name} is missing; expected {expects}, for example {name}={example}")]
    Missing {
        /// The setting.
        name: &'static str,
        /// What a value looks like.
        expects: Expects,
        /// A value.
        example: &'static str,
    },
    /// A setting cannot be understood.
    #[error("{name} {why}; expected {expects}, for example {name}={example}")]
    Malformed {
        /// Where the value came from.
        name: String,
        /// What is wrong with it.
        why: String,
        /// What a value looks like.
        expects: Expects,
        /// A value.
        example: &'static str,
    },
    /// Two places give the same setting.
    #[error("{first} and {second} both set {name} {how}; keep one of them")]
    Conflict {
        /// The setting.
        name: &'static str,
        /// One place.
        first: String,
        /// The other place.
        second: String,
        /// Why both cannot stand.
        how: &'static str,
    },
    /// A setting is there but cannot be read.
    #[error("{0}")]
    Unreadable(SourceError),
    /// Settings that are well formed but cannot work together.
    #[error("{names}: {why}")]
    Impossible {
        /// The settings.
        names: String,
        /// Why they cannot work.
        why: String,
    },
}

/// Everything that is wrong with the settings of a role.
#[derive(Debug, thiserror::Error)]
pub struct ConfigProblems(Vec<Problem>);

impl ConfigProblems {
    pub(super) fn new(problems: Vec<Problem>) -> Self {
        Self(problems)
    }

    /// The problems, in the order of the settings.
    pub fn list(&self) -> &[Problem] {
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
