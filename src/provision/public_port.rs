//! The public port of a server whose game has no proxy.

use sea_orm::DbErr;

use crate::db;
use crate::edge::needs_port;
use crate::jobs::Lost;
use crate::saga::{StepError, Stopped};
use crate::servers::{PoolError, ports};

use super::request::Workload;
use super::run::Run;
use super::state::Provisioning;

/// Takes a port for the server, if its players come in through one.
pub(super) async fn reserve(run: &Run, state: &mut Provisioning) -> Result<(), StepError> {
    match &run.request.workload {
        Workload::Game { game, .. } if needs_port(game) => {}
        Workload::Game { .. } | Workload::Dev { .. } => return Ok(()),
    }
    let held = run.ask("public port", || hold(run)).await?;
    let held = held.map_err(|Lost| Stopped::Lost)?;
    state.port = Some(held.map_err(|error| StepError::failed("no_port_left", error.to_string()))?);
    Ok(())
}

/// The port this operation holds, a new one if it holds none; under the lock of the operation's row, as its number is.
async fn hold(run: &Run) -> Result<Result<Result<u16, PoolError>, Lost>, DbErr> {
    let operation = run.operation();
    loop {
        let tx = db::begin(&run.deps.db).await?;
        if let Err(lost) = run.cx.guard(&tx).await? {
            return Ok(Err(lost));
        }
        if let Some(held) = ports::find(&tx, operation).await? {
            tx.rollback().await?;
            return Ok(Ok(Ok(held)));
        }
        match ports::take(&tx, &run.deps.policy.public_ports, operation, run.deps.clock.now()).await {
            Ok(Some(port)) => {
                tx.commit().await?;
                return Ok(Ok(Ok(port)));
            }
            Ok(None) => tx.rollback().await?,
            Err(PoolError::Database(error)) => return Err(error),
            Err(error @ PoolError::Exhausted { .. }) => return Ok(Ok(Err(error))),
        }
    }
}
