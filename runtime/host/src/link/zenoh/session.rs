//! One zenoh session: its configuration, which nobody types, and the keys it speaks and listens on.
//!
//! Of a pair the lower name dials and gossip is off: with both dialling, pairs stay blind for good after a cut. QUIC only, with certificates of
//! the cluster on both sides. It must never be dropped on a thread that serves phones: closing a session waits.

use super::super::FRAME_BYTES_MAX;
use super::{Shared, ZenohOptions};
use crate::certificates::Credentials;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tandem_base::NodeName;
use tandem_cluster::link::Lane;
use zenoh::bytes::ZBytes;
use zenoh::pubsub::{Publisher, Subscriber};
use zenoh::qos::{CongestionControl, Priority};
use zenoh::sample::{Locality, Sample};
use zenoh::{Config, Session, Wait};

/// Batches of 64 KiB that may wait for a connection, in the lanes of rows and of snapshots.
const QUEUE_BATCHES: usize = 16;
const BULK_BATCHES: usize = 4;
/// First and longest pause between two attempts to dial.
const RETRY_MS: (u64, u64) = (100, 300);
/// Shortest time that opening a connection may take: some round trips of a wide network.
const OPEN_MIN: Duration = Duration::from_millis(250);
/// Shortest lease of a connection; measured free of false alarms under full load.
const LEASE_MIN: Duration = Duration::from_millis(500);

/// What went wrong in the engine, in its words.
pub(super) type Broken = Box<dyn std::error::Error + Send + Sync>;

/// The publishers of the two lanes that never wait.
struct Lanes {
    heartbeat: Publisher<'static>,
    ordinary: Publisher<'static>,
}

impl Lanes {
    fn on(session: &Session, key: &str) -> Result<Self, Broken> {
        Ok(Self {
            heartbeat: publisher(session, key, Priority::RealTime, true)?,
            ordinary: publisher(session, key, Priority::Data, false)?,
        })
    }
    fn of(&self, lane: Lane) -> &Publisher<'static> {
        if lane == Lane::Heartbeat { &self.heartbeat } else { &self.ordinary }
    }
}

/// What does not fit is dropped, without waiting: sequences and digests repair it.
fn publisher(session: &Session, key: &str, priority: Priority, express: bool) -> Result<Publisher<'static>, Broken> {
    let publisher = session
        .declare_publisher(key.to_owned())
        .congestion_control(CongestionControl::Drop)
        .priority(priority)
        .express(express)
        .allowed_destination(Locality::Remote);
    publisher.wait()
}

/// See the module.
pub(super) struct Opened {
    session: Session,
    hello: Publisher<'static>,
    all: Lanes,
    to: BTreeMap<NodeName, Lanes>,
    all_key: String,
    _subscribers: [Subscriber<()>; 3],
}

impl Opened {
    /// Opens a session and listens; dialling goes on in the engine.
    ///
    /// # Errors
    /// In the engine's words: the address cannot be listened on, a key is not one.
    pub(super) fn open(shared: &Arc<Shared>, credentials: &Credentials) -> Result<Self, Broken> {
        let (options, me) = (&shared.options, &shared.me.node);
        let session = zenoh::open(Config::from_json5(&config(options, me, credentials)?)?).wait()?;
        let base = format!("tandem/{}", options.cluster);
        let (all_key, mine) = (format!("{base}/all/{me}"), Arc::downgrade(shared));
        let listen = |key: String, take: fn(&Shared, &Sample)| listen(&session, key, &mine, take);
        let subscribers = [
            // Of every cluster: who speaks for another one is to be seen in a metric, not heard.
            listen("tandem/*/hello/*".to_owned(), Shared::take_hello)?,
            listen(format!("{base}/all/*"), Shared::take_frame)?,
            listen(format!("{base}/to/{me}/*"), Shared::take_frame)?,
        ];
        let peers = options.members.keys().filter(|peer| *peer != me);
        let to = peers.map(|peer| Ok((peer.clone(), Lanes::on(&session, &to_key(&base, peer, me))?)));
        Ok(Self {
            hello: publisher(&session, &format!("{base}/hello/{me}"), Priority::RealTime, true)?,
            all: Lanes::on(&session, &all_key)?,
            to: to.collect::<Result<_, Broken>>()?,
            all_key,
            _subscribers: subscribers,
            session,
        })
    }

    /// Says who this node is. What is not taken is said again soon.
    pub(super) fn hello(&self, bytes: Vec<u8>) {
        let _ = self.hello.put(ZBytes::from(bytes)).wait();
    }
    /// To every peer; never waits.
    pub(super) fn broadcast(&self, lane: Lane, bytes: Vec<u8>) -> bool {
        self.all.of(lane).put(ZBytes::from(bytes)).wait().is_ok()
    }
    /// To one peer; never waits.
    pub(super) fn send(&self, to: &NodeName, lane: Lane, bytes: Vec<u8>) -> bool {
        self.to.get(to).is_some_and(|lanes| lanes.of(lane).put(ZBytes::from(bytes)).wait().is_ok())
    }
    /// Where one peer takes what may wait.
    pub(super) fn bulk(&self, options: &ZenohOptions, me: &NodeName, to: &NodeName) -> Waiting {
        let key = to_key(&format!("tandem/{}", options.cluster), to, me);
        Waiting { session: self.session.clone(), key, priority: Priority::Background }
    }
    /// To every peer, behind everything in this lane; may wait.
    pub(super) fn last_words(&self, lane: Lane, bytes: Vec<u8>) {
        let priority = match lane {
            Lane::Heartbeat => Priority::RealTime,
            Lane::Ordinary => Priority::Data,
            Lane::Bulk => Priority::Background,
        };
        Waiting { session: self.session.clone(), key: self.all_key.clone(), priority }.put(bytes);
    }
    /// Ends it. Waits for the engine, which may take its time on a bad network.
    pub(super) fn close(self) {
        // A session that does not close well is gone all the same.
        let _ = self.session.close().wait();
    }
}

/// A way on which a frame waits until the connection takes it.
pub(super) struct Waiting {
    session: Session,
    key: String,
    priority: Priority,
}

impl Waiting {
    /// `false`: the session is closed.
    pub(super) fn put(&self, bytes: Vec<u8>) -> bool {
        let put = self.session.put(&self.key, ZBytes::from(bytes));
        let put = put.congestion_control(CongestionControl::Block).priority(self.priority);
        put.express(true).allowed_destination(Locality::Remote).wait().is_ok()
    }
}

fn to_key(base: &str, to: &NodeName, from: &NodeName) -> String {
    format!("{base}/to/{to}/{from}")
}

/// The engine's threads call: nothing waits there.
fn listen(
    session: &Session,
    key: String,
    shared: &Weak<Shared>,
    take: fn(&Shared, &Sample),
) -> Result<Subscriber<()>, Broken> {
    let shared = Weak::clone(shared);
    let callback = move |sample: Sample| {
        if let Some(shared) = shared.upgrade() {
            take(&shared, &sample);
        }
    };
    session.declare_subscriber(key).callback(callback).allowed_origin(Locality::Remote).wait()
}

fn endpoint(address: SocketAddr) -> String {
    format!("\"quic/{address}\"")
}

/// The configuration of a session. Every value is a number, an address or base64: nothing in it can break out of its quotes.
fn config(options: &ZenohOptions, me: &NodeName, credentials: &Credentials) -> Result<String, Broken> {
    let own = options.members.get(me).copied().flatten().ok_or("no address")?;
    let greater = options.members.iter().filter(|(name, _)| *name > me).filter_map(|(_, at)| *at);
    let dial = greater.map(endpoint).collect::<Vec<_>>().join(",");
    let lease = (options.dead_after / 2).max(LEASE_MIN).as_millis();
    // A packet that is lost at the beginning is sent again after a second: a fresh attempt is sooner, and a peer that opens a new session has to
    // be back before it is taken for dead.
    let open = (options.dead_after * 2 / 5).max(OPEN_MIN).as_millis();
    let close_after = options.dead_after.as_micros();
    let files = credentials.files();
    let secret = |bytes: &[u8]| STANDARD.encode(bytes);
    let (ca, certificate) = (secret(&files.ca), secret(&files.certificate));
    let key = secret(&files.key);
    let (retry, longest) = RETRY_MS;
    let message = FRAME_BYTES_MAX + (64 << 10);
    let mut text = String::new();
    write!(
        text,
        r#"{{ mode: "peer",
  listen: {{ endpoints: [{listen}], exit_on_failure: true }},
  connect: {{ endpoints: [{dial}], timeout_ms: -1, exit_on_failure: false,
    retry: {{ period_init_ms: {retry}, period_max_ms: {longest}, period_increase_factor: 1.5 }} }},
  scouting: {{ multicast: {{ enabled: false }}, gossip: {{ enabled: false }} }},
  open: {{ return_conditions: {{ connect_scouted: false, declares: false }} }},
  transport: {{
    unicast: {{ open_timeout: {open}, accept_timeout: {open}, max_links: 1 }},
    link: {{ protocols: ["quic"],
      tls: {{ enable_mtls: true, verify_name_on_connect: true, close_link_on_expiration: true,
        root_ca_certificate_base64: "{ca}", listen_certificate_base64: "{certificate}", listen_private_key_base64: "{key}",
        connect_certificate_base64: "{certificate}", connect_private_key_base64: "{key}" }},
      rx: {{ max_message_size: {message} }},
      tx: {{ lease: {lease}, keep_alive: 4,
        queue: {{ size: {{ data: {QUEUE_BATCHES}, background: {BULK_BATCHES} }},
          congestion_control: {{ drop: {{ wait_before_drop: 0, max_wait_before_drop_fragments: 0 }},
            block: {{ wait_before_close: {close_after} }} }} }} }} }} }} }}"#,
        listen = endpoint(own),
    )?;
    Ok(text)
}
