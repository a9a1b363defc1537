//! `GET /metrics`: the Prometheus text format.

use std::fmt::Write as _;

use super::super::instance::Agent;
use super::super::state::State;
use crate::kernel::Timestamp;
use crate::sim::wire::Reply;

/// The counters and gauges of one agent.
pub fn expose(agent: &Agent, now: Timestamp) -> Reply {
    let running = agent.machine.state() == State::Running;
    let megabytes = agent.config.as_ref().and_then(|config| config.get("memory_mb")?.as_f64()).unwrap_or(0.0);
    let memory = if running { megabytes * 1024.0 * 1024.0 / 2.0 } else { 0.0 };
    let uptime = agent.machine.uptime(now).as_secs_f64();
    let mut text = String::new();
    for (name, kind, value) in [
        ("agent_cpu_ratio", "gauge", if running { 0.25 } else { 0.0 }),
        ("agent_memory_bytes", "gauge", memory),
        ("agent_disk_bytes", "gauge", agent.disk_used() as f64),
        ("agent_network_receive_bytes_total", "counter", agent.requests as f64 * 256.0),
        ("agent_network_transmit_bytes_total", "counter", agent.requests as f64 * 512.0),
        ("agent_crashes_total", "counter", f64::from(agent.machine.crash_count())),
        ("agent_uptime_seconds", "gauge", uptime),
        ("agent_websocket_clients", "gauge", 0.0),
    ] {
        let _ = writeln!(text, "# TYPE {name} {kind}\n{name} {value}");
    }
    let _ = writeln!(text, "# TYPE agent_state gauge");
    for &state in State::ALL {
        let _ = writeln!(text, "agent_state{{state=\"{state}\"}} {}", u8::from(state == agent.machine.state()));
    }
    Reply::new(200).with_body("text/plain; version=0.0.4", text)
}
