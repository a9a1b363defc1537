//! `/api/auth/*`: register, log in, log out, and read or change one's own account.

use actix_web::{HttpResponse, web};
use sea_orm::DatabaseConnection;
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use super::caller::{Caller, Customer};
use super::error::AccountError;
use super::identity::{EmailAddress, Username, check_password};
use super::password::Passwords;
use super::password_hash::PasswordCheck;
use super::store::{self, NewUser, ProfileChange};
use super::token::TokenSigner;
use crate::audit::{self, AuditOutcome, Entry};
use crate::db;
use crate::db::entities::standing::StandingState;
use crate::db::entities::user::{self, Role};
use crate::kernel::{Clock, Secret, Timestamp, UserId};
use crate::web::readers::{parsed, text};
use crate::web::{
    ApiError, ApiResult, ClientRequestId, Code, FieldError, FieldUpdate, Fields, FromFields, Json, RateClass,
    RateLimiter,
};

/// The dependencies of the account routes.
#[derive(Clone, Debug)]
pub struct AccountsApi {
    /// The database.
    pub db: DatabaseConnection,
    /// The clock.
    pub clock: Clock,
    /// Hashes passwords.
    pub passwords: Passwords,
    /// Issues tokens.
    pub tokens: TokenSigner,
    /// Limits attempts on an account from all addresses together.
    pub limiter: RateLimiter,
}

/// A new account. An empty name means that there is none.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct RegisterRequest {
    /// An email address that is not registered yet.
    #[schema(value_type = String, format = "email", max_length = 254)]
    email: EmailAddress,
    /// A username that is not registered yet.
    #[schema(value_type = String, min_length = 3, max_length = 32, pattern = "^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    username: Username,
    /// 10 to 128 characters.
    #[schema(value_type = String, format = "password", min_length = 10, max_length = 128)]
    password: Secret,
    /// Display name.
    #[schema(max_length = 128)]
    display_name: Option<String>,
    /// Given name.
    #[schema(max_length = 128)]
    first_name: Option<String>,
    /// Family name.
    #[schema(max_length = 128)]
    last_name: Option<String>,
}

impl FromFields for RegisterRequest {
    fn from_fields(mut fields: Fields<'_>) -> ApiResult<Self> {
        let email = fields.required(&["email"], parsed::<EmailAddress>());
        let username = fields.required(&["username"], parsed::<Username>());
        let password = fields.required(&["password"], parsed_password);
        let display_name = fields.optional_filled(&["displayName"], text(1..=128));
        let first_name = fields.optional_filled(&["firstName"], text(1..=128));
        let last_name = fields.optional_filled(&["lastName"], text(1..=128));
        if let (Some(password), Some(email), Some(username)) = (password.value(), email.value(), username.value())
            && let Err(error) = check_password(password.expose(), email.as_str(), username.as_str())
        {
            fields.problem("password", &error.to_string());
        }
        let checked = (email, username, password, display_name, first_name, last_name);
        let (email, username, password, display_name, first_name, last_name) = fields.finish(checked)?;
        Ok(Self { email, username, password, display_name, first_name, last_name })
    }
}

/// The credentials of a login.
#[derive(Debug, ToSchema)]
pub struct LoginRequest {
    /// Email address or username.
    #[schema(min_length = 1, max_length = 254)]
    identifier: String,
    /// The password.
    #[schema(value_type = String, format = "password", min_length = 1, max_length = 1024)]
    password: Secret,
}

impl FromFields for LoginRequest {
    fn from_fields(mut fields: Fields<'_>) -> ApiResult<Self> {
        let identifier = fields.required(&["identifier", "email", "username"], text(1..=254));
        let password = fields.required(&["password"], secret_text(1, 1024));
        let (identifier, password) = fields.finish((identifier, password))?;
        Ok(Self { identifier, password })
    }
}

/// Changes to your account: absent fields stay, `null` or an empty text clears a name. A new email address or username needs
/// the password.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct ProfileRequest {
    /// An email address that is not registered yet.
    #[schema(value_type = String, required = false, format = "email", max_length = 254)]
    email: Option<EmailAddress>,
    /// A username that is not registered yet.
    #[schema(value_type = String, required = false, min_length = 3, max_length = 32)]
    username: Option<Username>,
    /// The present password, with a new email address or username.
    #[schema(value_type = Option<String>, format = "password", min_length = 1, max_length = 1024)]
    current_password: Option<Secret>,
    /// Display name.
    #[schema(value_type = Option<String>, max_length = 128)]
    display_name: FieldUpdate<String>,
    /// Given name.
    #[schema(value_type = Option<String>, max_length = 128)]
    first_name: FieldUpdate<String>,
    /// Family name.
    #[schema(value_type = Option<String>, max_length = 128)]
    last_name: FieldUpdate<String>,
}

impl FromFields for ProfileRequest {
    fn from_fields(mut fields: Fields<'_>) -> ApiResult<Self> {
        let email = fields.change("email", parsed::<EmailAddress>());
        if matches!(email.value(), Some(FieldUpdate::Clear)) {
            fields.problem("email", "cannot be cleared");
        }
        let username = fields.change("username", parsed::<Username>());
        if matches!(username.value(), Some(FieldUpdate::Clear)) {
            fields.problem("username", "cannot be cleared");
        }
        let current_password = fields.optional(&["currentPassword"], secret_text(1, 1024));
        let display_name = fields.change_filled("displayName", text(1..=128));
        let first_name = fields.change_filled("firstName", text(1..=128));
        let last_name = fields.change_filled("lastName", text(1..=128));
        let checked = (email, username, current_password, display_name, first_name, last_name);
        let (email, username, current_password, display_name, first_name, last_name) = fields.finish(checked)?;
        let (email, username) = (email.value(), username.value());
        Ok(Self { email, username, current_password, display_name, first_name, last_name })
    }
}

/// A new password, and the present one as proof.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct PasswordRequest {
    /// The present password.
    #[schema(value_type = String, format = "password", min_length = 1, max_length = 1024)]
    current_password: Secret,
    /// 10 to 128 characters.
    #[schema(value_type = String, format = "password", min_length = 10, max_length = 128)]
    new_password: Secret,
}

impl FromFields for PasswordRequest {
    fn from_fields(mut fields: Fields<'_>) -> ApiResult<Self> {
        let current = fields.required(&["currentPassword"], secret_text(1, 1024));
        let new = fields.required(&["newPassword"], parsed_password);
        let (current_password, new_password) = fields.finish((current, new))?;
        Ok(Self { current_password, new_password })
    }
}

/// An access token.
#[derive(Debug, Serialize, ToSchema)]
pub struct TokenResponse {
    /// Always true.
    ok: bool,
    /// The token, to be sent as `Authorization: Bearer`.
    token: String,
}

/// The token is revoked.
#[derive(Debug, Serialize, ToSchema)]
pub struct LogoutResponse {
    /// Always true.
    ok: bool,
}

/// Your account.
#[derive(Debug, Serialize, ToSchema)]
pub struct MeResponse {
    /// Always true.
    ok: bool,
    /// The account.
    user: Me,
}

/// An account as its owner sees it.
#[derive(Debug, Serialize, ToSchema)]
pub struct Me {
    /// Its id.
    #[schema(value_type = String)]
    id: UserId,
    /// Its email address.
    email: String,
    /// Its name.
    username: String,
    /// Display name.
    #[serde(rename = "displayName")]
    display_name: Option<String>,
    /// Given name.
    #[serde(rename = "firstName")]
    first_name: Option<String>,
    /// Family name.
    #[serde(rename = "lastName")]
    last_name: Option<String>,
    /// `customer` or `admin`.
    #[schema(value_type = String)]
    role: Role,
    /// The state of billing.
    billing_status: Option<String>,
    /// Since when the account is suspended.
    #[schema(value_type = Option<String>, format = "date-time")]
    suspended_at: Option<Timestamp>,
    /// What the account may do now.
    #[schema(value_type = String)]
    enforcement_state: StandingState,
}

impl MeResponse {
    fn of(user: user::Model, enforcement_state: StandingState) -> Self {
        let user = Me {
            id: user.id,
            email: user.email,
            username: user.username,
            display_name: user.display_name,
            first_name: user.first_name,
            last_name: user.last_name,
            role: user.role,
            billing_status: user.billing_status,
            suspended_at: user.suspended_at,
            enforcement_state,
        };
        Self { ok: true, user }
    }
}

/// `POST /api/auth/register`. Hashes the password before it checks whether the account exists, so that a refusal takes
/// as long as a success.
pub async fn register(api: web::Data<AccountsApi>, body: Json<RegisterRequest>) -> ApiResult<HttpResponse> {
    let now = api.clock.now();
    let RegisterRequest { email, username, password, display_name, first_name, last_name } = body.value;
    let password_hash = api.passwords.hash(&password).await.map_err(AccountError::from)?;
    let role = Role::Customer;
    let new = NewUser { email, username, display_name, first_name, last_name, role, password_hash };
    let user = store::insert(&api.db, new, now).await?;
    let token = api.tokens.issue(user.id, user.token_epoch, now).map_err(AccountError::from)?;
    tracing::info!(user.id = %user.id, "registered {}", user.id);
    Ok(HttpResponse::Created().json(TokenResponse { ok: true, token }))
}

/// `POST /api/auth/login`. An unknown account takes as long as a wrong password and gets the same answer.
pub async fn login(api: web::Data<AccountsApi>, body: Json<LoginRequest>) -> ApiResult<web::Json<TokenResponse>> {
    let now = api.clock.now();
    let LoginRequest { identifier, password } = body.value;
    let user = store::find_by_identifier(&api.db, &identifier).await?;
    // An account is one, by whichever of its names it is tried.
    let tried = user.as_ref().map_or_else(|| identifier.trim().to_lowercase(), |user| user.id.to_string());
    api.limiter.take(RateClass::Auth, &format!("account:{tried}")).await?;
    let hash = user.as_ref().map(|user| user.password_hash.as_str());
    let verdict = api.passwords.verify(&password, hash).await.map_err(AccountError::from)?;
    let user = user.filter(|_| verdict != PasswordCheck::Wrong).ok_or(AccountError::WrongPassword)?;
    if verdict == PasswordCheck::RightButOld {
        renew_hash(&api, &user, &password, now).await;
    }
    let token = api.tokens.issue(user.id, user.token_epoch, now).map_err(AccountError::from)?;
    Ok(web::Json(TokenResponse { ok: true, token }))
}

/// Replaces an outdated hash. A failure does not affect the login; the next login tries again.
async fn renew_hash(api: &AccountsApi, user: &user::Model, password: &Secret, now: Timestamp) {
    let renewed = async {
        let new = api.passwords.hash(password).await?;
        store::replace_hash(&api.db, user.id, &user.password_hash, &new, now).await.map_err(AccountError::from)
    };
    match renewed.await {
        Ok(_) => tracing::info!(user.id = %user.id, "replaced the old password hash of {}", user.id),
        Err(error) => {
            tracing::warn!(user.id = %user.id, %error, "the old password hash of {} could not be replaced", user.id)
        }
    }
}

/// `POST /api/auth/logout`. Revokes the token of the request, if there is one.
pub async fn logout(api: web::Data<AccountsApi>, caller: Caller) -> ApiResult<web::Json<LogoutResponse>> {
    if let Some(account) = caller.signed_in() {
        store::revoke(&api.db, &account.claims).await?;
    }
    Ok(web::Json(LogoutResponse { ok: true }))
}

/// `GET /api/auth/me`.
pub async fn me(Customer(account): Customer) -> ApiResult<web::Json<MeResponse>> {
    let standing = account.standing().map_err(ApiError::internal)?;
    Ok(web::Json(MeResponse::of(account.user, standing)))
}

/// `PATCH /api/auth/me`. The password is checked before it is known whether a new address or name is free.
pub async fn update_me(
    api: web::Data<AccountsApi>,
    Customer(account): Customer,
    name: ClientRequestId,
    body: Json<ProfileRequest>,
) -> ApiResult<web::Json<MeResponse>> {
    let now = api.clock.now();
    let ProfileRequest { email, username, current_password, display_name, first_name, last_name } = body.value;
    let old = account.user;
    let email = email.filter(|email| email.as_str() != old.email);
    let username = username.filter(|username| username.as_str() != old.username);
    if email.is_some() || username.is_some() {
        api.limiter.take(RateClass::Identity, &old.id.to_string()).await?;
        let password = current_password
            .ok_or_else(|| refused("/currentPassword", "is required with a new email address or username"))?;
        prove(&api, &old, &password).await?;
    }
    let entry = email.as_ref().map(|email| Entry {
        actor: old.id.to_string(),
        action: "user.change_email",
        subject: old.id.to_string(),
        outcome: AuditOutcome::Done,
        request: Some(name),
        detail: json!({ "from": old.email, "to": email.as_str() }),
    });
    let change = ProfileChange { email, username, display_name, first_name, last_name };
    let tx = db::begin(&api.db).await?;
    let user = store::update_profile(&tx, old.id, change, now).await?;
    if let Some(entry) = entry {
        audit::record(&tx, entry, now).await?;
    }
    tx.commit().await?;
    let standing = store::find_standing(&api.db, user.id).await?;
    Ok(web::Json(MeResponse::of(user, standing)))
}

/// Refuses a `password` that is not the one of `user`.
async fn prove(api: &AccountsApi, user: &user::Model, password: &Secret) -> ApiResult<()> {
    match api.passwords.verify(password, Some(&user.password_hash)).await.map_err(AccountError::from)? {
        PasswordCheck::Right | PasswordCheck::RightButOld => Ok(()),
        PasswordCheck::Wrong => Err(refused("/currentPassword", "is not the password of this account")),
    }
}

/// `POST /api/auth/password`. Revokes all tokens of the account and answers with a new one.
pub async fn change_password(
    api: web::Data<AccountsApi>,
    Customer(account): Customer,
    body: Json<PasswordRequest>,
) -> ApiResult<web::Json<TokenResponse>> {
    let now = api.clock.now();
    let PasswordRequest { current_password, new_password } = body.value;
    let user = account.user;
    if let Err(error) = check_password(new_password.expose(), &user.email, &user.username) {
        return Err(refused("/newPassword", &error.to_string()));
    }
    prove(&api, &user, &current_password).await?;
    let new = api.passwords.hash(&new_password).await.map_err(AccountError::from)?;
    if !store::change_password(&api.db, &user, &new, now).await? {
        return Err(ApiError::new(Code::StateConflict, "The password was changed by another request meanwhile."));
    }
    let token = api.tokens.issue(user.id, user.token_epoch.wrapping_add(1), now).map_err(AccountError::from)?;
    tracing::info!(user.id = %user.id, "{} set a new password; its other tokens are revoked", user.id);
    Ok(web::Json(TokenResponse { ok: true, token }))
}

fn refused(pointer: &str, message: &str) -> ApiError {
    ApiError::validation(vec![FieldError { pointer: pointer.to_owned(), message: message.to_owned() }])
}

fn parsed_password(value: &serde_json::Value) -> Result<Secret, String> {
    secret_text(10, 128)(value)
}

fn secret_text(least: usize, most: usize) -> impl FnOnce(&serde_json::Value) -> Result<Secret, String> {
    move |value| text(least..=most)(value).map(Secret::new)
}
