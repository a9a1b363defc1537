//! The HTTP server: the routes behind the outermost middleware, with a bound on every resource.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use actix_http::{HttpService, Protocol};
use actix_server::Server;
use actix_service::{apply_fn_factory, map_config};
use actix_web::body::BoxBody;
use actix_web::dev::{AppConfig, Service, ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::http::{Method, header};
use actix_web::middleware::from_fn;
use actix_web::{App, Error, HttpMessage, HttpRequest, HttpResponse, web};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use super::apis::Apis;
use super::connection::{ConnectionDeadlines, Places, Timed, attend};
use super::docs::Documentation;
use super::mount::mounted;
use super::openapi;
use super::route::Route;
use super::table::routes;
use crate::web::{ApiError, ApiResult, ClientAddress, RateClass, RateLimiter, address_key, answer};

/// The limits of the server.
#[derive(Clone, Copy, Debug)]
pub struct ServeOptions {
    /// Threads that handle requests.
    pub workers: usize,
    /// The maximum number of open connections per thread.
    pub connections: usize,
    /// The maximum number of open connections from one peer address, over all threads.
    pub connections_per_address: u32,
    /// The deadlines of a connection.
    pub deadlines: ConnectionDeadlines,
    /// How long running requests may take to finish once the server stops.
    pub drain: Duration,
}

impl Default for ServeOptions {
    fn default() -> Self {
        let workers = std::thread::available_parallelism().map_or(2, usize::from);
        Self {
            workers,
            connections: 4096,
            connections_per_address: 256,
            deadlines: ConnectionDeadlines::default(),
            drain: Duration::from_secs(20),
        }
    }
}

/// Serves requests from `listener` until `stop` fires, then lets the running ones finish.
pub async fn serve(
    listener: TcpListener,
    apis: Apis,
    options: ServeOptions,
    stop: CancellationToken,
) -> io::Result<()> {
    let table = Arc::new(routes());
    let documentation = documentation(&table);
    let places = Places::new(options.connections_per_address, apis.client_policy.trusted_proxies.clone());
    let stopped = stop.clone();
    let connections = move || {
        let (places, stopped, deadlines) = (places.clone(), stopped.clone(), options.deadlines);
        let app = map_config(mount(&apis, &table, documentation.clone()), |()| AppConfig::default());
        let http = HttpService::build()
            .graceful_shutdown_signal(move || stopped.clone().cancelled_owned())
            .keep_alive(deadlines.idle)
            .client_request_timeout(deadlines.head)
            .client_disconnect_timeout(deadlines.close)
            // When a client hangs up, its handler or event stream is dropped at its current await.
            .h1_allow_half_closed(false)
            .on_connect_ext(|socket: &Timed<TcpStream>, data| _ = data.insert(socket.exchange()))
            .finish(app);
        apply_fn_factory(http, move |socket: TcpStream, http| {
            let begun =
                begin(socket, &places, deadlines).map(|(socket, peer)| http.call((socket, Protocol::Http1, peer)));
            async move {
                match begun {
                    Some(connection) => connection.await,
                    None => Ok(()),
                }
            }
        })
    };
    let server = Server::build()
        .workers(options.workers.max(1))
        .max_concurrent_connections(options.connections)
        .shutdown_timeout(options.drain.as_secs())
        .shutdown_signal(stop.cancelled_owned())
        .listen("api", listener, connections)?
        .run();
    server.await
}

/// A new connection with its deadlines and the address of its peer, unless the peer has too many.
fn begin(
    socket: TcpStream,
    places: &Places,
    deadlines: ConnectionDeadlines,
) -> Option<(Timed<TcpStream>, Option<SocketAddr>)> {
    _ = socket.set_nodelay(true);
    let peer = socket.peer_addr().ok();
    let place = match peer.map(|peer| (places.admit(peer.ip()), peer.ip())) {
        Some((Ok(place), _)) => place,
        Some((Err(full), address)) => {
            if full.first {
                tracing::warn!(client.address = %address, "{address} has too many open connections; further ones are closed");
            }
            return None;
        }
        None => None,
    };
    Some((Timed::new(socket, deadlines, place), peer))
}

/// The whole API as an actix application.
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
        let other = move |request: HttpRequest, limiter: web::Data<RateLimiter>| {
            let answer = other_method(request.method(), &allow);
            async move {
                take_allowance(&request, &limiter).await?;
                answer
            }
        };
        let mut resource = web::resource(path).default_service(web::to(other));
        for route in here {
            resource = resource.route(mounted(route));
        }
        app = app.service(resource);
    }
    app.wrap(from_fn(answer::wrap)).wrap(from_fn(attend))
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

async fn no_such_route(request: HttpRequest, limiter: web::Data<RateLimiter>) -> ApiResult<HttpResponse> {
    take_allowance(&request, &limiter).await?;
    let path: String = request.path().chars().take(200).collect();
    Err(ApiError::not_found(&format!("route: {path}")))
}

/// Draws on the rate limit for a request that matches no route.
async fn take_allowance(request: &HttpRequest, limiter: &RateLimiter) -> ApiResult<()> {
    let address = request.extensions().get::<ClientAddress>().map(|address| address_key(address.0));
    limiter.take(RateClass::Read, &address.unwrap_or_default()).await.map(drop)
}
