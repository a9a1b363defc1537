//! Benchmarks the job runtime against BullMQ on one private Redis, and writes docs/benchmarks/jobs.md. `make bench`
//! runs it; docs/benchmarks/README.md explains how to read the report.
//!
//! Every measured workload ([`cell`]) runs in a process of its own, this program again or BullMQ's `cell.mjs`, so that
//! the processor time and the memory of each are measured separately.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a benchmark that cannot continue fails"
)]

mod cell;
mod child;
#[path = "../common/figures.rs"]
mod figures;
#[path = "../common/machine.rs"]
mod machine;
mod plan;
mod recovery;
mod report;
#[path = "../common/stores.rs"]
mod stores;
#[path = "../common/support.rs"]
mod support;
#[path = "../common/work.rs"]
mod work;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    match arguments.split_first() {
        Some((word, rest)) if word == "cell" => runtime.block_on(cell::Cell::parse(rest).run()),
        None => runtime.block_on(plan::run()),
        Some(_) => panic!("cargo bench --bench jobs takes no arguments: {arguments:?}"),
    }
}
