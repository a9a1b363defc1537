//! Sagas: named steps with undo, a journal, and resume. Knows no feature.
//!
//! A saga is a list of [`Step`]s over a shared, serialisable state. [`run`] writes each step to the [`Journal`] before
//! and after its effect. When a step fails, it is undone together with all steps before it, because an effect that was
//! reported as failed may have happened. A run that was handed back at a step boundary continues after the last
//! finished step. [`undo`] undoes the effects of a vanished run from the journal alone. [`run_forward`] is for sagas
//! that are repeated rather than undone.
//!
//! Elsewhere: where the journal is stored (`operations::journal`), who may run a saga (`jobs`).

mod context;
mod effect;
mod engine;
mod journal;
mod step;

pub use context::{StepContext, Stop, Stopped};
pub use effect::Effect;
pub use engine::{SagaEnd, UndoResult, run, run_forward, undo};
pub use journal::{Journal, JournalError, Record, RecordStatus, StepRef};
pub use step::{Step, StepError, StepResult, Steps, UndoError};
