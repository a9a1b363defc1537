//! The product from request to effect, and whole processes: the real binary, started, stopped and killed.

mod customer;
mod customer_words;
mod debts;
mod game_power;
mod hypervisor;
mod live;
mod login_memory;
mod metrics;
mod new_job;
mod operator;
mod placement;
mod power;
mod power_rights;
pub mod process;
mod progress;
mod provisioning;
mod public_ports;
mod reach;
mod refused_writes;
mod roles;
mod stopping;
mod supervision;
pub mod teardown;
