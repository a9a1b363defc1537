//! Connections to Redis: a pool for short commands, and connections of one's own for commands that block.
//!
//! All are made in one place (`manager.rs`), which finds the primary and asks it for its role. What a connection met
//! decides whether it is used again (`failure.rs`), and one that has met the wrong server or none ends the *generation*: every
//! connection made before is replaced when it is next needed (docs/adr/0017-redis-connections.md).

mod failure;
mod generation;
mod location;
mod manager;
mod own;
mod pool;
mod role;

pub use location::RedisLocation;
pub use own::OwnConnection;
pub use pool::RedisPool;
