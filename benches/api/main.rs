//! Benchmarks the HTTP API beside a minimal handler and a stand-in for the predecessor, and writes
//! docs/benchmarks/api.md. `make bench-api` runs it; docs/benchmarks/README.md explains how to read the report.
//!
//! Every server ([`systems`]) and the load on it ([`load`]) are processes of their own, so that the processor time and
//! the memory of each are measured separately.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a benchmark that cannot continue fails"
)]

#[path = "../common/figures.rs"]
mod figures;
mod limit;
mod load;
mod logins;
#[path = "../common/machine.rs"]
mod machine;
mod peers;
mod plan;
mod poller;
mod process;
mod report;
mod routes;
mod seed;
#[path = "../common/stores.rs"]
mod stores;
#[path = "../common/support.rs"]
mod support;
mod systems;
#[path = "../common/work.rs"]
mod work;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let threads = |builder: &mut tokio::runtime::Builder| builder.enable_all().build().unwrap();
    match arguments.split_first() {
        Some((word, rest)) if word == "load" => {
            threads(&mut tokio::runtime::Builder::new_current_thread()).block_on(load::Load::parse(rest).run());
        }
        Some((word, rest)) if word == "peers" => {
            threads(&mut tokio::runtime::Builder::new_current_thread()).block_on(peers::run(rest));
        }
        Some((word, rest)) if word == "limit" => limit::run(rest),
        None => threads(&mut tokio::runtime::Builder::new_multi_thread()).block_on(plan::run()),
        Some(_) => panic!("cargo bench --bench api takes no arguments: {arguments:?}"),
    }
}
