//! Output of commands: tables for people, JSON for programs. A reader that closes the pipe early is no error.

use std::io::{ErrorKind, Write};
use std::time::Duration;

use anyhow::Context;
use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

use crate::kernel::Timestamp;

/// The output format of a command.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    /// Whether to print JSON.
    pub json: bool,
}

impl Output {
    /// Prints `value` as one line of JSON, or the text that `human` makes of it.
    pub fn print<T: Serialize>(self, value: &T, human: impl FnOnce(&T) -> String) -> anyhow::Result<()> {
        let text = if self.json {
            serde_json::to_string(value).context("cannot serialise the output as JSON")?
        } else {
            human(value)
        };
        line(&text)
    }
}

/// Prints `text` and a line break.
pub fn line(text: &str) -> anyhow::Result<()> {
    raw(format!("{}\n", text.trim_end()).as_bytes())
}

/// Prints `bytes` unchanged.
pub fn raw(bytes: &[u8]) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.context("cannot write to standard output"),
    }
}

/// A table with a header, or `none` if there are no rows.
pub fn table(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>, none: &str) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(header.iter().map(|title| title.to_uppercase()));
    table.add_rows(rows);
    if table.is_empty() { none.to_owned() } else { table.trim_fmt() }
}

/// A value, or a dash if there is none.
pub fn or_dash<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

/// The time since `then`, in the largest unit that fits.
pub fn age(now: Timestamp, then: Timestamp) -> String {
    span(now.since(then))
}

/// A duration in the largest unit that fits.
pub fn span(span: Duration) -> String {
    match span.as_secs() {
        seconds @ 0..=119 => format!("{seconds}s"),
        seconds @ 120..=7199 => format!("{}m", seconds / 60),
        seconds @ 7200..=172_799 => format!("{}h", seconds / 3600),
        seconds => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_shown_in_one_unit() {
        let shown = |seconds| span(Duration::from_secs(seconds));
        assert_eq!([shown(0), shown(119), shown(120), shown(7200), shown(172_800)], ["0s", "119s", "2m", "2h", "2d"]);
    }

    #[test]
    fn a_table_without_rows_is_replaced_by_a_sentence() {
        assert_eq!(table(&["id"], [], "nothing"), "nothing");
        assert!(table(&["id"], [vec!["op_1".to_owned()]], "nothing").contains("ID"));
    }
}
