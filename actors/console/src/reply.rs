//! From answers and refusals to HTTP: status, JSON, and the deadline of a call.
//!
//! Every body is JSON, a refusal is a problem document (RFC 9457). It must never invent an answer: what took too long is said to have
//! taken too long.

use crate::Admin;
use actix_web::HttpResponse;
use actix_web::http::{StatusCode, header};
use serde::Serialize;
use std::time::Duration;
use tandem_model::admin::config::{ConfigReply, Written};
use tandem_model::admin::{AdminError, ErrorKind, PROBLEM_JSON, ProblemDocument, Reply, Request, Versioned};

/// How long the console waits for an answer before it says so.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// The same for a change that may be a whole file.
pub(crate) const BULK_TIMEOUT: Duration = Duration::from_secs(120);

/// The revision that came of a request, for the audit log.
pub(crate) struct Revision(pub(crate) u64);

/// 200 with the answer.
pub(crate) fn answer(body: impl Serialize) -> HttpResponse {
    HttpResponse::Ok().json(Versioned::new(body))
}

/// The status of the refusal with its reasons.
pub(crate) fn refusal(error: &AdminError) -> HttpResponse {
    let status = StatusCode::from_u16(error.kind.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = HttpResponse::build(status);
    if error.kind == ErrorKind::Unauthorized {
        // No Basic here: a browser would open its own window over the console's page.
        response.insert_header((header::WWW_AUTHENTICATE, "Bearer realm=\"tandem\""));
    }
    if let Some(seconds) = error.retry_after {
        response.insert_header((header::RETRY_AFTER, seconds.to_string()));
    }
    if let Some(etag) = &error.etag {
        response.insert_header((header::ETAG, quoted(etag)));
    }
    let body = serde_json::to_string(&Versioned::new(ProblemDocument::from(error.clone()))).unwrap_or_default();
    response.insert_header((header::CONTENT_TYPE, PROBLEM_JSON)).body(body)
}

/// An entity tag as a header has it.
pub(crate) fn quoted(etag: &str) -> String {
    let plain: String = etag.chars().filter(|c| c.is_ascii_graphic() && *c != '"').collect();
    format!("\"{plain}\"")
}

/// Asks and waits for the answer, at most `patience`.
///
/// # Errors
/// What the nodes refuse with, or that they took too long.
pub(crate) async fn ask(admin: &dyn Admin, request: Request, patience: Duration) -> Result<Reply, AdminError> {
    tokio::time::timeout(patience, admin.call(request)).await.unwrap_or_else(|_| {
        let message = format!("no answer within {} s", patience.as_secs());
        Err(AdminError::new(ErrorKind::Unavailable, message)
            .remedy("ask again; /healthz says whether the process makes progress"))
    })
}

/// 200 with the reply, or its refusal.
pub(crate) fn replied(reply: Result<Reply, AdminError>) -> HttpResponse {
    match reply {
        Ok(reply) => answer(reply),
        Err(error) => refusal(&error),
    }
}

/// What a write answers: its revision is noted, the tag of a single row is sent.
pub(crate) fn written(written: &Written, status: StatusCode) -> HttpResponse {
    let mut response = HttpResponse::build(status);
    if let [Some(etag)] = written.etags.as_slice() {
        response.insert_header((header::ETAG, quoted(etag)));
    }
    let revision = written.change.as_ref().map(|c| c.revision);
    noted(response.json(Versioned::new(written)), revision)
}
/// The same answer with the revision that came of it.
pub(crate) fn noted(mut response: HttpResponse, revision: Option<u64>) -> HttpResponse {
    if let Some(revision) = revision {
        response.extensions_mut().insert(Revision(revision));
    }
    response
}

/// An answer of another kind than was asked for.
pub(crate) fn strange(reply: &ConfigReply) -> AdminError {
    let kind = std::mem::discriminant(reply);
    AdminError::new(ErrorKind::Internal, format!("the nodes answered something else than was asked ({kind:?})"))
}
