//! The HTTP server: the routes mounted behind the outermost layer, with every resource bounded.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use actix_web::body::BoxBody;
use actix_web::dev::{ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::http::{Method, header};
use actix_web::middleware::from_fn;
use actix_web::{App, Error, HttpRequest, HttpResponse, HttpServer, web};
use tokio_util::sync::CancellationToken;

use super::apis::Apis;
use super::docs::Documentation;
use super::mount::mounted;
use super::openapi;
use super::route::Route;
use super::table::routes;
use crate::web::{ApiError, ApiResult, answer};

/// The bounds of the server.
#[derive(Clone, Copy, Debug)]
pub struct ServeOptions {
    /// Threads that answer requests.
    pub workers: usize,
    /// Connections open at once, for each thread.
    pub connections: usize,
    /// How long running requests may take to end once the server stops.
    pub drain: Duration,
}

impl Default for ServeOptions {
    fn default() -> Self {
        let workers = std::thread::available_parallelism().map_or(2, usize::from);
        Self { workers, connections: 4096, drain: Duration::from_secs(20) }
    }
}

/// Longer than the proxies in front keep idle connections, so that it is they who close them.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
const HEADER_TIME: Duration = Duration::from_secs(10);
const DISCONNECT_TIME: Duration = Duration::from_secs(2);

/// Answers requests from `listener` until `stop`, then lets those that run end.
pub async fn serve(
    listener: TcpListener,
    apis: Apis,
    options: ServeOptions,
    stop: CancellationToken,
) -> io::Result<()> {
    let table = Arc::new(routes());
    let documentation = documentation(&table);
    let server = HttpServer::new(move || mount(&apis, &table, documentation.clone()))
        .workers(options.workers.max(1))
        .max_connections(options.connections)
        .tcp_nodelay(true)
        .keep_alive(KEEP_ALIVE)
        .client_request_timeout(HEADER_TIME)
        .client_disconnect_timeout(DISCONNECT_TIME)
        // A client that hangs up is not worked for: its handler or its event stream is dropped where it waits.
        .h1_allow_half_closed(false)
        .shutdown_timeout(options.drain.as_secs())
        .shutdown_signal(stop.cancelled_owned())
        .listen(listener)?
        .run();
    server.await
}

/// The whole API as one actix application.
pub fn app(
    apis: &Apis,
) -> App<
    impl ServiceFactory<ServiceRequest, Config = (), Response = ServiceResponse<BoxBody>, Error = Error, InitError = ()>,
> {
    let table = routes();
    mount(apis, &table, documentation(&table))
}

fn documentation(table: &[Route]) -> web::Data<Documentation> {
    let document = openapi::document(table);
    web::Data::new(Documentation::of(&document, openapi::text(&document)))
}

fn mount(
    apis: &Apis,
    table: &[Route],
    documentation: web::Data<Documentation>,
) -> App<
    impl ServiceFactory<ServiceRequest, Config = (), Response = ServiceResponse<BoxBody>, Error = Error, InitError = ()>
    + use<>,
> {
    let mut app = App::new()
        .app_data(documentation)
        .configure(|config| apis.configure(config))
        .default_service(web::to(no_such_route));
    let mut paths: Vec<&str> = Vec::new();
    for route in table {
        if !paths.contains(&route.path) {
            paths.push(route.path);
        }
    }
    for path in paths {
        let here: Vec<&Route> = table.iter().filter(|route| route.path == path).collect();
        let allow = allowed_methods(&here);
        let mut resource = web::resource(path).default_service(web::to(move |request: HttpRequest| {
            let answer = other_method(request.method(), &allow);
            async move { answer }
        }));
        for route in here {
            resource = resource.route(mounted(route));
        }
        app = app.service(resource);
    }
    app.wrap(from_fn(answer::wrap))
}

fn allowed_methods(routes: &[&Route]) -> String {
    let mut methods: Vec<&str> = Vec::new();
    for route in routes {
        methods.push(route.method.as_str());
        if route.method == Method::GET {
            methods.push("HEAD");
        }
    }
    if !methods.contains(&"OPTIONS") {
        methods.push("OPTIONS");
    }
    methods.join(", ")
}

fn other_method(method: &Method, allow: &str) -> ApiResult<HttpResponse> {
    if method == Method::OPTIONS {
        return Ok(HttpResponse::NoContent().insert_header((header::ALLOW, allow)).finish());
    }
    Err(ApiError::method_not_allowed(method, allow))
}

async fn no_such_route(request: HttpRequest) -> ApiResult<HttpResponse> {
    let path: String = request.path().chars().take(200).collect();
    Err(ApiError::not_found(&format!("route: {path}")))
}
