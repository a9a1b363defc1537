//! `zpack doctor`: checks all settings and all peers, and says what to do next. Exits with 1 if anything fails.

mod check;
mod peers;
mod proxy;
mod retention;
mod router;
mod zones;

use std::process::ExitCode;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all};
use serde::Serialize;

use self::check::{Check, Status};
use super::output::Output;
use crate::config::{
    AgentConfig, CatalogConfig, ConfigProblems, DatabaseConfig, DnsConfig, DoctorConfig, ProvisionConfig,
    ProxmoxConfig, RedisConfig, RetentionConfig, Settings, Source, VelocityConfig, ZoneConfig,
};

/// The timeout of the checks of one peer.
const LIMIT: Duration = Duration::from_secs(5);

#[derive(Serialize)]
struct Report {
    ok: bool,
    checks: Vec<Check>,
}

/// Runs every check and prints the report.
pub async fn run(source: &dyn Source, output: Output) -> anyhow::Result<ExitCode> {
    let mut checks = settings(source);
    let peers: Vec<BoxFuture<'static, Vec<Check>>> = vec![
        peer("database", DatabaseConfig::load(source), peers::database),
        peer("retention", both(DatabaseConfig::load(source), RetentionConfig::load(source)), retention::retention),
        peer("redis", RedisConfig::load(source), peers::redis),
        peer("proxmox", both(ProxmoxConfig::load(source), ProvisionConfig::load(source)), peers::proxmox),
        peer("artifacts", CatalogConfig::load(source), peers::artifacts),
        peer("agents", both(DatabaseConfig::load(source), AgentConfig::load(source)), peers::agents),
        peer("velocity", VelocityConfig::load(source), proxy::velocity),
        peer("traefik", both(DatabaseConfig::load(source), RedisConfig::load(source)), router::traefik),
        peer("cloudflare", both(ZoneConfig::load(source), DnsConfig::load(source)), zones::cloudflare),
        peer("technitium", both(ZoneConfig::load(source), DnsConfig::load(source)), zones::technitium),
    ];
    checks.extend(join_all(peers).await.into_iter().flatten());
    let report = Report { ok: checks.iter().all(|check| check.status != Status::Fail), checks };
    output.print(&report, human)?;
    Ok(if report.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// One line if all settings are valid, else one for each problem.
fn settings(source: &dyn Source) -> Vec<Check> {
    match DoctorConfig::load(source) {
        Ok(_) => vec![Check::pass("settings", "all required settings are present, and all values are valid")],
        Err(problems) => {
            let advice = "set it in the environment or in an --env-file; .env.example documents every setting";
            problems.list().iter().map(|problem| Check::fail("settings", problem.to_string(), advice)).collect()
        }
    }
}

fn both<A, B>(a: Result<A, ConfigProblems>, b: Result<B, ConfigProblems>) -> Result<(A, B), ConfigProblems> {
    Ok((a?, b?))
}

/// Runs the checks of a peer within the timeout. Without its settings it cannot be checked.
fn peer<C, F>(
    name: &'static str,
    config: Result<C, ConfigProblems>,
    checks: impl FnOnce(C) -> F,
) -> BoxFuture<'static, Vec<Check>>
where
    F: Future<Output = Vec<Check>> + Send + 'static,
{
    match config {
        Err(_) => async move {
            vec![Check::fail(name, "not checked, because its settings are incomplete", "fix the settings first")]
        }
        .boxed(),
        Ok(config) => {
            let checks = checks(config);
            async move {
                tokio::time::timeout(LIMIT, checks).await.unwrap_or_else(|_| {
                    let detail = format!("no answer within {} s", LIMIT.as_secs());
                    vec![Check::fail(
                        name,
                        detail,
                        "check that it is running and that no firewall drops the connection",
                    )]
                })
            }
            .boxed()
        }
    }
}

fn human(report: &Report) -> String {
    let mut text = String::new();
    for check in &report.checks {
        text.push_str(&check.human());
    }
    let wrong = report.checks.iter().filter(|check| check.status == Status::Fail).count();
    text.push_str(&match wrong {
        0 => "\nNo check failed.".to_owned(),
        1 => "\n1 check failed.".to_owned(),
        count => format!("\n{count} checks failed."),
    });
    text
}
