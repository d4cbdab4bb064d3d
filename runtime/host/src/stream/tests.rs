//! Real connections on loopback against a table on one runtime; deadlines are swept with times made up by the test, so nothing waits for them.

use super::*;
use std::io::ErrorKind;
use std::time::Instant;
use tandem_base::UnixMillis;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const PATIENCE: Duration = Duration::from_secs(20);

type Events = Rc<RefCell<Vec<StreamEvent>>>;

struct World {
    connections: Connections,
    events: Events,
    /// What the actor answers to the next events; `true` when it runs out.
    verdicts: Rc<RefCell<VecDeque<bool>>>,
}

fn world(limits: StreamLimits) -> World {
    let (events, verdicts) = (Events::default(), Rc::new(RefCell::new(VecDeque::new())));
    let (log, answers) = (Rc::clone(&events), Rc::clone(&verdicts));
    let deliver = move |event| {
        let taken = answers.borrow_mut().pop_front().unwrap_or(true);
        if taken {
            log.borrow_mut().push(event);
        }
        taken
    };
    // Time is swept by the test; its clock begins at zero and hardly moves.
    let clock = Clock::simulated(UnixMillis(0));
    let node = NodeName::new("CCM1").unwrap();
    World { connections: Connections::new(&node, limits, clock, Box::new(deliver)), events, verdicts }
}

fn on_runtime<F: Future>(limits: StreamLimits, test: impl FnOnce(World) -> F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, async {
        tokio::time::timeout(PATIENCE, test(world(limits))).await.expect("what must come did not come")
    })
}

impl World {
    fn listen(&self, address: &str) -> SocketAddr {
        self.connections.listen(address.parse().unwrap()).unwrap()
    }
    /// Lets tasks run until it holds.
    async fn until(&self, mut holds: impl FnMut(&Self) -> bool) {
        while !holds(self) {
            tokio::task::yield_now().await;
        }
    }
    fn messages(&self) -> Vec<(u32, String)> {
        let mut all = Vec::new();
        for event in &*self.events.borrow() {
            if let StreamEvent::Messages { peer, messages } = event {
                assert!(messages.len() <= BATCH_MESSAGES);
                let text = |m: &Bytes| String::from_utf8(m.to_vec()).unwrap();
                all.extend(messages.iter().map(|m| (id(*peer), text(m))));
            }
        }
        all
    }
    fn closed(&self) -> Vec<(u32, CloseReason)> {
        let closed = |event: &StreamEvent| match event {
            StreamEvent::Closed { peer, reason } => Some((id(*peer), *reason)),
            _ => None,
        };
        self.events.borrow().iter().filter_map(closed).collect()
    }
}

fn id(peer: Peer) -> u32 {
    match peer.flow {
        Flow::Stream(id) => id,
        Flow::Udp(_) => panic!("{peer:?} is no stream"),
    }
}

fn message(body: &str) -> String {
    format!("OPTIONS sip:x SIP/2.0\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

async fn read_exactly(stream: &mut TcpStream, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    stream.read_exact(&mut bytes).await.unwrap();
    bytes
}

/// Reads to the end, which a reset also is.
async fn read_to_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes).await {
        Ok(_) => {}
        Err(e) => assert_eq!(e.kind(), ErrorKind::ConnectionReset),
    }
    bytes
}

#[test]
fn messages_arrive_whole_however_they_were_cut_and_answers_go_back_on_both_families() {
    on_runtime(StreamLimits::default(), |world| async move {
        let mut phones = Vec::new();
        for (index, address) in ["127.0.0.1:0", "[::1]:0"].into_iter().enumerate() {
            let mut phone = TcpStream::connect(world.listen(address)).await.unwrap();
            phone.set_nodelay(true).unwrap();
            let (one, two) = (message("first"), message("second"));
            let bytes = [one.as_bytes(), two.as_bytes()].concat();
            for part in bytes.chunks(17) {
                phone.write_all(part).await.unwrap();
                tokio::task::yield_now().await;
            }
            world.until(|w| w.messages().len() == 2 * (index + 1)).await;
            let seen = world.messages();
            let from = seen[2 * index].0;
            assert_eq!(seen[2 * index..], [(from, one), (from, two)]);
            world.connections.send(from, b"SIP/2.0 200 OK\r\n\r\n").unwrap();
            assert_eq!(read_exactly(&mut phone, 18).await, b"SIP/2.0 200 OK\r\n\r\n");
            phones.push(phone);
        }
        assert_eq!(world.connections.len(), 2);
    });
}

#[test]
fn a_ping_is_answered_without_the_actor_and_a_closed_connection_is_reported() {
    on_runtime(StreamLimits::default(), |world| async move {
        let mut phone = TcpStream::connect(world.listen("127.0.0.1:0")).await.unwrap();
        phone.write_all(b"\r\n\r\n").await.unwrap();
        assert_eq!(read_exactly(&mut phone, 2).await, b"\r\n");
        assert!(world.events.borrow().is_empty());
        drop(phone);
        world.until(|w| w.closed().len() == 1).await;
        let (id, reason) = world.closed()[0];
        assert_eq!(reason, CloseReason::Peer);
        assert!(world.connections.is_empty());
        assert_eq!(world.connections.send(id, b"x"), Err(SendRefused::Closed));
    });
}

#[test]
fn bytes_that_are_no_messages_end_the_connection() {
    on_runtime(StreamLimits::default(), |world| async move {
        let mut phone = TcpStream::connect(world.listen("127.0.0.1:0")).await.unwrap();
        phone.write_all(b"OPTIONS sip:x SIP/2.0\r\nContent-Length: many\r\n\r\n").await.unwrap();
        assert!(read_to_end(&mut phone).await.is_empty());
        world.until(|w| !w.closed().is_empty()).await;
        assert_eq!(world.closed()[0].1, CloseReason::Malformed);
    });
}

/// A request whose end nobody can know.
const UNREADABLE: &[u8] =
    b"OPTIONS sip:x SIP/2.0\r\nVia: SIP/2.0/TCP 192.0.2.1;branch=z9hG4bKx\r\nFrom: <sip:a>;tag=1\r\nTo: <sip:a>\r\n\
    Call-ID: c\r\nCSeq: 1 OPTIONS\r\n\r\n";

impl World {
    fn unreadable(&self) -> Vec<(u32, FrameError)> {
        let unreadable = |event: &StreamEvent| match event {
            StreamEvent::Unreadable { peer, head, error } => {
                assert_eq!(head, UNREADABLE);
                Some((id(*peer), *error))
            }
            _ => None,
        };
        self.events.borrow().iter().filter_map(unreadable).collect()
    }
}

#[test]
fn a_stream_that_cannot_be_cut_gets_its_last_answer_behind_the_others_and_then_its_end() {
    on_runtime(StreamLimits::default(), |world| async move {
        let mut phone = TcpStream::connect(world.listen("127.0.0.1:0")).await.unwrap();
        // More follows than the node will look at: it must neither be taken for messages nor reset the connection.
        let noise = message("").repeat(1_000);
        let all = [message("").as_bytes(), UNREADABLE, noise.as_bytes()].concat();
        phone.write_all(&all).await.unwrap();
        world.until(|w| !w.unreadable().is_empty()).await;
        let (from, error) = world.unreadable()[0];
        assert_eq!((error, world.messages().len()), (FrameError::MissingContentLength, 1));
        for answer in [&b"first"[..], b"last", b""] {
            world.connections.send(from, answer).unwrap();
        }
        assert_eq!(world.connections.send(from, b"too late"), Err(SendRefused::Closed));
        let mut answers = Vec::new();
        phone.read_to_end(&mut answers).await.expect("an end in good order, not a reset");
        assert_eq!(answers, b"firstlast");
        assert_eq!(world.connections.len(), 1, "the peer has not ended its side");
        drop(phone);
        world.until(|w| !w.closed().is_empty()).await;
        assert_eq!((world.closed(), world.messages().len()), (vec![(from, CloseReason::Malformed)], 1));
    });
}

#[test]
fn a_connection_that_is_to_end_ends_at_its_deadline_whatever_both_sides_do() {
    on_runtime(StreamLimits::default(), |world| async move {
        let mut phone = TcpStream::connect(world.listen("127.0.0.1:0")).await.unwrap();
        phone.write_all(UNREADABLE).await.unwrap();
        world.until(|w| !w.unreadable().is_empty()).await;
        world.connections.sweep(Time::ZERO + LINGER / 2);
        tokio::task::yield_now().await;
        assert_eq!(world.connections.len(), 1);
        world.connections.sweep(Time::ZERO + LINGER + PATIENCE);
        world.until(|w| w.connections.is_empty()).await;
        assert!(read_to_end(&mut phone).await.is_empty());
    });
}

#[test]
fn who_floods_a_connection_that_is_to_end_is_cut_off() {
    on_runtime(StreamLimits::default(), |world| async move {
        let mut phone = TcpStream::connect(world.listen("127.0.0.1:0")).await.unwrap();
        phone.write_all(UNREADABLE).await.unwrap();
        world.until(|w| !w.unreadable().is_empty()).await;
        let block = vec![b'x'; 64 << 10];
        while phone.write_all(&block).await.is_ok() {}
        world.until(|w| w.connections.is_empty()).await;
        assert_eq!(world.closed()[0].1, CloseReason::Malformed);
    });
}

#[test]
fn a_message_is_as_long_as_the_limits_say_and_no_byte_longer() {
    let limits = StreamLimits { message_bytes: 2_000, ..StreamLimits::default() };
    on_runtime(limits, |world| async move {
        let address = world.listen("127.0.0.1:0");
        let head = message("").len() + "000".len();
        let mut phone = TcpStream::connect(address).await.unwrap();
        phone.write_all(message(&"b".repeat(2_000 - head)).as_bytes()).await.unwrap();
        world.until(|w| w.messages().len() == 1).await;
        assert_eq!(world.messages()[0].1.len(), 2_000);
        let mut phone = TcpStream::connect(address).await.unwrap();
        phone.write_all(message(&"b".repeat(2_001 - head)).as_bytes()).await.unwrap();
        assert!(read_to_end(&mut phone).await.is_empty());
        assert_eq!(world.messages().len(), 1);
        assert_eq!(world.closed()[0].1, CloseReason::Malformed);
    });
}

#[test]
fn a_peer_that_does_not_read_delays_nobody_and_is_closed_at_its_deadline() {
    let limits = StreamLimits { queue_bytes: 1 << 20, ..StreamLimits::default() };
    on_runtime(limits, |world| async move {
        let address = world.listen("127.0.0.1:0");
        let mut stalled = TcpStream::connect(address).await.unwrap();
        let mut lively = TcpStream::connect(address).await.unwrap();
        for phone in [&mut stalled, &mut lively] {
            phone.write_all(message("").as_bytes()).await.unwrap();
        }
        world.until(|w| w.messages().len() == 2).await;
        let (first, second) = (world.messages()[0].0, world.messages()[1].0);
        // Loopback takes some megabytes before it says that the peer does not read.
        let block = vec![7; 64 << 10];
        let filled = |w: &World| w.connections.table.queued.get() > 0;
        while !filled(&world) {
            world.connections.send(first, &block).unwrap();
        }
        for n in 0..100 {
            let began = Instant::now();
            lively.write_all(message("").as_bytes()).await.unwrap();
            world.until(|w| w.messages().len() == 3 + n).await;
            world.connections.send(second, b"SIP/2.0 200 OK\r\n\r\n").unwrap();
            read_exactly(&mut lively, 18).await;
            assert!(began.elapsed() < PATIENCE / 2);
        }
        world.connections.sweep(Time::from_secs(4));
        tokio::task::yield_now().await;
        assert_eq!(world.connections.len(), 2, "not yet");
        world.connections.sweep(Time::from_secs(8));
        world.until(|w| w.connections.len() == 1).await;
        assert_eq!(world.closed(), [(first, CloseReason::Stalled)]);
        assert_eq!(world.connections.table.queued.get(), 0, "what waited is given back");
        assert_eq!(world.connections.send(second, b"still here"), Ok(()));
    });
}

#[test]
fn a_slow_reader_gets_every_byte_in_order() {
    let limits = StreamLimits { queue_bytes: 64 << 20, ..StreamLimits::default() };
    on_runtime(limits, |world| async move {
        let mut phone = TcpStream::connect(world.listen("127.0.0.1:0")).await.unwrap();
        phone.write_all(message("").as_bytes()).await.unwrap();
        world.until(|w| !w.messages().is_empty()).await;
        let from = world.messages()[0].0;
        let sent: Vec<u8> = (0..16_u32 << 20).map(|n| (n % 251).to_le_bytes()[0]).collect();
        for part in sent.chunks(100_003) {
            world.connections.send(from, part).unwrap();
        }
        assert!(world.connections.table.queued.get() > 0, "some of it had to wait");
        assert!(read_exactly(&mut phone, sent.len()).await == sent);
        world.until(|w| w.connections.table.queued.get() == 0).await;
    });
}

#[test]
fn the_queue_of_a_connection_is_bounded() {
    on_runtime(StreamLimits::default(), |world| async move {
        let mut phone = TcpStream::connect(world.listen("127.0.0.1:0")).await.unwrap();
        phone.write_all(message("").as_bytes()).await.unwrap();
        world.until(|w| !w.messages().is_empty()).await;
        let from = world.messages()[0].0;
        let block = vec![7; 64 << 10];
        while world.connections.send(from, &block).is_ok() {
            assert!(world.connections.table.queued.get() <= world.connections.table.limits.queue_bytes);
        }
        world.until(|w| w.connections.is_empty()).await;
        assert_eq!(world.closed(), [(from, CloseReason::QueueFull)]);
    });
}

#[test]
fn who_says_nothing_and_who_falls_silent_are_closed_and_keep_alives_keep_alive() {
    on_runtime(StreamLimits::default(), |world| async move {
        let address = world.listen("127.0.0.1:0");
        let _silent = TcpStream::connect(address).await.unwrap();
        let mut spoke = TcpStream::connect(address).await.unwrap();
        spoke.write_all(message("").as_bytes()).await.unwrap();
        world.until(|w| !w.messages().is_empty() && w.connections.len() == 2).await;
        let limits = StreamLimits::default();
        world.connections.sweep(Time::ZERO + limits.first_message / 2);
        tokio::task::yield_now().await;
        assert_eq!(world.connections.len(), 2);
        world.connections.sweep(Time::ZERO + limits.first_message + PATIENCE);
        world.until(|w| w.connections.len() == 1).await;
        world.connections.sweep(Time::ZERO + limits.idle + PATIENCE);
        world.until(|w| w.connections.is_empty()).await;
        let reasons: Vec<_> = world.closed().into_iter().map(|(_, reason)| reason).collect();
        assert_eq!(reasons, [CloseReason::Silent, CloseReason::Idle]);
    });
}

#[test]
fn beyond_the_bound_nobody_is_accepted_and_a_place_that_is_free_is_given_again() {
    let limits = StreamLimits { connections: 2, ..StreamLimits::default() };
    on_runtime(limits, |world| async move {
        let address = world.listen("127.0.0.1:0");
        let first = TcpStream::connect(address).await.unwrap();
        let _second = TcpStream::connect(address).await.unwrap();
        world.until(|w| w.connections.len() == 2).await;
        assert!(read_to_end(&mut TcpStream::connect(address).await.unwrap()).await.is_empty());
        drop(first);
        world.until(|w| w.connections.len() == 1).await;
        let mut again = TcpStream::connect(address).await.unwrap();
        again.write_all(b"\r\n\r\n").await.unwrap();
        assert_eq!(read_exactly(&mut again, 2).await, b"\r\n");
    });
}

#[test]
fn one_source_cannot_take_all_places_and_loopback_is_exempt() {
    let limits = StreamLimits { per_source: 1, ..StreamLimits::default() };
    on_runtime(limits, |world| async move {
        let (near, far): (IpAddr, IpAddr) = ("127.0.0.1".parse().unwrap(), "192.0.2.1".parse().unwrap());
        let table = &world.connections.table;
        table.sources.borrow_mut().insert(far, 1);
        assert!(!table.has_room_for(far));
        table.sources.borrow_mut().insert(near, 1);
        assert!(table.has_room_for(near));
    });
}

#[test]
fn an_actor_that_is_full_costs_the_connection_and_is_told_of_its_end_later() {
    on_runtime(StreamLimits::default(), |world| async move {
        let mut phone = TcpStream::connect(world.listen("127.0.0.1:0")).await.unwrap();
        // The messages are refused, and so is the news of the end.
        world.verdicts.borrow_mut().extend([false, false]);
        phone.write_all(message("").as_bytes()).await.unwrap();
        assert!(read_to_end(&mut phone).await.is_empty());
        world.until(|w| w.connections.is_empty()).await;
        assert!(world.events.borrow().is_empty());
        world.connections.sweep(Time::ZERO);
        assert_eq!(world.closed().len(), 1);
        assert_eq!(world.closed()[0].1, CloseReason::Overloaded);
    });
}

#[test]
fn a_pipeline_is_handed_on_in_bounded_batches() {
    on_runtime(StreamLimits::default(), |world| async move {
        let mut phone = TcpStream::connect(world.listen("127.0.0.1:0")).await.unwrap();
        let all: Vec<String> = (0..500).map(|n| message(&n.to_string())).collect();
        phone.write_all(all.concat().as_bytes()).await.unwrap();
        world.until(|w| w.messages().len() == 500).await;
        assert!(world.messages().iter().map(|(_, text)| text).eq(&all));
    });
}

#[test]
fn closing_all_ends_every_connection_and_frees_the_port() {
    on_runtime(StreamLimits::default(), |world| async move {
        let address = world.listen("127.0.0.1:0");
        let mut phone = TcpStream::connect(address).await.unwrap();
        world.until(|w| w.connections.len() == 1).await;
        world.connections.close_all();
        assert!(read_to_end(&mut phone).await.is_empty());
        world.until(|w| w.connections.is_empty()).await;
        assert_eq!(world.closed()[0].1, CloseReason::Local);
        while world.connections.listen(address).is_err() {
            tokio::task::yield_now().await;
        }
    });
}
