//! A scripted `Admin` and a plain client: what the console does with requests is tested here, not what nodes answer.

use crate::fake::Configuration;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tandem_base::{DeviceName, GroupName, Incarnation, NodeName, UnixMillis};
use tandem_console::{Access, Admin, BoxFuture, Listen, Running, serve};
use tandem_model::admin::config::ConfigRequest;
use tandem_model::admin::{
    AdminError, ByRank, DeviceEntry, DevicePage, DeviceQuery, DeviceReset, DeviceState, ErrorKind, Failback,
    GroupStatus, Health, NodeCommand, NodeDone, NodeState, NodeStatus, Registrations, Released, Reply, Request, Status,
};
use tandem_model::event::Event;
use tokio::sync::Notify;

pub(crate) const TOKEN: &str = "a-token-for-tests-only";
pub(crate) const TOKEN_FILE: &str = "/var/lib/tandem/control.token";

pub(crate) fn node(name: &str) -> NodeName {
    NodeName::new(name).unwrap()
}
pub(crate) fn device(number: usize) -> DeviceName {
    DeviceName::new(&format!("SEP{number:04}")).unwrap()
}

/// Knows two nodes, one group and 2,500 devices; keeps what it was asked.
#[derive(Default)]
pub(crate) struct Scripted {
    pub(crate) asked: Mutex<Vec<Request>>,
    /// First sequence still kept, and the events from there on.
    pub(crate) journal: Mutex<(u64, Vec<Event>)>,
    pub(crate) news: Notify,
    pub(crate) not_ready: Mutex<bool>,
    pub(crate) config: Mutex<Configuration>,
}

pub(crate) const DEVICES: usize = 2_500;

impl Scripted {
    /// Adds an event, as the journal of a process does.
    pub(crate) fn happens(&self, kind: &str, at: u64) {
        let mut journal = self.journal.lock().unwrap();
        let sequence = journal.0 + journal.1.len() as u64 + 1;
        journal.1.push(Event {
            sequence,
            at: UnixMillis(at),
            node: Some(node("CCM1")),
            kind: kind.to_owned(),
            group: None,
            device: None,
            cause: "test".to_owned(),
            text: format!("{kind} number {sequence}"),
        });
        drop(journal);
        self.news.notify_waiters();
    }
    /// Forgets the oldest `count` events.
    pub(crate) fn forgets(&self, count: usize) {
        let mut journal = self.journal.lock().unwrap();
        journal.1.drain(..count);
        journal.0 += count as u64;
    }
    fn devices(query: &DeviceQuery) -> DevicePage {
        let after = query.cursor.as_ref();
        let all = (0..DEVICES).map(device).filter(|d| after.is_none_or(|a| d > a));
        let names: Vec<_> = all.take(query.page_size()).collect();
        let more = names.last().is_some_and(|last| *last < device(DEVICES - 1));
        DevicePage { next: names.last().filter(|_| more).cloned(), devices: names.into_iter().map(entry).collect() }
    }
}

fn entry(name: DeviceName) -> DeviceEntry {
    DeviceEntry {
        name,
        pool: "DP1".parse().unwrap(),
        group: "G1".parse().unwrap(),
        kind: "phone".to_owned(),
        lines: vec!["1001".parse().unwrap()],
        state: DeviceState::Registered,
        node: Some(node("CCM1")),
        rank: None,
        since: None,
        contact: None,
    }
}

pub(crate) fn status() -> Status {
    let one = |name: &str, state| NodeStatus {
        name: node(name),
        state,
        incarnation: Incarnation(1),
        publisher: name == "CCM1",
        config_revision: None,
        config_lag: 0,
        registrations: 0,
        addresses: Vec::new(),
        seen_by: BTreeMap::new(),
    };
    Status {
        cluster: "test".to_owned(),
        config_revision: 1,
        answered_by: Some(node("CCM1")),
        nodes: vec![one("CCM1", NodeState::InService), one("CCM2", NodeState::Down)],
        groups: vec![GroupStatus {
            name: GroupName::new("G1").unwrap(),
            members: vec![node("CCM1"), node("CCM2")],
            devices: DEVICES as u64,
            by_node: BTreeMap::new(),
            policy: "automatic".to_owned(),
        }],
        registrations: Registrations { total: 5, by_rank: ByRank { first: 5, second: 0, third: 0 } },
        quarantined: 0,
    }
}

impl Admin for Scripted {
    fn call(&self, request: Request) -> BoxFuture<'_, Result<Reply, AdminError>> {
        let aside = matches!(&request, Request::Config(c) if matches!(**c, ConfigRequest::Audit(_)));
        if !aside {
            self.asked.lock().unwrap().push(request.clone());
        }
        let answer = match request {
            Request::Status => Ok(Reply::Status(status())),
            Request::DeviceList(query) => Ok(Reply::Devices(Self::devices(&query))),
            Request::DeviceShow(name) | Request::DeviceExplain(name) => {
                Err(AdminError::unknown("device", name.as_str(), ["SEP0001"]).remedy("see `tandem device list`"))
            }
            Request::DeviceRelease(device) => Ok(Reply::Released(Released { device, released: true })),
            Request::Failback { group, preview } => Ok(Reply::Failback(Failback {
                group,
                started: !preview,
                would_move: 7,
                moves: Vec::new(),
                examples: Vec::new(),
                waiting_for: None,
            })),
            Request::Node { name, command: NodeCommand::Start } => {
                Err(AdminError::new(ErrorKind::Refused, format!("{name} runs already")))
            }
            Request::Node { name, command } => Ok(Reply::Node(NodeDone {
                name,
                command,
                state: NodeState::Stopped,
                incarnation: Incarnation(1),
                already: false,
            })),
            Request::DeviceReset(device) => Ok(Reply::Reset(DeviceReset { device, node: Some(node("CCM1")) })),
            Request::Config(request) => self.config.lock().unwrap().answer(*request).map(Reply::Config),
            Request::GroupList => Err(AdminError::new(ErrorKind::Unavailable, "no node of this process runs")),
            Request::GroupShow(name) => Err(AdminError::unknown("CallManager group", name.as_str(), ["G1"])),
        };
        Box::pin(async move { answer })
    }
    fn events_after(&self, after: u64, limit: usize) -> Vec<Event> {
        let journal = self.journal.lock().unwrap();
        journal.1.iter().filter(|e| e.sequence > after).take(limit).cloned().collect()
    }
    fn now(&self) -> tandem_base::Time {
        tandem_base::Time::ZERO
    }
    fn last_event(&self) -> u64 {
        let journal = self.journal.lock().unwrap();
        journal.0 + journal.1.len() as u64
    }
    fn news(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.news.notified())
    }
    fn metrics(&self) -> String {
        "# HELP up_and_well A test\nup_and_well 1\n".to_owned()
    }
    fn health(&self) -> Health {
        let ready = !*self.not_ready.lock().unwrap();
        Health { healthy: true, ready, nodes: BTreeMap::from([(node("CCM1"), NodeState::Joining)]) }
    }
}

pub(crate) struct Console {
    pub(crate) admin: Arc<Scripted>,
    pub(crate) running: Running,
    agent: ureq::Agent,
}

pub(crate) fn loopback() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

impl Console {
    pub(crate) fn start() -> Self {
        let admin = Arc::new(Scripted::default());
        let access = Access { token: TOKEN.to_owned(), token_file: PathBuf::from(TOKEN_FILE) };
        let listen = Listen { address: loopback(), beyond_loopback: false };
        let running = serve(listen, access, Arc::clone(&admin) as Arc<dyn Admin>).unwrap();
        let config =
            ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(Duration::from_secs(20)));
        Self { admin, running, agent: config.build().into() }
    }
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.running.address())
    }
    pub(crate) fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> ureq::http::Response<ureq::Body> {
        let request = self.agent.get(self.url(path));
        headers.iter().fold(request, |r, (k, v)| r.header(*k, *v)).call().unwrap()
    }
    /// Status and body of a GET with the token.
    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        read(self.get_with(path, &[("Authorization", &format!("Bearer {TOKEN}"))]))
    }
    /// Status and body of a POST with the token.
    pub(crate) fn post(&self, path: &str, body: &[u8]) -> (u16, String) {
        read(self.send("POST", path, &[], body))
    }
    /// The answer to a request with the token, unless the headers bring other credentials.
    pub(crate) fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> ureq::http::Response<ureq::Body> {
        let request = ureq::http::Request::builder().method(method).uri(self.url(path));
        let token = format!("Bearer {TOKEN}");
        let own = [("Authorization", token.as_str())];
        let with = if headers.iter().any(|(k, _)| *k == "Authorization") { &[][..] } else { &own };
        let request = headers.iter().chain(with).fold(request, |r, (k, v)| r.header(*k, *v));
        self.agent.run(request.body(body.to_vec()).unwrap()).unwrap()
    }
    /// Status and JSON of such a request.
    pub(crate) fn ask(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &serde_json::Value,
    ) -> (u16, serde_json::Value) {
        let (status, text) = read(self.send(method, path, headers, body.to_string().as_bytes()));
        (status, serde_json::from_str(&text).unwrap_or_default())
    }
    pub(crate) fn json(&self, path: &str) -> serde_json::Value {
        let (status, body) = self.get(path);
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).unwrap()
    }
}

pub(crate) fn read(mut response: ureq::http::Response<ureq::Body>) -> (u16, String) {
    (response.status().as_u16(), response.body_mut().read_to_string().unwrap())
}
pub(crate) fn error(body: &str) -> AdminError {
    serde_json::from_str::<tandem_model::admin::ProblemDocument>(body).unwrap().into()
}
/// The header of a user with his password.
pub(crate) fn basic(user: &str, password: &str) -> String {
    use base64::Engine;
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}")))
}
