//! The public port of a server whose game has no proxy.

use async_trait::async_trait;
use sea_orm::DbErr;

use crate::edge::needs_port;
use crate::jobs::OwnedTransaction;
use crate::saga::StepError;
use crate::servers::{PoolError, ports};

use super::held::{Held, hold};
use super::request::Workload;
use super::run::Run;
use super::state::Provisioning;

/// Reserves a port for the server, if its players connect through one.
pub(super) async fn reserve(run: &Run, state: &mut Provisioning) -> Result<(), StepError> {
    match &run.request.workload {
        Workload::Game { game, .. } if needs_port(game) => {}
        Workload::Game { .. } | Workload::Dev { .. } => return Ok(()),
    }
    state.port = Some(hold(run, &PublicPort).await?);
    Ok(())
}

struct PublicPort;

#[async_trait]
impl Held for PublicPort {
    type Row = u16;
    const WHAT: &'static str = "public port";
    const EXHAUSTED: &'static str = "no_port_left";

    async fn find(&self, run: &Run, tx: &OwnedTransaction) -> Result<Option<u16>, DbErr> {
        ports::find(&**tx, run.operation()).await
    }

    async fn take(&self, run: &Run, tx: &OwnedTransaction) -> Result<Option<u16>, PoolError> {
        ports::take(tx, &run.deps.policy.public_ports, run.operation(), run.deps.clock.now()).await
    }
}
