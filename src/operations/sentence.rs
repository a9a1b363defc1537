//! What a customer reads of a failed operation: one sentence for each error code. Pure.
//!
//! The message that a job stores quotes peers, which name nodes, paths, pools and rights of our token. It is for operators;
//! a customer's view is made from the code alone, so that nothing of a peer can be in it.

use crate::db::entities::debt::DebtKind;
use crate::web::Code;

/// For codes without a sentence of their own.
const OTHER: &str = "Something went wrong on our side. Please try again, and contact support if it happens again.";

/// The sentence for an error code.
pub fn customer_sentence(code: &str) -> &'static str {
    match code {
        "hypervisor_unavailable" | "node_away" => {
            "The machine that runs the server cannot be reached at the moment. Please try again later."
        }
        "no_capacity" | "no_vmid_left" | "no_port_left" => {
            "There is no room for another server of this size at the moment. Please try again later."
        }
        "clone_failed" | "clone_unsettled" | "configure_failed" | "hypervisor_refused" | "hypervisor_not_permitted" => {
            "The machine for the server could not be prepared. We have been informed."
        }
        "start_failed" | "power_failed" => "The server could not be switched on or off. Please try again.",
        "no_address" => "The server got no address in time. Please try again.",
        "agent_refused" | "agent_error" => "The software of the server could not be installed.",
        "not_ready" => "The server was not ready in time. Please try again.",
        "game_not_started" => "The machine is on, and the game did not start. Please start it.",
        "container_gone" | "server_gone" | "container_foreign" => "The server does not exist any more.",
        "owner_gone" => "The account does not exist any more.",
        "edge_incomplete" => "The server is not reachable under its name yet. We keep trying.",
        "edge_refused" | "edge_unusable" => "The server cannot be made reachable under its name.",
        "overtaken" => "A newer request replaced this one.",
        "cannot_plan" => "This server cannot be created as it was ordered.",
        "deadline_exceeded" => "It took too long and was stopped. Please try again.",
        "worker_lost" => "It was interrupted on our side. Please try again.",
        "database_unavailable" => "It could not be begun at the moment. Please try again.",
        code => match code.parse::<Code>() {
            // Codes of the API, such as those of an account that may not order, are explained to customers anyway.
            Ok(code) if code != Code::Internal => code.meaning(),
            Ok(_) | Err(_) => OTHER,
        },
    }
}

/// What a customer reads of something that is still to be removed.
pub const fn debt_sentence(kind: DebtKind) -> &'static str {
    match kind {
        DebtKind::Container => "A part of the machine is still to be removed. You have nothing to do.",
        DebtKind::Reservation => "A number of the machine is still to be released. You have nothing to do.",
        DebtKind::Edge(_) => "An entry of its name is still to be removed. You have nothing to do.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_sentence_for_people() {
        for code in ["hypervisor_not_permitted", "no_capacity", "billing_suspended", "internal_error", "made up", ""] {
            let sentence = customer_sentence(code);
            assert!(sentence.ends_with('.') && sentence.len() > 20, "{code}: {sentence}");
        }
        assert_eq!(customer_sentence("made up"), OTHER);
    }
}
