//! What every link must do, written once and run against each (DESIGN section 8): the tests below name the links.

use super::unix::tests::Folder;
use super::{AttachError, local::Hub, simulated::SimNet};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;
use tandem_base::{Incarnation, NodeLife, NodeName, Time};
use tandem_cluster::link::{DownWhy, Lane, Link, LinkEvent, Refused, Sink};

/// Steps of a millisecond that what is on its way between threads may take to land.
const PATIENCE_STEPS: usize = 20_000;

/// A link under test: how to attach a node, and how to let everything that is on its way land.
struct Bench {
    attach: Box<Attach>,
    settle: Box<dyn Fn()>,
}

type Attach = dyn Fn(NodeLife, Sink) -> Result<Box<dyn Link>, AttachError>;
type Seen = Arc<Mutex<Vec<LinkEvent>>>;

impl Bench {
    fn local() -> Self {
        let hub = Hub::new();
        Self {
            attach: Box::new(move |life, sink| hub.attach(life, sink).map(|l| Box::new(l) as Box<dyn Link>)),
            settle: Box::new(|| ()),
        }
    }
    fn simulated(seed: u64) -> Self {
        let net = SimNet::new(seed);
        let other = net.clone();
        Self {
            attach: Box::new(move |life, sink| net.attach(life, sink).map(|l| Box::new(l) as Box<dyn Link>)),
            settle: Box::new(move || {
                while let Some(at) = other.next_deadline() {
                    other.advance(at);
                }
            }),
        }
    }
    /// Real sockets and threads: what is on its way has landed when a marker that was sent after it in its lane has, and when every node has
    /// been told of exactly the others that are there.
    fn threads(attach: impl Fn(NodeLife, Sink) -> Result<Box<dyn Link>, AttachError> + 'static) -> Self {
        let threads = Arc::new(Threads::default());
        let attached = Arc::clone(&threads);
        Self {
            attach: Box::new(move |life, sink| {
                let seen =
                    Arc::new(Watch { life: life.clone(), sink, peers: Mutex::default(), markers: Mutex::default() });
                let watch = Arc::clone(&seen);
                let link = attach(life, Box::new(move |event| watch.take(event)))?;
                let link = Arc::new(Watched { link: Mutex::new(link), there: Mutex::new(true) });
                attached.nodes.lock().unwrap().push((seen, Arc::downgrade(&link)));
                Ok(Box::new(Handle(link)))
            }),
            settle: Box::new(move || threads.settle()),
        }
    }
    fn unix() -> Self {
        let folder = Folder::new("conformance");
        let net = folder.net(&["A", "B", "C"]);
        Self::threads(move |life, sink| {
            let _folder = &folder;
            net.attach(life, sink).map(|l| Box::new(l) as Box<dyn Link>)
        })
    }
    #[cfg(feature = "zenoh")]
    fn zenoh() -> Self {
        let cluster = super::zenoh::tests::Cluster::new("conformance", &["A", "B", "C"]);
        let net = cluster.net();
        Self::threads(move |life, sink| {
            let _cluster = &cluster;
            net.attach(life, sink).map(|l| Box::new(l) as Box<dyn Link>)
        })
    }
    fn join(&self, node: &str, incarnation: u64) -> (Box<dyn Link>, Seen) {
        let seen = Seen::default();
        let sink = Arc::clone(&seen);
        let link = (self.attach)(life(node, incarnation), Box::new(move |event| sink.lock().unwrap().push(event)));
        (self.settle)();
        (link.unwrap(), seen)
    }
    fn drain(&self, seen: &Seen) -> Vec<LinkEvent> {
        (self.settle)();
        std::mem::take(&mut *seen.lock().unwrap())
    }
}

/// What one node has been told, markers left out.
struct Watch {
    life: NodeLife,
    sink: Sink,
    peers: Mutex<BTreeMap<NodeName, Incarnation>>,
    /// The last marker of each peer and lane.
    markers: Mutex<BTreeMap<(NodeName, u8), u64>>,
}

const MARKER: &[u8] = b"marker ";
const LANES: [Lane; 3] = [Lane::Heartbeat, Lane::Ordinary, Lane::Bulk];

impl Watch {
    fn take(&self, event: LinkEvent) {
        match &event {
            LinkEvent::PeerUp { node, incarnation } => {
                let before = self.peers.lock().unwrap().insert(node.clone(), *incarnation);
                assert_eq!(before, None, "{node} is up twice");
            }
            LinkEvent::PeerDown { node, incarnation, .. } => {
                let before = self.peers.lock().unwrap().remove(node);
                assert_eq!(before, Some(*incarnation), "{node} was another");
            }
            LinkEvent::Message { from, bytes } => {
                if let Some([lane, number @ ..]) = bytes.strip_prefix(MARKER) {
                    let number = String::from_utf8_lossy(number).parse().unwrap();
                    self.markers.lock().unwrap().insert((from.clone(), *lane), number);
                    return;
                }
            }
        }
        (self.sink)(event);
    }
}

struct Watched {
    link: Mutex<Box<dyn Link>>,
    there: Mutex<bool>,
}

struct Handle(Arc<Watched>);

impl Link for Handle {
    fn send(&self, to: &NodeName, lane: Lane, frame: Bytes) -> Result<(), Refused> {
        self.0.link.lock().unwrap().send(to, lane, frame)
    }
    fn broadcast(&self, lane: Lane, frame: Bytes) -> usize {
        self.0.link.lock().unwrap().broadcast(lane, frame)
    }
    fn close(&self) {
        *self.0.there.lock().unwrap() = false;
        self.0.link.lock().unwrap().close();
    }
}

type Attached = (Arc<Watch>, Weak<Watched>);

#[derive(Default)]
struct Threads {
    nodes: Mutex<Vec<Attached>>,
    marker: AtomicU64,
}

impl Threads {
    /// The newest life of each node whose link has not been closed.
    fn there(&self) -> Vec<(Arc<Watch>, Arc<Watched>)> {
        let nodes = self.nodes.lock().unwrap();
        let newest = |life: &NodeLife| !nodes.iter().any(|(w, _)| w.life.node == life.node && w.life > *life);
        let there = |link: &Arc<Watched>| *link.there.lock().unwrap();
        let alive = nodes.iter().filter_map(|(watch, link)| Some((Arc::clone(watch), link.upgrade().filter(there)?)));
        alive.filter(|(watch, _)| newest(&watch.life)).collect()
    }
    fn settle(&self) {
        let marker = self.marker.fetch_add(1, Ordering::Relaxed) + 1;
        let bytes = |lane| Bytes::from([MARKER, &[lane as u8], marker.to_string().as_bytes()].concat());
        let mut sent = false;
        // Steps, not a moment: whoever is stopped on the way has not waited.
        for left in (0..PATIENCE_STEPS).rev() {
            let there = self.there();
            let others = |watch: &Watch| -> BTreeMap<NodeName, Incarnation> {
                let others = there.iter().filter(|(w, _)| w.life.node != watch.life.node);
                others.map(|(w, _)| (w.life.node.clone(), w.life.incarnation)).collect()
            };
            let met = there.iter().all(|(watch, _)| *watch.peers.lock().unwrap() == others(watch));
            if met && !sent {
                // In every lane: nothing says that one that was sent later in a lower lane is later.
                for (lane, (_, node)) in LANES.into_iter().flat_map(|lane| there.iter().map(move |node| (lane, node))) {
                    let _ = node.link.lock().unwrap().broadcast(lane, bytes(lane));
                }
                sent = true;
            }
            let heard = |watch: &Watch| {
                let markers = watch.markers.lock().unwrap();
                let landed = |node: &NodeName, lane| markers.get(&(node.clone(), lane as u8)) == Some(&marker);
                others(watch).keys().all(|node| LANES.into_iter().all(|lane| landed(node, lane)))
            };
            if met && there.iter().all(|(watch, _)| heard(watch)) {
                return;
            }
            assert!(left > 0, "not settled: met {met}");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

fn name(node: &str) -> NodeName {
    NodeName::new(node).unwrap()
}
fn life(node: &str, incarnation: u64) -> NodeLife {
    NodeLife { node: name(node), incarnation: Incarnation(incarnation) }
}
fn up(node: &str, incarnation: u64) -> LinkEvent {
    LinkEvent::PeerUp { node: name(node), incarnation: Incarnation(incarnation) }
}
fn down(node: &str, incarnation: u64) -> LinkEvent {
    LinkEvent::PeerDown { node: name(node), incarnation: Incarnation(incarnation), why: DownWhy::Closed }
}
fn message(from: &str, text: &str) -> LinkEvent {
    LinkEvent::Message { from: name(from), bytes: Bytes::copy_from_slice(text.as_bytes()) }
}
fn frame(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn nodes_are_told_of_each_other_before_any_message(bench: &Bench) {
    let (a, seen_a) = bench.join("A", 1);
    let (_b, seen_b) = bench.join("B", 7);
    assert_eq!(a.send(&name("B"), Lane::Ordinary, frame("hello")), Ok(()));
    assert_eq!(bench.drain(&seen_a), [up("B", 7)]);
    assert_eq!(bench.drain(&seen_b), [up("A", 1), message("A", "hello")]);
}

fn frames_of_one_sender_and_lane_keep_their_order(bench: &Bench) {
    let (a, _seen_a) = bench.join("A", 1);
    let (b, _seen_b) = bench.join("B", 1);
    let (_c, seen_c) = bench.join("C", 1);
    bench.drain(&seen_c);
    for n in 0..200 {
        for (link, from) in [(&a, "a"), (&b, "b")] {
            assert_eq!(link.send(&name("C"), Lane::Ordinary, frame(&format!("{from}{n}"))), Ok(()));
            assert_eq!(link.send(&name("C"), Lane::Bulk, frame(&format!("{from}-bulk{n}"))), Ok(()));
        }
    }
    let texts: Vec<String> = bench.drain(&seen_c).iter().map(text).collect();
    for prefix in ["a", "b", "a-bulk", "b-bulk"] {
        let numbers: Vec<usize> =
            texts.iter().filter_map(|t| t.strip_prefix(prefix).and_then(|n| n.parse().ok())).collect();
        assert_eq!(numbers, (0..200).collect::<Vec<_>>(), "{prefix}");
    }
}

fn text(event: &LinkEvent) -> String {
    match event {
        LinkEvent::Message { bytes, .. } => String::from_utf8_lossy(bytes).into_owned(),
        other => panic!("not a message: {other:?}"),
    }
}

fn a_broadcast_reaches_every_peer_and_never_the_sender(bench: &Bench) {
    let (a, seen_a) = bench.join("A", 1);
    assert_eq!(a.broadcast(Lane::Heartbeat, frame("alone")), 0);
    let (_b, seen_b) = bench.join("B", 1);
    let (_c, seen_c) = bench.join("C", 1);
    for seen in [&seen_a, &seen_b, &seen_c] {
        bench.drain(seen);
    }
    assert_eq!(a.broadcast(Lane::Heartbeat, frame("all")), 2);
    assert_eq!(bench.drain(&seen_a), []);
    assert_eq!(bench.drain(&seen_b), [message("A", "all")]);
    assert_eq!(bench.drain(&seen_c), [message("A", "all")]);
}

fn a_frame_for_nobody_is_refused(bench: &Bench) {
    let (a, seen_a) = bench.join("A", 1);
    assert_eq!(a.send(&name("B"), Lane::Ordinary, frame("x")), Err(Refused::NotConnected));
    assert_eq!(a.send(&name("A"), Lane::Ordinary, frame("x")), Err(Refused::NotConnected));
    assert_eq!(bench.drain(&seen_a), []);
}

fn closing_is_seen_after_what_was_sent_and_ends_sending(bench: &Bench) {
    let (a, seen_a) = bench.join("A", 3);
    let (b, seen_b) = bench.join("B", 1);
    for seen in [&seen_a, &seen_b] {
        bench.drain(seen);
    }
    assert_eq!(a.send(&name("B"), Lane::Bulk, frame("last words")), Ok(()));
    a.close();
    a.close();
    assert_eq!(bench.drain(&seen_b), [message("A", "last words"), down("A", 3)]);
    assert_eq!(a.send(&name("B"), Lane::Ordinary, frame("ghost")), Err(Refused::NotConnected));
    assert_eq!(a.broadcast(Lane::Ordinary, frame("ghost")), 0);
    assert_eq!(b.send(&name("A"), Lane::Ordinary, frame("anyone?")), Err(Refused::NotConnected));
    assert_eq!(bench.drain(&seen_b), []);
    assert_eq!(bench.drain(&seen_a), []);
}

fn a_new_life_replaces_an_old_one_and_the_old_one_cannot_harm_it(bench: &Bench) {
    let (old, _seen_old) = bench.join("A", 1);
    let (b, seen_b) = bench.join("B", 1);
    bench.drain(&seen_b);
    let refused = (bench.attach)(life("A", 1), Box::new(|_| ()));
    assert!(matches!(refused, Err(AttachError::NotNewer { attached: Incarnation(1), .. })));
    let (_new, seen_new) = bench.join("A", 2);
    assert_eq!(bench.drain(&seen_b), [down("A", 1), up("A", 2)]);
    assert_eq!(old.send(&name("B"), Lane::Ordinary, frame("ghost")), Err(Refused::NotConnected));
    drop(old);
    assert_eq!(bench.drain(&seen_b), []);
    assert_eq!(b.send(&name("A"), Lane::Ordinary, frame("welcome")), Ok(()));
    assert_eq!(bench.drain(&seen_new), [up("B", 1), message("B", "welcome")]);
}

fn dropping_a_link_closes_it(bench: &Bench) {
    let (a, _seen_a) = bench.join("A", 1);
    let (_b, seen_b) = bench.join("B", 1);
    bench.drain(&seen_b);
    drop(a);
    assert_eq!(bench.drain(&seen_b), [down("A", 1)]);
}

fn suite(make: impl Fn() -> Bench) {
    let rules: [fn(&Bench); 7] = [
        nodes_are_told_of_each_other_before_any_message,
        frames_of_one_sender_and_lane_keep_their_order,
        a_broadcast_reaches_every_peer_and_never_the_sender,
        a_frame_for_nobody_is_refused,
        closing_is_seen_after_what_was_sent_and_ends_sending,
        a_new_life_replaces_an_old_one_and_the_old_one_cannot_harm_it,
        dropping_a_link_closes_it,
    ];
    for rule in rules {
        rule(&make());
    }
}

#[test]
fn the_local_link_conforms() {
    suite(Bench::local);
}

#[test]
fn the_unix_link_conforms() {
    suite(Bench::unix);
}

#[cfg(feature = "zenoh")]
#[test]
fn the_zenoh_link_conforms() {
    suite(Bench::zenoh);
}

#[test]
fn the_simulated_link_conforms_for_every_seed() {
    for seed in 0..20 {
        suite(|| Bench::simulated(seed));
    }
}

#[test]
fn the_local_link_keeps_order_when_senders_are_threads() {
    let hub = Hub::new();
    let seen = Seen::default();
    let sink = Arc::clone(&seen);
    let _c = hub.attach(life("C", 1), Box::new(move |event| sink.lock().unwrap().push(event))).unwrap();
    std::thread::scope(|scope| {
        for from in ["A", "B"] {
            let link = hub.attach(life(from, 1), Box::new(|_| ())).unwrap();
            scope.spawn(move || {
                for n in 0..1_000 {
                    assert_eq!(link.send(&name("C"), Lane::Ordinary, frame(&n.to_string())), Ok(()));
                }
            });
        }
    });
    let seen = seen.lock().unwrap();
    for from in ["A", "B"] {
        let theirs = seen.iter().filter(|e| match e {
            LinkEvent::PeerUp { node, .. } | LinkEvent::PeerDown { node, .. } => node.as_str() == from,
            LinkEvent::Message { from: sender, .. } => sender.as_str() == from,
        });
        let mut wanted = vec![up(from, 1)];
        wanted.extend((0..1_000).map(|n: i32| message(from, &n.to_string())));
        wanted.push(down(from, 1));
        assert!(theirs.eq(&wanted), "{from}");
    }
}

/// Two simulated nodes; returns what B has seen after `fault` and ten frames from A, one per millisecond.
fn seen_through(seed: u64, fault: impl Fn(&SimNet)) -> (SimNet, Vec<LinkEvent>) {
    let net = SimNet::new(seed);
    let seen = Seen::default();
    let sink = Arc::clone(&seen);
    let a = net.attach(life("A", 1), Box::new(|_| ())).unwrap();
    let b = net.attach(life("B", 1), Box::new(move |event| sink.lock().unwrap().push(event))).unwrap();
    net.advance(Time::from_millis(10));
    fault(&net);
    for n in 0..10 {
        net.advance(Time::from_millis(10 + n));
        assert_eq!(a.send(&name("B"), Lane::Ordinary, frame(&n.to_string())), Ok(()));
    }
    net.advance(Time::from_millis(100));
    std::mem::forget((a, b));
    let events = seen.lock().unwrap().clone();
    (net, events)
}

#[test]
fn a_simulated_cut_loses_in_silence_in_its_direction_only() {
    let (_, cut) = seen_through(1, |net| net.cut_one_way(&name("A"), &name("B")));
    assert_eq!(cut, [up("A", 1)]);
    let (_, other_way) = seen_through(1, |net| net.cut_one_way(&name("B"), &name("A")));
    assert_eq!(other_way.len(), 11);
}

#[test]
fn a_simulated_hang_holds_frames_until_the_node_resumes() {
    let (net, before) = seen_through(1, |net| net.hang(&name("B")));
    assert_eq!(before, [up("A", 1)]);
    net.resume(&name("B"));
    assert_eq!(net.advance(Time::from_millis(101)), 10);
}

#[test]
fn a_simulated_link_in_a_bad_hour_repeats_and_shortens_frames_and_keeps_their_order() {
    let bad = |net: &SimNet| {
        let path =
            super::simulated::Path { twice_per_million: 500_000, short_per_million: 500_000, ..Default::default() };
        net.set_default_path(path);
    };
    let (mut twice, mut short) = (0, 0);
    for seed in 0..8 {
        let texts: Vec<String> = seen_through(seed, bad).1.iter().skip(1).map(text).collect();
        twice += texts.windows(2).filter(|w| w[0] == w[1]).count();
        short += texts.iter().filter(|t| t.is_empty()).count();
        let whole: Vec<u32> = texts.iter().filter_map(|t| t.parse().ok()).collect();
        assert!(whole.is_sorted(), "{whole:?}");
        assert!(texts.len() >= 10, "{texts:?}");
    }
    assert!(twice > 0 && short > 0, "{twice} twice, {short} short");
}

/// Two connections are read in any order: with stragglers allowed a frame of the old life may come after the new life's first words.
#[test]
fn a_simulated_straggler_comes_after_the_next_life_has_begun() {
    let late = (0..64).any(|seed| {
        let net = SimNet::new(seed);
        net.set_stragglers(true);
        let far = Duration::from_millis(50);
        net.set_default_path(super::simulated::Path { delay_max: far, ..Default::default() });
        let seen = Seen::default();
        let sink = Arc::clone(&seen);
        let _b = net.attach(life("B", 1), Box::new(move |event| sink.lock().unwrap().push(event))).unwrap();
        let a = net.attach(life("A", 1), Box::new(|_| ())).unwrap();
        net.advance(Time::from_millis(100));
        assert_eq!(a.send(&name("B"), Lane::Ordinary, frame("old")), Ok(()));
        let _a = net.attach(life("A", 2), Box::new(|_| ())).unwrap();
        net.advance(Time::from_millis(500));
        let events = seen.lock().unwrap().clone();
        let at = |event: &LinkEvent| events.iter().position(|e| e == event);
        assert!(at(&message("A", "old")) < at(&down("A", 1)), "a life's own words keep their order: {events:?}");
        at(&message("A", "old")) > at(&up("A", 2))
    });
    assert!(late);
}

#[test]
fn one_seed_gives_one_history() {
    let lossy = |net: &SimNet| {
        net.set_default_path(super::simulated::Path {
            delay_min: Duration::from_micros(1),
            delay_max: Duration::from_millis(5),
            loss_per_million: 400_000,
            ..super::simulated::Path::default()
        });
    };
    let histories: Vec<_> = [1, 1, 2, 3, 4].map(|seed| seen_through(seed, lossy).1).into_iter().collect();
    assert_eq!(histories[0], histories[1]);
    assert!(histories[1..].iter().any(|h| *h != histories[0]));
}
