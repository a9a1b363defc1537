//! The script of an install: its steps, how long each takes, and whether it succeeds.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::payload::{Payload, Workload};
use crate::sim::artifacts::Catalog;

/// One step of an install.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The `installStep` on the wire.
    pub name: &'static str,
    /// Its duration in simulated time.
    pub takes: Duration,
}

/// What an accepted configuration causes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstallPlan {
    /// The steps, in order.
    pub steps: Vec<Step>,
    /// The message the install fails with at the end of its last step.
    pub failure: Option<String>,
}

const JAVA: Step = Step { name: "downloading_java", takes: Duration::from_millis(1_500) };
const ARTIFACT: Step = Step { name: "downloading_artifact", takes: Duration::from_millis(2_000) };
const EXTRACT: Step = Step { name: "extracting", takes: Duration::from_millis(1_000) };
const WRITE: Step = Step { name: "writing_config", takes: Duration::from_millis(500) };
const RUNTIME: Step = Step { name: "downloading_runtime", takes: Duration::from_millis(1_000) };

/// Plans the install of `payload` with the files of `catalog`.
pub fn plan_install(payload: &Payload, catalog: &Catalog) -> InstallPlan {
    match &payload.workload {
        Workload::Game { game, variant: _, version, artifact_path, java_path } => {
            let mut steps = Vec::new();
            if let Some(java) = java_path {
                steps.push(JAVA);
                if !catalog.holds(java) {
                    return failing(steps, not_found(java));
                }
            }
            if let Some(artifact) = artifact_path {
                steps.push(ARTIFACT);
                if !catalog.holds(artifact) {
                    return failing(steps, not_found(artifact));
                }
            }
            steps.extend([EXTRACT, WRITE]);
            let failure = java_path.as_deref().and_then(|java| java_mismatch(game, version, java));
            InstallPlan { steps, failure }
        }
        Workload::Dev { runtime, version } => {
            if !catalog.holds_runtime(runtime, version) {
                return failing(vec![RUNTIME], format!("runtime {runtime}/{version}: 404 Not Found"));
            }
            InstallPlan { steps: vec![RUNTIME, WRITE], failure: None }
        }
    }
}

/// A plan that fails with `message` at the first download.
pub fn plan_failure(message: String) -> InstallPlan {
    failing(vec![ARTIFACT], message)
}

fn failing(steps: Vec<Step>, message: String) -> InstallPlan {
    InstallPlan { steps, failure: Some(message) }
}

fn not_found(path: &str) -> String {
    format!("artifact {path}: 404 Not Found")
}

fn java_mismatch(game: &str, version: &str, java_path: &str) -> Option<String> {
    let java = java_release(java_path)?;
    let fit = java_for(game, version)?;
    (!fit.contains(&java))
        .then(|| format!("Java {java} cannot run {game} {version}: it needs Java {} to {}", fit.start(), fit.end()))
}

fn java_release(java_path: &str) -> Option<u32> {
    java_path.strip_prefix("java/")?.split('/').next()?.parse().ok()
}

/// The Java releases that run a Minecraft version; `None` for other games and versions without numbers.
fn java_for(game: &str, version: &str) -> Option<RangeInclusive<u32>> {
    if game != "minecraft" {
        return None;
    }
    let mut numbers = version.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    let (major, minor, patch) = (numbers.next()?, numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    Some(match (major, minor, patch) {
        (2.., _, _) => 25..=25,
        (_, 21.., _) | (_, 20, 5..) => 21..=25,
        (_, 18..=20, _) => 17..=21,
        (_, 17, _) => 16..=21,
        (_, 16, _) => 8..=16,
        (_, _, _) => 8..=11,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn java_fits_old_current_and_year_numbered_versions() {
        let fits = |version: &str, java: u32| {
            java_mismatch("minecraft", version, &format!("java/{java}/OpenJDK{java}.tar.gz"))
        };
        for (version, java) in [
            ("1.7.10", 8),
            ("1.12.2", 8),
            ("1.16.5", 11),
            ("1.17.1", 17),
            ("1.20.4", 17),
            ("1.20.6", 21),
            ("1.21.10", 21),
            ("26.1", 25),
        ] {
            assert_eq!(fits(version, java), None, "{version} on Java {java}");
        }
        for (version, java) in [("1.7.10", 17), ("1.16.5", 17), ("1.20.5", 17), ("1.21.1", 17), ("26.1", 21)] {
            assert!(fits(version, java).is_some(), "{version} on Java {java}");
        }
    }
}
