//! An echo actor behind real sockets on loopback: both families, every size, naps, restarts, streams beside datagrams.

use super::*;
use crate::arbiter::Arbiter;
use crate::outbox::Peer;
use crate::stream::{StreamEvent, StreamLimits};
use crate::supervise::{Handle, Keep, Renew, mailbox};
use crate::ticker::{Ticker, Waiting};
use actix::{Handler, Message, Supervised};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::mpsc;
use tandem_base::NodeName;

/// Longest wait for what must come: only a failing test waits so long.
const PATIENCE: Duration = Duration::from_secs(20);

/// Sends everything back; "boom" panics, "silent" is not answered.
struct Echo {
    sockets: Vec<DatagramSocket>,
    clock: Clock,
    counts: Arc<UdpCounts>,
    /// What is to be sent unasked.
    unasked: Vec<(Peer, Vec<u8>)>,
    connections: Option<Connections>,
}
impl Actor for Echo {
    type Context = Context<Self>;
    fn started(&mut self, ctx: &mut Context<Self>) {
        let udp = UdpLoop::new(self.sockets.clone(), self.connections.clone(), self.clock);
        self.counts = udp.counts();
        udp.spawn(ctx);
    }
}
impl Supervised for Echo {}
impl Datagrams for Echo {
    fn batch(&mut self, batch: &Received<'_>, _: Time, out: &mut Outbox) {
        for (bytes, peer) in batch.iter() {
            match bytes {
                b"boom" => panic!("boom"),
                b"silent" => {}
                _ => assert!(out.send(bytes, peer)),
            }
        }
    }
    fn turn(&mut self, _: Time, out: &mut Outbox) {
        for (peer, bytes) in self.unasked.drain(..) {
            assert!(out.send(&bytes, peer));
        }
    }
}

struct Send(Peer, Vec<u8>);
impl Message for Send {
    type Result = ();
}
impl Handler<Send> for Echo {
    type Result = ();
    fn handle(&mut self, Send(peer, bytes): Send, _: &mut Context<Self>) {
        self.unasked.push((peer, bytes));
    }
}
struct Figures;
impl Message for Figures {
    type Result = UdpFigures;
}
impl Handler<Figures> for Echo {
    type Result = actix::MessageResult<Figures>;
    fn handle(&mut self, _: Figures, _: &mut Context<Self>) -> Self::Result {
        actix::MessageResult(self.counts.read())
    }
}

struct Server {
    addresses: Vec<SocketAddr>,
    handle: Handle<Echo>,
    _arbiter: Arbiter,
}

fn server(addresses: &[&str]) -> Server {
    let sockets: Vec<_> = addresses.iter().map(|a| DatagramSocket::bind(a.parse().unwrap()).unwrap()).collect();
    let addresses = sockets.iter().map(DatagramSocket::local_addr).collect();
    let (handle, mailbox) = mailbox::<Echo>(&NodeName::new("CCM1").unwrap(), "echo", 100, Clock::system());
    let arbiter = Arbiter::spawn("test-echo", move || {
        let make = move || Echo {
            sockets: sockets.clone(),
            clock: Clock::system(),
            counts: Arc::default(),
            unasked: Vec::new(),
            connections: None,
        };
        Keep::new(mailbox).renew(Renew::Same).start(make);
    })
    .unwrap();
    Server { addresses, handle, _arbiter: arbiter }
}

impl Server {
    fn figures(&self) -> UdpFigures {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(self.handle.ask(Figures, PATIENCE)).unwrap()
    }
}

fn phone(server: SocketAddr) -> UdpSocket {
    let any = if server.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" };
    let phone = UdpSocket::bind(any).unwrap();
    phone.connect(server).unwrap();
    phone.set_read_timeout(Some(PATIENCE)).unwrap();
    phone
}

fn exchange(phone: &UdpSocket, bytes: &[u8]) {
    phone.send(bytes).unwrap();
    let mut answer = vec![0; 1 << 16];
    let len = phone.recv(&mut answer).unwrap();
    assert!(answer[..len] == *bytes, "{len} bytes came back for {}", bytes.len());
}

#[test]
fn both_families_are_answered_by_one_actor() {
    let server = server(&["127.0.0.1:0", "[::1]:0"]);
    for address in &server.addresses {
        let phone = phone(*address);
        for bytes in [&b"one"[..], b"two", b""] {
            exchange(&phone, bytes);
        }
    }
    let figures = server.figures();
    assert_eq!((figures.received, figures.sent, figures.unsent, figures.errors), (6, 6, 0, 0));
}

#[test]
fn datagrams_of_every_size_come_through_whole() {
    let server = server(&["127.0.0.1:0"]);
    let phone = phone(server.addresses[0]);
    for len in [1, 1_400, 2_112, 2_113, 4_160, 4_161, 65_507] {
        let bytes: Vec<u8> = (0..len).map(|n| u8::try_from(n % 251).unwrap()).collect();
        exchange(&phone, &bytes);
    }
    assert_eq!(server.figures().dropped, 0);
}

#[test]
fn what_a_mailbox_message_leaves_is_sent_in_the_same_turn() {
    let server = server(&["127.0.0.1:0"]);
    let phone = phone(server.addresses[0]);
    let peer = Peer { addr: phone.local_addr().unwrap(), flow: Flow::Udp(0) };
    server.handle.tell(Send(peer, b"unasked".to_vec())).unwrap();
    let mut bytes = [0; 100];
    let len = phone.recv(&mut bytes).unwrap();
    assert_eq!(&bytes[..len], b"unasked");
}

#[test]
fn an_answer_that_cannot_be_sent_does_not_stop_the_others() {
    let server = server(&["127.0.0.1:0"]);
    let phone = phone(server.addresses[0]);
    let there = Peer { addr: phone.local_addr().unwrap(), flow: Flow::Udp(0) };
    let nowhere = Peer { addr: "[2001:db8::1]:5060".parse().unwrap(), ..there };
    let no_stream = Peer { flow: Flow::Stream(9), ..there };
    for (peer, bytes) in [(nowhere, "lost"), (no_stream, "lost"), (there, "sent")] {
        server.handle.tell(Send(peer, bytes.as_bytes().to_vec())).unwrap();
    }
    let mut bytes = [0; 100];
    let len = phone.recv(&mut bytes).unwrap();
    assert_eq!(&bytes[..len], b"sent");
    let figures = server.figures();
    assert_eq!((figures.sent, figures.unsent), (1, 2));
}

#[test]
fn a_panic_over_a_datagram_costs_that_batch_and_the_socket_lives_on() {
    let server = server(&["127.0.0.1:0"]);
    let phone = phone(server.addresses[0]);
    exchange(&phone, b"before");
    phone.send(b"boom").unwrap();
    // What came in the same batch is lost with it; a phone sends again, as this one does.
    phone.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let mut answer = [0; 100];
    let answered = (0..100).any(|_| {
        phone.send(b"after").unwrap();
        phone.recv(&mut answer).is_ok_and(|len| &answer[..len] == b"after")
    });
    assert!(answered);
}

/// Keeps `window` datagrams under way until `total` were answered: dense traffic whatever the machine's speed.
fn saturate(phone: &UdpSocket, window: usize, total: usize) {
    let mut bytes = [0; 2_000];
    for _ in 0..window {
        phone.send(&[7; 500]).unwrap();
    }
    for answered in 1..=total {
        assert_eq!(phone.recv(&mut bytes).unwrap(), 500, "answer {answered}");
        if answered + window <= total {
            phone.send(&[7; 500]).unwrap();
        }
    }
}

#[test]
fn dense_traffic_is_answered_completely_and_with_naps_and_silence_ends_them() {
    let server = server(&["127.0.0.1:0", "[::1]:0"]);
    let phones: Vec<_> = server.addresses.iter().map(|address| phone(*address)).collect();
    saturate(&phones[0], 32, 20_000);
    saturate(&phones[1], 32, 5_000);
    let dense = server.figures();
    assert_eq!((dense.received, dense.sent, dense.errors), (25_000, 25_000, 0));
    assert!(dense.naps > 0, "{dense:?}");
    // One at a time, each after the answer to the one before and a pause: sparse, so no more than a few naps remain.
    let pause = Duration::from_millis(3);
    let (_nothing_comes, wait) = mpsc::channel::<()>();
    for _ in 0..50 {
        exchange(&phones[0], b"sparse");
        let _ = wait.recv_timeout(pause);
    }
    let naps = server.figures().naps;
    for _ in 0..20 {
        exchange(&phones[1], b"sparse");
        let _ = wait.recv_timeout(pause);
    }
    assert_eq!(server.figures().naps, naps, "no nap when traffic is thin");
}

#[test]
fn messages_are_handled_while_datagrams_pour_in() {
    let server = server(&["127.0.0.1:0"]);
    let address = server.addresses[0];
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let flood = std::thread::spawn(move || {
        let phone = phone(address);
        while !stopped.load(Ordering::Relaxed) {
            let _ = phone.send(b"silent");
        }
    });
    let mut last = server.figures().received;
    for _ in 0..20 {
        let now = server.figures().received;
        assert!(now >= last);
        last = now;
    }
    stop.store(true, Ordering::Relaxed);
    flood.join().unwrap();
}

struct FromStream(StreamEvent);
impl Message for FromStream {
    type Result = ();
}
impl Handler<FromStream> for Echo {
    type Result = ();
    fn handle(&mut self, FromStream(event): FromStream, _: &mut Context<Self>) {
        if let StreamEvent::Messages { peer, messages } = event {
            self.unasked.extend(messages.into_iter().map(|message| (peer, message.to_vec())));
        }
    }
}

#[test]
fn streams_and_datagrams_meet_in_one_actor_and_the_loop_sweeps_the_silent() {
    let socket = DatagramSocket::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let udp = socket.local_addr();
    let node = NodeName::new("CCM1").unwrap();
    let (handle, mailbox) = mailbox::<Echo>(&node, "echo", 100, Clock::system());
    let (listening, at) = mpsc::channel();
    let events = handle.clone();
    let arbiter = Arbiter::spawn("test-both", move || {
        let limits = StreamLimits { first_message: Duration::from_millis(1), ..StreamLimits::default() };
        let deliver = Box::new(move |event| events.tell(FromStream(event)).is_ok());
        let connections = Connections::new(&node, limits, Clock::system(), deliver);
        listening.send(connections.listen("127.0.0.1:0".parse().unwrap()).unwrap()).unwrap();
        Keep::new(mailbox).start(move || Echo {
            sockets: vec![socket.clone()],
            clock: Clock::system(),
            counts: Arc::default(),
            unasked: Vec::new(),
            connections: Some(connections.clone()),
        });
    })
    .unwrap();
    let mut stream = TcpStream::connect(at.recv_timeout(PATIENCE).unwrap()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let message = b"OPTIONS sip:x SIP/2.0\r\nContent-Length: 2\r\n\r\nhi";
    stream.write_all(message).unwrap();
    let mut answer = vec![0; message.len()];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(answer, message);
    exchange(&phone(udp), b"beside it");

    // Nothing but the node's ticker wakes the actor; its turn ends what is overdue.
    let mut silent = TcpStream::connect(stream.peer_addr().unwrap()).unwrap();
    silent.set_read_timeout(Some(PATIENCE)).unwrap();
    let ticks = handle.clone();
    let waiting = Waiting::default();
    let _ticker = Ticker::thread("test-ticks", &waiting, || (), move || ticks.tell(Tick).unwrap_or_default()).unwrap();
    assert_eq!(silent.read(&mut [0; 10]).unwrap(), 0, "it was closed");
    drop(arbiter);
    // A killed node's connections close with it.
    assert!(matches!(stream.read(&mut [0; 10]), Ok(0) | Err(_)));
}

struct Tick;
impl Message for Tick {
    type Result = ();
}
impl Handler<Tick> for Echo {
    type Result = ();
    fn handle(&mut self, _: Tick, _: &mut Context<Self>) {}
}
