//! From answers and refusals to HTTP: status, JSON, and the deadline of a call.
//!
//! Every body is JSON, refusals too. It must never invent an answer: what took too long is said to have taken too long.

use crate::Admin;
use actix_web::HttpResponse;
use actix_web::http::{StatusCode, header};
use serde::Serialize;
use std::time::Duration;
use tandem_model::admin::{AdminError, ErrorBody, ErrorKind, Request, Versioned};

/// How long the console waits for an answer before it says so.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// HTTP status of a kind of refusal.
const fn status(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::Invalid => StatusCode::BAD_REQUEST,
        ErrorKind::Unauthorized => StatusCode::UNAUTHORIZED,
        ErrorKind::Forbidden => StatusCode::FORBIDDEN,
        ErrorKind::Precondition => StatusCode::PRECONDITION_FAILED,
        ErrorKind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::Refused => StatusCode::CONFLICT,
        ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// 200 with the answer.
pub(crate) fn answer(body: impl Serialize) -> HttpResponse {
    HttpResponse::Ok().json(Versioned::new(body))
}

/// The status of the refusal with its reasons.
pub(crate) fn refusal(error: &AdminError) -> HttpResponse {
    let mut response = HttpResponse::build(status(error.kind));
    if error.kind == ErrorKind::Unauthorized {
        response.insert_header((header::WWW_AUTHENTICATE, "Bearer realm=\"tandem\""));
    }
    response.json(Versioned::new(ErrorBody { error: error.clone() }))
}

/// Asks and waits for the answer, at most [`CALL_TIMEOUT`].
pub(crate) async fn call(admin: &dyn Admin, request: Request) -> HttpResponse {
    match tokio::time::timeout(CALL_TIMEOUT, admin.call(request)).await {
        Ok(Ok(reply)) => answer(reply),
        Ok(Err(error)) => refusal(&error),
        Err(_) => refusal(
            &AdminError::new(ErrorKind::Unavailable, format!("no answer within {} s", CALL_TIMEOUT.as_secs()))
                .remedy("ask again; /healthz says whether the process makes progress"),
        ),
    }
}
