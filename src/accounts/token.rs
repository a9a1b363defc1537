//! Access tokens: JWT, only HS256, bound to one issuer, audience and purpose (pure).
//!
//! A token names its user, itself (`jti`, for logout) and the epoch of the account (for "log out everywhere").
//! [`super::Authenticator`] checks in the database whether it was revoked.

use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};

use crate::kernel::{Secret, Timestamp, TokenId, UserId};

const ISSUER: &str = "zpack";
const AUDIENCE: &str = "zpack-api";
const PURPOSE: &str = "access";
/// The largest accepted difference between the clocks of two machines.
const LEEWAY_SECONDS: i64 = 5;
const SHORTEST_SECRET: usize = 32;

/// Issues and verifies access tokens.
#[derive(Clone)]
pub struct TokenSigner {
    encoding: EncodingKey,
    decoding: DecodingKey,
    validation: Arc<Validation>,
    lifetime: Duration,
}

/// The contents of a verified token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenClaims {
    /// Its user.
    pub user: UserId,
    /// Its own id.
    pub token: TokenId,
    /// The epoch of the account when it was issued.
    pub epoch: i32,
    /// When it expires.
    pub expires_at: Timestamp,
}

/// Why a token could not be issued or is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The secret is too short to sign with.
    #[error("a signing secret needs at least {SHORTEST_SECRET} bytes")]
    WeakSecret,
    /// The token could not be signed.
    #[error("the access token could not be signed")]
    Sign(#[source] jsonwebtoken::errors::Error),
    /// It is not a token of ours, or not for this purpose.
    #[error("not an access token of this service")]
    Foreign,
    /// It has expired.
    #[error("the access token has expired")]
    Expired,
}

#[derive(Serialize, Deserialize)]
struct Wire {
    iss: String,
    aud: String,
    purpose: String,
    sub: UserId,
    jti: TokenId,
    epoch: i32,
    iat: i64,
    exp: i64,
}

impl TokenSigner {
    /// Signs with `secret`, of at least 32 bytes, tokens that live for `lifetime`.
    pub fn new(secret: &Secret, lifetime: Duration) -> Result<Self, TokenError> {
        let bytes = secret.expose().as_bytes();
        if bytes.len() < SHORTEST_SECRET {
            return Err(TokenError::WeakSecret);
        }
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[AUDIENCE]);
        validation.set_required_spec_claims(&["iss", "aud", "sub", "exp"]);
        // The library reads the wall clock; `verify` compares the expiry with its own time.
        validation.validate_exp = false;
        Ok(Self {
            encoding: EncodingKey::from_secret(bytes),
            decoding: DecodingKey::from_secret(bytes),
            validation: Arc::new(validation),
            lifetime,
        })
    }

    /// A new token for `user`, whose account is at `epoch`.
    pub fn issue(&self, user: UserId, epoch: i32, now: Timestamp) -> Result<String, TokenError> {
        let wire = Wire {
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            purpose: PURPOSE.to_owned(),
            sub: user,
            jti: TokenId::generate(),
            epoch,
            iat: now.seconds(),
            exp: now.after(self.lifetime).seconds(),
        };
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &wire, &self.encoding).map_err(TokenError::Sign)
    }

    /// The contents of `token`, if it is ours and valid at `now`.
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<TokenClaims, TokenError> {
        let wire = jsonwebtoken::decode::<Wire>(token, &self.decoding, &self.validation);
        let wire = wire.map_err(|_| TokenError::Foreign)?;
        let Wire { purpose, sub, jti, epoch, iat, exp, .. } = wire.claims;
        if purpose != PURPOSE || iat > now.seconds().saturating_add(LEEWAY_SECONDS) {
            return Err(TokenError::Foreign);
        }
        if exp <= now.seconds().saturating_sub(LEEWAY_SECONDS) {
            return Err(TokenError::Expired);
        }
        let expires_at = Timestamp::from_millis(exp.saturating_mul(1000));
        Ok(TokenClaims { user: sub, token: jti, epoch, expires_at })
    }
}

impl std::fmt::Debug for TokenSigner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenSigner").field("lifetime", &self.lifetime).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
    const HOUR: Duration = Duration::from_secs(3600);

    fn signer() -> TokenSigner {
        TokenSigner::new(&Secret::new("0123456789abcdef0123456789abcdef"), HOUR).unwrap()
    }

    fn signed(algorithm: Algorithm, change: impl FnOnce(&mut Value)) -> String {
        let mut claims = json!({
            "iss": ISSUER, "aud": AUDIENCE, "purpose": PURPOSE, "sub": UserId::generate(), "jti": TokenId::generate(),
            "epoch": 0, "iat": NOW.seconds(), "exp": NOW.seconds() + 60,
        });
        change(&mut claims);
        jsonwebtoken::encode(&Header::new(algorithm), &claims, &signer().encoding).unwrap()
    }

    #[test]
    fn a_token_is_valid_until_it_expires() {
        let user = UserId::generate();
        let token = signer().issue(user, 3, NOW).unwrap();
        let claims = signer().verify(&token, NOW.after(HOUR / 2)).unwrap();
        assert_eq!((claims.user, claims.epoch), (user, 3));
        assert!(matches!(signer().verify(&token, NOW.after(HOUR * 2)), Err(TokenError::Expired)));
    }

    #[test]
    fn foreign_tokens_are_refused() {
        assert!(signer().verify(&signed(Algorithm::HS256, |_| {}), NOW).is_ok());
        let refused = [
            signed(Algorithm::HS512, |_| {}),
            signed(Algorithm::HS256, |c| c["purpose"] = json!("ide")),
            signed(Algorithm::HS256, |c| c["aud"] = json!("other")),
            signed(Algorithm::HS256, |c| c["iss"] = json!("other")),
            signed(Algorithm::HS256, |c| c["iat"] = json!(NOW.seconds() + 3600)),
            signed(Algorithm::HS256, |c| drop(c.as_object_mut().unwrap().remove("jti"))),
            signed(Algorithm::HS256, |c| drop(c.as_object_mut().unwrap().remove("exp"))),
            "a.b.c".to_owned(),
            String::new(),
            // alg "none"
            "eyJhbGciOiJub25lIn0.e30.".to_owned(),
        ];
        for token in refused {
            assert!(matches!(signer().verify(&token, NOW), Err(TokenError::Foreign)), "{token}");
        }
        let other = TokenSigner::new(&Secret::new("another secret, long enough for HS256"), HOUR).unwrap();
        let token = other.issue(UserId::generate(), 0, NOW).unwrap();
        assert!(matches!(signer().verify(&token, NOW), Err(TokenError::Foreign)));
    }

    #[test]
    fn short_secrets_are_refused() {
        assert!(matches!(TokenSigner::new(&Secret::new("short"), HOUR), Err(TokenError::WeakSecret)));
    }
}
