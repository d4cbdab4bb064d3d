//! Questions beside the load: OPTIONS for a device at any node, which says by a 302 that the device can be reached, and a first REGISTER.
//!
//! One socket, no waiting: whoever asks looks for answers in every turn.

use crate::error::Error;
use crate::request::{DOMAIN, NAME_DIGITS, Reply, Request, Template};
use std::net::{Ipv4Addr, SocketAddr};
use tandem_host::datagram::{Batches, DatagramSocket};
use tandem_host::outbox::{Flow, Outbox, Peer};

const CSEQ: u32 = 1;

/// See the module.
pub(crate) struct Probe {
    socket: DatagramSocket,
    batches: Batches,
    out: Outbox,
    register: Template,
    port: u16,
}

impl Probe {
    pub(crate) fn new() -> Result<Self, Error> {
        let socket = DatagramSocket::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        let port = socket.local_addr().port();
        Ok(Self { socket, batches: Batches::new(), out: Outbox::new(), register: Template::new(port, "UDP"), port })
    }
    /// A first registration of a device.
    pub(crate) fn register(&mut self, node: SocketAddr, device: u32, ticket: u64) {
        let request = Request { device, ticket, cseq: CSEQ, credentials: b"" };
        let len = self.register.write(self.out.slot(), &request);
        self.out.push(len, Peer { addr: node, flow: Flow::Udp(0) });
    }
    /// Where is it? `caller` must be a device that the cluster knows.
    pub(crate) fn options(&mut self, node: SocketAddr, caller: u32, device: u32, ticket: u64) {
        let port = self.port;
        let text = format!(
            "OPTIONS sip:u{device:0NAME_DIGITS$}@{DOMAIN} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bKtb{ticket:012x}o;rport\r\n\
             Max-Forwards: 70\r\nFrom: <sip:u{caller:0NAME_DIGITS$}@{DOMAIN}>;tag=p\r\nTo: <sip:u{device:0NAME_DIGITS$}@{DOMAIN}>\r\n\
             Call-ID: probe-{ticket:x}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
        );
        self.out.send(text.as_bytes(), Peer { addr: node, flow: Flow::Udp(0) });
    }
    /// Sends what waits and hands over what has come: status and ticket of each answer.
    pub(crate) fn turn(&mut self, mut each: impl FnMut(u16, u64)) {
        if !self.out.is_empty() {
            self.batches.send(&self.socket, &self.out);
            self.out.clear();
        }
        if self.batches.receive(&self.socket).unwrap_or(0) == 0 {
            return;
        }
        for (bytes, _) in self.batches.received().iter() {
            if let Some(reply) = Reply::read(bytes) {
                each(reply.status, reply.ticket);
            }
        }
    }
}
