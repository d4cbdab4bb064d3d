//! The one authentication gate before every method (DESIGN section 7, RFC 3261 section 22, RFC 7616, RFC 8760).
//!
//! Whoever is unknown is answered as whoever is known with a wrong password, in code and in work done. It must never look at a
//! method before it has looked at the credentials, except for the few that the table below names.

use crate::directory::Directory;
use crate::locator::{Alias, DeviceIndex};
use crate::observe::AuthFailure;
use tandem_sip::digest::{Credentials, LastRequest, Stored, Verdict, verify_after};
use tandem_sip::nonce::{NonceKey, NonceState};

/// Credentials as a request carries them for our realm.
#[derive(Clone, Copy, Debug)]
pub struct Presented<'a> {
    /// Digest user.
    pub username: &'a [u8],
    /// The rest.
    pub credentials: Credentials<'a>,
}

/// Who stands before the gate.
#[derive(Clone, Copy, Debug)]
pub struct Claimant<'a> {
    /// The user part of the address of record, unescaped.
    pub aor: &'a [u8],
    /// What that name stands for; looked up once per request.
    pub named: Option<Alias>,
    /// Method name, for the digest.
    pub method: &'a [u8],
    /// Credentials for our realm, if there are any.
    pub presented: Option<Presented<'a>>,
}

/// What the gate says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// It is this device; time, id and count of its nonce when credentials were checked.
    Pass(DeviceIndex, Option<(u32, u32, u32)>),
    /// 401 with a fresh nonce.
    Challenge {
        /// The nonce was ours but is used up.
        stale: bool,
        /// What was wrong, if something was.
        failure: Option<AuthFailure>,
    },
    /// Right credentials, but the address of record is not of this device: 403.
    Forbidden,
    /// The header cannot be an answer at all: 400.
    Malformed,
    /// No credentials are asked for in this cluster, and nobody is known by this name: 404.
    Unknown,
}

/// Judges a request. `digest` false: no credentials are asked for (a closed network, a benchmark). `last` spares work from one request
/// to the next.
pub fn judge(
    directory: &Directory,
    nonces: &NonceKey,
    last: &mut LastRequest,
    unix_secs: u32,
    who: &Claimant<'_>,
) -> Gate {
    let named = who.named;
    if !directory.settings.digest {
        return match named {
            Some(Alias::Device(device)) => Gate::Pass(device, None),
            Some(Alias::Shared) => Gate::Forbidden,
            None => Gate::Unknown,
        };
    }
    let Some(presented) = who.presented else { return Gate::Challenge { stale: false, failure: None } };
    // The user name decides which device it is; an unknown one is checked against nobody, at the same cost.
    let user = if presented.username == who.aor { named } else { directory.find(presented.username) };
    let device = match user {
        Some(Alias::Device(device)) if directory.user(device).as_bytes() == presented.username => Some(device),
        _ => None,
    };
    let stored = device.map_or(Stored::UNKNOWN, |d| directory.credentials(d));
    let lifetime = directory.nonce_lifetime_secs();
    let nonce = nonces.check(presented.credentials.nonce, unix_secs, lifetime);
    let verdict = if is_offered(directory, presented.credentials.algorithm) {
        verify_after(last, &stored, &presented.credentials, who.method)
    } else {
        Verdict::Unsupported
    };
    let wrong = |failure| Gate::Challenge { stale: false, failure: Some(failure) };
    let nc = match (nonce, verdict) {
        (_, Verdict::Malformed) => return Gate::Malformed,
        (NonceState::Forged, _) => return wrong(AuthFailure::Forged),
        (_, Verdict::Unsupported) => return wrong(AuthFailure::Malformed),
        (_, Verdict::Wrong) => return wrong(AuthFailure::Credentials),
        (NonceState::Stale, Verdict::Right { .. }) => return Gate::Challenge { stale: true, failure: None },
        // Without qop there is no count: each nonce is good for one use.
        (NonceState::Fresh { time, id }, Verdict::Right { nc }) => (time, id, nc.unwrap_or(1)),
    };
    let Some(device) = device else { return wrong(AuthFailure::Credentials) };
    let theirs = match named {
        Some(Alias::Device(named)) => named == device,
        Some(Alias::Shared) => directory.has_line(device, who.aor),
        None => false,
    };
    if theirs { Gate::Pass(device, Some(nc)) } else { Gate::Forbidden }
}

/// Whether an algorithm is one of those in the challenge: a weaker one than was offered is no answer to it (RFC 8760 section 2.5).
fn is_offered(directory: &Directory, named: Option<&[u8]>) -> bool {
    let named = named.unwrap_or(b"MD5");
    directory.settings.algorithms.iter().any(|a| named.eq_ignore_ascii_case(a.word().as_bytes()))
}
