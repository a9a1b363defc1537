//! The caller of a request, derived from its credentials before the handler runs.

use std::future::{Ready, ready};
use std::sync::Arc;

use actix_web::dev::Payload;
use actix_web::http::header::{AUTHORIZATION, HeaderMap, WWW_AUTHENTICATE};
use actix_web::{FromRequest, HttpMessage, HttpRequest};

use super::store::{self, TokenAccount};
use super::token::{TokenClaims, TokenError, TokenSigner};
use crate::db::Reads;
use crate::db::entities::standing::StandingState;
use crate::db::entities::user::{self, Role};
use crate::kernel::{Clock, Secret, UnknownText};
use crate::ports::BridgeSecret;
use crate::web::{ApiError, ApiResult, Code};

/// The caller of a request.
#[derive(Clone, Debug)]
pub enum Caller {
    /// No credentials were sent.
    Anonymous,
    /// A signed-in user.
    Customer(SignedIn),
    /// A signed-in user with the role admin.
    Admin(SignedIn),
    /// Another part of our own system.
    Internal,
    /// The service discovery of the monitoring system.
    Discovery,
    /// The bridge in the game proxy.
    Bridge,
}

/// A user and the token that identified it.
#[derive(Clone, Debug)]
pub struct SignedIn {
    /// The account.
    pub user: user::Model,
    /// The token.
    pub claims: TokenClaims,
    /// What is stored as the enforcement state of the account; `None` means active.
    standing: Option<String>,
}

impl SignedIn {
    /// The enforcement state of the account.
    pub fn standing(&self) -> Result<StandingState, UnknownText> {
        self.standing.as_deref().map_or(Ok(StandingState::Active), str::parse)
    }
}

impl Caller {
    /// The account of the caller, if it has one.
    pub fn signed_in(&self) -> Option<&SignedIn> {
        match self {
            Self::Customer(account) | Self::Admin(account) => Some(account),
            Self::Anonymous | Self::Internal | Self::Discovery | Self::Bridge => None,
        }
    }

    /// How the audit log and the rate limits name the caller.
    pub fn actor(&self) -> String {
        match self {
            Self::Anonymous => "anonymous".to_owned(),
            Self::Customer(account) | Self::Admin(account) => account.user.id.to_string(),
            Self::Internal => "internal".to_owned(),
            Self::Discovery => "discovery".to_owned(),
            Self::Bridge => "bridge".to_owned(),
        }
    }
}

/// Turns credentials into a [`Caller`]. A token that is not configured matches nothing.
#[derive(Clone, Debug)]
pub struct Authenticator {
    reads: Reads,
    clock: Clock,
    tokens: TokenSigner,
    internal: Option<Secret>,
    discovery: Option<Secret>,
    bridge: Option<Arc<dyn BridgeSecret>>,
}

/// Which credentials a route accepts besides bearer tokens, which every route accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proofs {
    /// None.
    Bearer,
    /// The internal headers.
    Internal,
    /// The internal headers, and the secret of the bridge.
    InternalOrBridge,
}

const INTERNAL_HEADERS: [&str; 2] = ["x-zlh-internal-token", "x-internal-token"];
const BRIDGE_HEADER: &str = "x-zpack-secret";

impl Authenticator {
    /// Verifies tokens of `tokens`, and the `internal` and `discovery` secrets where they are set.
    pub fn new(
        reads: Reads,
        clock: Clock,
        tokens: TokenSigner,
        internal: Option<Secret>,
        discovery: Option<Secret>,
    ) -> Self {
        Self { reads, clock, tokens, internal: set(internal), discovery: set(discovery), bridge: None }
    }

    /// Also authenticates the bridge, if it has a `secret`.
    #[must_use]
    pub fn with_bridge(self, secret: Option<Arc<dyn BridgeSecret>>) -> Self {
        Self { bridge: secret, ..self }
    }

    /// Authenticates the caller from `headers`, accepting the credentials in `proofs`. A wrong credential is refused
    /// even if a valid one is sent too. The exception is the secret of the bridge, which is ignored beside another
    /// credential, so that a bridge that sends both can change its secret. Queries the database once, and only for an
    /// access token.
    pub async fn authenticate(&self, headers: &HeaderMap, proofs: Proofs) -> ApiResult<Caller> {
        let (takes_internal, takes_bridge) = match proofs {
            Proofs::Bearer => (false, false),
            Proofs::Internal => (true, false),
            Proofs::InternalOrBridge => (true, true),
        };
        if takes_internal && let Some(right) = proved(headers, &INTERNAL_HEADERS, &self.internal) {
            return right.then_some(Caller::Internal).ok_or_else(|| unauthenticated("The internal token is wrong."));
        }
        let Some(token) = bearer(headers)? else {
            let proved = if takes_bridge { self.bridge_proved(headers).await } else { None };
            return match proved {
                Some(true) => Ok(Caller::Bridge),
                Some(false) => Err(unauthenticated("The secret of the bridge is wrong.")),
                None => Ok(Caller::Anonymous),
            };
        };
        if matches(&self.internal, token) {
            return Ok(Caller::Internal);
        }
        if matches(&self.discovery, token) {
            return Ok(Caller::Discovery);
        }
        let claims = self.tokens.verify(token, self.clock.now()).map_err(|error| match error {
            TokenError::Expired => unauthenticated("The access token has expired."),
            TokenError::Foreign | TokenError::WeakSecret | TokenError::Sign(_) => {
                unauthenticated("The access token is not valid.")
            }
        })?;
        let found = store::find_by_claims(&self.reads, &claims).await?;
        let TokenAccount { user, standing } = found.ok_or_else(|| unauthenticated("The access token was revoked."))?;
        Ok(match user.role {
            Role::Customer => Caller::Customer(SignedIn { user, claims, standing }),
            Role::Admin => Caller::Admin(SignedIn { user, claims, standing }),
        })
    }

    /// Whether all headers of the bridge carry its secret; `None` if none was sent.
    async fn bridge_proved(&self, headers: &HeaderMap) -> Option<bool> {
        let mut sent = headers.get_all(BRIDGE_HEADER).peekable();
        sent.peek()?;
        let Some(secret) = &self.bridge else { return Some(false) };
        for value in sent {
            match value.to_str() {
                Ok(text) if secret.proves(text).await => {}
                Ok(_) | Err(_) => return Some(false),
            }
        }
        Some(true)
    }
}

/// The error for a request without a valid credential.
pub fn unauthenticated(detail: &str) -> ApiError {
    ApiError::new(Code::Unauthenticated, detail).header(WWW_AUTHENTICATE, "Bearer realm=\"zpack\"")
}

/// `secret`, unless it is empty.
fn set(secret: Option<Secret>) -> Option<Secret> {
    secret.filter(|secret| !secret.expose().is_empty())
}

/// Whether all `headers` with these `names` carry `secret`; `None` if none was sent.
fn proved(headers: &HeaderMap, names: &[&str], secret: &Option<Secret>) -> Option<bool> {
    let mut sent = names.iter().flat_map(|name| headers.get_all(*name)).peekable();
    sent.peek()?;
    Some(sent.all(|value| value.to_str().is_ok_and(|text| matches(secret, text))))
}

fn matches(secret: &Option<Secret>, candidate: &str) -> bool {
    secret.as_ref().is_some_and(|secret| secret.matches(candidate))
}

/// The bearer token; `None` if there is no `Authorization` header, an error if it is malformed.
fn bearer(headers: &HeaderMap) -> ApiResult<Option<&str>> {
    let mut lines = headers.get_all(AUTHORIZATION);
    let Some(line) = lines.next() else { return Ok(None) };
    let token = line.to_str().ok().and_then(|text| {
        let (scheme, token) = text.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
    });
    match token {
        Some(token) if lines.next().is_none() && !token.is_empty() => Ok(Some(token)),
        _ => Err(unauthenticated("Send one `Authorization: Bearer <token>` header.")),
    }
}

fn of(request: &HttpRequest) -> ApiResult<Caller> {
    request.extensions().get::<Caller>().cloned().ok_or_else(|| unauthenticated("This needs an account."))
}

impl FromRequest for Caller {
    type Error = ApiError;
    type Future = Ready<ApiResult<Self>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(of(request))
    }
}

/// A caller with an account, of any role.
#[derive(Clone, Debug)]
pub struct Customer(pub SignedIn);

impl FromRequest for Customer {
    type Error = ApiError;
    type Future = Ready<ApiResult<Self>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let account = of(request).and_then(|caller| match caller {
            Caller::Customer(account) | Caller::Admin(account) => Ok(Self(account)),
            Caller::Anonymous | Caller::Internal | Caller::Discovery | Caller::Bridge => {
                Err(unauthenticated("This needs an account."))
            }
        });
        ready(account)
    }
}

/// A caller whose account has the role admin.
#[derive(Clone, Debug)]
pub struct Admin(pub SignedIn);

impl FromRequest for Admin {
    type Error = ApiError;
    type Future = Ready<ApiResult<Self>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let account = of(request).and_then(|caller| match caller {
            Caller::Admin(account) => Ok(Self(account)),
            Caller::Customer(_) => Err(ApiError::new(Code::Forbidden, "This needs the role admin.")),
            Caller::Anonymous | Caller::Internal | Caller::Discovery | Caller::Bridge => {
                Err(unauthenticated("This needs an account."))
            }
        });
        ready(account)
    }
}
