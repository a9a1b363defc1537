//! Switching a container on and off. What it is afterwards is read back, never taken for granted (invariant S9).

use std::time::Duration;

use crate::ports::{NodeName, PowerState};
use crate::saga::StepContext;

use super::container::Container;
use super::not_switched::NotSwitched;
use super::switch::{Push, Switch};

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
