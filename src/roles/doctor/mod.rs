//! `zpack doctor`: every setting and every peer, a line each, with what to do next. Exits 1 when something is wrong.

mod check;
mod peers;
mod proxy;
mod zones;

use std::process::ExitCode;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all};
use serde::Serialize;

use self::check::{Check, Status};
use super::output::Output;
use crate::config::{
    AgentConfig, CatalogConfig, ConfigProblems, DatabaseConfig, DnsConfig, DoctorConfig, ProxmoxConfig, RedisConfig,
    Settings, Source, VelocityConfig, ZoneConfig,
};

/// No peer may take longer.
const LIMIT: Duration = Duration::from_secs(5);

#[derive(Serialize)]
struct Report {
    ok: bool,
    checks: Vec<Check>,
}

/// Checks everything and prints the report.
pub async fn run(source: &dyn Source, output: Output) -> anyhow::Result<ExitCode> {
    let mut checks = settings(source);
    let peers: Vec<BoxFuture<'static, Vec<Check>>> = vec![
        peer("database", DatabaseConfig::load(source), peers::database),
        peer("redis", RedisConfig::load(source), peers::redis),
        peer("proxmox", ProxmoxConfig::load(source), peers::proxmox),
        peer("artifacts", CatalogConfig::load(source), peers::artifacts),
        peer("agents", both(DatabaseConfig::load(source), AgentConfig::load(source)), peers::agents),
        peer("velocity", VelocityConfig::load(source), proxy::velocity),
        peer("cloudflare", both(ZoneConfig::load(source), DnsConfig::load(source)), zones::cloudflare),
        peer("technitium", both(ZoneConfig::load(source), DnsConfig::load(source)), zones::technitium),
    ];
    checks.extend(join_all(peers).await.into_iter().flatten());
    let report = Report { ok: checks.iter().all(|check| check.status != Status::Fail), checks };
    output.print(&report, human)?;
    Ok(if report.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// One line when all is well, else one for each problem.
fn settings(source: &dyn Source) -> Vec<Check> {
    match DoctorConfig::load(source) {
        Ok(_) => vec![Check::pass("settings", "every setting of every role is there and well formed")],
        Err(problems) => {
            let advice = "set it in the environment or in the --env-file; .env.example explains every setting";
            problems.list().iter().map(|problem| Check::fail("settings", problem.to_string(), advice)).collect()
        }
    }
}

fn both<A, B>(a: Result<A, ConfigProblems>, b: Result<B, ConfigProblems>) -> Result<(A, B), ConfigProblems> {
    Ok((a?, b?))
}

/// Runs the checks of a peer within the limit; without its settings it cannot be asked.
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
            vec![Check::fail(name, "not asked: its settings are not complete", "mend the settings first")]
        }
        .boxed(),
        Ok(config) => {
            let checks = checks(config);
            async move {
                tokio::time::timeout(LIMIT, checks).await.unwrap_or_else(|_| {
                    let detail = format!("no answer within {} s", LIMIT.as_secs());
                    vec![Check::fail(name, detail, "see whether it runs and whether a firewall drops the connection")]
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
        0 => "\nEverything zpack needs is in order.".to_owned(),
        1 => "\n1 thing is wrong.".to_owned(),
        count => format!("\n{count} things are wrong."),
    });
    text
}
