//! The zenoh link over real QUIC on loopback: who is let in, what happens when certificates change, and frames of every size.

use super::*;
use crate::certificates::make::{Authority, Made};
use crate::certificates::{ca_path, node_key_path, node_path};
use crate::disk::{Access, Disk, RealDisk};
use crate::exporter::Exporter;
use crate::link::unix::tests::Folder;
use ::zenoh::Wait;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::sync::mpsc;
use tandem_base::{Incarnation, UnixMillis};
use tandem_cluster::link::{DownWhy, LinkEvent};

/// Steps that anything may take that is waited for. Not a moment: whoever is stopped on the way has not waited.
const PATIENCE: usize = 4_000;
const STEP: Duration = Duration::from_millis(5);
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const YEAR: Duration = Duration::from_secs(365 * 86_400);

fn name(node: &str) -> NodeName {
    NodeName::new(node).unwrap()
}
fn life(node: &str, incarnation: u64) -> NodeLife {
    NodeLife { node: name(node), incarnation: Incarnation(incarnation) }
}
fn now() -> UnixMillis {
    Clock::system().unix_millis()
}

fn write(folder: &Path, node: &str, made: &Made) {
    let put = |path: &Path, text: &str| RealDisk.write(path, text.as_bytes(), Access::Private).unwrap();
    put(&node_path(folder, &name(node)), &made.certificate);
    put(&node_key_path(folder, &name(node)), &made.key);
}

/// A cluster with certificates in a folder, removed at the end of its test.
pub(in crate::link) struct Cluster {
    folder: Folder,
    authority: Authority,
    options: ZenohOptions,
    told: Arc<Mutex<Vec<Notice>>>,
}

impl Cluster {
    pub(in crate::link) fn new(test: &str, nodes: &[&str]) -> Self {
        let folder = Folder::new(test);
        let (authority, made) = Authority::new("test", now(), YEAR).unwrap();
        RealDisk.write(&ca_path(&folder.0), made.certificate.as_bytes(), Access::Shared).unwrap();
        for node in nodes {
            write(&folder.0, node, &authority.issue("test", &name(node), HERE, now(), YEAR).unwrap());
        }
        // Taken from the system together, so that no two are the same, and free again when this ends.
        let sockets: Vec<_> = nodes.iter().map(|n| (name(n), UdpSocket::bind((HERE, 0)).unwrap())).collect();
        let members = sockets.iter().map(|(n, s)| (n.clone(), Some(s.local_addr().unwrap()))).collect();
        let told: Arc<Mutex<Vec<Notice>>> = Arc::default();
        let hear = Arc::clone(&told);
        let options = ZenohOptions {
            cluster: "test".to_owned(),
            members,
            certificates: folder.0.clone(),
            dead_after: Duration::from_secs(1),
            look_every: Duration::from_millis(20),
            notices: Arc::new(move |_, notice| lock(&hear).push(notice)),
        };
        Self { folder, authority, options, told }
    }
    pub(in crate::link) fn net(&self) -> ZenohNet {
        ZenohNet::new(self.options.clone())
    }
    fn address(&self, node: &str) -> SocketAddr {
        self.options.members.get(&name(node)).copied().flatten().unwrap()
    }
}

/// A node under test and what it is told.
struct Node {
    link: ZenohLink,
    told: Receiver<LinkEvent>,
}

impl Node {
    fn start(net: &ZenohNet, node: &str, incarnation: u64) -> Result<Self, AttachError> {
        Exporter::install().unwrap();
        let (tell, told) = mpsc::channel();
        let link = net.attach(life(node, incarnation), Box::new(move |event| _ = tell.send(event)))?;
        Ok(Self { link, told })
    }
    fn next(&self) -> LinkEvent {
        (0..PATIENCE).find_map(|_| self.told.recv_timeout(STEP).ok()).expect("an event")
    }
    fn up(&self, peer: &str, incarnation: u64) {
        let NodeLife { node, incarnation } = life(peer, incarnation);
        assert_eq!(self.next(), LinkEvent::PeerUp { node, incarnation });
    }
    fn quiet(&self) {
        assert_eq!(self.told.try_recv(), Err(mpsc::TryRecvError::Empty));
    }
}

fn until(what: &str, holds: impl Fn() -> bool) {
    let mut left = PATIENCE;
    while !holds() {
        left = left.checked_sub(1).expect(what);
        std::thread::sleep(STEP);
    }
}

/// Waits until a connection has ended so, at this node.
fn counted(node: &str, ending: Ending) {
    let line = format!("{}{{node=\"{node}\",reason=\"{}\"}} ", metric::LINK_CLOSED.name, ending.as_str());
    let exporter = Exporter::install().unwrap();
    until(&line, || exporter.render().lines().any(|l| l.strip_prefix(&line).is_some_and(|count| count != "0")));
}

/// Sends a frame again and again until it arrives; nothing but frames may be told meanwhile.
fn reaches(from: &Node, to: &Node, peer: &str) {
    static CALL: AtomicU64 = AtomicU64::new(0);
    let text = Bytes::from(format!("call {}", CALL.fetch_add(1, Ordering::Relaxed)));
    until("a frame arrives", || {
        // Between two sessions none is taken.
        let _ = from.link.send(&name(peer), Lane::Ordinary, text.clone());
        to.told.try_iter().any(|event| match event {
            LinkEvent::Message { bytes, .. } => bytes == text,
            other => panic!("{other:?}"),
        })
    });
}

/// Whether the engine lets a plain session in at `address` that shows this certificate and trusts `ca`.
fn lets_in(address: SocketAddr, ca: &str, shown: Option<&Made>) -> bool {
    let secret = |text: &str| base64::Engine::encode(&base64::engine::general_purpose::STANDARD, text);
    let own = shown.map_or_else(String::new, |made| {
        let (certificate, key) = (secret(&made.certificate), secret(&made.key));
        format!(
            "enable_mtls: true, connect_certificate_base64: \"{certificate}\", connect_private_key_base64: \"{key}\","
        )
    });
    let text = format!(
        r#"{{ mode: "client", connect: {{ endpoints: ["quic/{address}"], timeout_ms: 1000, exit_on_failure: true }},
            scouting: {{ multicast: {{ enabled: false }} }},
            transport: {{ link: {{ tls: {{ {own} root_ca_certificate_base64: "{}" }} }} }} }}"#,
        secret(ca)
    );
    let opened = ::zenoh::open(::zenoh::Config::from_json5(&text).unwrap()).wait();
    opened.map(|session| session.close().wait().unwrap()).is_ok()
}

#[test]
fn only_certificates_of_the_cluster_are_let_in() {
    let cluster = Cluster::new("foreign", &["FOREIGN"]);
    let node = Node::start(&cluster.net(), "FOREIGN", 1).unwrap();
    let address = cluster.address("FOREIGN");
    let ca = String::from_utf8(RealDisk.read(&ca_path(&cluster.folder.0), 1 << 20).unwrap()).unwrap();
    let issue = |authority: &Authority| authority.issue("test", &name("A"), HERE, now(), YEAR).unwrap();
    // The control: one of the cluster is let in, so what is refused below is refused for its certificate.
    assert!(lets_in(address, &ca, Some(&issue(&cluster.authority))));
    let (other, _) = Authority::new("test", now(), YEAR).unwrap();
    assert!(!lets_in(address, &ca, Some(&issue(&other))), "another authority of the same name");
    assert!(!lets_in(address, &ca, None), "none");
    let expired = UnixMillis(now().0 - 10 * 86_400_000);
    let expired = cluster.authority.issue("test", &name("A"), HERE, expired, Duration::from_secs(86_400)).unwrap();
    assert!(!lets_in(address, &ca, Some(&expired)), "an old one");
    node.quiet();
}

#[test]
fn nodes_of_another_cluster_or_that_are_not_configured_are_not_heard_and_seen_in_the_metric() {
    let cluster = Cluster::new("names", &["ALIEN1", "NAMES", "STRANGE1", "X"]);
    let with = |change: &dyn Fn(&mut ZenohOptions)| {
        let mut options = cluster.options.clone();
        change(&mut options);
        ZenohNet::new(options)
    };
    let net = with(&|o| _ = o.members.remove(&name("STRANGE1")));
    let node = Node::start(&net, "NAMES", 1).unwrap();
    // All of them have good certificates and dial, as the lower names.
    let alien = Node::start(&with(&|o| o.cluster = "other".to_owned()), "ALIEN1", 9).unwrap();
    let strange = Node::start(&cluster.net(), "STRANGE1", 9).unwrap();
    counted("NAMES", Ending::Cluster);
    counted("ALIEN1", Ending::Cluster);
    let _ = alien.link.broadcast(Lane::Ordinary, Bytes::from_static(b"x"));
    let x = Node::start(&net, "X", 1).unwrap();
    node.up("X", 1);
    x.up("NAMES", 1);
    counted("X", Ending::Stranger);
    node.quiet();
    alien.quiet();
    drop(strange);
}

#[test]
fn new_certificates_are_used_without_an_end_of_anybody() {
    let cluster = Cluster::new("renewed", &["Q", "RENEWED"]);
    let (a, b) = (cluster.net(), cluster.net());
    let (a, b) = (Node::start(&a, "RENEWED", 1).unwrap(), Node::start(&b, "Q", 1).unwrap());
    a.up("Q", 1);
    b.up("RENEWED", 1);
    reaches(&a, &b, "Q");
    // Half of new files is no reason to stop: the key does not belong to the certificate yet.
    let made = cluster.authority.issue("test", &name("RENEWED"), HERE, now(), YEAR / 2).unwrap();
    let put = |path: &Path, text: &str| RealDisk.write(path, text.as_bytes(), Access::Private).unwrap();
    put(&node_path(&cluster.folder.0, &name("RENEWED")), &made.certificate);
    let said = |kind: &str| lock(&cluster.told).iter().any(|n| n.kind == kind);
    until("the half is seen", || said("link_certificates_unusable"));
    reaches(&a, &b, "Q");
    put(&node_key_path(&cluster.folder.0, &name("RENEWED")), &made.key);
    until("both are used", || said("link_certificates_replaced"));
    // Frames go both ways again, and nobody was told that anybody went or came.
    reaches(&a, &b, "Q");
    reaches(&b, &a, "RENEWED");
    let line = format!("{}{{node=\"RENEWED\",certificate=\"node\"}} ", metric::LINK_CERTIFICATE.name);
    let shown = Exporter::install().unwrap().render();
    let left = shown.lines().find_map(|l| l.strip_prefix(&line)?.parse::<f64>().ok()).unwrap();
    assert!((left - (YEAR / 2).as_secs_f64()).abs() < 100.0, "{left}");
}

#[test]
fn certificates_that_peers_would_refuse_stop_a_node_at_its_start_and_short_ones_are_warned_of() {
    let cluster = Cluster::new("start", &["START"]);
    let start = |made: &Made| {
        write(&cluster.folder.0, "START", made);
        Node::start(&cluster.net(), "START", 1)
    };
    let issue = |now, life| cluster.authority.issue("test", &name("START"), HERE, now, life).unwrap();
    let old = start(&issue(UnixMillis(now().0 - 3 * 86_400_000), Duration::from_secs(86_400)));
    let text = old.err().unwrap().to_string();
    assert!(text.contains("START.pem expired 2 days ago") && text.contains("tandem cluster certs"), "{text}");
    let short = start(&issue(UnixMillis(now().0 - 80 * 86_400_000), Duration::from_secs(90 * 86_400)));
    assert!(short.is_ok());
    let warned =
        || lock(&cluster.told).iter().any(|n| n.kind == "link_certificate_expiring" && n.text.contains("9 days"));
    until("a warning", warned);
}

#[test]
fn an_address_that_is_taken_is_said_clearly() {
    let cluster = Cluster::new("taken", &["A", "TAKEN"]);
    let _socket = UdpSocket::bind(cluster.address("TAKEN")).unwrap();
    let text = Node::start(&cluster.net(), "TAKEN", 1).err().unwrap().to_string();
    assert!(text.contains(&cluster.address("TAKEN").to_string()) && text.contains("in use"), "{text}");
    let mut options = cluster.options.clone();
    options.members.insert(name("NONE"), None);
    let refused = Node::start(&ZenohNet::new(options), "NONE", 1).err();
    assert_eq!(refused, Some(AttachError::NoAddress { node: name("NONE") }));
}

#[test]
fn frames_of_every_size_arrive_whole_and_one_that_is_too_long_is_refused() {
    let cluster = Cluster::new("sizes", &["A", "SIZES"]);
    let (a, b) = (cluster.net(), cluster.net());
    let (a, b) = (Node::start(&a, "A", 1).unwrap(), Node::start(&b, "SIZES", 1).unwrap());
    a.up("SIZES", 1);
    b.up("A", 1);
    let peer = name("SIZES");
    for length in [0, 1, 1_000, 65_000, 65_536, 200_000, FRAME_BYTES_MAX - 1] {
        for lane in [Lane::Ordinary, Lane::Bulk] {
            if lane == Lane::Ordinary && length > 200_000 {
                continue; // more than waits in its lane
            }
            let bytes = Bytes::from(vec![length as u8; length]);
            assert_eq!(a.link.send(&peer, lane, bytes.clone()), Ok(()));
            assert_eq!(b.next(), LinkEvent::Message { from: name("A"), bytes }, "{length} {lane:?}");
        }
    }
    let long = Bytes::from(vec![0; FRAME_BYTES_MAX]);
    assert_eq!(a.link.send(&peer, Lane::Bulk, long), Err(Refused::Full));
    drop(a);
    let down = LinkEvent::PeerDown { node: name("A"), incarnation: Incarnation(1), why: DownWhy::Closed };
    assert_eq!(b.next(), down);
}

#[test]
fn a_burst_is_never_waited_for_and_what_arrives_is_in_order() {
    let cluster = Cluster::new("burst", &["A", "BURST"]);
    let (a, b) = (cluster.net(), cluster.net());
    let (a, b) = (Node::start(&a, "A", 1).unwrap(), Node::start(&b, "BURST", 1).unwrap());
    a.up("BURST", 1);
    b.up("A", 1);
    let peer = name("BURST");
    for n in 0..4_000_u32 {
        let bytes = Bytes::from([&n.to_le_bytes()[..], &[0; 1_996]].concat());
        assert_eq!(a.link.send(&peer, Lane::Ordinary, bytes), Ok(()));
    }
    assert_eq!(a.link.send(&peer, Lane::Bulk, Bytes::from_static(b"end")), Ok(()));
    let mut last = None;
    loop {
        let LinkEvent::Message { bytes, .. } = b.next() else { panic!("only messages") };
        if *bytes == b"end"[..] {
            break;
        }
        let number = u32::from_le_bytes(bytes[..4].try_into().unwrap());
        assert!(last < Some(number), "{number} after {last:?}");
        last = Some(number);
    }
    assert!(last > Some(0));
}

/// A peer's engine answers for the way to it; a socket that says nothing, and a port where nobody listens, do not.
#[test]
fn the_way_to_a_peer_is_open_when_its_engine_answers() {
    let cluster = Cluster::new("way", &["WAY1", "WAY2", "WAY3"]);
    let _there = Node::start(&cluster.net(), "WAY1", 1).unwrap();
    let _silent = UdpSocket::bind(cluster.address("WAY2")).unwrap();
    let peers = ["WAY1", "WAY2", "WAY3"].map(|n| (name(n), cluster.address(n)));
    let clock = Clock::system();
    let way = std::cell::RefCell::new(way::Way::open(HERE).unwrap());
    until("an answer", || way.borrow_mut().look(clock.now(), &peers) == [name("WAY1")]);
    // An answer does not count for ever, and only for those who are asked for.
    let later = clock.now() + Duration::from_secs(60);
    assert_eq!(way.borrow_mut().look(later, &peers[1..]), []);
}
