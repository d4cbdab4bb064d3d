//! The phones' side of the benchmarks of this crate: the 528-byte REGISTER that the published figures were measured with, written into
//! buffers as the socket loop lays them out, and what is read from the answers.
//!
//! It must never be part of what is measured: writing and reading happen between the measured stretches.

use std::net::SocketAddr;
use tandem_host::datagram::{RX_BATCH, RX_SLOT_BYTES};
use tandem_host::outbox::{Datagram, Flow, Peer, Received};
use tandem_sip::digest::{Answer, Secret, answer};
use tandem_sip::headers::challenges;
use tandem_sip::{Header, Message};

/// Realm and home domain.
pub(crate) const DOMAIN: &str = "bench.example";
/// Password of every device.
pub(crate) const PASSWORD: &str = "secret";
/// Digits in a device's name after its letter.
const NAME_DIGITS: usize = 7;
const CSEQ_DIGITS: usize = 10;
const BRANCH_DIGITS: usize = 12;

/// The text of a REGISTER and where its changing pieces stand.
pub(crate) struct Requests {
    text: Vec<u8>,
    names: Vec<usize>,
    cseq: usize,
    branch: usize,
    credentials: usize,
    /// Number of the next request: makes its branch.
    serial: u64,
    peer: Peer,
    bytes: Box<[u8]>,
    datagrams: Vec<Datagram>,
}

impl Requests {
    pub(crate) fn new() -> Self {
        let text = format!(
            "REGISTER sip:{DOMAIN} SIP/2.0\r\n\
             Via: SIP/2.0/UDP 127.0.0.1:20000;branch=z9hG4bKsl!!!!!!!!!!!!r;rport\r\n\
             Max-Forwards: 70\r\n\
             From: <sip:u#######@{DOMAIN}>;tag=u#######t\r\n\
             To: <sip:u#######@{DOMAIN}>\r\n\
             Call-ID: u#######-7f3a9c51e2@127.0.0.1\r\n\
             CSeq: ?????????? REGISTER\r\n\
             Contact: <sip:u#######@127.0.0.1:21000;transport=udp>;expires=3600\r\n\
             Allow: INVITE, ACK, CANCEL, OPTIONS, BYE, REFER, NOTIFY, MESSAGE, SUBSCRIBE, INFO, UPDATE\r\n\
             Supported: replaces, path, timer\r\n\
             User-Agent: sipload/0.1 (bench phone)\r\n\
             Content-Length: 0\r\n\r\n"
        );
        let first = |needle: &str| text.find(needle).expect("the text has it");
        let peer = Peer { addr: SocketAddr::from(([127, 0, 0, 1], 20_000)), flow: Flow::Udp(0) };
        Self {
            names: text.match_indices("#######").map(|(at, _)| at).collect(),
            cseq: first("?"),
            branch: first("!"),
            credentials: first("User-Agent"),
            serial: 0,
            peer,
            bytes: vec![0; RX_BATCH * RX_SLOT_BYTES].into_boxed_slice(),
            datagrams: Vec::with_capacity(RX_BATCH),
            text: text.into_bytes(),
        }
    }
    /// Forgets the batch.
    pub(crate) fn clear(&mut self) {
        self.datagrams.clear();
    }
    /// Adds one REGISTER; `credentials` is a whole header line or empty.
    pub(crate) fn add(&mut self, device: u32, cseq: u64, credentials: &[u8]) {
        self.serial += 1;
        let start = self.datagrams.len() * RX_SLOT_BYTES;
        let (head, tail) = self.text.split_at(self.credentials);
        let len = self.text.len() + credentials.len();
        let slot = &mut self.bytes[start..start + len];
        slot[..head.len()].copy_from_slice(head);
        slot[head.len()..head.len() + credentials.len()].copy_from_slice(credentials);
        slot[head.len() + credentials.len()..].copy_from_slice(tail);
        for at in &self.names {
            decimal(&mut slot[*at..*at + NAME_DIGITS], device.into());
        }
        decimal(&mut slot[self.cseq..self.cseq + CSEQ_DIGITS], cseq);
        decimal(&mut slot[self.branch..self.branch + BRANCH_DIGITS], self.serial);
        self.datagrams.push(Datagram { start, len, peer: self.peer });
    }
    pub(crate) fn batch(&self) -> Received<'_> {
        Received::new(&self.bytes, &self.datagrams)
    }
}

fn decimal(digits: &mut [u8], mut number: u64) {
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + u8::try_from(number % 10).expect("one digit");
        number /= 10;
    }
}

/// Status of an answer; 0 when it is none.
pub(crate) fn status(answer: &[u8]) -> u16 {
    let digits = answer.strip_prefix(b"SIP/2.0 ").and_then(|rest| rest.get(..3));
    digits.and_then(|d| std::str::from_utf8(d).ok()?.parse().ok()).unwrap_or(0)
}

/// The Authorization line that answers a 401.
pub(crate) fn credentials(refusal: &[u8], device: u32) -> Vec<u8> {
    let message = Message::parse(refusal).expect("an answer that can be read");
    let challenge = challenges(&message, Header::WwwAuthenticate).find_map(|c| c.for_digest()).expect("a challenge");
    let user = format!("u{device:0NAME_DIGITS$}");
    let with = Answer {
        username: user.as_bytes(),
        secret: Secret::Password(PASSWORD.as_bytes()),
        method: b"REGISTER",
        uri: b"sip:bench.example",
        nc: 1,
        cnonce: b"0a4f113b",
    };
    let mut line = b"Authorization: ".to_vec();
    assert!(answer(&mut line, &challenge, &with), "a password suits every algorithm");
    line.extend_from_slice(b"\r\n");
    line
}
