//! The steps of provisioning, in order. Each step undoes its own effects; `clone_container` undoes the container as a
//! whole.

mod await_address;
mod await_ready;
mod clone_container;
mod configure_agent;
mod configure_container;
mod publish_edge;
mod record_server;
mod reserve_identity;
mod start_container;

use crate::saga::Step;

use super::run::Run;
use super::state::Provisioning;

/// The saga that creates a server.
pub(super) fn steps() -> Vec<Box<dyn Step<Run, Provisioning>>> {
    vec![
        Box::new(reserve_identity::ReserveIdentity),
        Box::new(clone_container::CloneContainer),
        Box::new(configure_container::ConfigureContainer),
        Box::new(start_container::StartContainer),
        Box::new(await_address::AwaitAddress),
        Box::new(configure_agent::ConfigureAgent),
        Box::new(await_ready::AwaitReady),
        Box::new(record_server::RecordServer),
        Box::new(publish_edge::PublishEdge),
    ]
}
