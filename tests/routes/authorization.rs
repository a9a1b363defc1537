//! Every route with every kind of caller. A route without a row here fails, and so does a row without a route.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use zpack::kernel::Secret;
use zpack::router::routes;

use crate::support::app::{BRIDGE, DISCOVERY, INTERNAL, TestApp};

/// What the guard decides about a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// The request reaches the handler.
    In,
    /// 401
    Who,
    /// 403
    No,
}
use Verdict::{In, No, Who};

/// The callers, in the order of the columns.
const CALLERS: [&str; 7] = ["anonymous", "wrong token", "customer", "admin", "internal", "discovery", "bridge"];

const EVERYONE: [Verdict; 7] = [In; 7];
const CUSTOMER: [Verdict; 7] = [Who, Who, In, In, No, No, Who];
const ADMIN: [Verdict; 7] = [Who, Who, No, In, No, No, Who];

const INTERNAL_ONLY: [Verdict; 7] = [Who, Who, No, No, In, No, Who];
const INTERNAL_OR_ADMIN: [Verdict; 7] = [Who, Who, No, In, In, No, Who];

const MATRIX: &[(&str, &str, [Verdict; 7])] = &[
    ("OPTIONS", "/", EVERYONE),
    ("GET", "/healthz", EVERYONE),
    ("OPTIONS", "/healthz", EVERYONE),
    ("GET", "/readyz", EVERYONE),
    ("GET", "/api/health", EVERYONE),
    ("GET", "/metrics", [Who, Who, No, No, In, In, Who]),
    ("GET", "/openapi.json", EVERYONE),
    ("GET", "/docs", EVERYONE),
    ("POST", "/api/auth/register", EVERYONE),
    ("POST", "/api/auth/login", EVERYONE),
    ("POST", "/api/auth/logout", [In, Who, In, In, No, No, In]),
    ("GET", "/api/auth/me", CUSTOMER),
    ("PATCH", "/api/auth/me", CUSTOMER),
    ("POST", "/api/auth/password", CUSTOMER),
    ("GET", "/api/catalog/game", EVERYONE),
    ("GET", "/api/catalog/dev", EVERYONE),
    ("GET", "/api/audit", ADMIN),
    ("GET", "/api/operations", CUSTOMER),
    ("GET", "/api/operations/{id}", CUSTOMER),
    ("GET", "/api/operations/{id}/events", CUSTOMER),
    ("POST", "/api/operations/{id}/cancel", CUSTOMER),
    ("POST", "/api/operations/{id}/dismiss", CUSTOMER),
    ("POST", "/api/servers/{id}/host/start", CUSTOMER),
    ("POST", "/api/servers/{id}/host/stop", CUSTOMER),
    ("POST", "/api/servers/{id}/host/restart", CUSTOMER),
    ("POST", "/api/servers/{id}/game/start", CUSTOMER),
    ("POST", "/api/servers/{id}/game/stop", CUSTOMER),
    ("POST", "/api/servers/{id}/game/restart", CUSTOMER),
    ("GET", "/api/proxmox/ping", INTERNAL_OR_ADMIN),
    ("GET", "/api/proxmox/nodes", INTERNAL_OR_ADMIN),
    ("GET", "/api/proxmox/containers", INTERNAL_OR_ADMIN),
    ("GET", "/api/proxmox/tasks/{upid}", INTERNAL_OR_ADMIN),
    ("DELETE", "/api/servers/{id}", CUSTOMER),
    ("DELETE", "/api/containers/{vmid}", INTERNAL_OR_ADMIN),
    ("GET", "/api/containers/orphans", INTERNAL_OR_ADMIN),
    ("GET", "/api/admin/debts", ADMIN),
    ("GET", "/api/edge/health", INTERNAL_OR_ADMIN),
    ("POST", "/api/edge/publish", INTERNAL_OR_ADMIN),
    ("POST", "/api/edge/unpublish", INTERNAL_OR_ADMIN),
    ("POST", "/api/edge/verify", INTERNAL_OR_ADMIN),
    ("POST", "/api/instances", CUSTOMER),
    ("GET", "/api/instances", ADMIN),
    ("GET", "/api/servers", CUSTOMER),
    ("GET", "/api/servers/{id}", CUSTOMER),
    ("GET", "/api/servers/{id}/status", CUSTOMER),
    ("GET", "/api/servers/{id}/host/status", CUSTOMER),
    ("POST", "/internal/velocity/proxy-status", [Who, Who, No, No, In, No, In]),
    ("GET", "/internal/velocity/desired", INTERNAL_ONLY),
    ("GET", "/internal/traefik/config", INTERNAL_ONLY),
];

#[test]
fn the_matrix_and_the_route_table_agree() {
    let mut routes: Vec<_> = routes().iter().map(|route| (route.method.to_string(), route.path.to_owned())).collect();
    let mut lines: Vec<_> = MATRIX.iter().map(|(method, path, _)| (method.to_string(), path.to_string())).collect();
    routes.sort();
    lines.sort();
    assert_eq!(lines, routes);
}

#[tokio::test]
async fn the_guard_admits_exactly_the_callers_of_the_matrix() {
    let app = TestApp::start().await;
    app.register("carol").await;
    app.admin("root").await;
    for (method, path, verdicts) in MATRIX {
        // Fresh tokens for each route, because one route revokes them; the clock advances so that no rate limit
        // applies.
        app.clock.advance(Duration::from_secs(60));
        let (customer, admin) = (app.login("carol").await, app.login("root").await);
        for (caller, expected) in CALLERS.iter().zip(verdicts) {
            let address = path.split('/').map(|step| if step.starts_with('{') { "x" } else { step });
            let address = address.collect::<Vec<_>>().join("/");
            let request = app.request(Method::from_bytes(method.as_bytes()).unwrap(), &address);
            let request = match *caller {
                "anonymous" => request,
                "wrong token" => request.bearer_auth("not.a.token"),
                "customer" => request.bearer_auth(&customer),
                "admin" => request.bearer_auth(&admin),
                "internal" => request.bearer_auth(INTERNAL),
                "discovery" => request.bearer_auth(DISCOVERY),
                "bridge" => request.header("x-zpack-secret", Secret::new(BRIDGE).digest().expose()),
                other => panic!("{other}"),
            };
            let status = request.send().await.unwrap().status();
            let verdict = match status {
                StatusCode::UNAUTHORIZED => Who,
                StatusCode::FORBIDDEN => No,
                _ => In,
            };
            assert_eq!(verdict, *expected, "{method} {path} as {caller} answered {status}");
        }
    }
}

#[tokio::test]
async fn internal_headers_open_only_internal_routes() {
    let app = TestApp::start().await;
    for name in ["x-zlh-internal-token", "x-internal-token"] {
        let answer = app.get("/api/audit").header(name, INTERNAL).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{name}");
    }
}
