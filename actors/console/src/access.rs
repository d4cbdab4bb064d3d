//! Who may use the API: whoever can read the token file. Also the bounds of what a request may bring.
//!
//! Loopback alone is no protection (every user of the host can connect), so the token is asked for there as well.
//! It must never log or answer with the token, and never compare it in a time that depends on where it differs.

use crate::reply::refusal;
use crate::routes::Shared;
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::{Method, header};
use actix_web::middleware::Next;
use actix_web::{Error, HttpRequest, web};
use std::fmt;
use std::hint::black_box;
use std::path::PathBuf;
use tandem_model::admin::{AdminError, ErrorKind};

/// Longest body a request may bring, in bytes. No request needs one.
pub(crate) const BODY_MAX: u64 = 4_096;
/// Longest query, in bytes.
pub(crate) const QUERY_MAX: usize = 2_048;

/// The bearer token, and where people find it.
#[derive(Clone)]
pub struct Access {
    /// The token; at least [`crate::TOKEN_LENGTH_MIN`] printable ASCII characters.
    pub token: String,
    /// The file that holds it; refusals name it.
    pub token_file: PathBuf,
}
impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access").field("token_file", &self.token_file).finish_non_exhaustive()
    }
}

impl Access {
    /// Whether the `Authorization` header of a request carries the token (RFC 6750 section 2.1).
    fn admits(&self, request: &HttpRequest) -> bool {
        let header = request.headers().get(header::AUTHORIZATION).map(|v| v.as_bytes());
        let token = header.and_then(|v| v.split_at_checked(7));
        token.is_some_and(|(scheme, token)| {
            scheme.eq_ignore_ascii_case(b"bearer ") && same(token, self.token.as_bytes())
        })
    }

    fn refusal(&self, given: bool) -> AdminError {
        let message = if given { "the control token is wrong" } else { "this needs the control token" };
        let file = self.token_file.display();
        AdminError::new(ErrorKind::Unauthorized, message)
            .code("T0401")
            .remedy(format!("send \"Authorization: Bearer TOKEN\" with the content of {file}; `tandem` does so when it may read that file"))
    }
}

/// Compares in a time that depends on the length of `given` only.
fn same(given: &[u8], token: &[u8]) -> bool {
    let mut differs = u8::from(given.len() != token.len());
    for (g, t) in given.iter().zip(token.iter().chain(std::iter::repeat(&0))) {
        differs |= black_box(g ^ t);
    }
    black_box(differs) == 0
}

/// Lets a request to the API pass if it carries the token.
pub(crate) async fn token<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let refused = request.app_data::<web::Data<Shared>>().and_then(|shared| {
        let access = &shared.access;
        let given = request.headers().contains_key(header::AUTHORIZATION);
        (!access.admits(request.request())).then(|| access.refusal(given))
    });
    match refused {
        Some(error) => Ok(request.into_response(refusal(&error)).map_into_right_body()),
        None => Ok(next.call(request).await?.map_into_left_body()),
    }
}

/// Refuses what is larger than any request needs to be.
pub(crate) async fn bounds<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let headers = request.headers();
    let length = headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    let endless = headers.contains_key(header::TRANSFER_ENCODING);
    let error = if length.is_some_and(|l| l > BODY_MAX) || endless {
        Some(AdminError::new(
            ErrorKind::Invalid,
            format!("the body is larger than {BODY_MAX} bytes or of unknown length"),
        ))
    } else if request.query_string().len() > QUERY_MAX {
        Some(AdminError::new(ErrorKind::Invalid, format!("the query is longer than {QUERY_MAX} bytes")))
    } else if ![Method::GET, Method::HEAD, Method::POST].contains(request.method()) {
        Some(AdminError::new(ErrorKind::Invalid, format!("there is no method {} here", request.method())))
    } else {
        None
    };
    match error {
        Some(error) => Ok(request.into_response(refusal(&error)).map_into_right_body()),
        None => Ok(next.call(request).await?.map_into_left_body()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_right_only_when_it_is_whole() {
        let token = b"0123456789abcdef";
        assert!(same(token, token));
        for wrong in
            [&b""[..], b"0", b"0123456789abcde", b"0123456789abcdef0", b"0123456789abcdeF", b"0123456789abcdef\0"]
        {
            assert!(!same(wrong, token), "{wrong:?}");
        }
    }

    #[test]
    fn the_token_does_not_show_in_debug_output() {
        let access =
            Access { token: "secret-secret-secret".to_owned(), token_file: PathBuf::from("/state/control.token") };
        assert!(!format!("{access:?}").contains("secret"));
    }
}
