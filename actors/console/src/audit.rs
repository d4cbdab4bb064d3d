//! The audit log: every write, every refusal of a person, and who signed in, as one entry each at the node that was asked.
//!
//! An entry that cannot be written stops nothing: the answer was decided before. It must never hold a secret.

use crate::access::Who;
use crate::reply::ask;
use crate::routes::Shared;
use actix_web::HttpRequest;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tandem_model::admin::Request;
use tandem_model::admin::config::{AuditEntry, ConfigRequest};

/// Longest wait for an entry to be written.
const WAIT: Duration = Duration::from_secs(2);
/// Who comes from the same address within this time has signed in once.
const SIGN_IN_EVERY: Duration = Duration::from_secs(15 * 60);
/// Sign-ins that are remembered; beyond it each request is one.
const SIGN_INS_MAX: usize = 1_024;
/// Longest path that is written down.
const ACTION_MAX: usize = 512;

/// Who has signed in of late: name and address.
pub(crate) type SignIns = Arc<Mutex<BTreeSet<(String, String)>>>;

fn from(request: &HttpRequest) -> String {
    request.peer_addr().map(|a| a.ip().to_string()).unwrap_or_default()
}

async fn write(shared: &Shared, request: &HttpRequest, who: &str, action: String, status: u16, revision: Option<u64>) {
    let action = action.chars().take(ACTION_MAX).collect();
    let (who, from) = (who.to_owned(), from(request));
    let entry = AuditEntry { who, from, action, status, revision, ..AuditEntry::default() };
    let request = Request::Config(Box::new(ConfigRequest::Audit(entry)));
    // A disk that takes no entry shows in the overview of the configuration.
    let _ = ask(shared.admin.as_ref(), request, WAIT).await;
}

/// Notes what was asked and answered.
pub(crate) async fn note(shared: &Shared, request: &HttpRequest, who: &str, status: u16, revision: Option<u64>) {
    let query = request.query_string();
    let mark = if query.is_empty() { "" } else { "?" };
    write(shared, request, who, format!("{} {}{mark}{query}", request.method(), request.path()), status, revision)
        .await;
}

/// Notes that somebody signed in, unless he did so a short time ago.
pub(crate) async fn signed_in(shared: &Shared, request: &HttpRequest, who: &Who) {
    let key = (who.identity.name.clone(), from(request));
    let lock = |signed: &SignIns| match signed.lock().unwrap_or_else(PoisonError::into_inner) {
        signed if signed.contains(&key) => None,
        signed if signed.len() >= SIGN_INS_MAX => Some(false),
        mut signed => Some(signed.insert(key.clone())),
    };
    let Some(remembered) = lock(&shared.signed_in) else { return };
    if remembered {
        let (signed, key) = (Arc::clone(&shared.signed_in), key.clone());
        actix_web::rt::spawn(async move {
            tokio::time::sleep(SIGN_IN_EVERY).await;
            signed.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
        });
    }
    write(shared, request, &key.0, "sign in".to_owned(), 200, None).await;
}
