//! What happens before a handler runs: the query is checked, the caller is identified and admitted, the rate limit is
//! applied, and an unexpected body is refused.

use std::sync::Arc;

use actix_web::body::BoxBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, web};

use super::principal::Admission;
use super::route::{ADMISSION, Route, in_time};
use crate::accounts::{Authenticator, Caller, unauthenticated};
use crate::web::body::refuse_fields;
use crate::web::{
    ApiError, ApiResult, ClientAddress, Code, MatchedRoute, Query, RateClass, RateLimiter, Remaining, address_key,
};

/// Passes `request` on to the handler of `route`, or answers it instead.
pub(super) async fn admit(
    route: Arc<Route>,
    mut request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    request.extensions_mut().insert(MatchedRoute { path: route.path, rate: route.rate });
    let (caller, left) = match in_time(ADMISSION, check(&route, &request)).await.flatten() {
        Ok(admitted) => admitted,
        Err(error) => return Ok(request.error_response(error)),
    };
    request.extensions_mut().insert(caller);
    if let Err(error) = refuse_body(&route, &mut request).await {
        return Ok(request.error_response(error));
    }
    let mut response = next.call(request).await?;
    if let Some(left) = left {
        left.add_headers(response.headers_mut());
    }
    Ok(response)
}

async fn check(route: &Route, request: &ServiceRequest) -> ApiResult<(Caller, Option<Remaining>)> {
    let limiter = dependency::<RateLimiter>(request)?;
    let address =
        request.extensions().get::<ClientAddress>().map_or_else(String::new, |address| address_key(address.0));
    let caller = match find_caller(route, request).await {
        Ok(caller) => caller,
        Err(error) => {
            // Slows down the guessing of credentials on every route. The class is not `auth`: a page that keeps polling
            // with an expired token has to learn that it expired, not that it is too fast.
            limiter.take(RateClass::Write, &address).await?;
            return Err(error);
        }
    };
    let left = match &caller {
        Caller::Internal | Caller::Discovery | Caller::Bridge => None,
        Caller::Anonymous => limiter.take(route.rate, &address).await?,
        Caller::Customer(_) | Caller::Admin(_) => limiter.take(route.rate, &caller.actor()).await?,
    };
    match route.principal.admits(&caller) {
        Admission::Admitted => {}
        Admission::Unauthenticated => return Err(unauthenticated("This route requires credentials.")),
        Admission::Forbidden => {
            return Err(ApiError::new(Code::Forbidden, "This route is not open to this kind of caller."));
        }
    }
    let declared: Vec<_> = route.query.iter().map(|parameter| parameter.name).collect();
    Query::parse(request.query_string())?.refuse_unknown(&declared)?;
    Ok((caller, left))
}

/// A body on a route that takes none is refused, like an unknown field.
async fn refuse_body(route: &Route, request: &mut ServiceRequest) -> ApiResult<()> {
    if route.request.is_some() || matches!(route.method, Method::GET | Method::OPTIONS) {
        return Ok(());
    }
    let mut payload = request.take_payload();
    refuse_fields(request.headers(), &mut payload).await
}

async fn find_caller(route: &Route, request: &ServiceRequest) -> ApiResult<Caller> {
    if !route.principal.needs_caller() {
        return Ok(Caller::Anonymous);
    }
    dependency::<Authenticator>(request)?.authenticate(request.headers(), route.principal.takes()).await
}

/// A dependency that the server is built with. Without it, every request fails.
fn dependency<T: 'static>(request: &ServiceRequest) -> ApiResult<&web::Data<T>> {
    request.app_data().ok_or_else(|| ApiError::new(Code::Internal, "Something went wrong on our side."))
}
