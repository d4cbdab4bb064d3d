//! A flooded node: its sockets say so although its mailbox is quick; newcomers wait, refreshes are served, and it recovers.
//!
//! The flood lasts until the node says that it is overloaded, so nothing depends on how fast the machine is.

use crate::cluster::{Cluster, PATIENCE};
use crate::phone::Phone;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// More senders than the node has threads.
const SENDERS: usize = 4;

struct Flood {
    stop: Arc<AtomicBool>,
    senders: Vec<JoinHandle<()>>,
}

impl Flood {
    /// Requests that cost the node its whole validation and an answer each.
    fn of(server: SocketAddr) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let sender = |n: usize| {
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || {
                let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
                let local = socket.local_addr().expect("an address");
                let request = format!(
                    "REGISTER sip:wire SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bKflood{n};rport\r\nMax-Forwards: 70\r\n\
                     From: <sip:A059@wire>;tag=f\r\nTo: <sip:A059@wire>\r\nCall-ID: flood{n}\r\nCSeq: 1 REGISTER\r\n\
                     Contact: <sip:A059@{local}>\r\nContent-Length: 0\r\n\r\n"
                );
                while !stop.load(Ordering::Relaxed) {
                    // A full buffer is what this is for.
                    let _ = socket.send_to(request.as_bytes(), server);
                }
            })
        };
        let senders = (0..SENDERS).map(sender).collect();
        Self { stop, senders }
    }
}
impl Drop for Flood {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for sender in self.senders.drain(..) {
            let _ = sender.join();
        }
    }
}

#[test]
fn a_flooded_node_lets_newcomers_wait_serves_refreshes_and_recovers() {
    let cluster = Cluster::one("registrations_per_second = 1\nregistrations_burst = 1");
    let overloaded = |c: &Cluster| c.metric(0, "tandem_overload_state", &[]) == 1.0;
    // Over TCP, so that what the kernel drops of the flood is not theirs.
    let mut old = Phone::tcp("A001", cluster.tcp(0)).registered();
    assert!(!overloaded(&cluster));
    assert_eq!(cluster.events(0, "refused", "overload"), 0.0);

    let flood = Flood::of(cluster.udp(0));
    cluster.wait_until("the node says that it is overloaded", overloaded);
    let begun = Instant::now();
    let mut newcomers = (2..).map(|n| Phone::tcp(&format!("A{n:03}"), cluster.tcp(0)));
    // One may find a token that was left, and where everything is slow the next finds the one of the next second: not four at once.
    while cluster.events(0, "refused", "overload") == 0.0 {
        assert!(begun.elapsed() < PATIENCE, "no newcomer was told to wait");
        let mut four: Vec<_> = newcomers.by_ref().take(4).collect();
        std::thread::scope(|scope| {
            for phone in &mut four {
                scope.spawn(|| {
                    let status = phone.register(600).status;
                    assert!([200, 503].contains(&status), "{status}");
                });
            }
        });
        assert_eq!(old.register(600).status, 200, "whoever is registered already is served");
    }
    drop(flood);

    cluster.wait_until("it recovers", |c| !overloaded(c));
    assert!(old.is_bound());
    assert!(cluster.metric(0, "tandem_udp_queue_wait_seconds", &[]) < 0.02);
    let (mut late, begun) = (Phone::udp("A050", cluster.udp(0)), Instant::now());
    while late.register(600).status != 200 {
        assert!(begun.elapsed() < PATIENCE, "newcomers are let in again");
        std::thread::sleep(Duration::from_millis(100));
    }
}
