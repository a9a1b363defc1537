//! The measured routes.

use zpack::kernel::{OperationId, UserId};

use crate::seed::Seeded;

/// A measured route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// `GET /api/auth/me`
    Me,
    /// `GET /api/servers`, ten servers
    Servers,
    /// `GET /api/operations/{id}`, nine steps
    Operation,
}

impl Route {
    pub const ALL: [Self; 3] = [Self::Me, Self::Servers, Self::Operation];

    /// Its name in the report.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Me => "GET /api/auth/me",
            Self::Servers => "GET /api/servers",
            Self::Operation => "GET /api/operations/{id}",
        }
    }

    /// The path of a request of the customer with `operation`.
    fn path(self, operation: OperationId) -> String {
        match self {
            Self::Me => "/api/auth/me".to_owned(),
            Self::Servers => "/api/servers".to_owned(),
            Self::Operation => format!("/api/operations/{operation}"),
        }
    }

    /// One request of each customer: a line of path and token.
    pub fn requests(self, seeded: &Seeded, token: impl Fn(UserId) -> String) -> String {
        let line = |(user, operation): &(UserId, OperationId)| format!("{} {}\n", self.path(*operation), token(*user));
        seeded.customers.iter().map(line).collect()
    }
}
