//! The public ports of a server whose game has no proxy.

use async_trait::async_trait;
use sea_orm::DbErr;

use crate::edge::port_layout;
use crate::jobs::OwnedTransaction;
use crate::saga::StepError;
use crate::servers::{PoolError, ports};

use super::held::{Held, hold};
use super::request::Workload;
use super::run::Run;
use super::state::Provisioning;

/// Reserves the ports of the server, if its players connect through some.
pub(super) async fn reserve(run: &Run, state: &mut Provisioning) -> Result<(), StepError> {
    let count = match &run.request.workload {
        Workload::Game { game, .. } => port_layout(game).len(),
        Workload::Dev { .. } => 0,
    };
    if count > 0 {
        let mut ports = hold(run, &PublicPorts { count }).await?.into_iter();
        state.port = ports.next();
        state.further_ports = ports.collect();
    }
    Ok(())
}

/// So many consecutive ports.
struct PublicPorts {
    count: usize,
}

#[async_trait]
impl Held for PublicPorts {
    type Row = Vec<u16>;
    const WHAT: &'static str = "public ports";
    const EXHAUSTED: &'static str = "no_port_left";

    async fn find(&self, run: &Run, tx: &OwnedTransaction) -> Result<Option<Vec<u16>>, DbErr> {
        Ok(Some(ports::find(&**tx, run.operation()).await?).filter(|ports| !ports.is_empty()))
    }

    async fn take(&self, run: &Run, tx: &OwnedTransaction) -> Result<Option<Vec<u16>>, PoolError> {
        ports::take(tx, &run.deps.policy.public_ports, self.count, run.operation(), run.deps.clock.now()).await
    }
}
