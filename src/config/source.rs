//! Where settings come from: the process environment, files, or a map in a test.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// The maximum size of a file that contains one setting.
const MAX_FILE_BYTES: u64 = 64 * 1024;

/// A setting exists but cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// The value is not UTF-8.
    #[error("{name} is not valid UTF-8")]
    NotText {
        /// The variable.
        name: String,
    },
    /// The file a setting points to cannot be read.
    #[error("{name} points to {}, which cannot be read: {why}", path.display())]
    File {
        /// The setting, with `_FILE`, or the credential.
        name: String,
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        why: String,
    },
}

/// A source of settings by name.
pub trait Source {
    /// The value of the variable `name`, if it is set.
    fn var(&self, name: &str) -> Result<Option<String>, SourceError>;

    /// The text of a file that contains one setting.
    fn file(&self, path: &Path) -> io::Result<String> {
        let mut text = String::new();
        std::fs::File::open(path)?.take(MAX_FILE_BYTES + 1).read_to_string(&mut text)?;
        if text.len() as u64 > MAX_FILE_BYTES {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "larger than 64 KiB"));
        }
        Ok(text)
    }
}

/// The environment of this process.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProcessEnv;

impl Source for ProcessEnv {
    fn var(&self, name: &str) -> Result<Option<String>, SourceError> {
        let text = std::env::var_os(name).map(|value| value.into_string());
        text.transpose().map_err(|_| SourceError::NotText { name: name.to_owned() })
    }
}

/// Settings held in memory.
#[derive(Clone, Debug, Default)]
pub struct MapSource(BTreeMap<String, String>);

impl MapSource {
    /// The same settings with `name` set to `value`.
    pub fn with(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.0.insert(name.into(), value.into());
        self
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for MapSource {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        Self(pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

impl Source for MapSource {
    fn var(&self, name: &str) -> Result<Option<String>, SourceError> {
        Ok(self.0.get(name).cloned())
    }
}

/// Several sources in order: the first that has a name wins.
#[derive(Default)]
pub struct Layers(Vec<Box<dyn Source>>);

impl Layers {
    /// The same layers, with `source` below them.
    pub fn over(mut self, source: impl Source + 'static) -> Self {
        self.0.push(Box::new(source));
        self
    }
}

impl Source for Layers {
    fn var(&self, name: &str) -> Result<Option<String>, SourceError> {
        self.0.iter().find_map(|source| source.var(name).transpose()).transpose()
    }
}
