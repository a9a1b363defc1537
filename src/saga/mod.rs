//! Named steps with undo, a step log, and resume. Knows no feature.
//!
//! A saga is a list of [`Step`]s over a shared, serialisable state. [`run`] writes each step to the [`Journal`] before
//! it has its effect and after; a step that fails is undone together with all before it, because an effect that was
//! reported as failed may have happened. A run that was handed back at a clean boundary goes on behind the last
//! finished step; [`unwind`] undoes from the journal alone what a vanished run left. [`run_forward`] is for work that is
//! repeated rather than taken back.
//!
//! Not here: where the journal is stored (`operations::journal`), who may run (`jobs`).

mod context;
mod engine;
mod journal;
mod reach;
mod step;

pub use context::{StepContext, Stop, Stopped};
pub use engine::{SagaEnd, Undo, run, run_forward, unwind};
pub use journal::{Journal, Lost, Record, RecordStatus, StepRef};
pub use reach::Reach;
pub use step::{Step, StepError, StepResult, Steps, UndoError};
