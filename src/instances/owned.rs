//! The server that a request names, if the caller owns it.

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest, web};
use futures_util::future::LocalBoxFuture;

use super::api::ServersApi;
use crate::accounts::Customer;
use crate::db::entities::instance;
use crate::kernel::VmId;
use crate::servers::store;
use crate::web::{ApiError, ApiResult};

/// The server that `{id}` of the path names and the caller owns. Another customer's server, an unknown id and a
/// malformed id all get the same 404, so that the answer does not reveal which ids exist.
#[derive(Clone, Debug)]
pub struct OwnedServer(pub instance::Model);

impl FromRequest for OwnedServer {
    type Error = ApiError;
    type Future = LocalBoxFuture<'static, ApiResult<Self>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let caller = Customer::from_request(request, payload);
        let api = web::Data::<ServersApi>::from_request(request, payload);
        let id = request.match_info().get("id").and_then(|id| id.parse::<VmId>().ok());
        Box::pin(async move {
            let Customer(account) = caller.await?;
            let api = api.await.map_err(|_| ApiError::not_found("server"))?;
            let vmid = id.ok_or_else(|| ApiError::not_found("server"))?;
            let found = store::find_owned(&api.reads, account.user.id, vmid).await?;
            found.map(Self).ok_or_else(|| ApiError::not_found("server"))
        })
    }
}
