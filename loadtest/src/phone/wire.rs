//! How a phone writes its requests (RFC 3261 sections 8.1.1 and 10.2; callmanager facts 1.4 and 1.5 for heartbeat and token).
//!
//! Written on its own, not with the cluster's writer: two sides that share a mistake would agree. It only writes.

use bytes::Bytes;
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use super::Phone;
use super::transaction::{Kind, Transaction};

/// What the phone can be asked.
pub(super) const ALLOW: &str = "Allow: OPTIONS, NOTIFY\r\n";
/// Who it says it is: real phones do, too, and it helps to find them in a trace.
pub(super) const AGENT: &str = concat!("Tandem-Phone/", env!("CARGO_PKG_VERSION"));
/// Asks to be moved home (the SIP form of the token request of callmanager facts 1.5).
pub(super) const TOKEN_URN: &str = "<urn:X-cisco-remotecc:token-registration>";

impl Phone {
    /// The phone's own address towards that CallManager.
    fn own_address(&self, server: u8) -> SocketAddr {
        let mut own = self.local;
        if self.settings().transport.is_reliable() {
            own.set_port(self.known(server).port);
        }
        own
    }

    /// What stands between the angle brackets of Contact. Short, because a registrar keeps it per device.
    pub(super) fn contact_uri(&self, server: u8) -> String {
        let transport = match self.settings().transport.is_reliable() {
            true => format!(";transport={}", self.settings().transport.param()),
            false => String::new(),
        };
        format!("sip:{}@{}{transport}", self.user(), self.own_address(server))
    }

    /// One name for all requests of this life: a registrar sees one client, and another one after each restart, which is no refresh.
    fn life(&self) -> u64 {
        self.life ^ self.settings().run ^ (u64::from(self.counters.called_home) << 32)
    }

    /// The whole request, with proof when there is a nonce.
    pub(super) fn request(&mut self, transaction: &Transaction) -> Bytes {
        let Transaction { kind, server, number, salt, cseq, .. } = transaction;
        let (method, call) = match kind {
            Kind::Register | Kind::Refresh | Kind::Move | Kind::Unregister => ("REGISTER", "r"),
            Kind::Beat => ("REGISTER", "h"),
            Kind::Token => ("REFER", "t"),
        };
        let host = match self.local.ip() {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        };
        let (user, domain) = (self.user(), self.profile.domain());
        let uri = if *kind == Kind::Token { format!("sip:{user}@{domain}") } else { format!("sip:{domain}") };
        let (via, own) = (self.settings().transport.name(), self.own_address(*server));
        let (id, life) = (self.id, self.life());
        let tag = life & 0xffff_ffff;
        let mut text = String::with_capacity(720);
        // Writing into a String cannot fail.
        let _ = write!(
            text,
            "{method} {uri} SIP/2.0\r\n\
             Via: SIP/2.0/{via} {own};branch=z9hG4bK{id:08x}{number:08x}{salt:08x};rport\r\n\
             Max-Forwards: 70\r\n\
             From: <sip:{user}@{domain}>;tag={tag:08x}\r\n\
             To: <sip:{user}@{domain}>\r\n\
             Call-ID: {life:016x}{call}@{host}\r\n\
             CSeq: {cseq} {method}\r\n\
             User-Agent: {AGENT}\r\n"
        );
        let contact = self.contact_uri(*server);
        let _ = match kind {
            Kind::Register | Kind::Refresh | Kind::Move => {
                write!(text, "Contact: <{contact}>\r\nExpires: {}\r\n{ALLOW}", self.expires)
            }
            Kind::Unregister => write!(text, "Contact: <{contact}>;expires=0\r\nExpires: 0\r\n"),
            Kind::Beat => write!(text, "Contact: <{contact}>;expires=0;cisco-keep-alive\r\nExpires: 0\r\n"),
            Kind::Token => {
                write!(text, "Contact: <{contact}>\r\nRefer-To: {TOKEN_URN}\r\nReferred-By: <sip:{user}@{domain}>\r\n")
            }
        };
        let mut bytes = text.into_bytes();
        let binds = matches!(kind, Kind::Register | Kind::Refresh | Kind::Move);
        self.write_proof(&mut bytes, method, &uri, (*server, binds, *salt));
        bytes.extend_from_slice(b"Content-Length: 0\r\n\r\n");
        Bytes::from(bytes)
    }
}
