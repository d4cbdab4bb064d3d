//! Requests of this node to devices: the NOTIFY that calls a device home (docs/decisions/0003), with its retransmissions.

use super::Edge;
use crate::device::Device;
use crate::device_host::DeviceHost;
use bytes::Bytes;
use std::net::SocketAddr;
use tandem_base::{Machine, Time};
use tandem_host::outbox::{Flow, Peer};
use tandem_host::random::Random;
use tandem_sip::transaction::client::{Input, Output};
use tandem_sip::{Message, RequestHead, Transport, Writer, request};

/// Body of a Cisco service-control NOTIFY that makes a phone register anew from the top of its list.
const RESTART: &[u8] = b"action=restart\r\n";

impl Edge {
    /// Tells a device to register anew.
    pub(crate) fn restart(&mut self, now: Time, random: &mut Random, device: &Device, name: &str) {
        let reliable = matches!(device.peer.flow, Flow::Stream(_));
        let Some(local) = self.local_for(device.peer, reliable) else { return };
        let (branch, call) = (format!("{:016x}", random.next_u64()), format!("{:016x}", random.next_u64()));
        let me = format!("sip:{local}");
        let to = format!("sip:{name}@{}", device.peer.addr);
        let mut buffer = vec![0; 2_048];
        let mut w = Writer::new(&mut buffer);
        let head = RequestHead {
            method: "NOTIFY",
            uri: device.contact.as_bytes(),
            via: local,
            transport: if reliable { Transport::Tcp } else { Transport::Udp },
            branch: branch.as_bytes(),
            max_forwards: 70,
            from: me.as_bytes(),
            from_tag: branch.as_bytes(),
            to: to.as_bytes(),
            to_tag: None,
            call_id: call.as_bytes(),
            cseq: 1,
        };
        request(&mut w, &head);
        if let Some(path) = &device.path {
            w.line("Route", path.as_bytes());
        }
        w.put(b"Contact: <").text(&me).put(b">\r\n");
        w.line("Event", b"service-control").line("Subscription-State", b"active").body("text/plain", RESTART);
        let Ok(len) = w.finish() else { return };
        buffer.truncate(len);
        let full_branch = format!("z9hG4bK{branch}");
        let key = self.keyer.client(full_branch.as_bytes(), b"NOTIFY");
        let token = (device.index.0, device.peer);
        self.sent.handle(now, Input::Start { key, token, wire: Bytes::from(buffer), reliable });
        self.drain_sent();
    }

    fn local_for(&self, peer: Peer, stream: bool) -> Option<SocketAddr> {
        let list = if stream { &self.addresses.tcp } else { &self.addresses.udp };
        list.iter().find(|a| a.is_ipv4() == peer.addr.is_ipv4()).copied()
    }

    /// Transaction timers of both sides.
    pub(crate) fn tick(&mut self, now: Time) {
        self.seen.tick(now);
        self.locating.tick(now);
        self.sent.tick(now);
        self.drain_sent();
    }

    fn drain_sent(&mut self) {
        while let Some(output) = self.sent.poll() {
            // Whether the device follows shows in its next registration; an answer or its lack changes nothing here.
            if let Output::Transmit { token: (_, peer), wire } = output
                && self.pending.len() < super::PENDING_MAX
            {
                self.pending.push((peer, wire));
            }
        }
    }
}

impl DeviceHost {
    /// A response: it belongs to a request of ours or to nobody.
    pub(super) fn response(&mut self, now: Time, message: &Message<'_>, bytes: &[u8]) {
        let branch = message.top_via().and_then(|v| v.branch).unwrap_or_default();
        let (Some(cseq), Some(status)) = (message.cseq(), message.status()) else {
            return self.metrics.unreadable("cseq");
        };
        let key = self.edge.keyer.client(branch, cseq.method_name);
        let wire = Bytes::copy_from_slice(bytes);
        self.edge.sent.handle(now, Input::Response { key, status: status.0, wire });
        self.edge.drain_sent();
    }
}
