//! What the kernel accounts to a process.

use std::collections::HashMap;

/// The resident memory of a process, in MiB.
pub fn resident(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.0
}

/// Seconds of processor time of a process.
pub fn cpu(pid: u32) -> f64 {
    stat(pid).map_or(0.0, |stat| stat.cpu)
}

/// Seconds of processor time of each running child of a process.
pub fn children(parent: u32) -> HashMap<u32, f64> {
    let pids = std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let child = |pid: u32| stat(pid).filter(|stat| stat.parent == parent).map(|stat| (pid, stat.cpu));
    pids.filter_map(child).collect()
}

/// Seconds of processor time between two calls of [`children`], of those that still run.
pub fn between(before: &HashMap<u32, f64>, after: &HashMap<u32, f64>) -> f64 {
    after.iter().map(|(pid, cpu)| cpu - before.get(pid).unwrap_or(&0.0)).sum()
}

struct Stat {
    parent: u32,
    cpu: f64,
}

/// Linux counts the time of a process in hundredths of a second (proc(5), `USER_HZ`).
const TICKS: f64 = 100.0;

fn stat(pid: u32) -> Option<Stat> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name of the program is in parentheses and may contain spaces.
    let (_, fields) = text.rsplit_once(") ")?;
    let fields: Vec<&str> = fields.split(' ').collect();
    let ticks = fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?;
    Some(Stat { parent: fields.get(1)?.parse().ok()?, cpu: ticks / TICKS })
}
