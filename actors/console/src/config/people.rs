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
use tandem_model::admin::config::{
    ConfigDraft, ConfigOp, ConfigReply, ConfigRequest, ConfigTable, Expect, Role, TokenBody, USER_FIELDS, Written,
};
use tandem_model::admin::{AdminError, ErrorKind, Scope, nearest};

#[expect(clippy::unused_async, reason = "a route's handler is a future")]
pub(crate) async fn whoami(call: &Call) -> HttpResponse {
    answer(&call.who.identity)
}

/// Longest password, in characters; the shortest one is the nodes' business.
const PASSWORD_MAX: usize = 512;

/// A password to be.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewPassword {
    /// In the clear; only its hash is kept.
    #[schemars(length(min = 10, max = 512))]
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
    if password.chars().count() > PASSWORD_MAX {
        let what = format!("the password is longer than {PASSWORD_MAX} characters");
        return Err(AdminError::new(ErrorKind::Invalid, what));
    }
    let fields = Map::from_iter([("password".to_owned(), password.into())]);
    write(call, ConfigTable::User, user, fields, Expect::Present).await
}

/// Writes a row about a person: over the one that is there, or a new one.
async fn write(
    call: &Call,
    table: ConfigTable,
    key: String,
    fields: Map<String, Value>,
    expect: Expect,
) -> Result<ConfigReply, AdminError> {
    let merge = expect == Expect::Present;
    let op = ConfigOp { table, key, fields: Some(fields), merge, expect, line: None };
    let draft = ConfigDraft { author: call.author(), ops: vec![op], ..ConfigDraft::default() };
    call.config(ConfigRequest::Write(draft)).await
}

/// A token to be.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewToken {
    /// Its key in the table `token`.
    #[schemars(length(min = 1, max = 64))]
    id: String,
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
    match make_token(call).await {
        Ok(body) => {
            let mut response = answer(&body);
            *response.status_mut() = StatusCode::CREATED;
            noted(response, Some(body.revision))
        }
        Err(error) => refusal(&error),
    }
}
async fn make_token(call: &Call) -> Result<TokenBody, AdminError> {
    let NewToken { id, role, scopes, expires, user, description } = call.json()?;
    let given = [
        ("role", serde_json::to_value(role).ok()),
        ("scopes", scopes.map(|s| s.iter().map(|s| s.word()).collect())),
        ("expires", expires.map(Value::from)),
        ("user", user.map(Value::from)),
        ("description", description.map(Value::from)),
    ];
    let fields = given.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
    match write(call, ConfigTable::Token, id.clone(), fields, Expect::Absent).await? {
        ConfigReply::Written(Written { revision, secret: Some(token), .. }) => Ok(TokenBody { id, token, revision }),
        other => Err(strange(&other)),
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
