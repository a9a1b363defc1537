//! The route table, with one line per route. The order matters only where two patterns match the same path.

use actix_web::http::StatusCode;

use super::docs;
use super::health::{self, Health, Readyz};
use super::metrics;
use super::principal::Principal::{
    Admin, Customer, Internal, InternalOrAdmin, InternalOrBridge, InternalOrDiscovery, Owner, Public, PublicOrCustomer,
};
use super::route::{Route, delete, get, options, patch_json, post, post_json};
use crate::accounts::http as accounts;
use crate::audit::http as audit;
use crate::catalog::http as catalog;
use crate::cluster::http as cluster;
use crate::discovery::{DesiredServers, http as discovery};
use crate::instances::http as instances;
use crate::instances::{status_view, view};
use crate::operations::{Accepted, OperationView, http as operations};
use crate::power::http as power;
use crate::provision::http as provision;
use crate::publishing::http as edge;
use crate::teardown::http as teardown;
use crate::web::RateClass::{Auth, Free, Read, Write};

/// Every route of the API.
pub fn routes() -> Vec<Route> {
    [system(), auth(), servers(), operations(), provisioning(), edge(), power(), cluster(), teardown(), admin()]
        .into_iter()
        .flatten()
        .collect()
}

fn system() -> Vec<Route> {
    vec![
        options("/", Public, Free, health::alive).summary("Health check for a reverse proxy"),
        get("/healthz", Public, Free, health::alive)
            .summary("Liveness of the process")
            .answers_with(StatusCode::OK, "text/plain"),
        options("/healthz", Public, Free, health::alive).summary("Liveness of the process"),
        get("/readyz", Public, Free, health::ready)
            .summary("Readiness of the process")
            .answers::<Readyz>(StatusCode::OK),
        get("/api/health", Public, Free, health::health)
            .summary("Liveness of the process, and its clock")
            .answers::<Health>(StatusCode::OK),
        get("/metrics", InternalOrDiscovery, Free, metrics::show)
            .summary("Metrics for Prometheus")
            .answers_with(StatusCode::OK, "application/openmetrics-text"),
        get("/openapi.json", Public, Read, docs::openapi_json)
            .summary("This document")
            .answers_with(StatusCode::OK, "application/json"),
        get("/docs", Public, Read, docs::page)
            .summary("This document as a page")
            .answers_with(StatusCode::OK, "text/html"),
    ]
}

fn auth() -> Vec<Route> {
    vec![
        post_json("/api/auth/register", Public, Auth, accounts::register)
            .summary("Create an account")
            .answers::<accounts::TokenResponse>(StatusCode::CREATED),
        post_json("/api/auth/login", Public, Auth, accounts::login)
            .summary("Log in")
            .answers::<accounts::TokenResponse>(StatusCode::OK),
        post("/api/auth/logout", PublicOrCustomer, Write, accounts::logout)
            .summary("Revoke the token of this request")
            .answers::<accounts::LogoutResponse>(StatusCode::OK),
        get("/api/auth/me", Customer, Read, accounts::me)
            .summary("Your account")
            .answers::<accounts::MeResponse>(StatusCode::OK),
        patch_json("/api/auth/me", Customer, Write, accounts::update_me)
            .summary("Change your account")
            .answers::<accounts::MeResponse>(StatusCode::OK),
        post_json("/api/auth/password", Customer, Auth, accounts::change_password)
            .summary("Set a new password and revoke all other tokens")
            .answers::<accounts::TokenResponse>(StatusCode::OK),
    ]
}

fn servers() -> Vec<Route> {
    vec![
        get("/api/catalog/game", Public, Read, catalog::game)
            .summary("Games, variants and versions that can be provisioned")
            .answers::<catalog::GameCatalog>(StatusCode::OK),
        get("/api/catalog/dev", Public, Read, catalog::dev)
            .summary("Runtimes and versions that can be provisioned")
            .answers::<catalog::DevCatalog>(StatusCode::OK),
        get("/api/instances", Admin, Read, instances::inventory)
            .summary("All servers")
            .paged()
            .answers::<instances::Inventory>(StatusCode::OK),
        get("/api/servers", Customer, Read, instances::list)
            .summary("Your servers")
            .query("limit", "The maximum number of servers: 1 to 200, by default 200.")
            .query("cursor", "Where to continue: the `next` of the previous page.")
            .answers::<instances::ServerList>(StatusCode::OK),
        get("/api/servers/{id}", Owner, Read, instances::show)
            .summary("One of your servers")
            .answers::<view::ServerView>(StatusCode::OK),
        get("/api/servers/{id}/status", Owner, Read, status_view::status)
            .summary("Whether players can connect to a server, and why not")
            .answers::<status_view::StatusView>(StatusCode::OK),
        get("/api/servers/{id}/host/status", Owner, Read, status_view::host_status)
            .summary("The power state of a server's container, as last observed")
            .answers::<status_view::PowerView>(StatusCode::OK),
    ]
}

fn edge() -> Vec<Route> {
    vec![
        get("/api/edge/health", InternalOrAdmin, Read, edge::health)
            .summary("Whether the edge targets answer, and how many servers are not published as they should be")
            .answers::<edge::EdgeHealth>(StatusCode::OK),
        post_json("/api/edge/publish", InternalOrAdmin, Write, edge::publish)
            .summary("Publish a server at every target")
            .answers::<Accepted>(StatusCode::ACCEPTED),
        post_json("/api/edge/unpublish", InternalOrAdmin, Write, edge::unpublish)
            .summary("Unpublish a server from every target")
            .answers::<Accepted>(StatusCode::ACCEPTED),
        post_json("/api/edge/verify", InternalOrAdmin, Read, edge::verify)
            .summary("Compare each target with what it should have for a server")
            .answers::<edge::EdgeFindings>(StatusCode::OK),
        post_json("/internal/velocity/proxy-status", InternalOrBridge, Free, discovery::proxy_status)
            .summary("Status callback from the game proxy")
            .answers::<discovery::Received>(StatusCode::ACCEPTED),
        get("/internal/velocity/desired", Internal, Free, discovery::desired)
            .summary("All servers that should be registered at the proxy")
            .answers::<DesiredServers>(StatusCode::OK),
        get("/internal/traefik/config", Internal, Free, discovery::traefik)
            .summary("Routes of games without a proxy, for Traefik's HTTP provider")
            .answers_with(StatusCode::OK, "application/json"),
    ]
}

fn power() -> Vec<Route> {
    vec![
        post("/api/servers/{id}/host/start", Owner, Write, power::start)
            .summary("Start the container of a server")
            .idempotent()
            .answers::<Accepted>(StatusCode::ACCEPTED),
        post("/api/servers/{id}/host/stop", Owner, Write, power::stop)
            .summary("Stop the container of a server")
            .idempotent()
            .answers::<Accepted>(StatusCode::ACCEPTED),
        post("/api/servers/{id}/host/restart", Owner, Write, power::restart)
            .summary("Restart the container of a server")
            .idempotent()
            .answers::<Accepted>(StatusCode::ACCEPTED),
        post("/api/servers/{id}/game/start", Owner, Write, power::game_start)
            .summary("Start the game of a server")
            .answers::<power::GamePower>(StatusCode::OK),
        post("/api/servers/{id}/game/stop", Owner, Write, power::game_stop)
            .summary("Stop the game of a server")
            .answers::<power::GamePower>(StatusCode::OK),
        post("/api/servers/{id}/game/restart", Owner, Write, power::game_restart)
            .summary("Restart the game of a server")
            .answers::<power::GamePower>(StatusCode::OK),
    ]
}

fn cluster() -> Vec<Route> {
    vec![
        get("/api/proxmox/ping", InternalOrAdmin, Read, cluster::ping)
            .summary("Whether the cluster responds")
            .answers::<cluster::Pong>(StatusCode::OK),
        get("/api/proxmox/nodes", InternalOrAdmin, Read, cluster::nodes)
            .summary("The nodes of the cluster")
            .answers::<cluster::Nodes>(StatusCode::OK),
        get("/api/proxmox/containers", InternalOrAdmin, Read, cluster::containers)
            .summary("The containers of the cluster")
            .answers::<cluster::Containers>(StatusCode::OK),
        get("/api/proxmox/tasks/{upid}", InternalOrAdmin, Read, cluster::task)
            .summary("The status of a task of the cluster")
            .answers::<cluster::TaskView>(StatusCode::OK),
    ]
}

fn teardown() -> Vec<Route> {
    vec![
        delete("/api/servers/{id}", Owner, Write, teardown::delete_server)
            .summary("Delete a server and all its data")
            .answers::<Accepted>(StatusCode::ACCEPTED),
        get("/api/containers/orphans", InternalOrAdmin, Read, teardown::orphans)
            .summary("Orphaned containers, and servers whose container is missing")
            .answers::<teardown::Orphans>(StatusCode::OK),
        delete("/api/containers/{vmid}", InternalOrAdmin, Write, teardown::delete_container)
            .summary("Delete a server or an orphaned container")
            .answers::<Accepted>(StatusCode::ACCEPTED),
        get("/api/admin/debts", Admin, Read, teardown::debts)
            .summary("Debts: what has to be removed later, newest first")
            .query("state", "Only debts in this state: `open`, `settled` or `released`.")
            .paged()
            .answers::<teardown::DebtPage>(StatusCode::OK),
    ]
}

fn admin() -> Vec<Route> {
    vec![
        get("/api/audit", Admin, Read, audit::list)
            .summary("Privileged actions and refusals, newest first")
            .query("subject", "Only entries about this subject.")
            .paged()
            .answers::<audit::AuditPage>(StatusCode::OK),
    ]
}

fn operations() -> Vec<Route> {
    vec![
        get("/api/operations", Customer, Read, operations::list)
            .summary("Your operations, newest first; all operations for an admin")
            .paged()
            .answers::<operations::OperationList>(StatusCode::OK),
        get("/api/operations/{id}", Customer, Read, operations::show)
            .summary("The state of an operation")
            .answers::<OperationView>(StatusCode::OK),
        get("/api/operations/{id}/events", Customer, Read, operations::follow)
            .summary("Progress of an operation as server-sent events, resumable by Last-Event-ID")
            .answers_with(StatusCode::OK, "text/event-stream"),
        post("/api/operations/{id}/cancel", Customer, Write, operations::stop)
            .summary("Cancel an operation, before it starts or between two steps")
            .answers::<Accepted>(StatusCode::ACCEPTED),
        post("/api/operations/{id}/dismiss", Customer, Write, operations::dismiss)
            .summary("Stop showing a failed operation among your servers")
            .answers::<operations::Dismissed>(StatusCode::OK),
    ]
}

fn provisioning() -> Vec<Route> {
    vec![
        post_json("/api/instances", Customer, Write, provision::create)
            .summary("Create a game server or a dev container")
            .idempotent()
            .answers::<Accepted>(StatusCode::ACCEPTED),
    ]
}
