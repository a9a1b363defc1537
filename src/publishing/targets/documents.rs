//! The IDE gateway, which reads our records: what is stored is what it gets.

use async_trait::async_trait;

use super::super::report::TargetReport;
use super::super::unpublish::UnpublishPlan;
use super::{EdgeTarget, Holdings};
use crate::edge::{EdgeError, EdgeRecord, Target};
use crate::kernel::Timestamp;
use crate::ports::RecordId;

/// The IDE gateway.
pub(super) struct DocumentTarget;

#[async_trait]
impl EdgeTarget for DocumentTarget {
    fn kind(&self) -> Target {
        Target::Ide
    }

    async fn publish(&self, _: &EdgeRecord) -> Result<Vec<RecordId>, EdgeError> {
        Ok(Vec::new())
    }

    async fn unpublish(&self, _: &UnpublishPlan) -> Result<(), EdgeError> {
        Ok(())
    }

    async fn verify(&self, _: &EdgeRecord) -> Result<TargetReport, EdgeError> {
        Ok(TargetReport::new(Target::Ide, Vec::new()))
    }

    async fn check(&self) -> Result<Option<Timestamp>, EdgeError> {
        Ok(None)
    }

    fn holdings(&self) -> Holdings<'_> {
        Holdings::Nothing
    }
}
