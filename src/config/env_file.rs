//! Files of `NAME=value` lines in the syntax of a systemd `EnvironmentFile`, so that one file serves the unit,
//! `--env-file` and a developer's shell. Nothing is expanded: a `$` in a password stays a `$`.

use std::path::{Path, PathBuf};

use super::source::MapSource;

/// A settings file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum EnvFileError {
    /// It cannot be read.
    #[error("cannot read the settings file {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// A line is not `NAME=value`. The error does not show the line, which may contain a secret.
    #[error("line {line} of the settings file {} is not NAME=value: {why}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line number, counted from 1.
        line: usize,
        /// What is wrong.
        why: &'static str,
    },
}

/// Reads settings files.
pub struct EnvFile;

impl EnvFile {
    /// The settings in the file at `path`.
    pub fn read(path: &Path) -> Result<MapSource, EnvFileError> {
        let text = std::fs::read_to_string(path);
        let text = text.map_err(|source| EnvFileError::Read { path: path.to_owned(), source })?;
        let lines = text.lines().enumerate().map(|(index, line)| {
            parse_line(line).map_err(|why| EnvFileError::Line { path: path.to_owned(), line: index + 1, why })
        });
        let pairs: Result<Vec<_>, _> = lines.filter_map(Result::transpose).collect();
        Ok(pairs?.into_iter().collect())
    }
}

fn parse_line(line: &str) -> Result<Option<(String, String)>, &'static str> {
    let line = line.trim();
    if line.is_empty() || line.starts_with(['#', ';']) {
        return Ok(None);
    }
    let line = line.strip_prefix("export ").unwrap_or(line);
    let (name, value) = line.split_once('=').ok_or("there is no =")?;
    let name = name.trim_end();
    let first = name.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    if !first || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return Err("the name may contain only letters, digits and _");
    }
    Ok(Some((name.to_owned(), unquote(value.trim())?)))
}

fn unquote(value: &str) -> Result<String, &'static str> {
    if let Some(rest) = value.strip_prefix('\'') {
        let inner = rest.strip_suffix('\'').ok_or("the quote is not closed")?;
        return if inner.contains('\'') { Err("there is text after the quote") } else { Ok(inner.to_owned()) };
    }
    let quoted = value.strip_prefix('"');
    let mut text = String::new();
    let mut chars = quoted.unwrap_or(value).chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => text.push(chars.next().ok_or("it ends with a backslash")?),
            '"' if quoted.is_some() => {
                return if chars.next().is_none() { Ok(text) } else { Err("there is text after the quote") };
            }
            c => text.push(c),
        }
    }
    if quoted.is_some() { Err("the quote is not closed") } else { Ok(text) }
}

/// The line that sets `name` to `value`, with its line break.
pub fn env_line(name: &str, value: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.,:/@%+=!?&".contains(c);
    if value.chars().all(plain) {
        format!("{name}={value}\n")
    } else {
        format!("{name}=\"{}\"\n", value.replace('\\', "\\\\").replace('"', "\\\""))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn value(line: &str) -> Option<String> {
        parse_line(line).unwrap().map(|(_, value)| value)
    }

    #[test]
    fn lines_are_read_as_systemd_reads_them() {
        assert_eq!(value("# a comment"), None);
        assert_eq!(value("export A = \t b c "), Some("b c".into()));
        assert_eq!(value("A='$x \"y\"'"), Some("$x \"y\"".into()));
        assert_eq!(value(r#"A="a\"b\\c""#), Some(r#"a"b\c"#.into()));
        assert_eq!(value("A=pa$$w#rd"), Some("pa$$w#rd".into()));
        for line in ["A", "=b", "1A=b", "A B=c", "A='b", "A=\"b", "A=\"b\"c", "A='b'c'", "A=b\\"] {
            assert!(parse_line(line).is_err(), "{line}");
        }
    }

    proptest! {
        #[test]
        fn a_written_line_reads_back(text in "[ -~äß]{0,40}") {
            let line = env_line("NAME", &text);
            prop_assert_eq!(parse_line(&line).unwrap(), Some(("NAME".to_owned(), text)));
        }
    }
}
