//! The REGISTER of the benchmark's phones as a text with holes, and what is read from answers: the 528-byte request that all published
//! figures were measured with.
//!
//! Ticket: 48 bits in the branch that say which request an answer belongs to. It must never accept an answer whose ticket, Call-ID or
//! CSeq is not that of the request.

use tandem_host::clock::Clock;
use tandem_sip::digest::{Answer, Secret, answer};
use tandem_sip::headers::challenges;
use tandem_sip::{Header, Message};

/// Domain and realm of all servers.
pub(crate) const DOMAIN: &str = "bench.example";
/// Password of every phone.
pub(crate) const PASSWORD: &str = "secret";
/// Digits of a phone's number: `u0000042`.
pub(crate) const NAME_DIGITS: usize = 7;
const TICKET_DIGITS: usize = 12;
const CSEQ_DIGITS: usize = 10;
const BRANCH: &[u8] = b"z9hG4bKtb";

/// A REGISTER with holes.
pub(crate) struct Template {
    text: Vec<u8>,
    names: Vec<usize>,
    ticket: usize,
    cseq: usize,
    credentials: usize,
}

/// One request of a phone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request<'a> {
    /// The phone's number.
    pub(crate) device: u32,
    /// See the module.
    pub(crate) ticket: u64,
    /// Its CSeq.
    pub(crate) cseq: u32,
    /// A whole Authorization line, or nothing.
    pub(crate) credentials: &'a [u8],
}

impl Template {
    /// For phones behind this port of 127.0.0.1, over "UDP" or "TCP".
    pub(crate) fn new(port: u16, transport: &str) -> Self {
        let small = transport.to_ascii_lowercase();
        // Call-IDs of one run are not those of another: a server remembers.
        let run = Clock::system().unix_millis().0 & 0xff_ffff_ffff;
        let text = format!(
            "REGISTER sip:{DOMAIN} SIP/2.0\r\n\
             Via: SIP/2.0/{transport} 127.0.0.1:{port:05};branch=z9hG4bKtb!!!!!!!!!!!!r;rport\r\n\
             Max-Forwards: 70\r\n\
             From: <sip:u#######@{DOMAIN}>;tag=u#######t\r\n\
             To: <sip:u#######@{DOMAIN}>\r\n\
             Call-ID: u#######-{run:010x}@127.0.0.1\r\n\
             CSeq: ?????????? REGISTER\r\n\
             Contact: <sip:u#######@127.0.0.1:21000;transport={small}>;expires=3600\r\n\
             Allow: INVITE, ACK, CANCEL, OPTIONS, BYE, REFER, NOTIFY, MESSAGE, SUBSCRIBE, INFO, UPDATE\r\n\
             Supported: replaces, path, timer\r\n\
             User-Agent: tandem/0.1 (bench phone)\r\n\
             Content-Length: 0\r\n\r\n"
        );
        Self {
            names: text.match_indices("#######").map(|(at, _)| at).collect(),
            ticket: text.find('!').unwrap_or_default(),
            cseq: text.find('?').unwrap_or_default(),
            credentials: text.find("User-Agent").unwrap_or_default(),
            text: text.into_bytes(),
        }
    }
    /// Bytes of a request without credentials.
    pub(crate) fn len(&self) -> usize {
        self.text.len()
    }
    /// Where the ticket's digits stand.
    pub(crate) fn ticket_at(&self) -> usize {
        self.ticket
    }
    /// Writes a request and returns its length; 0 when there is no room.
    pub(crate) fn write(&self, room: &mut [u8], request: &Request<'_>) -> usize {
        let len = self.text.len() + request.credentials.len();
        let Some(room) = room.get_mut(..len) else { return 0 };
        let (head, tail) = self.text.split_at(self.credentials);
        put(room, 0, head);
        put(room, head.len(), request.credentials);
        put(room, head.len() + request.credentials.len(), tail);
        let name: [u8; NAME_DIGITS] = digits(request.device.into(), 10);
        for at in &self.names {
            put(room, *at, &name);
        }
        put(room, self.ticket, &digits::<TICKET_DIGITS>(request.ticket, 16));
        put(room, self.cseq, &digits::<CSEQ_DIGITS>(request.cseq.into(), 10));
        len
    }
}

fn put(room: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(place) = room.get_mut(at..at + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}

fn digits<const N: usize>(mut number: u64, base: u64) -> [u8; N] {
    let mut out = [b'0'; N];
    for place in out.iter_mut().rev() {
        // One digit is below 16.
        let digit = u8::try_from(number % base).unwrap_or(0);
        *place = if digit < 10 { b'0' + digit } else { b'a' + digit - 10 };
        number /= base;
    }
    out
}

/// The number that stands as hex digits at the beginning of `text`.
pub(crate) fn ticket(text: &[u8]) -> Option<u64> {
    let value = |n: u64, c: &u8| Some(n << 4 | u64::from(char::from(*c).to_digit(16)?));
    text.get(..TICKET_DIGITS)?.iter().try_fold(0, value)
}

/// An answer as far as it is looked at.
pub(crate) struct Reply<'a> {
    /// Its status.
    pub(crate) status: u16,
    /// Which request it belongs to.
    pub(crate) ticket: u64,
    message: Message<'a>,
}

impl<'a> Reply<'a> {
    /// `None` when it cannot be read or is no answer to a request of ours.
    pub(crate) fn read(bytes: &'a [u8]) -> Option<Self> {
        let message = Message::parse(bytes).ok()?;
        let branch = message.top_via()?.branch?;
        Some(Self { status: message.status()?.0, ticket: ticket(branch.strip_prefix(BRANCH)?)?, message })
    }
    /// Whether it answers this very request: CSeq and Call-ID are its own, and a 200 tells a contact of this phone.
    pub(crate) fn answers(&self, device: u32, cseq: u32) -> bool {
        let name: [u8; NAME_DIGITS] = digits(device.into(), 10);
        let named = |text: &[u8], at: usize| text.get(at..at + NAME_DIGITS) == Some(&name[..]);
        let bound =
            self.status != 200 || self.message.header(Header::Contact).is_some_and(|c| named(c, b"<sip:u".len()));
        bound && named(self.message.call_id(), 1) && self.message.cseq().is_some_and(|c| c.number == cseq)
    }
    /// Writes the Authorization line that answers its challenge; `false` when it has none.
    pub(crate) fn prove(&self, device: u32, line: &mut Vec<u8>) -> bool {
        let challenge = challenges(&self.message, Header::WwwAuthenticate).find_map(|c| c.for_digest());
        let Some(challenge) = challenge else { return false };
        let user = format!("u{device:0NAME_DIGITS$}");
        let uri = format!("sip:{DOMAIN}");
        let with = Answer {
            username: user.as_bytes(),
            secret: Secret::Password(PASSWORD.as_bytes()),
            method: b"REGISTER",
            uri: uri.as_bytes(),
            nc: 1,
            cnonce: b"0a4f113b",
        };
        line.clear();
        line.extend_from_slice(b"Authorization: ");
        let written = answer(line, &challenge, &with);
        line.extend_from_slice(b"\r\n");
        written
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(credentials: &[u8]) -> Vec<u8> {
        let template = Template::new(40_000, "UDP");
        let mut room = [0; 2_000];
        let request = Request { device: 42, ticket: 0xab_cdef_0123, cseq: 1_000_000_007, credentials };
        let len = template.write(&mut room, &request);
        assert_eq!(template.ticket_at(), room.windows(BRANCH.len()).position(|w| w == BRANCH).unwrap() + BRANCH.len());
        room[..len].to_vec()
    }

    #[test]
    fn a_request_is_right_sip_of_the_published_length_and_says_whose_it_is() {
        let bytes = written(b"");
        let message = Message::parse(&bytes).unwrap();
        assert!(tandem_sip::validate_request(&message).is_ok());
        assert!((525..=531).contains(&bytes.len()), "{}", bytes.len());
        assert_eq!(message.cseq().unwrap().number, 1_000_000_007);
        assert!(message.call_id().starts_with(b"u0000042-"));
        assert_eq!(message.header(Header::To), Some(&b"<sip:u0000042@bench.example>"[..]));
        let proved = written(b"Authorization: Digest x=\"y\"\r\n");
        assert!(Message::parse(&proved).unwrap().header(Header::Authorization).is_some());
    }

    #[test]
    fn an_answer_of_another_request_or_phone_is_not_taken() {
        let answer = |status: &str, cseq: u32| {
            format!(
                "SIP/2.0 {status}\r\nVia: SIP/2.0/UDP 127.0.0.1:40000;branch=z9hG4bKtb00abcdef0123r;rport=1\r\n\
                 From: <sip:u0000042@bench.example>;tag=t\r\nTo: <sip:u0000042@bench.example>;tag=s\r\n\
                 Call-ID: u0000042-00@127.0.0.1\r\nCSeq: {cseq} REGISTER\r\n\
                 Contact: <sip:u0000042@127.0.0.1:21000>;expires=3600\r\nContent-Length: 0\r\n\r\n"
            )
            .into_bytes()
        };
        let bytes = answer("200 OK", 7);
        let reply = Reply::read(&bytes).unwrap();
        assert_eq!((reply.status, reply.ticket), (200, 0xab_cdef_0123));
        assert!(reply.answers(42, 7) && !reply.answers(43, 7) && !reply.answers(42, 8));
        let without = String::from_utf8(bytes.clone()).unwrap().replace("Contact", "X-Contact").into_bytes();
        assert!(!Reply::read(&without).unwrap().answers(42, 7), "a 200 that tells no binding");
        assert!(Reply::read(&answer("200 OK", 7)[..40]).is_none());
        assert!(Reply::read(&written(b"")).is_none(), "a request is no answer");
    }

    #[test]
    fn a_challenge_is_answered() {
        let bytes = b"SIP/2.0 401 Unauthorized\r\nVia: SIP/2.0/UDP 127.0.0.1:4;branch=z9hG4bKtb000000000001r\r\n\
            From: <sip:a@b>;tag=t\r\nTo: <sip:a@b>;tag=s\r\nCall-ID: u0000001-0\r\nCSeq: 1 REGISTER\r\n\
            WWW-Authenticate: Digest realm=\"bench.example\", nonce=\"abc\", qop=\"auth\"\r\nContent-Length: 0\r\n\r\n";
        let mut line = Vec::new();
        assert!(Reply::read(bytes).unwrap().prove(1, &mut line));
        let line = String::from_utf8(line).unwrap();
        assert!(line.starts_with("Authorization: Digest username=\"u0000001\"") && line.ends_with("\r\n"), "{line}");
    }
}
