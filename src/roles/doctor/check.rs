//! One line of the report.

use serde::Serialize;

/// The result of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Status {
    /// It works.
    Pass,
    /// It works, with something an operator should know.
    Warn,
    /// It does not work.
    Fail,
}

/// One line of the report.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Check {
    pub(super) name: &'static str,
    pub(super) status: Status,
    pub(super) detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) advice: Option<String>,
}

impl Check {
    pub(super) fn pass(name: &'static str, detail: impl Into<String>) -> Self {
        Self { name, status: Status::Pass, detail: detail.into(), advice: None }
    }

    pub(super) fn warn(name: &'static str, detail: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { name, status: Status::Warn, detail: detail.into(), advice: Some(advice.into()) }
    }

    pub(super) fn fail(name: &'static str, detail: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { name, status: Status::Fail, detail: detail.into(), advice: Some(advice.into()) }
    }

    pub(super) fn human(&self) -> String {
        let mark = match self.status {
            Status::Pass => '✓',
            Status::Warn => '!',
            Status::Fail => '✗',
        };
        let advice = self.advice.iter().map(|advice| format!("{:15}→ {advice}\n", "")).collect::<String>();
        format!("{mark} {:12} {}\n{advice}", self.name, self.detail)
    }
}

/// An error and its causes on one line.
pub(super) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        // Drivers often repeat their cause.
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        cause = error.source();
    }
    text
}
