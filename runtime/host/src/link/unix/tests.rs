//! The unix link over real sockets: peers that die, say half a frame, or speak nonsense.

use super::hello::Word;
use super::*;
use crate::exporter::Exporter;
use crate::hold::Hold;
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::mpsc;
use std::time::Instant;
use tandem_base::Incarnation;
use tandem_cluster::link::DownWhy;

/// A folder for the sockets of one test, removed at its end.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new(test: &str) -> Self {
        static SERIAL: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("tandem-link-{}-{serial}-{test}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
    pub(in crate::link) fn net(&self, members: &[&str]) -> UnixNet {
        UnixNet::new(UnixOptions {
            folder: self.0.clone(),
            cluster: "test".to_owned(),
            members: members.iter().map(|m| NodeName::new(m).unwrap()).collect(),
            stall: Duration::from_secs(1),
        })
    }
}
impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// How long anything may take that is waited for.
const PATIENCE: Duration = Duration::from_secs(20);

fn life(node: &str, incarnation: u64) -> NodeLife {
    NodeLife { node: NodeName::new(node).unwrap(), incarnation: Incarnation(incarnation) }
}

/// A node under test and what it is told.
struct Node {
    link: UnixLink,
    told: mpsc::Receiver<LinkEvent>,
    name: &'static str,
    exporter: Exporter,
}

impl Node {
    fn start(net: &UnixNet, name: &'static str) -> Self {
        let exporter = Exporter::install().unwrap();
        let (tell, told) = mpsc::channel();
        let sink = Mutex::new(tell);
        let link = net.attach(life(name, 7), Box::new(move |event| _ = lock(&sink).send(event))).unwrap();
        Self { link, told, name, exporter }
    }
    fn next(&self) -> LinkEvent {
        self.told.recv_timeout(PATIENCE).unwrap()
    }
    fn up(&self, peer: &str, incarnation: u64) {
        let NodeLife { node, incarnation } = life(peer, incarnation);
        assert_eq!(self.next(), LinkEvent::PeerUp { node, incarnation });
    }
    fn down(&self, peer: &str, incarnation: u64, why: DownWhy) {
        let NodeLife { node, incarnation } = life(peer, incarnation);
        assert_eq!(self.next(), LinkEvent::PeerDown { node, incarnation, why });
    }
    fn hears(&self, peer: &str, text: &str) {
        let bytes = Bytes::copy_from_slice(text.as_bytes());
        assert_eq!(self.next(), LinkEvent::Message { from: life(peer, 1).node, bytes });
    }
    /// Waits until a connection has ended so.
    fn counted(&self, ending: Ending) {
        let line = format!("{}{{node=\"{}\",reason=\"{}\"}} 1", metric::LINK_CLOSED.name, self.name, ending.as_str());
        let begun = Instant::now();
        while !self.exporter.render().lines().any(|l| l == line) {
            assert!(begun.elapsed() < PATIENCE, "{line}");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// A peer that is nothing but a socket.
struct Raw(UnixStream);

impl Raw {
    fn dial(folder: &Folder, node: &Node) -> Self {
        let stream = UnixStream::connect(folder.0.join(format!("{}.sock", node.name))).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(stream)
    }
    fn say(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).unwrap();
    }
    fn hello(&mut self, cluster: &str, life: &NodeLife) -> Word {
        self.say(&Word::Hello(Hello::of(cluster, life)).bytes());
        let mut length = [0; 4];
        self.0.read_exact(&mut length).unwrap();
        let mut body = vec![0; u32::from_le_bytes(length) as usize];
        self.0.read_exact(&mut body).unwrap();
        Word::read(&body).unwrap()
    }
    /// A peer `A` that is up.
    fn join(folder: &Folder, node: &Node, incarnation: u64) -> Self {
        let mut raw = Self::dial(folder, node);
        assert_eq!(raw.hello("test", &life("A", incarnation)), Word::Hello(Hello::of("test", &life(node.name, 7))));
        raw.say(&Word::Ready.bytes());
        node.up("A", incarnation);
        raw
    }
    fn frame(&mut self, text: &str) {
        let length = u32::try_from(text.len() + 1).unwrap();
        self.say(&[&length.to_le_bytes()[..], &[4], text.as_bytes()].concat());
    }
    /// Reads until the other side has closed.
    fn see_closed(mut self) {
        let mut rest = Vec::new();
        // What it was sent before, or the kernel's word that nothing of ours was read.
        match self.0.read_to_end(&mut rest) {
            Ok(_) => {}
            Err(e) => assert_eq!(e.kind(), io::ErrorKind::ConnectionReset),
        }
    }
}

#[test]
fn a_peer_that_dies_is_down_after_its_last_frame() {
    let folder = Folder::new("dies");
    let node = Node::start(&folder.net(&["A", "DIES"]), "DIES");
    let mut peer = Raw::join(&folder, &node, 1);
    peer.frame("last");
    drop(peer);
    node.hears("A", "last");
    node.down("A", 1, DownWhy::Closed);
    node.counted(Ending::Closed);
    // It comes back, and an old connection's end is not taken for the new one's.
    let old = Raw::join(&folder, &node, 2);
    let mut dial = Raw::dial(&folder, &node);
    dial.hello("test", &life("A", 3));
    dial.say(&Word::Ready.bytes());
    node.down("A", 2, DownWhy::Closed);
    node.up("A", 3);
    drop(old);
    dial.frame("still here");
    node.hears("A", "still here");
}

#[test]
fn half_a_frame_is_no_frame() {
    let folder = Folder::new("half");
    let node = Node::start(&folder.net(&["A", "HALF"]), "HALF");
    let mut peer = Raw::join(&folder, &node, 1);
    peer.frame("whole");
    peer.say(&[100, 0, 0, 0, 4, b'h', b'a']);
    drop(peer);
    node.hears("A", "whole");
    node.down("A", 1, DownWhy::Closed);
    node.counted(Ending::CutShort);
}

#[test]
fn nonsense_closes_its_connection_and_no_other() {
    let folder = Folder::new("nonsense");
    let node = Node::start(&folder.net(&["A", "NONSENSE"]), "NONSENSE");
    let mut stranger = Raw::dial(&folder, &node);
    stranger.say(b"GET / HTTP/1.1\r\n\r\n");
    stranger.see_closed();
    node.counted(Ending::NotHello);
    let mut peer = Raw::join(&folder, &node, 1);
    // Kinds of later versions are skipped.
    peer.say(&[3, 0, 0, 0, 200, 1, 2]);
    peer.frame("heard");
    node.hears("A", "heard");
    peer.say(&[1, 0, 0, 0, 9]);
    node.down("A", 1, DownWhy::Lost);
    node.counted(Ending::BadFrame);
    let mut peer = Raw::join(&folder, &node, 1);
    peer.say(&u32::MAX.to_le_bytes());
    node.down("A", 1, DownWhy::Lost);
    node.counted(Ending::TooLong);
    peer.see_closed();
}

#[test]
fn who_does_not_belong_here_is_told_why_and_sent_away() {
    let folder = Folder::new("refused");
    let node = Node::start(&folder.net(&["A", "REFUSED"]), "REFUSED");
    let _peer = Raw::join(&folder, &node, 5);
    for (cluster, who, why) in [
        ("other", life("A", 9), Ending::Cluster),
        ("test", life("B", 9), Ending::Stranger),
        ("test", life("ZED", 9), Ending::Stranger),
        ("test", life("A", 4), Ending::Older),
    ] {
        let mut raw = Raw::dial(&folder, &node);
        let attached = Incarnation(if why == Ending::Older { 5 } else { 0 });
        assert_eq!(raw.hello(cluster, &who), Word::Refuse { why, attached });
        raw.see_closed();
    }
    node.counted(Ending::Cluster);
    node.counted(Ending::Older);
    assert_eq!(node.link.send(&life("A", 5).node, Lane::Ordinary, Bytes::from_static(b"x")), Ok(()));
}

#[test]
fn a_socket_that_a_dead_process_left_is_no_hindrance_and_the_folder_is_private() {
    let folder = Folder::new("left");
    std::fs::set_permissions(&folder.0, std::fs::Permissions::from_mode(0o755)).unwrap();
    drop(UnixListener::bind(folder.0.join("LEFT.sock")).unwrap());
    assert!(folder.0.join("LEFT.sock").exists());
    let node = Node::start(&folder.net(&["A", "LEFT"]), "LEFT");
    assert_eq!(std::fs::metadata(&folder.0).unwrap().permissions().mode() & 0o777, 0o700);
    let _peer = Raw::join(&folder, &node, 1);
    node.link.close();
    assert!(!folder.0.join("LEFT.sock").exists());
}

#[test]
fn a_place_that_cannot_be_had_is_said_clearly() {
    let folder = Folder::new("places");
    let deep = UnixNet::new(UnixOptions {
        folder: folder.0.join("x".repeat(100)),
        ..folder.net(&["A"]).options.as_ref().clone()
    });
    let error = deep.attach(life("A", 1), Box::new(|_| ())).err().unwrap().to_string();
    assert!(error.contains("A.sock") && error.contains("the system takes 107"), "{error}");
    assert!(!folder.0.join("x".repeat(100)).exists(), "nothing was made");
    // A process that lives and does not answer, as one that was stopped.
    let _hold = Hold::take(&folder.0.join("A.hold")).unwrap().unwrap();
    let _deaf = UnixListener::bind(folder.0.join("A.sock")).unwrap();
    let held = folder.net(&["A"]).attach(life("A", 1), Box::new(|_| ()));
    assert!(matches!(held, Err(AttachError::Held { .. })), "{:?}", held.err());
}

#[test]
fn a_peer_that_does_not_read_is_cut_and_delays_nobody() {
    let folder = Folder::new("stalls");
    let options = folder.net(&["A", "B", "STALLS"]).options.as_ref().clone();
    let net = UnixNet::new(UnixOptions { stall: Duration::from_millis(300), ..options });
    let node = Node::start(&net, "STALLS");
    let _deaf = Raw::join(&folder, &node, 1);
    let reader = Node::start(&net, "B");
    node.up("B", 7);
    reader.up("STALLS", 7);
    let (a, b) = (life("A", 1).node, life("B", 7).node);
    let large = Bytes::from(vec![b'x'; 100_000]);
    let mut taken = 0;
    while node.link.send(&a, Lane::Ordinary, large.clone()) != Err(Refused::Full) {
        taken += large.len();
        assert!(taken < 2 * connection::ORDINARY_BYTES_MAX, "its queue has no bound");
    }
    for n in 0..100 {
        assert_eq!(node.link.send(&b, Lane::Ordinary, Bytes::from(n.to_string())), Ok(()));
        reader.hears("STALLS", &n.to_string());
    }
    node.down("A", 1, DownWhy::Lost);
    node.counted(Ending::Stalled);
    assert_eq!(node.link.send(&a, Lane::Ordinary, large), Err(Refused::NotConnected));
}

#[test]
fn what_waited_for_a_slow_reader_arrives_whole_and_in_order() {
    let folder = Folder::new("slow");
    let node = Node::start(&folder.net(&["A", "SLOW"]), "SLOW");
    let mut peer = Raw::join(&folder, &node, 1);
    let a = life("A", 1).node;
    let mut wanted = Vec::new();
    for n in 0_u32..60 {
        // Far more than the kernel takes, so most of it waits; frames of many lengths are cut anywhere.
        let frame = Bytes::from(vec![n as u8; 1 + (n as usize * 7_919) % 60_000]);
        assert_eq!(node.link.send(&a, Lane::Ordinary, frame.clone()), Ok(()));
        wanted.extend(u32::try_from(frame.len() + 1).unwrap().to_le_bytes());
        wanted.push(4);
        wanted.extend(frame);
    }
    assert!(wanted.len() > 1 << 20);
    let mut got = vec![0; wanted.len()];
    peer.0.read_exact(&mut got).unwrap();
    assert!(got == wanted, "something is missing, twice or out of order");
}
