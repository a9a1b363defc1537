//! Measures the job runtime beside BullMQ on one private Redis, and writes docs/benchmarks/jobs.md. Run by `make bench`;
//! docs/benchmarks/README.md tells how to read it.
//!
//! Every measured piece of work ([`cell`]) runs in a process of its own, this program again or `cell.mjs` of BullMQ,
//! because the processor time and the memory of one must not be those of the other.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a benchmark that cannot go on fails"
)]

mod cell;
mod child;
mod figures;
mod machine;
mod plan;
mod recovery;
mod report;
mod stores;
mod support;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    match arguments.split_first() {
        Some((word, rest)) if word == "cell" => runtime.block_on(cell::Cell::parse(rest).run()),
        None => runtime.block_on(plan::run()),
        Some(_) => panic!("cargo bench --bench jobs takes no arguments: {arguments:?}"),
    }
}
