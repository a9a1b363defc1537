//! Reading the body of `POST /api/instances`, field by field.

use serde_json::Value;

use super::request::Workload;
use crate::web::{ApiResult, Fields, FromFields, readers};

/// What the body asks for, before it is checked against catalog and limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateServer {
    /// What runs in the container.
    pub workload: Workload,
    /// Memory limit in MiB, when the customer chose one.
    pub memory_mib: Option<i64>,
    /// Number of cores, when the customer chose one.
    pub cpu_cores: Option<i64>,
    /// The name its owner gives it.
    pub name: Option<String>,
}

const KIND: [&str; 3] = ["ctype", "container_type", "containerType"];

impl FromFields for CreateServer {
    fn from_fields(mut fields: Fields<'_>) -> ApiResult<Self> {
        // The Portal sends the customer's id; whose server it becomes is decided by the token alone.
        fields.ignore(&["customerId", "customer_id"]);
        let is_dev = fields.peek(&KIND).and_then(Value::as_str) == Some("dev");
        let kind = fields.required(&KIND, kind);
        let memory = fields.optional(&["memoryMiB"], whole("MiB"));
        let cores = fields.optional(&["cpuCores"], whole("cores"));
        let name = fields.optional(&["name"], readers::text(1..=64));
        let version = fields.required(&["version"], readers::text(1..=64));
        let short = || readers::text(1..=64);
        let (workload, (memory_mib, cpu_cores, name)) = if is_dev {
            let runtime = fields.required(&["runtime"], short());
            let (_, runtime, version, memory, cores, name) =
                fields.finish((kind, runtime, version, memory, cores, name))?;
            (Workload::Dev { runtime, version }, (memory, cores, name))
        } else {
            let game = fields.required(&["game"], short());
            let variant = fields.required(&["variant"], short());
            let world = fields.optional(&["world"], world);
            let (_, game, variant, version, world, memory, cores, name) =
                fields.finish((kind, game, variant, version, world, memory, cores, name))?;
            let world = world.unwrap_or_else(|| "world".to_owned());
            (Workload::Game { game, variant, version, world }, (memory, cores, name))
        };
        Ok(Self { workload, memory_mib, cpu_cores, name })
    }
}

fn kind(value: &Value) -> Result<(), String> {
    match value.as_str() {
        Some("game" | "dev") => Ok(()),
        _ => Err("must be `game` or `dev`".to_owned()),
    }
}

/// A whole number; its bounds are policy and checked later.
fn whole(unit: &'static str) -> impl FnOnce(&Value) -> Result<i64, String> {
    move |value| value.as_i64().ok_or_else(|| format!("must be a whole number of {unit}"))
}

/// The name of a world becomes a folder on the server.
fn world(value: &Value) -> Result<String, String> {
    let fits = |text: &&str| {
        (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
    };
    value
        .as_str()
        .filter(fits)
        .map(str::to_owned)
        .ok_or_else(|| "must be 1 to 64 letters, digits, `_` or `-`".to_owned())
}
