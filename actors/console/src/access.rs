//! Who may use the API: whoever can read the token file (the operator of this host, who may everything), users with a password, and
//! tokens with scopes and an end.
//!
//! Loopback alone is no protection (every user of the host can connect), so credentials are asked for there as well. It must never
//! log or answer with a token or a password, and never compare the control token in a time that depends on where it differs.

use crate::route::Need;
use crate::routes::Shared;
use crate::throttle::Throttle;
use actix_web::HttpRequest;
use actix_web::http::{Method, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::fmt;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;
use tandem_model::admin::config::{ConfigReply, ConfigRequest, ConfigTable, Identity, Proof, Role};
use tandem_model::admin::{AdminError, ErrorKind, Request, Scope};

/// Longest name that is written down for somebody who was not let in.
const CLAIMED_MAX: usize = 64;
/// Who the control token stands for.
pub(crate) const LOCAL_OPERATOR: &str = "control-token";

/// The control token, and where people find it.
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

/// How somebody was recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    Nothing,
    ControlToken,
    Password,
    Token,
}

/// Somebody who was recognised.
#[derive(Clone, Debug)]
pub(crate) struct Who {
    pub(crate) identity: Identity,
    pub(crate) by: By,
}
impl Who {
    /// Who uses an open path.
    pub(crate) fn nobody() -> Self {
        let identity = Identity { name: String::new(), role: Role::ReadOnly, scopes: Some(Vec::new()), expires: None };
        Self { identity, by: By::Nothing }
    }
    fn has_scope(&self, scope: Scope) -> bool {
        self.identity.scopes.as_ref().is_none_or(|scopes| scopes.iter().any(|s| s == scope.word()))
    }
    /// Whether he may what needs `need`.
    ///
    /// # Errors
    /// Forbidden, with what he lacks.
    pub(crate) fn may(&self, need: Need) -> Result<(), AdminError> {
        let Identity { name, role, .. } = &self.identity;
        let own = need.own && self.by == By::Password;
        if *role < need.role && !own {
            let message = format!("this needs the role {}; {name} has the role {}", word(need.role), word(*role));
            return Err(AdminError::new(ErrorKind::Forbidden, message).code("T0403"));
        }
        if !self.has_scope(need.scope) {
            let message = format!("this needs the scope {}, which the token {name} has not", need.scope);
            return Err(AdminError::new(ErrorKind::Forbidden, message).code("T0403"));
        }
        Ok(())
    }
    /// Whether he may see or change rows of `table`.
    ///
    /// # Errors
    /// Forbidden, with what he lacks.
    pub(crate) fn may_table(&self, table: ConfigTable) -> Result<(), AdminError> {
        if table.is_about_people() { self.may(PEOPLE) } else { Ok(()) }
    }
}
/// What rows of users and tokens need, beside what the route needs.
pub(crate) const PEOPLE: Need = Need::new(Role::Admin, Scope::Users);

const fn word(role: Role) -> &'static str {
    match role {
        Role::Admin => "admin",
        Role::Operator => "operator",
        Role::ReadOnly => "read-only",
    }
}

/// Somebody who was not let in: why, and who he said he was.
pub(crate) struct NotKnown {
    pub(crate) error: AdminError,
    pub(crate) claimed: String,
}

/// What a request says about who sends it.
enum Given {
    Nothing,
    Control,
    Proof(Proof),
    Unreadable,
}
fn given(request: &HttpRequest, access: &Access) -> Given {
    let Some(header) = request.headers().get(header::AUTHORIZATION) else { return Given::Nothing };
    let mut parts = header.as_bytes().splitn(2, |b| *b == b' ');
    let (scheme, rest) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    if scheme.eq_ignore_ascii_case(b"bearer") {
        // RFC 6750 section 2.1.
        if same(rest, access.token.as_bytes()) {
            return Given::Control;
        }
        let token = std::str::from_utf8(rest).ok().filter(|t| !t.is_empty());
        return token.map_or(Given::Unreadable, |t| Given::Proof(Proof::Token(t.to_owned())));
    }
    if !scheme.eq_ignore_ascii_case(b"basic") {
        return Given::Unreadable;
    }
    // RFC 7617: the user is what stands before the first colon.
    let text = STANDARD.decode(rest).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let pair = text.as_deref().and_then(|text| text.split_once(':'));
    pair.map_or(Given::Unreadable, |(user, password)| {
        Given::Proof(Proof::Password { user: user.to_owned(), password: password.to_owned() })
    })
}

/// Recognises who sends a request.
///
/// # Errors
/// [`NotKnown`]: nobody is known by what was sent, or nobody can say now.
pub(crate) async fn identify(shared: &Shared, request: &HttpRequest) -> Result<Who, NotKnown> {
    let not_known = |claimed: &str, error| NotKnown { error, claimed: claimed.chars().take(CLAIMED_MAX).collect() };
    let refused = |claimed: &str, message: &str| not_known(claimed, refusal(&shared.access, message));
    let proof = match given(request, &shared.access) {
        Given::Nothing => return Err(refused("", "this needs a token, or a user and a password")),
        Given::Unreadable => return Err(refused("", "the Authorization header cannot be read")),
        Given::Control => {
            let name = LOCAL_OPERATOR.to_owned();
            let identity = Identity { name, role: Role::Admin, scopes: None, expires: None };
            return Ok(Who { identity, by: By::ControlToken });
        }
        Given::Proof(proof) => proof,
    };
    let from = request.peer_addr().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |a| a.ip());
    let (claimed, by, wrong) = match &proof {
        Proof::Password { user, .. } => (user.clone(), By::Password, "the user or the password is wrong"),
        Proof::Token(_) => (String::new(), By::Token, "the token is wrong, or its time is over"),
    };
    // A password is slow to check on purpose: only a few are checked at a time, so that guessing cannot take the processor.
    let Ok(_seat) = shared.proving.acquire().await else {
        return Err(not_known(&claimed, AdminError::new(ErrorKind::Unavailable, "the console ends")));
    };
    // Behind the seat: many at once are not judged before the first of them was wrong.
    if let Some(left) = throttle(shared).wait(shared.admin.now(), from) {
        return Err(not_known(&claimed, too_many(left)));
    }
    let request = Request::Config(Box::new(ConfigRequest::Identify(proof)));
    match crate::reply::ask(shared.admin.as_ref(), request, crate::CALL_TIMEOUT).await {
        Ok(tandem_model::admin::Reply::Config(ConfigReply::Identity(identity))) => {
            throttle(shared).right(from);
            Ok(Who { identity, by })
        }
        Err(error) if error.kind != ErrorKind::Unauthorized => Err(not_known(&claimed, error)),
        Ok(_) | Err(_) => {
            throttle(shared).wrong(shared.admin.now(), from);
            Err(refused(&claimed, wrong))
        }
    }
}

fn throttle(shared: &Shared) -> MutexGuard<'_, Throttle> {
    shared.throttle.lock().unwrap_or_else(PoisonError::into_inner)
}

fn too_many(left: Duration) -> AdminError {
    let seconds = left.as_secs() + u64::from(left.subsec_nanos() > 0);
    let message = "wrong credentials came from this address too often";
    AdminError { retry_after: Some(seconds), ..AdminError::new(ErrorKind::TooMany, message) }
        .code("T0429")
        .remedy(format!("try again in {seconds} s"))
}

fn refusal(access: &Access, message: &str) -> AdminError {
    let file = access.token_file.display();
    AdminError::new(ErrorKind::Unauthorized, message).code("T0401").remedy(format!(
        "send \"Authorization: Bearer TOKEN\" with the content of {file} or a token of the cluster, or the name and password of a user; \
         `tandem` does so when it may read that file"
    ))
}

/// Whether a page of another site made a browser send this: its user's credentials may come along without his will.
pub(crate) fn is_from_elsewhere(request: &HttpRequest) -> bool {
    let header = |name: &str| request.headers().get(name).and_then(|v| v.to_str().ok());
    if request.method() == Method::GET || request.method() == Method::HEAD {
        return false;
    }
    let site = header("sec-fetch-site").is_some_and(|site| site != "same-origin" && site != "none");
    let host = header("host").unwrap_or_default();
    let origin = header("origin").is_some_and(|o| o.split_once("://").is_none_or(|(_, from)| from != host));
    site || origin
}

/// Compares in a time that depends on the length of `given` only.
fn same(given: &[u8], token: &[u8]) -> bool {
    let mut differs = u8::from(given.len() != token.len());
    for (g, t) in given.iter().zip(token.iter().chain(std::iter::repeat(&0))) {
        differs |= black_box(g ^ t);
    }
    black_box(differs) == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

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

    #[test]
    fn a_token_does_what_its_role_and_its_scopes_allow() {
        let who = |role, scopes: Option<&[&str]>| Who {
            identity: Identity {
                name: "t".to_owned(),
                role,
                scopes: scopes.map(|s| s.iter().map(|s| (*s).to_owned()).collect()),
                expires: None,
            },
            by: By::Token,
        };
        let need = Need::new(Role::Operator, Scope::Operate);
        assert!(who(Role::Operator, None).may(need).is_ok() && who(Role::Admin, Some(&["operate"])).may(need).is_ok());
        for refused in [
            who(Role::ReadOnly, None),
            who(Role::Operator, Some(&["status"])),
            who(Role::Admin, Some(&[])),
            who(Role::ReadOnly, Some(&["operate"])),
        ] {
            assert_eq!(refused.may(need).unwrap_err().kind, ErrorKind::Forbidden, "{refused:?}");
        }
        let own = Need { own: true, ..PEOPLE };
        assert!(who(Role::ReadOnly, None).may(own).is_err(), "a token has no password of its own");
        assert!(Who { by: By::Password, ..who(Role::ReadOnly, None) }.may(own).is_ok());
    }

    #[test]
    fn a_page_of_another_site_cannot_write() {
        let request = |headers: &[(&str, &str)]| {
            let request = TestRequest::put().insert_header(("host", "127.0.0.1:7060"));
            headers.iter().fold(request, |r, h| r.insert_header(*h)).to_http_request()
        };
        assert!(!is_from_elsewhere(&request(&[])));
        assert!(!is_from_elsewhere(&request(&[
            ("origin", "http://127.0.0.1:7060"),
            ("sec-fetch-site", "same-origin")
        ])));
        for bad in [("origin", "http://evil.example"), ("origin", "null"), ("sec-fetch-site", "cross-site")] {
            assert!(is_from_elsewhere(&request(&[bad])), "{bad:?}");
        }
    }
}
