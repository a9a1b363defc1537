//! Switches a container on and off. The resulting state is read back, never assumed (invariant S9).

use std::time::Duration;

use crate::ports::{NodeName, PowerState};
use crate::saga::StepContext;

use super::container::Container;
use super::not_switched::NotSwitched;
use super::switch::{PowerRequest, Switch};

impl Container<'_> {
    /// Switches it on, and returns the node it runs on.
    pub async fn switch_on(&self, cx: &StepContext<'_>, node: &NodeName) -> Result<NodeName, NotSwitched> {
        let mut switch = Switch::find(self, cx, node, PowerState::Running).await?;
        switch.force(PowerRequest::Start).await?;
        Ok(switch.into_node())
    }

    /// Shuts it down, and stops it if it is still running after `grace`. Returns the node it is on.
    pub async fn switch_off(
        &self,
        cx: &StepContext<'_>,
        node: &NodeName,
        grace: Duration,
    ) -> Result<NodeName, NotSwitched> {
        let mut switch = Switch::find(self, cx, node, PowerState::Stopped).await?;
        if !switch.shut_down(grace).await? {
            switch.force(PowerRequest::Stop).await?;
        }
        Ok(switch.into_node())
    }

    /// Whether the container, on whichever node, is ours and running.
    pub async fn is_running(&self, cx: &StepContext<'_>, node: &NodeName) -> Result<bool, NotSwitched> {
        Switch::find(self, cx, node, PowerState::Running).await?.is_reached().await
    }
}
