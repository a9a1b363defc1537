//! All queries of the table of servers. Every function is one statement.
//!
//! A ratchet test forbids such queries elsewhere; new ones are added here.

mod change;
mod find;
mod list;

pub(super) use change::mark_payload;
pub use change::{delete, insert, mark_deleting, mark_due, mark_node, mark_resume};
pub use find::{find, find_by_hostname, find_by_operation, find_owned};
pub use list::{
    GameRevision, Holding, PollTarget, count_unsettled, first_owned, list_active, list_active_games, list_all,
    list_by_number, list_due, list_game_revisions, list_holdings, list_owned, list_places, list_poll_targets,
    list_unsettled, list_vmids,
};
