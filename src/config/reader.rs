//! Reads settings, and reports every problem instead of stopping at the first.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::key::{Key, PLACEHOLDER, Presence};
use super::parse::number;
use super::problem::{ConfigProblems, SettingProblem};
use super::source::{Source, SourceError};
use crate::kernel::{Secret, StoredSecret};

/// A problem was added to the reader's list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reported;

/// A group of settings that is read together.
pub trait Settings: Sized {
    /// Reads them. An implementation reads all its keys before it returns, so that all problems are reported.
    fn read(env: &mut Reader<'_>) -> Result<Self, Reported>;

    /// Reads them from `source`, or returns everything that is wrong.
    fn load(source: &dyn Source) -> Result<Self, ConfigProblems> {
        let mut env = Reader { source, problems: Vec::new(), secrets: Vec::new(), production: false };
        let settings = Self::read(&mut env);
        if env.production {
            env.check_secrets();
        }
        match settings {
            Ok(settings) if env.problems.is_empty() => Ok(settings),
            _ => Err(ConfigProblems::new(env.problems)),
        }
    }
}

/// Reads keys from a source.
pub struct Reader<'a> {
    source: &'a dyn Source,
    problems: Vec<SettingProblem>,
    /// Every secret that was read, with its setting.
    secrets: Vec<(Key, Secret)>,
    production: bool,
}

/// A value and the place it was found in.
struct Found {
    place: String,
    value: String,
    /// The file that contains it, if any.
    file: Option<PathBuf>,
}

fn stored(secret: Secret, file: Option<PathBuf>) -> StoredSecret {
    match file {
        Some(file) => StoredSecret::in_file(secret, file),
        None => secret.into(),
    }
}

impl Reader<'_> {
    /// The value of a key that is required or has a default.
    pub fn get<T, E: fmt::Display>(
        &mut self,
        key: &Key,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<T, Reported> {
        match self.optional(key, parse)? {
            Some(value) => Ok(value),
            None => Err(self.missing(key)),
        }
    }

    /// The number of a key, within its range.
    pub fn number<T: TryFrom<u64>>(&mut self, key: &Key) -> Result<T, Reported> {
        self.get(key, number(key.range()))
    }

    /// The duration of a key that is given in milliseconds.
    pub fn millis(&mut self, key: &Key) -> Result<Duration, Reported> {
        self.number(key).map(Duration::from_millis)
    }

    /// The duration of a key that is given in seconds.
    pub fn seconds(&mut self, key: &Key) -> Result<Duration, Reported> {
        self.number(key).map(Duration::from_secs)
    }

    /// The value of an optional key.
    pub fn optional<T, E: fmt::Display>(
        &mut self,
        key: &Key,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<Option<T>, Reported> {
        let found = match (self.find(key)?, key.presence) {
            (Some(found), _) => found,
            (None, Presence::Default(value)) => {
                Found { place: key.name.to_owned(), value: value.to_owned(), file: None }
            }
            (None, Presence::Required | Presence::Optional) => return Ok(None),
        };
        match parse(&found.value) {
            Ok(value) => Ok(Some(value)),
            // The error of a parser may quote the value.
            Err(_) if key.secret => Err(self.malformed(key, found.place, "is malformed".to_owned())),
            Err(error) => Err(self.malformed(key, found.place, format!("is malformed ({error})"))),
        }
    }

    /// A required secret of at least `min_chars` characters.
    pub fn secret(&mut self, key: &Key, min_chars: usize) -> Result<Secret, Reported> {
        match self.optional_secret(key, min_chars)? {
            Some(secret) => Ok(secret),
            None => Err(self.missing(key)),
        }
    }

    /// An optional secret of at least `min_chars` characters.
    pub fn optional_secret(&mut self, key: &Key, min_chars: usize) -> Result<Option<Secret>, Reported> {
        Ok(self.optional_stored_secret(key, min_chars)?.map(|stored| stored.secret().clone()))
    }

    /// The same with its file, for clients that read it again.
    pub fn optional_stored_secret(&mut self, key: &Key, min_chars: usize) -> Result<Option<StoredSecret>, Reported> {
        let found = self.find(key)?;
        if let Some(found) = &found {
            self.remember(key, &found.value);
        }
        match found {
            Some(found) if found.value.chars().count() < min_chars => {
                Err(self.malformed(key, found.place, format!("is shorter than {min_chars} characters")))
            }
            Some(found) if found.value.chars().any(char::is_control) => {
                Err(self.malformed(key, found.place, "contains control characters".to_owned()))
            }
            Some(found) => Ok(Some(stored(Secret::new(found.value), found.file).at_least(min_chars))),
            None => Ok(None),
        }
    }

    /// An optional secret with a format of its own, and its file.
    pub fn optional_parsed_secret<E>(
        &mut self,
        key: &Key,
        parse: impl FnOnce(&str) -> Result<Secret, E>,
    ) -> Result<Option<StoredSecret>, Reported> {
        let Some(found) = self.find(key)? else { return Ok(None) };
        self.remember(key, &found.value);
        match parse(&found.value) {
            Ok(secret) => Ok(Some(stored(secret, found.file))),
            Err(_) => Err(self.malformed(key, found.place, "is malformed".to_owned())),
        }
    }

    /// Refuses weak secrets, once all settings are read.
    pub fn demand_strong_secrets(&mut self) {
        self.production = true;
    }

    /// Reports each secret that is easy to guess, and secrets that are equal.
    fn check_secrets(&mut self) {
        let secrets = std::mem::take(&mut self.secrets);
        for (index, (key, secret)) in secrets.iter().enumerate() {
            if let Some(why) = weakness(key, secret.expose()) {
                self.impossible(&[key], why);
            }
            for (other, _) in secrets.iter().skip(index + 1).filter(|(_, other)| other.matches(secret.expose())) {
                self.impossible(&[key, other], "two secrets must differ in production");
            }
        }
    }

    fn remember(&mut self, key: &Key, value: &str) {
        if !self.secrets.iter().any(|(known, _)| known.name == key.name) {
            self.secrets.push((*key, Secret::new(value)));
        }
    }

    /// Reports that `key` is missing.
    pub fn missing(&mut self, key: &Key) -> Reported {
        self.report(SettingProblem::Missing { name: key.name, expects: key.expects, example: key.example })
    }

    /// Reports that the values of `keys` cannot be used together.
    pub fn impossible(&mut self, keys: &[&Key], why: impl Into<String>) -> Reported {
        let names: Vec<_> = keys.iter().map(|key| key.name).collect();
        self.report(SettingProblem::Impossible { names: names.join(", "), why: why.into() })
    }

    fn malformed(&mut self, key: &Key, name: String, why: String) -> Reported {
        self.report(SettingProblem::Malformed { name, why, expects: key.expects, example: key.example })
    }

    /// Two sections may read the same key; its problem is reported once.
    fn report(&mut self, problem: SettingProblem) -> Reported {
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
        Reported
    }

    /// The value of `key`, wherever it is set. An empty value counts as unset, because operators blank out lines of an
    /// `EnvironmentFile`.
    fn find(&mut self, key: &Key) -> Result<Option<Found>, Reported> {
        let mut found: Option<Found> = None;
        for name in std::iter::once(&key.name).chain(key.aliases) {
            let direct = self.var(name)?;
            let file = if key.secret { self.in_files(name)? } else { Vec::new() };
            for candidate in direct.into_iter().chain(file) {
                if let Some(earlier) = &found {
                    self.compare(key, earlier, &candidate)?;
                } else {
                    found = Some(candidate);
                }
            }
        }
        Ok(found)
    }

    fn compare(&mut self, key: &Key, earlier: &Found, later: &Found) -> Result<(), Reported> {
        let same_name_twice = later.place == format!("{}_FILE", earlier.place);
        let how = match (same_name_twice, earlier.value == later.value) {
            (true, _) => "at once",
            (false, false) => "to different values",
            (false, true) => return Ok(()),
        };
        let (first, second) = (earlier.place.clone(), later.place.clone());
        Err(self.report(SettingProblem::Conflict { name: key.name, first, second, how }))
    }

    fn var(&mut self, name: &str) -> Result<Option<Found>, Reported> {
        match self.source.var(name) {
            Ok(value) => {
                let value = value.map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
                Ok(value.map(|value| Found { place: name.to_owned(), value, file: None }))
            }
            Err(error) => Err(self.report(SettingProblem::Unreadable(error))),
        }
    }

    /// The values in the file of `NAME_FILE` and in the systemd credential `NAME`.
    fn in_files(&mut self, name: &str) -> Result<Vec<Found>, Reported> {
        let mut found = Vec::new();
        let place = format!("{name}_FILE");
        if let Some(path) = self.var(&place)? {
            found.extend(self.file(place, PathBuf::from(path.value), true)?);
        }
        if let Some(directory) = self.var("CREDENTIALS_DIRECTORY")? {
            let path = PathBuf::from(directory.value).join(name);
            found.extend(self.file(format!("the systemd credential {name}"), path, false)?);
        }
        Ok(found)
    }

    fn file(&mut self, place: String, path: PathBuf, must_exist: bool) -> Result<Option<Found>, Reported> {
        match self.source.file(&path) {
            Ok(text) => {
                let value = text.trim().to_owned();
                Ok((!value.is_empty()).then_some(Found { place, value, file: Some(path) }))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !must_exist => Ok(None),
            Err(error) => {
                let error = SourceError::File { name: place, path, why: error.to_string() };
                Err(self.report(SettingProblem::Unreadable(error)))
            }
        }
    }
}

/// Why `secret` protects nothing, if so.
fn weakness(key: &Key, secret: &str) -> Option<&'static str> {
    let mut characters = secret.chars();
    let first = characters.next();
    if secret == key.example || secret.contains(PLACEHOLDER) {
        return Some("production does not accept the published example");
    }
    characters.all(|character| Some(character) == first).then_some("production does not accept one repeated character")
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::path::Path;

    use super::*;
    use crate::config::{
        AuthConfig, JobsConfig, MapSource, OperatorConfig, ServeConfig, TokensConfig, WorkerConfig, ZoneConfig,
        env_example,
    };

    /// Settings and files in memory.
    struct Machine(MapSource, &'static [(&'static str, &'static str)]);

    impl Source for Machine {
        fn var(&self, name: &str) -> Result<Option<String>, SourceError> {
            self.0.var(name)
        }

        fn file(&self, path: &Path) -> io::Result<String> {
            let file = self.1.iter().find(|(name, _)| Path::new(name) == path);
            file.map(|(_, text)| (*text).to_owned()).ok_or_else(|| io::ErrorKind::NotFound.into())
        }
    }

    const TOKEN: &str = "internal-token-0123456789";

    fn problems<T: Settings>(source: &dyn Source) -> String {
        T::load(source).err().expect("a problem").to_string()
    }

    #[test]
    fn every_problem_is_reported_at_once() {
        let source = MapSource::default()
            .with("PORT", "70000")
            .with("API_AUTH_SECRET", "hunter2")
            .with("REDIS_URL", "redis://:pa55word@")
            .with("DATABASE_URL", " ");
        let text = problems::<ServeConfig>(&source);
        for part in [
            "8 settings need attention",
            "DATABASE_URL is missing",
            "REDIS_URL is malformed",
            "PORT is malformed (`70000` is not a whole number",
            "API_AUTH_SECRET is shorter than 32 characters",
            "ARTIFACT_BASE_URL is missing",
            "PROXMOX_HOST is missing",
        ] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
        assert!(!text.contains("hunter2") && !text.contains("pa55word"), "{text}");
    }

    #[test]
    fn a_secret_may_stand_in_a_file() {
        let files = &[("/run/secrets/internal", "internal-token-0123456789\n")];
        let source = Machine(MapSource::default().with("INTERNAL_API_TOKEN_FILE", "/run/secrets/internal"), files);
        assert_eq!(TokensConfig::load(&source).unwrap().internal.unwrap().expose(), TOKEN);
    }

    #[test]
    fn a_secret_may_be_a_systemd_credential() {
        let files = &[("/run/credentials/zpack/ZLH_INTERNAL_API_TOKEN", "internal-token-0123456789")];
        let source = Machine(MapSource::default().with("CREDENTIALS_DIRECTORY", "/run/credentials/zpack"), files);
        let tokens = TokensConfig::load(&source).unwrap();
        assert_eq!(tokens.internal.unwrap().expose(), TOKEN);
        assert!(tokens.discovery.is_none());
    }

    #[test]
    fn a_name_and_its_file_exclude_each_other() {
        let files = &[("/f", TOKEN)];
        let settings = MapSource::default().with("INTERNAL_API_TOKEN", TOKEN).with("INTERNAL_API_TOKEN_FILE", "/f");
        let text = problems::<TokensConfig>(&Machine(settings, files));
        assert!(text.contains("INTERNAL_API_TOKEN and INTERNAL_API_TOKEN_FILE both set INTERNAL_API_TOKEN at once"));
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let source = MapSource::default().with("API_AUTH_SECRET_FILE", "/does/not/exist");
        let text = problems::<AuthConfig>(&source);
        assert!(text.contains("API_AUTH_SECRET_FILE points to /does/not/exist"), "{text}");
    }

    #[test]
    fn names_of_one_setting_may_agree_but_not_differ() {
        let agreeing = MapSource::default().with("ZPACK_ZONE", "a.example").with("DNS_ZONE", "a.example");
        assert_eq!(ZoneConfig::load(&agreeing).unwrap().zone, "a.example".parse().ok());
        let text = problems::<ZoneConfig>(&agreeing.with("CF_ZONE_NAME", "b.example"));
        assert!(text.contains("ZPACK_ZONE and CF_ZONE_NAME both set ZPACK_ZONE to different values"), "{text}");
    }

    #[test]
    fn times_that_cannot_go_together_are_refused() {
        let text = problems::<JobsConfig>(&MapSource::default().with("JOB_RENEW_MS", "30000"));
        assert!(text.contains("JOB_RENEW_MS, JOB_LEASE_MS"), "{text}");
        let text = problems::<JobsConfig>(&MapSource::default().with("REDIS_RESPONSE_TIMEOUT_MS", "500"));
        assert!(text.contains("REDIS_RESPONSE_TIMEOUT_MS, JOB_BLOCK_MS"), "{text}");
        assert!(JobsConfig::load(&MapSource::default()).is_ok());
    }

    #[test]
    fn production_refuses_secrets_that_anyone_can_guess() {
        let weak = MapSource::default()
            .with("API_AUTH_SECRET", "change-me-to-the-output-of-openssl-rand-hex-32")
            .with("INTERNAL_API_TOKEN", "aaaaaaaaaaaaaaaaaaaa")
            .with("ZLH_AGENT_TOKEN", "one-token-for-everything")
            .with("ZPACK_SECRET", "one-token-for-everything")
            .with("PROXMOX_API_TOKEN", "zpack@pve!control=00000000-0000-0000-0000-000000000000");
        let text = problems::<ServeConfig>(&weak);
        assert!(!text.contains("production"), "{text}");
        let text = problems::<ServeConfig>(&weak.with("ZPACK_ENV", "production"));
        for part in [
            "API_AUTH_SECRET: production does not accept the published example",
            "PROXMOX_API_TOKEN: production does not accept the published example",
            "INTERNAL_API_TOKEN: production does not accept one repeated character",
            "ZPACK_SECRET, ZLH_AGENT_TOKEN: two secrets must differ in production",
            "DATABASE_URL is missing",
        ] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
        assert!(!text.contains("one-token-for-everything"), "{text}");
    }

    #[test]
    fn the_example_of_all_settings_is_not_complete() {
        let lines = env_example();
        let set = lines.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('='));
        let source = set.fold(MapSource::default(), |source, (name, value)| source.with(name, value));
        assert!(problems::<ServeConfig>(&source).contains("API_AUTH_SECRET is missing"));
        assert!(problems::<WorkerConfig>(&source).contains("PROXMOX_API_TOKEN is missing"));
    }

    #[test]
    fn secrets_are_not_in_debug_output() {
        let source =
            MapSource::default().with("DATABASE_URL", "postgres://u:pa55@h/db").with("REDIS_URL", "redis://:pa55@h/0");
        let text = format!("{:?}", OperatorConfig::load(&source).unwrap());
        assert!(!text.contains("pa55"), "{text}");
    }
}
