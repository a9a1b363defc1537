//! How the server mounts a route: its method is checked before its guard runs, and its guard runs before its handler.

use std::sync::Arc;

use actix_web::guard::{Any, Get, Head, Method as IsMethod};
use actix_web::http::Method;
use actix_web::middleware::from_fn;

use super::guard;
use super::route::Route;

/// Mounts `route`. A `GET` route also answers `HEAD`.
pub(super) fn mounted(route: &Route) -> actix_web::Route {
    let method = match route.method {
        Method::GET => Any(Get()).or(Head()),
        ref method => Any(IsMethod(method.clone())),
    };
    let this = Arc::new(route.clone());
    route.bare().guard(method).wrap(from_fn(move |request, next| guard::admit(this.clone(), request, next)))
}
