//! The right to change what an operation holds.

use sea_orm::ConnectionTrait;

/// A transaction in which that right was proven: by the fence of the owner, by the lock of a debt, or by an operator's decision
/// about an operation that no worker owns. Stores take it where a write without proof could take something from a server
/// that another owner has made meanwhile.
pub trait Authority: Sync {
    /// What is written through.
    type Connection: ConnectionTrait;

    /// The transaction.
    fn connection(&self) -> &Self::Connection;
}
