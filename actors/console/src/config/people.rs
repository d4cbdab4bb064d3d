//! People: who asks, passwords and tokens, what users set for their devices, the audit log.
//!
//! A token is told once, when it is made. Nothing here keeps a password longer than it takes to hand it on.

use super::changes::limit;
use super::rows::said;
use crate::access::By;
use crate::reply::{answer, noted, refusal, strange, written};
use crate::serve::Call;
use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};
use tandem_base::DeviceName;
use tandem_model::admin::config::{ConfigReply, ConfigRequest, Password, Role, USER_FIELDS};
use tandem_model::admin::{AdminError, ErrorKind, Scope, nearest};

#[expect(clippy::unused_async, reason = "a route's handler is a future")]
pub(crate) async fn whoami(call: &Call) -> HttpResponse {
    answer(&call.who.identity)
}

/// Shortest and longest password, in characters.
const PASSWORD_MIN: usize = 12;
const PASSWORD_MAX: usize = 512;

/// A password to be.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewPassword {
    /// In the clear; only its hash is kept.
    #[schemars(length(min = 12, max = 512))]
    password: String,
}
pub(crate) async fn password(call: &Call) -> HttpResponse {
    match set_password(call).await {
        Ok(ConfigReply::Written(done)) => written(&done, StatusCode::OK),
        other => said(other),
    }
}
async fn set_password(call: &Call) -> Result<ConfigReply, AdminError> {
    let user = call.place("name").to_owned();
    if call.who.identity.role < Role::Admin && !(call.who.by == By::Password && call.who.identity.name == user) {
        let message = "only an admin may change the password of somebody else";
        return Err(AdminError::new(ErrorKind::Forbidden, message).code("T0403"));
    }
    let NewPassword { password } = call.json()?;
    if !(PASSWORD_MIN..=PASSWORD_MAX).contains(&password.chars().count()) {
        let what = format!("a password has {PASSWORD_MIN} to {PASSWORD_MAX} characters");
        return Err(AdminError::new(ErrorKind::Invalid, what));
    }
    let author = call.author();
    call.config(ConfigRequest::SetPassword { user, password: Password(password), author }).await
}

/// A token to be.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewToken {
    /// Its key in the table `token`; one is made up unless given.
    #[serde(default)]
    #[schemars(length(min = 1, max = 64))]
    id: Option<String>,
    /// What it may do.
    role: Role,
    /// What it is good for, beside its role; everything unless given.
    #[serde(default)]
    scopes: Option<Vec<Scope>>,
    /// Until when, in milliseconds since 1970 (UTC); for ever unless given.
    #[serde(default)]
    expires: Option<u64>,
    /// The user that it goes with: without him it is worth nothing.
    #[serde(default)]
    user: Option<String>,
    /// For people.
    #[serde(default)]
    description: Option<String>,
}
pub(crate) async fn token(call: &Call) -> HttpResponse {
    let made = match call.json::<NewToken>() {
        Ok(token) => {
            let mut fields =
                Map::from_iter([("role".to_owned(), serde_json::to_value(token.role).unwrap_or_default())]);
            let mut give = |name: &str, value: Option<Value>| {
                if let Some(value) = value {
                    fields.insert(name.to_owned(), value);
                }
            };
            give("scopes", token.scopes.map(|s| s.iter().map(|s| s.word()).collect()));
            give("expires", token.expires.map(Value::from));
            give("user", token.user.map(Value::from));
            give("description", token.description.map(Value::from));
            call.config(ConfigRequest::IssueToken { fields, id: token.id, author: call.author() }).await
        }
        Err(error) => Err(error),
    };
    match made {
        Ok(reply @ ConfigReply::Token { revision, .. }) => {
            let mut response = answer(reply);
            *response.status_mut() = StatusCode::CREATED;
            noted(response, Some(revision))
        }
        other => said(other),
    }
}

fn device(call: &Call) -> Result<String, AdminError> {
    let name = DeviceName::new(call.place("name"));
    name.map(|n| n.to_string()).map_err(|e| AdminError::new(ErrorKind::Invalid, e.to_string()))
}

pub(crate) async fn settings(call: &Call) -> HttpResponse {
    match device(call) {
        Ok(device) => said(call.config(ConfigRequest::UserSettings { device }).await),
        Err(error) => refusal(&error),
    }
}
pub(crate) async fn set_settings(call: &Call) -> HttpResponse {
    said(set(call).await)
}
async fn set(call: &Call) -> Result<ConfigReply, AdminError> {
    let device = device(call)?;
    let fields: Map<String, Value> = call.json()?;
    // All names are looked at before anything is set.
    if let Some(unknown) = fields.keys().find(|f| !USER_FIELDS.contains(&f.as_str())) {
        let error = AdminError::new(ErrorKind::Invalid, format!("users have no setting {unknown:?}"));
        let error = AdminError { nearest: nearest(unknown, USER_FIELDS).map(str::to_owned), ..error };
        return Err(error.remedy(format!("known: {}", USER_FIELDS.join(", "))));
    }
    let mut reply = call.config(ConfigRequest::UserSettings { device: device.clone() }).await?;
    for (field, value) in fields {
        let (value, author) = (Some(value).filter(|v| !v.is_null()), call.author());
        reply = call.config(ConfigRequest::SetUser { device: device.clone(), field, value, author }).await?;
    }
    match reply {
        ConfigReply::UserSettings { .. } => Ok(reply),
        other => Err(strange(&other)),
    }
}

pub(crate) async fn audit_log(call: &Call) -> HttpResponse {
    let before = call.number("before").and_then(|n| i64::try_from(n).ok());
    said(call.config(ConfigRequest::AuditLog { before, limit: limit(call) }).await)
}
