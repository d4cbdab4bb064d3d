//! What a phone reads in an answer, and how a driver finds the phone that a message is for.
//!
//! Only what the phone acts on is read, and only when it is asked for.

use std::net::SocketAddr;
use std::time::Duration;
use tandem_sip::headers::{RetryAfter, challenges, delta_seconds};
use tandem_sip::{Binding, Header, Message, SipUri, Transport as Named, digest};

use super::Transport;

/// Length of what a phone writes after the cookie of a branch: its number, the request's and a salt, 8 hex digits each.
const BRANCH_DIGITS: usize = 24;
/// Contacts of a 302 that are looked at.
const TARGETS_MAX: usize = 16;
/// `q` of a contact that has none, in thousandths.
const Q_DEFAULT: u16 = 1_000;

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
        user: &'a [u8],
    },
}

/// Reads no more than that. `None` for what is no SIP, and for answers to nothing that a phone sent.
pub fn demux(bytes: &[u8]) -> Option<Demux<'_>> {
    let message = Message::parse(bytes).ok()?;
    if let Some(status) = message.status() {
        let (phone, _, _) = branch(&message)?;
        return Some(Demux::Answer { code: status.0, phone });
    }
    let user = SipUri::read(message.request_uri())?.plain_user()?;
    Some(Demux::Request { user })
}

/// Phone, number of the request, salt.
fn branch(message: &Message<'_>) -> Option<(u32, u32, u32)> {
    let branch = std::str::from_utf8(message.top_via()?.branch?).ok()?;
    let digits = branch.strip_prefix("z9hG4bK").filter(|d| d.len() == BRANCH_DIGITS)?;
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
    message: &'a Message<'a>,
}

impl<'a> Reply<'a> {
    pub(super) fn read(message: &'a Message<'a>) -> Option<Self> {
        let (phone, number, salt) = branch(message)?;
        Some(Self { status: message.status()?.0, phone, number, salt, cseq: message.cseq()?.number, message })
    }

    /// The Expires header, in seconds.
    pub(super) fn expires(&self) -> Option<u32> {
        self.message.expires()
    }

    pub(super) fn min_expires(&self) -> Option<u32> {
        self.message.header(Header::MinExpires).and_then(delta_seconds)
    }

    pub(super) fn retry_after(&self) -> Option<Duration> {
        let value = self.message.header(Header::RetryAfter).and_then(RetryAfter::read)?;
        Some(Duration::from_secs(value.seconds.into()))
    }

    fn bindings(&self) -> impl Iterator<Item = Binding<'a>> + use<'a> {
        self.message.contacts().filter_map(|c| c.binding().copied())
    }

    /// For how many seconds the Contact with this URI was granted; `None` when it is not in the answer (RFC 3261 section 10.3,
    /// step 8 demands it) or has no duration.
    pub(super) fn granted(&self, ours: &str) -> Option<u32> {
        let mine = self.bindings().find(|b| b.uri().eq_ignore_ascii_case(ours.as_bytes()))?;
        mine.expires.or(self.expires())
    }

    /// Addresses of a 302, in the order of q, then as they stand. Names are passed over: a phone of this house resolves none.
    pub(super) fn redirect_targets(&self, transport: Transport) -> Vec<SocketAddr> {
        let ranked = |b: Binding<'_>| Some((b.q.unwrap_or(Q_DEFAULT), target(&b.sip_uri()?, transport)?));
        let mut targets: Vec<_> = self.bindings().take(TARGETS_MAX).filter_map(ranked).collect();
        targets.sort_by_key(|(q, _)| std::cmp::Reverse(*q));
        let mut distinct = Vec::new();
        for (_, address) in targets {
            if !distinct.contains(&address) {
                distinct.push(address);
            }
        }
        distinct
    }

    /// The challenges of a 401 or 407 that can be met at all, topmost first, each with its `stale`.
    pub(super) fn challenges(&self) -> impl Iterator<Item = (digest::Challenge<'a>, bool)> + use<'a> {
        let header = if self.status == 407 { Header::ProxyAuthenticate } else { Header::WwwAuthenticate };
        challenges(self.message, header).filter_map(|c| Some((c.for_digest()?, c.stale)))
    }
}

/// The address in a SIP URI, when it is one and the transport is ours.
fn target(uri: &SipUri<'_>, transport: Transport) -> Option<SocketAddr> {
    let ours = match transport {
        Transport::Udp => Named::Udp,
        Transport::Tcp => Named::Tcp,
    };
    uri.socket_addr().filter(|_| !uri.secure && uri.transport().is_none_or(|named| named == ours))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_reply<T>(headers: &str, read: impl FnOnce(Reply<'_>) -> T) -> T {
        let via = "Via: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bK0000000100000002000000ff";
        let text = format!("SIP/2.0 302 Moved\r\n{via}\r\nCSeq: 3 REGISTER\r\n{headers}\r\n\r\n");
        read(Reply::read(&Message::parse(text.as_bytes()).expect("a message")).expect("a reply"))
    }

    #[test]
    fn targets_come_in_the_order_of_q_and_only_those_that_can_be_reached() {
        let headers = "Contact: <sip:127.0.0.3:5063>;q=0.8, <sip:x@127.0.0.1:5061;transport=UDP>\r\n\
                       Contact: <sip:[::1]:5064>;q=0.85,<sip:127.0.0.2>;q=0.9,<sip:ccm1.example>,<sip:127.0.0.9;transport=tcp>\r\n\
                       Contact: <sip:127.0.0.2:5060>;q=0.1,<sips:127.0.0.8>";
        let found: Vec<String> =
            with_reply(headers, |r| r.redirect_targets(Transport::Udp).iter().map(SocketAddr::to_string).collect());
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
    fn a_driver_finds_the_phone_by_branch_or_user() {
        let answer =
            b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK0000002a00000001deadbeef\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(demux(answer), Some(Demux::Answer { code: 200, phone: 42 }));
        let request = b"OPTIONS sip:SEP1@127.0.0.1:9 SIP/2.0\r\nVia: x\r\n\r\n";
        assert_eq!(demux(request), Some(Demux::Request { user: b"SEP1" }));
        assert_eq!(demux(b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKother\r\n\r\n"), None);
        assert_eq!(demux(b"noise"), None);
    }
}
