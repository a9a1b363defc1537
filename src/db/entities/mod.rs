//! One entity per table: columns with their types, no logic.

pub mod archived_record;
pub mod audit_event;
pub mod catalog_copy;
pub mod debt;
pub mod deleted_instance;
pub mod episode;
pub mod idempotency_key;
pub mod instance;
pub mod lease;
pub mod operation;
pub mod operation_event;
pub mod operation_step;
pub mod port;
pub mod queue;
pub mod queue_slot;
pub mod reservation;
pub mod resource_lock;
pub mod revoked_token;
pub mod standing;
pub mod user;
