//! The body of `POST /config`: what it must contain, and which part of it may be shown.

use serde::Deserialize;
use serde_json::Value;

/// A valid configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload {
    /// The container it is for.
    pub vmid: i64,
    /// Its generation; today's small agents have none.
    pub generation: Option<u64>,
    /// What to install.
    pub workload: Workload,
}

/// What an agent installs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Workload {
    /// A game server.
    Game {
        /// The game.
        game: String,
        /// Its variant.
        variant: String,
        /// Its version.
        version: String,
        /// The server file, relative to the catalog.
        artifact_path: Option<String>,
        /// The Java runtime, relative to the catalog.
        java_path: Option<String>,
    },
    /// A dev container.
    Dev {
        /// The runtime.
        runtime: String,
        /// Its version.
        version: String,
    },
}

/// The configuration cannot be used; the text names the field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PayloadError(String);

#[derive(Deserialize)]
struct Common {
    vmid: i64,
    generation: Option<u64>,
    memory_mb: u32,
    artifact_sha256: Option<String>,
}

#[derive(Deserialize)]
struct Game {
    game: String,
    variant: String,
    version: String,
    world: String,
    ports: Vec<u16>,
    artifact_path: Option<String>,
    java_path: Option<String>,
    admin_user: Option<String>,
    admin_pass: Option<String>,
}

#[derive(Deserialize)]
struct Dev {
    runtime: String,
    version: String,
}

#[derive(Deserialize)]
#[serde(tag = "container_type", rename_all = "lowercase")]
enum Kind {
    Game(Game),
    Dev(Dev),
}

impl Payload {
    /// Reads and checks the document `body`.
    pub fn parse(body: &Value) -> Result<Self, PayloadError> {
        let common: Common = read(body)?;
        let kind: Kind = read(body)?;
        demand(common.memory_mb >= 64, "memory_mb", "must be at least 64")?;
        let hex = |sum: &String| sum.len() == 64 && sum.bytes().all(|b| b.is_ascii_hexdigit());
        demand(common.artifact_sha256.as_ref().is_none_or(hex), "artifact_sha256", "must be 64 hexadecimal digits")?;
        let workload = match kind {
            Kind::Game(game) => game.check()?,
            Kind::Dev(dev) => {
                demand_word("runtime", &dev.runtime)?;
                demand_word("version", &dev.version)?;
                Workload::Dev { runtime: dev.runtime, version: dev.version }
            }
        };
        Ok(Self { vmid: common.vmid, generation: common.generation, workload })
    }

    /// Whether this is Minecraft, the only game whose players the agent counts.
    pub fn is_minecraft(&self) -> bool {
        matches!(&self.workload, Workload::Game { game, .. } if game == "minecraft")
    }

    /// Whether this is a dev container.
    pub fn is_dev(&self) -> bool {
        matches!(self.workload, Workload::Dev { .. })
    }
}

impl Game {
    fn check(self) -> Result<Workload, PayloadError> {
        demand_word("game", &self.game)?;
        demand_word("variant", &self.variant)?;
        demand_word("version", &self.version)?;
        demand(!self.world.is_empty(), "world", "must not be empty")?;
        demand(
            !self.ports.is_empty() && !self.ports.contains(&0),
            "ports",
            "must hold at least one port, none of them 0",
        )?;
        if self.game == "minecraft" {
            demand(self.artifact_path.is_some(), "artifact_path", "is required for minecraft")?;
            demand(self.java_path.is_some(), "java_path", "is required for minecraft")?;
        }
        for (field, path) in [("artifact_path", &self.artifact_path), ("java_path", &self.java_path)] {
            let inside =
                |path: &String| !path.is_empty() && path.split('/').all(|part| !matches!(part, "" | "." | ".."));
            demand(path.as_ref().is_none_or(inside), field, "must be a plain relative path")?;
        }
        let credentials = self.admin_user.is_some() == self.admin_pass.is_some();
        demand(credentials, "admin_pass", "goes together with admin_user")?;
        Ok(Workload::Game {
            game: self.game,
            variant: self.variant,
            version: self.version,
            artifact_path: self.artifact_path,
            java_path: self.java_path,
        })
    }
}

/// A copy of `body` without its secrets.
pub fn redact(body: &Value) -> Value {
    let mut shown = body.clone();
    if let Some(map) = shown.as_object_mut() {
        for (key, value) in map.iter_mut() {
            if ["pass", "token", "secret"].iter().any(|word| key.contains(word)) {
                *value = Value::from("***");
            }
        }
    }
    shown
}

fn read<'a, T: Deserialize<'a>>(body: &'a Value) -> Result<T, PayloadError> {
    serde_path_to_error::deserialize(body).map_err(|error| PayloadError(error.to_string()))
}

fn demand(holds: bool, field: &str, rule: &str) -> Result<(), PayloadError> {
    if holds { Ok(()) } else { Err(PayloadError(format!("{field}: {rule}"))) }
}

fn demand_word(field: &str, text: &str) -> Result<(), PayloadError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let word = (1..=64).contains(&text.len()) && text.chars().all(plain) && !text.contains("..");
    demand(word, field, "must be 1 to 64 letters, digits, dots, dashes or underscores")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn paper() -> Value {
        json!({
            "vmid": 5001, "container_type": "game", "generation": 1, "game": "minecraft", "variant": "paper",
            "version": "1.21.1", "world": "world", "ports": [25565], "memory_mb": 2048,
            "artifact_path": "minecraft/paper/1.21.1/server.jar", "java_path": "java/21/OpenJDK21.tar.gz",
            "admin_user": "op", "admin_pass": "hunter2",
        })
    }

    #[test]
    fn a_complete_game_configuration_is_read() {
        let payload = Payload::parse(&paper()).unwrap();
        assert_eq!((payload.vmid, payload.generation, payload.is_minecraft()), (5001, Some(1), true));
    }

    #[test]
    fn every_bad_field_is_named() {
        for (field, value) in [
            ("vmid", json!("5001")),
            ("container_type", json!("vm")),
            ("memory_mb", json!(-1)),
            ("ports", json!([])),
            ("game", json!("../etc")),
            ("artifact_path", json!("minecraft/../../etc/passwd")),
            ("java_path", Value::Null),
            ("artifact_sha256", json!("abc")),
        ] {
            let mut body = paper();
            body[field] = value;
            let message = Payload::parse(&body).unwrap_err().to_string();
            assert!(message.contains(field) || field == "container_type", "{field}: {message}");
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        let shown = redact(&paper()).to_string();
        assert!(!shown.contains("hunter2") && shown.contains("25565"));
    }
}
