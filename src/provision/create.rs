//! Reads the body of `POST /api/instances`, field by field.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::request::Workload;
use crate::kernel::UserId;
use crate::web::{ApiResult, Fields, FromFields, readers};

/// The request for a new server, before it is checked against catalog and limits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CreateServer {
    /// Game server or dev container, and what runs in it.
    #[serde(flatten)]
    pub workload: WantedWorkload,
    /// Memory limit in MiB, within the limits of this installation; 2048 when absent.
    #[serde(rename = "memoryMiB")]
    pub memory_mib: Option<i64>,
    /// Number of cores, within the limits of this installation; 2 when absent.
    pub cpu_cores: Option<i64>,
    /// The server's display name; the host name when absent.
    #[schema(min_length = 1, max_length = 64)]
    pub name: Option<String>,
    /// The account it is for: your own when absent. Only an admin may name another.
    #[schema(value_type = Option<String>, example = "usr_01970000-0000-7000-8000-000000000000")]
    pub customer_id: Option<UserId>,
}

/// What runs in the container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(tag = "ctype", rename_all = "lowercase")]
pub enum WantedWorkload {
    /// A game server.
    Game {
        /// The game, for example `minecraft`.
        #[schema(min_length = 1, max_length = 64)]
        game: String,
        /// The variant, for example `paper`.
        #[schema(min_length = 1, max_length = 64)]
        variant: String,
        /// The game's version.
        #[schema(min_length = 1, max_length = 64)]
        version: String,
        /// The name of the world; `world` when absent.
        #[schema(min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9_][A-Za-z0-9_-]*$")]
        world: Option<String>,
    },
    /// A dev container.
    Dev {
        /// The runtime, for example `node`.
        #[schema(min_length = 1, max_length = 64)]
        runtime: String,
        /// The runtime's version.
        #[schema(min_length = 1, max_length = 64)]
        version: String,
    },
}

impl From<WantedWorkload> for Workload {
    fn from(wanted: WantedWorkload) -> Self {
        match wanted {
            WantedWorkload::Game { game, variant, version, world } => {
                let world = world.unwrap_or_else(|| "world".to_owned());
                Self::Game { game, variant, version, world }
            }
            WantedWorkload::Dev { runtime, version } => Self::Dev { runtime, version },
        }
    }
}

const KIND: [&str; 3] = ["ctype", "container_type", "containerType"];

impl FromFields for CreateServer {
    fn from_fields(mut fields: Fields<'_>) -> ApiResult<Self> {
        let customer_id = fields.optional_filled(&["customerId", "customer_id"], readers::parsed());
        let is_dev = fields.peek(&KIND).and_then(Value::as_str) == Some("dev");
        let kind = fields.required(&KIND, kind);
        let memory = fields.optional(&["memoryMiB"], whole("MiB"));
        let cores = fields.optional(&["cpuCores"], whole("cores"));
        let name = fields.optional(&["name"], name);
        let version = fields.required(&["version"], readers::text(1..=64));
        let short = || readers::text(1..=64);
        let (workload, (memory_mib, cpu_cores, name, customer_id)) = if is_dev {
            let runtime = fields.required(&["runtime"], short());
            let (_, runtime, version, memory, cores, name, customer) =
                fields.finish((kind, runtime, version, memory, cores, name, customer_id))?;
            (WantedWorkload::Dev { runtime, version }, (memory, cores, name, customer))
        } else {
            let game = fields.required(&["game"], short());
            let variant = fields.required(&["variant"], short());
            let world = fields.optional(&["world"], world);
            let (_, game, variant, version, world, memory, cores, name, customer) =
                fields.finish((kind, game, variant, version, world, memory, cores, name, customer_id))?;
            (WantedWorkload::Game { game, variant, version, world }, (memory, cores, name, customer))
        };
        Ok(Self { workload, memory_mib, cpu_cores, name, customer_id })
    }
}

fn kind(value: &Value) -> Result<(), String> {
    match value.as_str() {
        Some("game" | "dev") => Ok(()),
        _ => Err("must be `game` or `dev`".to_owned()),
    }
}

/// A whole number; the limits are policy and checked later.
fn whole(unit: &'static str) -> impl FnOnce(&Value) -> Result<i64, String> {
    move |value| readers::whole(i64::MIN..=i64::MAX)(value).map_err(|_| format!("must be a whole number of {unit}"))
}

/// The name of a server: text without invisible characters.
fn name(value: &Value) -> Result<String, String> {
    let name = readers::text(1..=64)(value)?;
    if name.contains(is_hidden) { Err("must not have invisible characters".to_owned()) } else { Ok(name) }
}

/// Whether `character` has no width or changes the direction of text.
fn is_hidden(character: char) -> bool {
    matches!(
        character,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
    )
}

/// The name of a world becomes a folder on the server, and an argument of commands there.
fn world(value: &Value) -> Result<String, String> {
    let fits = |text: &&str| {
        (1..=64).contains(&text.len())
            && !text.starts_with('-')
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
    };
    value
        .as_str()
        .filter(fits)
        .map(str::to_owned)
        .ok_or_else(|| "must be 1 to 64 letters, digits, `_` or `-`, and not begin with `-`".to_owned())
}
