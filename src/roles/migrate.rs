//! `zpack migrate`: applies migrations, shows which are applied, and compares the schema with the code.

use std::process::ExitCode;

use anyhow::Context;
use serde_json::json;

use super::output::{Output, or_dash, table};
use super::wiring;
use crate::cli::MigrateCommand;
use crate::config::{Settings, Source, StoreConfig};
use crate::db::migrate::{self, Difference, MigrationState, MigrationStatus};
use crate::kernel::Timestamp;

/// Runs the command. `check` fails if this version of zpack cannot work with the schema.
pub async fn run(source: &dyn Source, command: MigrateCommand, output: Output) -> anyhow::Result<ExitCode> {
    let config = StoreConfig::load(source)?;
    let db = wiring::any_database(&config.database).await?;
    match command {
        MigrateCommand::Up => {
            let applied = migrate::up(&db).await.context("the migrations were not applied")?;
            output.print(&json!({ "applied": applied }), |_| match applied.as_slice() {
                [] => "the schema is up to date".to_owned(),
                names => format!("applied {}", names.join(", ")),
            })?;
        }
        MigrateCommand::Status => {
            let status = migrate::status(&db).await?;
            let rows: Vec<_> = status.iter().map(as_json).collect();
            output.print(&json!({ "migrations": rows }), |_| {
                table(&["migration", "state", "applied"], status.iter().map(row), "there are no migrations")
            })?;
        }
        MigrateCommand::Check => {
            let differences = migrate::check(&db).await?;
            let harmful = differences.iter().any(Difference::is_harmful);
            let rows = differences
                .iter()
                .map(|difference| json!({ "harmful": difference.is_harmful(), "text": difference.to_string() }));
            let rows: Vec<_> = rows.collect();
            output.print(&json!({ "ok": !harmful, "differences": rows }), |_| explain(&differences))?;
            return Ok(if harmful { ExitCode::FAILURE } else { ExitCode::SUCCESS });
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn explain(differences: &[Difference]) -> String {
    if differences.is_empty() {
        return "the schema is the one this version of zpack expects".to_owned();
    }
    let line = |difference: &Difference| {
        let mark = if difference.is_harmful() { "harm" } else { "note" };
        format!("{mark}  {difference}")
    };
    differences.iter().map(line).collect::<Vec<_>>().join("\n")
}

const fn applied_at(state: MigrationState) -> Option<Timestamp> {
    match state {
        MigrationState::Applied { at } => Some(at),
        MigrationState::Pending | MigrationState::Unknown => None,
    }
}

const fn word(state: MigrationState) -> &'static str {
    match state {
        MigrationState::Applied { .. } => "applied",
        MigrationState::Pending => "pending",
        MigrationState::Unknown => "unknown",
    }
}

fn as_json(line: &MigrationStatus) -> serde_json::Value {
    json!({ "name": line.name, "state": word(line.state), "appliedAt": applied_at(line.state) })
}

fn row(line: &MigrationStatus) -> Vec<String> {
    vec![line.name.clone(), word(line.state).to_owned(), or_dash(applied_at(line.state))]
}
