//! Switching a container on and off. What it is afterwards is read back, never taken for granted (invariant S9).

use std::time::Duration;

use crate::ports::{NodeName, PowerState};
use crate::saga::{StepContext, Stopped};

use super::container::Container;
use super::switch::{Push, Switch};

/// Why a container is not as it should be.
#[derive(Clone, Debug)]
pub enum NotSwitched {
    /// There is no such container anywhere in the cluster.
    Gone,
    /// The number belongs to a container of somebody else.
    Foreign,
    /// Nobody says what became of it: its node, or the whole cluster, has not answered for too long.
    Away {
        /// Where it was last.
        node: NodeName,
        /// The last error, for the log.
        detail: String,
    },
    /// The hypervisor did not do it in time, or refused.
    Refused {
        /// The last of its words.
        detail: String,
        /// Whether a person is needed.
        needs_operator: bool,
    },
    /// The step was told to stop while it waited.
    Stopped(Stopped),
}

impl From<Stopped> for NotSwitched {
    fn from(stopped: Stopped) -> Self {
        Self::Stopped(stopped)
    }
}

impl Container<'_> {
    /// Switches it on, and answers where it runs.
    pub async fn switch_on(&self, cx: &StepContext<'_>, node: &NodeName) -> Result<NodeName, NotSwitched> {
        let mut switch = Switch::find(self, cx, node, PowerState::Running).await?;
        switch.force(Push::Start).await?;
        Ok(switch.into_node())
    }

    /// Switches it off: gently, and at once when it has not ended within `grace`. Answers where it was.
    pub async fn switch_off(
        &self,
        cx: &StepContext<'_>,
        node: &NodeName,
        grace: Duration,
    ) -> Result<NodeName, NotSwitched> {
        let mut switch = Switch::find(self, cx, node, PowerState::Stopped).await?;
        if !switch.shut_down(grace).await? {
            switch.force(Push::Stop).await?;
        }
        Ok(switch.into_node())
    }

    /// Whether it is ours, wherever it is now, and runs.
    pub async fn is_running(&self, cx: &StepContext<'_>, node: &NodeName) -> Result<bool, NotSwitched> {
        Switch::find(self, cx, node, PowerState::Running).await?.is_there().await
    }
}
