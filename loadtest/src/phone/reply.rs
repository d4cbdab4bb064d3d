//! What a phone reads in an answer, and how a driver finds the phone that a message is for.
//!
//! Only what the phone acts on is read, and only when it is asked for.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tandem_sip::digest::{Algorithm, Challenge};

use super::Transport;
use super::reading::{Text, leading_number, parameter, split_list, uri, value_of};

/// Length of what a phone writes after the cookie of a branch: its number, the request's and a salt, 8 hex digits each.
const BRANCH_DIGITS: usize = 24;
/// Where SIP listens when no port is named.
const SIP_PORT: u16 = 5060;
/// Contacts of a 302 that are looked at.
const TARGETS_MAX: usize = 16;

/// Whom a message is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Demux<'a> {
    /// An answer to a request of the phone with this number.
    Answer {
        /// Its status code.
        code: u16,
        /// The number given to [`super::Phone::new`].
        phone: u32,
    },
    /// A request for this user.
    Request {
        /// User part of the Request-URI.
        user: &'a str,
    },
}

/// Reads no more than that. `None` for what is no SIP, and for answers to nothing that a phone sent.
pub fn demux(bytes: &[u8]) -> Option<Demux<'_>> {
    let text = Text::read(bytes)?;
    if let Some(code) = text.status() {
        let (phone, _, _) = branch(&text)?;
        return Some(Demux::Answer { code, phone });
    }
    let (_, target) = text.request()?;
    let (_, rest) = target.split_once(':')?;
    let (user, _) = rest.split_once('@')?;
    Some(Demux::Request { user })
}

/// Phone, number of the request, salt.
fn branch(text: &Text<'_>) -> Option<(u32, u32, u32)> {
    let digits = text.branch()?.strip_prefix("z9hG4bK").filter(|d| d.len() == BRANCH_DIGITS)?;
    let word = |at: usize| u32::from_str_radix(digits.get(at..at + 8)?, 16).ok();
    Some((word(0)?, word(8)?, word(16)?))
}

/// An answer, read as far as every answer is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reply<'a> {
    pub(super) status: u16,
    pub(super) phone: u32,
    pub(super) number: u32,
    pub(super) salt: u32,
    pub(super) cseq: u32,
    /// The Expires header, in seconds.
    pub(super) expires: Option<u32>,
    pub(super) min_expires: Option<u32>,
    text: Text<'a>,
}

impl<'a> Reply<'a> {
    pub(super) fn read(text: Text<'a>) -> Option<Self> {
        let (phone, number, salt) = branch(&text)?;
        Some(Self {
            status: text.status()?,
            phone,
            number,
            salt,
            cseq: text.cseq()?,
            expires: text.number("Expires", ""),
            min_expires: text.number("Min-Expires", ""),
            text,
        })
    }

    pub(super) fn retry_after(&self) -> Option<Duration> {
        self.text.number("Retry-After", "").map(|s| Duration::from_secs(s.into()))
    }

    fn contacts(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.text.lines("Contact", "m").flat_map(split_list)
    }

    /// For how many seconds the Contact with this URI was granted; `None` when it is not in the answer (RFC 3261 section 10.3,
    /// step 8 demands it) or has no duration.
    pub(super) fn granted(&self, ours: &str) -> Option<u32> {
        let mine = self.contacts().find(|c| uri(c).eq_ignore_ascii_case(ours))?;
        parameter(mine, "expires").and_then(leading_number).or(self.expires)
    }

    /// Addresses of a 302, in the order of q, then as they stand. Names are passed over: a phone of this house resolves none.
    pub(super) fn redirect_targets(&self, transport: Transport) -> impl Iterator<Item = SocketAddr> + use<> {
        let per_mille = |contact: &str| {
            let q = parameter(contact, "q").and_then(|q| q.parse::<f32>().ok()).unwrap_or(1.0);
            -((q.clamp(0.0, 1.0) * 1_000.0).round() as i32)
        };
        let contacts = self.contacts().take(TARGETS_MAX);
        let mut targets: Vec<_> = contacts.filter_map(|c| Some((per_mille(c), target(uri(c), transport)?))).collect();
        targets.sort_by_key(|(order, _)| *order);
        let mut distinct: Vec<SocketAddr> = Vec::new();
        for (_, address) in targets {
            if !distinct.contains(&address) {
                distinct.push(address);
            }
        }
        distinct.into_iter()
    }

    /// The challenges of a 401 or 407 that are Digest with an algorithm we know, topmost first, each with its `stale`.
    pub(super) fn challenges(&self) -> impl Iterator<Item = (Challenge<'a>, bool)> + use<'a> {
        let header = if self.status == 407 { "Proxy-Authenticate" } else { "WWW-Authenticate" };
        self.text.lines(header, "").filter_map(challenge)
    }
}

fn challenge(line: &str) -> Option<(Challenge<'_>, bool)> {
    let (scheme, rest) = line.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("Digest") {
        return None;
    }
    let find = |name: &str| split_list(rest).find_map(|piece| value_of(piece, name));
    let qop = find("qop");
    let qop_auth = qop.is_some_and(|q| q.split(',').any(|one| one.trim().eq_ignore_ascii_case("auth")));
    if qop.is_some() && !qop_auth {
        return None;
    }
    let challenge = Challenge {
        algorithm: find("algorithm").map_or(Some(Algorithm::Md5), |a| Algorithm::from_name(a.as_bytes()))?,
        realm: find("realm")?.as_bytes(),
        nonce: find("nonce")?.as_bytes(),
        opaque: find("opaque").map(str::as_bytes),
        qop_auth,
    };
    Some((challenge, find("stale").is_some_and(|s| s.eq_ignore_ascii_case("true"))))
}

/// The address in a SIP URI, when it is one and the transport is ours.
fn target(uri: &str, transport: Transport) -> Option<SocketAddr> {
    let (scheme, rest) = uri.split_once(':')?;
    let (rest, _) = rest.split_once('?').unwrap_or((rest, ""));
    let place = rest.split(';').next()?;
    let place = place.rsplit_once('@').map_or(place, |(_, host)| host);
    let named = parameter(rest, "transport");
    if !scheme.eq_ignore_ascii_case("sip") || named.is_some_and(|t| !t.eq_ignore_ascii_case(transport.param())) {
        return None;
    }
    let alone = || place.trim_matches(['[', ']']).parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, SIP_PORT));
    place.parse().ok().or_else(alone)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_reply<T>(headers: &str, read: impl FnOnce(Reply<'_>) -> T) -> T {
        let via = "Via: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bK0000000100000002000000ff";
        let text = format!("SIP/2.0 302 Moved\r\n{via}\r\nCSeq: 3 REGISTER\r\n{headers}\r\n\r\n");
        read(Reply::read(Text::read(text.as_bytes()).expect("text")).expect("a reply"))
    }

    #[test]
    fn targets_come_in_the_order_of_q_and_only_those_that_can_be_reached() {
        let headers = "Contact: <sip:127.0.0.3:5063>;q=0.8, <sip:x@127.0.0.1:5061;transport=UDP>\r\n\
                       Contact: <sip:[::1]:5064>;q=0.85,<sip:127.0.0.2>;q=0.9,<sip:ccm1.example>,<sip:127.0.0.9;transport=tcp>\r\n\
                       Contact: <sip:127.0.0.2:5060>;q=0.1,<sips:127.0.0.8>";
        let found: Vec<String> =
            with_reply(headers, |r| r.redirect_targets(Transport::Udp).map(|t| t.to_string()).collect());
        assert_eq!(found, ["127.0.0.1:5061", "127.0.0.2:5060", "[::1]:5064", "127.0.0.3:5063"]);
    }

    #[test]
    fn the_duration_of_our_own_contact_counts() {
        let headers = "Expires: 500\r\nContact: <sip:other@127.0.0.1:1>;expires=9, <sip:me@127.0.0.1:2>;expires=77";
        assert_eq!(with_reply(headers, |r| r.granted("sip:me@127.0.0.1:2")), Some(77));
        assert_eq!(with_reply(headers, |r| r.granted("sip:me@127.0.0.1:3")), None);
        assert_eq!(with_reply("Expires: 500\r\nm: <sip:me@h>", |r| r.granted("sip:me@h")), Some(500));
    }

    #[test]
    fn a_challenge_is_read_with_commas_in_its_quotes() {
        let line = r#"Digest realm="a, b", nonce="n", qop="auth-int,auth", opaque="o", STALE=TRUE, algorithm=sha-256"#;
        let (found, stale) = challenge(line).expect("a challenge");
        assert_eq!((found.realm, found.nonce, found.opaque), (&b"a, b"[..], &b"n"[..], Some(&b"o"[..])));
        assert!(found.qop_auth && stale && found.algorithm == Algorithm::Sha256);
        assert!(challenge(r#"Digest realm="r", nonce="n", algorithm=SHA-512-256"#).is_none());
        assert!(challenge(r#"Digest realm="r", nonce="n", qop="auth-int""#).is_none());
        assert!(challenge(r#"Basic realm="r""#).is_none());
        assert!(!challenge(r#"Digest realm="r", nonce="n""#).expect("RFC 2069").0.qop_auth);
    }

    #[test]
    fn a_driver_finds_the_phone_by_branch_or_user() {
        let answer = b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK0000002a00000001deadbeef\r\n\r\n";
        assert_eq!(demux(answer), Some(Demux::Answer { code: 200, phone: 42 }));
        let request = b"OPTIONS sip:SEP1@127.0.0.1:9 SIP/2.0\r\nVia: x\r\n\r\n";
        assert_eq!(demux(request), Some(Demux::Request { user: "SEP1" }));
        assert_eq!(demux(b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKother\r\n\r\n"), None);
        assert_eq!(demux(b"noise"), None);
    }
}
