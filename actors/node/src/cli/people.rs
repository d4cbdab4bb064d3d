//! `tandem user ...`: who may use the admin API, and what they did.
//!
//! A password comes from a file or the standard input. A new token is printed once, and nowhere else.

use super::args::{Change, Token, User, UserFields};
use super::change::{self, Write, given, text};
use super::client::{Client, Method, escaped, query};
use super::failure::Failure;
use super::output::{Out, Table, Tone, moment, or_dash};
use serde_json::{Map, Value, json};
use tandem_base::UnixMillis;
use tandem_host::clock::Clock;
use tandem_model::admin::API;
use tandem_model::admin::config::{AuditLogBody, ConfigRow, ConfigTable, RowPage, TokenBody, Written};

/// Rows of people that are listed at once.
const LISTED_MAX: usize = 1_000;
const DAY_MILLIS: u64 = 24 * 3_600 * 1_000;

/// Does what `tandem user` was asked.
///
/// # Errors
/// When nobody answers, it is refused, or the output cannot be written.
pub fn command(client: &Client, command: &User, out: &mut Out<'_>) -> Result<(), Failure> {
    match command {
        User::List => list(client, out),
        User::Add(user) => {
            change::row(client, ConfigTable::User, &user.name, Write::Create(fields(user)?), &user.change, out)
        }
        User::Update(user) => {
            change::row(client, ConfigTable::User, &user.name, Write::Merge(fields(user)?), &user.change, out)
        }
        User::Delete { name, change } => change::row(client, ConfigTable::User, name, Write::Delete, change, out),
        User::Password { name, password_file } => {
            let body = json!({ "password": change::secret(password_file)? });
            let path = format!("/users/{}/password", escaped(name));
            let answer = client.send::<Written>(Method::POST, &path, &[], Some(&body))?;
            if out.is_data() { out.data(&answer.raw) } else { out.line(&format!("{name} has a new password")) }
        }
        User::Token(options) => token(client, options, out),
        User::Revoke { name } => change::row(client, ConfigTable::Token, name, Write::Delete, &Change::default(), out),
        User::Audit { limit, before } => audit(client, *limit, *before, out),
    }
}

fn fields(user: &UserFields) -> Result<Map<String, Value>, Failure> {
    let password = user.password_file.as_deref().map(change::secret).transpose()?;
    Ok(given([
        ("role", user.role.map(|r| r.word().into())),
        ("password", password.map(Value::from)),
        ("description", text(user.description.as_ref())),
        ("disabled", user.disabled.map(Value::from)),
    ]))
}

fn list(client: &Client, out: &mut Out<'_>) -> Result<(), Failure> {
    let rows = |table: ConfigTable| {
        let asked = client.get::<RowPage>(&format!("/config/{table}?limit={LISTED_MAX}"))?;
        Ok::<Vec<ConfigRow>, Failure>(asked.body.rows)
    };
    let (users, tokens) = (rows(ConfigTable::User)?, rows(ConfigTable::Token)?);
    if out.is_data() {
        return out.data(&json!({ "api": API, "users": users, "tokens": tokens }));
    }
    let word =
        |row: &ConfigRow, field: &str| or_dash(row.fields.get(field).map(|v| change::shown(row.table, field, v)));
    let mut table = Table::new(&["USER", "ROLE", "PASSWORD", "STATE", "DESCRIPTION"]);
    for user in &users {
        let off = user.fields.get("disabled") == Some(&Value::Bool(true));
        let password = if user.fields.contains_key("password_hash") { "yes" } else { "none" };
        let state = if off { "disabled" } else { "-" };
        let cells =
            [user.key.clone(), word(user, "role"), password.to_owned(), state.to_owned(), word(user, "description")];
        table.line(if off { Tone::Warning } else { Tone::Plain }, cells);
    }
    out.table(&table)?;
    out.line("")?;
    let mut table = Table::new(&["TOKEN", "ROLE", "SCOPES", "USER", "EXPIRES", "DESCRIPTION"]);
    for token in &tokens {
        let expires = token.fields.get("expires").and_then(Value::as_u64).map(UnixMillis);
        let name = [token.key.clone(), word(token, "role"), word(token, "scopes"), word(token, "user")];
        table.line(Tone::Plain, name.into_iter().chain([moment(expires), word(token, "description")]));
    }
    out.table(&table)
}

fn token(client: &Client, token: &Token, out: &mut Out<'_>) -> Result<(), Failure> {
    let now = Clock::system().unix_millis().0;
    let expires = token.days.map(|days| now.saturating_add(u64::from(days).saturating_mul(DAY_MILLIS)));
    let scopes = (!token.scopes.is_empty()).then(|| token.scopes.iter().map(|s| s.word()).collect());
    let body = given([
        ("id", Some(token.name.clone().into())),
        ("role", Some(token.role.word().into())),
        ("scopes", scopes),
        ("expires", expires.map(Value::from)),
        ("user", text(token.user.as_ref())),
        ("description", text(token.description.as_ref())),
    ]);
    let answer = client.send::<TokenBody>(Method::POST, "/tokens", &[], Some(&body.into()))?;
    if out.is_data() {
        return out.data(&answer.raw);
    }
    out.line(&answer.body.token)?;
    out.note("keep it: it is not told again. Send it as \"Authorization: Bearer TOKEN\", or put it into a file for --token-file")
}

fn audit(client: &Client, limit: u32, before: Option<u64>, out: &mut Out<'_>) -> Result<(), Failure> {
    let parameters = query(&[("limit", Some(limit.to_string())), ("before", before.map(|n| n.to_string()))]);
    let answer = client.get::<AuditLogBody>(&format!("/audit{parameters}"))?;
    if out.is_data() {
        return out.data(&answer.raw);
    }
    let mut table = Table::new(&["#NUMBER", "WHEN", "WHO", "FROM", "#STATUS", "#REVISION", "WHAT"]);
    for entry in &answer.body.entries {
        let tone = if entry.status >= 400 { Tone::Warning } else { Tone::Plain };
        let who = [entry.id.to_string(), moment(Some(entry.at)), entry.who.clone(), entry.from.clone()];
        let what = [entry.status.to_string(), or_dash(entry.revision), entry.action.clone()];
        table.line(tone, who.into_iter().chain(what));
    }
    out.table(&table)?;
    match answer.body.next {
        Some(next) => out.note(&format!("there are more: --before {next} goes on from here")),
        None => Ok(()),
    }
}
