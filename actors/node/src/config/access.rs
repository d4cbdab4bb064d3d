//! Who may change the configuration: passwords (argon2id) and tokens (random, kept as SHA-256), checked against the node's copy.
//!
//! It must never keep or tell a password or a token; a new token is told once, in the answer to its making.

use argon2::Argon2;
use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use tandem_base::UnixMillis;
use tandem_database::{Document, DraftOp, Reader, StoreError, Table};
use tandem_host::random::Random;
use tandem_model::admin::config::{Identity, Proof, Role};
use tandem_model::admin::{AdminError, ErrorKind};

/// Shortest password, in characters.
const PASSWORD_MIN: usize = 10;
/// What a token begins with, so that people and scanners know one when they see it.
const TOKEN_PREFIX: &str = "tandem-";
/// The scope of a token that is good once.
const ONCE: &str = "once";
/// Key of the token that the first start prints.
const FIRST_TOKEN: &str = "first-start";
/// How long that one is good.
const FIRST_TOKEN_FOR_MILLIS: u64 = 24 * 3_600 * 1_000;
/// Verified when there is no such user, so that it takes as long.
const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$dGFuZGVtLW5vYm9keQ$3ADRxc5Xy4g0Dq7hZ5eDqGkq3rmfG5m2b6Uu6S4W3C8";

/// The hash of a token, as it is kept.
fn token_hash(token: &str) -> String {
    Sha256::digest(token.as_bytes()).iter().map(|b| format!("{b:02x}")).collect()
}

/// A new token: 256 random bits.
pub(super) fn new_token(random: &mut Random) -> String {
    let words: String = (0..4).map(|_| format!("{:016x}", random.next_u64())).collect();
    format!("{TOKEN_PREFIX}{words}")
}

/// The token that the first start prints, and the row that knows it.
pub(super) fn first_token(random: &mut Random, now: UnixMillis) -> (String, DraftOp) {
    let token = new_token(random);
    let row = Document::new()
        .with("description", "printed at the first start; good once, within a day")
        .with("role", "admin")
        .with("token_hash", token_hash(&token))
        .with("created", now.0)
        .with("expires", now.0 + FIRST_TOKEN_FOR_MILLIS)
        .with("scopes", vec![Value::from(ONCE)]);
    (token, DraftOp::put(Table::Token, FIRST_TOKEN, row))
}

/// Turns what people write about users and tokens into what is kept: a password into its hash, a token without a hash into a new one. Returns the
/// new token, if one was made.
pub(super) fn prepare(
    table: Table,
    fields: &mut Map<String, Value>,
    random: &mut Random,
    now: UnixMillis,
) -> Result<Option<String>, AdminError> {
    match table {
        Table::User => {
            let Some(password) = fields.remove("password") else { return Ok(None) };
            let Some(password) = password.as_str().filter(|p| p.chars().count() >= PASSWORD_MIN) else {
                let text = format!("the password is too short: at least {PASSWORD_MIN} characters");
                return Err(AdminError::new(ErrorKind::Invalid, text));
            };
            let salt: Vec<u8> = (0..2).flat_map(|_| random.next_u64().to_le_bytes()).collect();
            let failed = |_| AdminError::new(ErrorKind::Internal, "the password cannot be hashed");
            let salt = SaltString::encode_b64(&salt).map_err(failed)?;
            let hash = Argon2::default().hash_password(password.as_bytes(), &salt).map_err(failed)?;
            fields.insert("password_hash".to_owned(), hash.to_string().into());
            Ok(None)
        }
        Table::Token if !fields.contains_key("token_hash") => {
            let token = new_token(random);
            fields.insert("token_hash".to_owned(), token_hash(&token).into());
            fields.entry("created").or_insert_with(|| now.0.into());
            Ok(Some(token))
        }
        _ => Ok(None),
    }
}

/// Who somebody is, or none. Slow for passwords, on purpose: not for a thread that serves phones. The token's row when it is good once only.
pub(super) fn identify(
    reader: &Reader,
    proof: &Proof,
    now: UnixMillis,
) -> Result<Option<(Identity, Option<DraftOp>)>, StoreError> {
    match proof {
        Proof::Password { user, password } => {
            let row = reader.get(Table::User, user)?.filter(|row| row.get("disabled") != Some(&Value::Bool(true)));
            let hash = row.as_ref().and_then(|r| r.text("password_hash"));
            let parsed = PasswordHash::new(hash.unwrap_or(NOBODY));
            let right = parsed.is_ok_and(|h| Argon2::default().verify_password(password.as_bytes(), &h).is_ok());
            let role = row.as_ref().and_then(role);
            let known = role.filter(|_| right && hash.is_some());
            Ok(known.map(|role| (Identity { name: user.clone(), role, scopes: None, expires: None }, None)))
        }
        Proof::Token(token) => {
            // A secret field matches nothing in a query: tokens are few, so they are looked through.
            let mut found = None;
            let wanted = token_hash(token);
            reader.each(Table::Token, |key, row| {
                if row.text("token_hash") == Some(&wanted) {
                    found = Some((key.to_owned(), row));
                }
            })?;
            Ok(found.and_then(|(key, row)| by_token(reader, &key, &row, now)))
        }
    }
}

fn by_token(reader: &Reader, key: &str, row: &Document, now: UnixMillis) -> Option<(Identity, Option<DraftOp>)> {
    let expires = row.get("expires").and_then(Value::as_u64).map(UnixMillis);
    if expires.is_some_and(|at| at <= now) {
        return None;
    }
    if let Some(user) = row.text("user") {
        // A token dies with its user.
        let user = reader.get(Table::User, user).ok().flatten()?;
        if user.get("disabled") == Some(&Value::Bool(true)) {
            return None;
        }
    }
    let scopes: Vec<String> = row.list("scopes").map(str::to_owned).collect();
    let once = scopes.iter().any(|s| s == ONCE).then(|| DraftOp::delete(Table::Token, key));
    let scopes = (!scopes.is_empty() && once.is_none()).then_some(scopes);
    Some((Identity { name: key.to_owned(), role: role(row)?, scopes, expires }, once))
}

fn role(row: &Document) -> Option<Role> {
    serde_json::from_value(row.get("role")?.clone()).ok()
}

#[cfg(test)]
mod tests {
    use super::super::words::document;
    use super::*;

    #[test]
    fn a_password_is_kept_as_a_hash_that_only_it_fits() {
        let mut random = Random::seeded(7);
        let mut fields = serde_json::json!({"role": "admin", "password": "correct horse"}).as_object().unwrap().clone();
        assert_eq!(prepare(Table::User, &mut fields, &mut random, UnixMillis(1)).unwrap(), None);
        let row = document(&fields);
        assert!(row.get("password").is_none());
        let hash = PasswordHash::new(row.text("password_hash").unwrap()).unwrap();
        assert!(Argon2::default().verify_password(b"correct horse", &hash).is_ok());
        assert!(Argon2::default().verify_password(b"correct horsf", &hash).is_err());
        let mut short = serde_json::json!({"role": "admin", "password": "short"}).as_object().unwrap().clone();
        assert!(prepare(Table::User, &mut short, &mut random, UnixMillis(1)).is_err());
        assert!(PasswordHash::new(NOBODY).is_ok(), "nobody costs as much as somebody");
    }

    #[test]
    fn a_token_is_told_once_and_kept_as_a_hash() {
        let mut random = Random::seeded(7);
        let mut fields = serde_json::json!({"role": "operator"}).as_object().unwrap().clone();
        let token = prepare(Table::Token, &mut fields, &mut random, UnixMillis(5)).unwrap().unwrap();
        assert!(token.starts_with(TOKEN_PREFIX) && token.len() == TOKEN_PREFIX.len() + 64);
        assert_eq!(fields["token_hash"], token_hash(&token));
        assert_eq!(fields["created"], 5);
    }
}
