//! One line of the route table: everything about a route except its place in the table.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::{Method, StatusCode};
use actix_web::{Handler, Responder, web};
use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use utoipa::ToSchema;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::Schema;

use super::principal::Principal;
use crate::web::{ApiError, ApiResult, Code, RateClass, TakesJson};

/// One route.
#[derive(Clone)]
pub struct Route {
    /// The method. A `GET` route also answers `HEAD`.
    pub method: Method,
    /// The path, with `{name}` for its variable parts.
    pub path: &'static str,
    /// Who may use it.
    pub principal: Principal,
    /// The rate limit that its requests draw on.
    pub rate: RateClass,
    /// What it does, in one line.
    pub summary: &'static str,
    /// Its query parameters. Any other parameter is refused.
    pub query: Vec<Parameter>,
    /// Whether it accepts `Idempotency-Key`.
    pub idempotent: bool,
    /// The schema of its JSON body. A route without one refuses every field.
    pub request: Option<SchemaRef>,
    /// Its successful responses.
    pub answers: Vec<DocumentedResponse>,
    mount: Arc<dyn Fn() -> actix_web::Route + Send + Sync>,
}

/// The timeout of identifying the caller, which is a read that waits for no lock.
pub(super) const ADMISSION: Duration = Duration::from_secs(5);

/// The timeout of a handler, from the end of the request body to the beginning of the response. It is longer than a
/// database waits for a lock, and shorter than clients and proxies wait.
const HANDLING: Duration = Duration::from_secs(15);

/// Ends `work` after `limit`: a peer of ours that hangs must not make our client hang.
pub(super) async fn in_time<T>(limit: Duration, work: impl Future<Output = T>) -> ApiResult<T> {
    let late = |_| {
        tracing::warn!("a request took longer than {} s", limit.as_secs());
        ApiError::new(Code::Unavailable, "This took too long. Please try again shortly.")
            .retry_after(Duration::from_secs(2))
    };
    tokio::time::timeout(limit, work).await.map_err(late)
}

/// A handler that begins its response in time or fails.
#[derive(Clone)]
struct InTime<F>(F);

impl<F, Args> Handler<Args> for InTime<F>
where
    F: Handler<Args>,
    F::Future: 'static,
    F::Output: 'static,
{
    type Output = ApiResult<F::Output>;
    type Future = LocalBoxFuture<'static, Self::Output>;

    fn call(&self, args: Args) -> Self::Future {
        in_time(HANDLING, self.0.call(args)).boxed_local()
    }
}

/// A query parameter.
#[derive(Clone, Copy, Debug)]
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// What it does.
    pub description: &'static str,
}

/// One successful response of a route.
#[derive(Clone, Debug)]
pub struct DocumentedResponse {
    /// The status.
    pub status: StatusCode,
    /// The content type.
    pub content_type: &'static str,
    /// The schema of its JSON body.
    pub schema: Option<SchemaRef>,
}

/// A named schema, with those it refers to.
#[derive(Clone)]
pub struct SchemaRef {
    /// Its name in the OpenAPI document.
    pub name: Cow<'static, str>,
    /// Collects the schema and those it refers to.
    pub collect: fn(&mut Vec<(String, RefOr<Schema>)>),
}

impl SchemaRef {
    fn of<T: ToSchema>() -> Self {
        Self {
            name: T::name(),
            collect: |all| {
                all.push((T::name().into_owned(), T::schema()));
                T::schemas(all);
            },
        }
    }
}

impl fmt::Debug for SchemaRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} for {}", self.method, self.path, self.principal)
    }
}

macro_rules! methods {
    ($($name:ident $method:ident),+ $(,)?) => { $(
        #[doc = concat!("A route for `", stringify!($method), "` requests to `path`.")]
        pub fn $name<F, Args>(path: &'static str, principal: Principal, rate: RateClass, handler: F) -> Route
        where
            F: Handler<Args> + Send + Sync,
            F::Output: Responder + 'static,
            Args: actix_web::FromRequest + 'static,
        {
            Route::new(Method::$method, path, principal, rate, handler)
        }
    )+ };
}

methods! { get GET, post POST, put PUT, patch PATCH, delete DELETE, options OPTIONS }

macro_rules! methods_with_body {
    ($($name:ident $method:ident),+ $(,)?) => { $(
        #[doc = concat!("A route for `", stringify!($method), "` requests to `path` whose handler takes a JSON body; the type of the body is its schema.")]
        pub fn $name<F, Args>(path: &'static str, principal: Principal, rate: RateClass, handler: F) -> Route
        where
            F: Handler<Args> + Send + Sync,
            F::Output: Responder + 'static,
            Args: actix_web::FromRequest + TakesJson + 'static,
            Args::Body: ToSchema,
        {
            let route = Route::new(Method::$method, path, principal, rate, handler);
            Route { request: Some(SchemaRef::of::<Args::Body>()), ..route }
        }
    )+ };
}

methods_with_body! { post_json POST, put_json PUT, patch_json PATCH }

impl Route {
    fn new<F, Args>(method: Method, path: &'static str, principal: Principal, rate: RateClass, handler: F) -> Self
    where
        F: Handler<Args> + Send + Sync,
        F::Output: Responder + 'static,
        Args: actix_web::FromRequest + 'static,
    {
        let mount = Arc::new(move || web::route().to(InTime(handler.clone())));
        Self {
            method,
            path,
            principal,
            rate,
            summary: "",
            query: Vec::new(),
            idempotent: false,
            request: None,
            answers: Vec::new(),
            mount,
        }
    }

    /// Describes the route in one line.
    #[must_use]
    pub fn summary(mut self, summary: &'static str) -> Self {
        self.summary = summary;
        self
    }

    /// Declares a query parameter.
    #[must_use]
    pub fn query(mut self, name: &'static str, description: &'static str) -> Self {
        self.query.push(Parameter { name, description });
        self
    }

    /// Declares `limit` and `cursor`.
    #[must_use]
    pub fn paged(self) -> Self {
        self.query("limit", "The maximum number of rows: 1 to 200, by default 50.")
            .query("cursor", "Where to continue: the `next` of the previous page.")
    }

    /// Declares that the route accepts `Idempotency-Key`.
    #[must_use]
    pub fn idempotent(mut self) -> Self {
        self.idempotent = true;
        self
    }

    /// Declares a JSON response.
    #[must_use]
    pub fn answers<T: ToSchema>(mut self, status: StatusCode) -> Self {
        self.answers.push(DocumentedResponse {
            status,
            content_type: "application/json",
            schema: Some(SchemaRef::of::<T>()),
        });
        self
    }

    /// Declares a response with another content type.
    #[must_use]
    pub fn answers_with(mut self, status: StatusCode, content_type: &'static str) -> Self {
        self.answers.push(DocumentedResponse { status, content_type, schema: None });
        self
    }

    /// The route with its handler and without a guard.
    pub(super) fn bare(&self) -> actix_web::Route {
        (self.mount)()
    }
}
