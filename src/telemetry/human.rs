//! Log lines for people: the local time of day, the message, and the fields the message does not already contain.
//!
//! At `info`, a line is only its message, so every message at that level has to be complete. Warnings and errors also
//! show the fields and the request; `debug` and `trace` also show the module. Successful requests are dimmed.

use std::fmt::{self, Write};

use chrono::{DateTime, Local, Utc};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

use crate::kernel::{Clock, Timestamp};

const DIM: &str = "\x1b[2m";
const RESET: &str = "\x1b[0m";

/// Formats events for people.
pub(super) struct HumanLines {
    pub(super) clock: Clock,
}

/// One event, read out of tracing.
struct Line {
    level: Level,
    target: &'static str,
    message: String,
    fields: Vec<(&'static str, String)>,
    /// The fields of the spans around it, as text.
    spans: Vec<String>,
}

impl<S, N> FormatEvent<S, N> for HumanLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let metadata = event.metadata();
        let scope = context.event_scope().into_iter().flatten();
        let spans = scope.filter_map(|span| Some(span.extensions().get::<FormattedFields<N>>()?.to_string()));
        let mut line = Line {
            level: *metadata.level(),
            target: metadata.target(),
            message: String::new(),
            fields: Vec::new(),
            spans: spans.collect(),
        };
        event.record(&mut line);
        let colours = writer.has_ansi_escapes();
        writeln!(writer, "{}", line.text(&time_of_day(self.clock.now()), colours))
    }
}

impl Line {
    fn text(&self, time: &str, colours: bool) -> String {
        let paint = |text: &str, colour: &str| {
            if colours && !text.is_empty() { format!("{colour}{text}{RESET}") } else { text.to_owned() }
        };
        let (label, colour) = match self.level {
            Level::ERROR => ("ERROR ", "\x1b[1;31m"),
            Level::WARN => ("WARN  ", "\x1b[33m"),
            Level::INFO => ("", ""),
            Level::DEBUG => ("DEBUG ", "\x1b[34m"),
            Level::TRACE => ("TRACE ", "\x1b[35m"),
        };
        let message = if self.is_background() { paint(&self.message, DIM) } else { self.message.clone() };
        format!("{}  {}{message}{}", paint(time, DIM), paint(label, colour), paint(&self.rest(), DIM))
    }

    /// An answered request that did not fail.
    fn is_background(&self) -> bool {
        let status = self.fields.iter().find(|(name, _)| *name == "http.status");
        status.and_then(|(_, status)| status.parse::<u16>().ok()).is_some_and(|status| status < 400)
    }

    /// The fields that the message does not contain, by the level of the line.
    fn rest(&self) -> String {
        let mut rest = String::new();
        if self.level == Level::INFO {
            return rest;
        }
        for (name, value) in &self.fields {
            if !self.message.contains(value.as_str()) {
                _ = write!(rest, "  {name}={value}");
            }
        }
        for span in &self.spans {
            _ = write!(rest, "  {}", printable(span));
        }
        if self.level > Level::INFO {
            _ = write!(rest, "  ({})", self.target);
        }
        rest
    }

    fn note(&mut self, field: &Field, value: &str) {
        let value = printable(value);
        match field.name() {
            "message" => self.message = value,
            name => self.fields.push((name, value)),
        }
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.note(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.note(field, value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        let mut text = value.to_string();
        let mut source = value.source();
        while let Some(error) = source {
            _ = write!(text, ": {error}");
            source = error.source();
        }
        self.note(field, &text);
    }
}

/// The local time of day.
fn time_of_day(at: Timestamp) -> String {
    let time = DateTime::<Utc>::from_timestamp_millis(at.millis()).unwrap_or_default();
    time.with_timezone(&Local).format("%H:%M:%S%.3f").to_string()
}

/// `text` with escaped control characters: text of peers and clients must neither end a line nor control a terminal.
fn printable(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut clean, c| {
        if c.is_control() {
            clean.extend(c.escape_default())
        } else {
            clean.push(c)
        }
        clean
    })
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::fmt::MakeWriter;

    use super::*;

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Buffer {
        type Writer = Self;

        fn make_writer(&self) -> Self {
            self.clone()
        }
    }

    /// What `log` writes, without the times.
    fn written(colours: bool, log: impl FnOnce()) -> Vec<String> {
        let buffer = Buffer::default();
        let clock = Clock::fixed(Timestamp::from_millis(1_800_000_000_123));
        let lines = tracing_subscriber::fmt()
            .with_max_level(Level::TRACE)
            .with_writer(buffer.clone())
            .with_ansi(colours)
            .event_format(HumanLines { clock: clock.clone() })
            .finish();
        tracing::subscriber::with_default(lines, log);
        let text = String::from_utf8(buffer.0.lock().unwrap().clone()).unwrap();
        let time = time_of_day(clock.now());
        assert!(time.ends_with(".123"), "{time}");
        text.lines().map(|line| line.split_once(&time).unwrap()).map(|(dim, rest)| format!("{dim}{rest}")).collect()
    }

    #[test]
    fn a_line_at_info_is_its_message_and_a_warning_adds_missing_fields() {
        let lines = written(false, || {
            let request = tracing::info_span!("request", request.id = "req_1");
            let _inside = request.enter();
            tracing::info!(vmid = 5000, step = "clone_container", "provision 5000: clone container done");
            tracing::warn!(vmid = 5000, error = "no route", "5000 cannot be reached");
        });
        assert_eq!(lines[0], "  provision 5000: clone container done");
        assert!(lines[1].starts_with("  WARN  5000 cannot be reached  error=no route"), "{}", lines[1]);
        assert!(lines[1].contains("req_1") && !lines[1].contains("vmid"), "{}", lines[1]);
    }

    #[derive(Debug, thiserror::Error)]
    #[error("the file was not written")]
    struct NotWritten(#[source] io::Error);

    #[test]
    fn an_error_shows_its_causes_and_debug_its_module() {
        let error = NotWritten(io::Error::other("the disk is full"));
        let lines = written(false, || {
            tracing::error!(error = &error as &dyn std::error::Error, "could not save");
            tracing::debug!("read again");
        });
        assert_eq!(lines[0], "  ERROR could not save  error=the file was not written: the disk is full");
        assert!(lines[1].starts_with("  DEBUG read again  (zpack::telemetry::human"), "{}", lines[1]);
    }

    #[test]
    fn an_answer_is_dimmed_unless_it_failed() {
        let lines = written(true, || {
            tracing::info!(http.status = 202, "POST /a answered 202");
            tracing::info!(http.status = 404, "GET /b answered 404");
        });
        assert_eq!(lines[0], format!("{DIM}{RESET}  {DIM}POST /a answered 202{RESET}"));
        assert_eq!(lines[1], format!("{DIM}{RESET}  GET /b answered 404"));
    }

    #[test]
    fn foreign_text_cannot_end_a_line_or_control_a_terminal() {
        let lines = written(false, || tracing::warn!(error = "a\nb\x1b[2J", "refused: x\r\ny"));
        assert_eq!(lines, [r"  WARN  refused: x\r\ny  error=a\nb\u{1b}[2J"]);
    }
}
