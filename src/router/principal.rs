//! Who may use a route (pure).

use crate::accounts::{Caller, Proofs};
use crate::kernel::text_enum;

text_enum! {
    /// Who may use a route (docs/contracts/http-api.md 2).
    pub enum Principal {
        /// Anyone. Credentials are ignored.
        Public = "public",
        /// Anyone. Callers with credentials are identified.
        PublicOrCustomer = "public_or_customer",
        /// Any user.
        Customer = "customer",
        /// Any user who owns the resource; the handler answers 404 to others.
        Owner = "owner",
        /// A user with the role admin.
        Admin = "admin",
        /// One of our own services.
        Internal = "internal",
        /// One of our own services, or the bridge in the game proxy.
        InternalOrBridge = "internal_or_bridge",
        /// One of our own services, or an admin.
        InternalOrAdmin = "internal_or_admin",
        /// The service discovery of Prometheus.
        Discovery = "discovery",
        /// Prometheus, or one of our own services.
        InternalOrDiscovery = "internal_or_discovery",
        /// Stripe; its handler verifies the signature of the body.
        Stripe = "stripe",
        /// The holder of a single-use ticket; its handler redeems it.
        Ticket = "ticket",
    }
}

/// Whether a principal admits a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// The caller may use the route.
    Admitted,
    /// The caller has to authenticate first.
    Unauthenticated,
    /// The caller may not use the route.
    Forbidden,
}

impl Principal {
    /// Whether the caller must be identified before the handler runs.
    pub const fn needs_caller(self) -> bool {
        match self {
            Self::Public | Self::Stripe | Self::Ticket => false,
            Self::PublicOrCustomer
            | Self::Customer
            | Self::Owner
            | Self::Admin
            | Self::Internal
            | Self::InternalOrBridge
            | Self::InternalOrAdmin
            | Self::Discovery
            | Self::InternalOrDiscovery => true,
        }
    }

    /// Which credentials are accepted on this route besides bearer tokens.
    pub const fn takes(self) -> Proofs {
        match self {
            Self::InternalOrBridge => Proofs::InternalOrBridge,
            Self::Internal | Self::InternalOrAdmin | Self::InternalOrDiscovery => Proofs::Internal,
            Self::Public
            | Self::PublicOrCustomer
            | Self::Customer
            | Self::Owner
            | Self::Admin
            | Self::Discovery
            | Self::Stripe
            | Self::Ticket => Proofs::Bearer,
        }
    }

    /// Whether `caller` may use the route.
    pub const fn admits(self, caller: &Caller) -> Admission {
        let admitted = match self {
            Self::Public | Self::Stripe | Self::Ticket => true,
            Self::PublicOrCustomer => {
                matches!(caller, Caller::Anonymous | Caller::Customer(_) | Caller::Admin(_))
            }
            Self::Customer | Self::Owner => matches!(caller, Caller::Customer(_) | Caller::Admin(_)),
            Self::Admin => matches!(caller, Caller::Admin(_)),
            Self::Internal => matches!(caller, Caller::Internal),
            Self::InternalOrBridge => matches!(caller, Caller::Internal | Caller::Bridge),
            Self::InternalOrAdmin => matches!(caller, Caller::Internal | Caller::Admin(_)),
            Self::Discovery => matches!(caller, Caller::Discovery),
            Self::InternalOrDiscovery => matches!(caller, Caller::Internal | Caller::Discovery),
        };
        match (admitted, caller) {
            (true, _) => Admission::Admitted,
            (false, Caller::Anonymous) => Admission::Unauthenticated,
            (false, _) => Admission::Forbidden,
        }
    }
}
