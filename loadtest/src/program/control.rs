//! The control endpoint of a Tandem process, as an outsider sees it: a few paths of its HTTP API, read as plain JSON.
//!
//! Nodes may run in several processes that share a state folder (`tandem up`); then each is asked for its own nodes, and its file is read anew
//! each time, because a process that was started again listens elsewhere.
//!
//! Blocking, with deadlines; only what is needed is read. A registrar without such an endpoint is loaded all the same: then nobody can be
//! asked. It must never print the token.

use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tandem_host::disk::{Disk, RealDisk};
use ureq::Agent;

use super::failure::Failure;

/// Longest wait for a connection.
const CONNECT_WAIT: Duration = Duration::from_secs(3);
/// Longest wait for an answer.
const ANSWER_WAIT: Duration = Duration::from_secs(30);
/// Longest answer taken, in bytes.
const ANSWER_MAX: u64 = 64 << 20;
/// Longest control or token file read, in bytes.
const FILE_MAX: u64 = 64 << 10;
/// Devices asked for at once.
const PAGE: usize = 1_000;
/// The file that a process writes into its folder.
const FILE: &str = "control.json";
/// Where in a state folder those have their folders that share it, and how many are looked at.
const PROCESSES: (&str, usize) = ("process", 64);

#[derive(Deserialize)]
struct ControlFile {
    address: String,
    token_file: PathBuf,
    /// The nodes of the process; older ones do not say.
    #[serde(default)]
    nodes: Vec<String>,
    pid: Option<u32>,
}

impl ControlFile {
    /// Whether its process has ended without taking it away, as far as this system tells.
    fn is_stale(&self) -> bool {
        let is_there = |name: &str| Path::new("/proc").join(name).exists();
        self.pid.is_some_and(|pid| is_there("self") && !is_there(&pid.to_string()))
    }
}

/// How to find it: what the command line said.
#[derive(Clone, Debug, Default)]
pub(super) struct Where {
    /// The state folder of the process.
    pub(super) state: Option<PathBuf>,
    /// Host and port.
    pub(super) address: Option<String>,
    /// File with the token.
    pub(super) token_file: Option<PathBuf>,
}

/// One node in the status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NodeStatus {
    /// Its name.
    pub(super) name: String,
    /// Such as `in_service`.
    pub(super) state: String,
    /// Devices it serves.
    pub(super) registrations: u64,
    /// Where phones reach it, as `transport:host:port`.
    pub(super) addresses: Vec<String>,
}

/// The cluster at a glance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Status {
    /// Its name.
    pub(super) cluster: String,
    /// Its nodes.
    pub(super) nodes: Vec<NodeStatus>,
    /// Devices registered in the whole cluster.
    pub(super) registrations: u64,
}

/// A client.
#[derive(Clone, Debug)]
pub(super) struct Control {
    place: Where,
    agent: Agent,
}

/// One process.
struct Process {
    url: String,
    token: String,
    /// Its nodes; empty when it does not say, which only the one process of a state folder may do.
    nodes: Vec<String>,
}

impl NodeStatus {
    /// What a process says of a node that is not its own is what it was told.
    fn has_none(&mut self) {
        self.registrations = 0;
    }
}

impl Status {
    fn of(value: &Value) -> Result<Self, String> {
        let text = |v: &Value, field: &str| v.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
        let count = |v: &Value, path: &str| v.pointer(path).and_then(Value::as_u64);
        let nodes = value.get("nodes").and_then(Value::as_array).ok_or("the status has no nodes")?;
        let nodes = nodes.iter().map(|n| {
            let addresses = n.get("addresses").and_then(Value::as_array).into_iter().flatten();
            NodeStatus {
                name: text(n, "name"),
                state: text(n, "state"),
                registrations: count(n, "/registrations").unwrap_or_default(),
                addresses: addresses.filter_map(|a| a.as_str().map(str::to_owned)).collect(),
            }
        });
        Ok(Self {
            cluster: text(value, "cluster"),
            nodes: nodes.collect(),
            registrations: count(value, "/registrations/total").ok_or("the status has no count of registrations")?,
        })
    }
}

impl Process {
    fn runs(&self, node: &str) -> bool {
        self.nodes.is_empty() || self.nodes.iter().any(|own| own == node)
    }
}

fn read(path: &Path) -> Result<String, Failure> {
    let bytes = RealDisk.read(path, FILE_MAX).map_err(|e| {
        Failure::new(e.to_string()).remedy("run this as the user that runs Tandem, or name its folder with --state DIR")
    })?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The state folder that a process uses unless it is told another.
fn usual_folder() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    set("TANDEM_STATE").or_else(|| {
        let base = set("XDG_STATE_HOME").or_else(|| set("HOME").map(|h| h.join(".local/state")))?;
        Some(base.join("tandem"))
    })
}

impl Where {
    fn folder(&self) -> Option<PathBuf> {
        self.state.clone().or_else(usual_folder)
    }

    /// The control files: that of the folder's own process, and those of the processes that share it.
    fn files(&self) -> Vec<PathBuf> {
        let Some(folder) = self.folder() else { return Vec::new() };
        let (processes, max) = PROCESSES;
        let shared = RealDisk.folders(&folder.join(processes), max).unwrap_or_default();
        std::iter::once(folder).chain(shared).map(|f| f.join(FILE)).filter(|f| f.exists()).collect()
    }

    /// The process of a control file, unless it is gone.
    fn process(&self, path: &Path) -> Option<Result<Process, Failure>> {
        let file = read(path).and_then(|text| {
            let damaged = |e| Failure::new(format!("{} is damaged: {e}", path.display()));
            serde_json::from_str::<ControlFile>(&text).map_err(damaged)
        });
        let file = match file {
            Ok(file) if file.is_stale() => return None,
            Ok(file) => file,
            Err(failure) => return Some(Err(failure)),
        };
        let beside = path.parent().unwrap_or(path).join(&file.token_file);
        let token = read(self.token_file.as_ref().unwrap_or(&beside));
        Some(token.map(|token| Process { url: url(&file.address), token: token.trim().to_owned(), nodes: file.nodes }))
    }

    /// All processes there are now. An address that was named is one, whatever files there are.
    fn processes(&self) -> Result<Vec<Process>, Failure> {
        let files = self.files();
        let mut found = files.iter().filter_map(|path| self.process(path));
        let Some(address) = &self.address else { return found.collect() };
        let token = match &self.token_file {
            Some(path) => Some(read(path)?.trim().to_owned()),
            // That of the process which listens there, or of the only one.
            None => {
                let mut found: Vec<_> = found.by_ref().flatten().collect();
                let same = found.iter().position(|process| process.url == url(address));
                let place = same.or((found.len() == 1).then_some(0));
                place.map(|place| found.swap_remove(place).token)
            }
        };
        let token = token.ok_or_else(|| {
            Failure::new(format!("the control endpoint {address} wants a token"))
                .remedy("name the file that holds it with --token-file FILE")
        })?;
        Ok(vec![Process { url: url(address), token, nodes: Vec::new() }])
    }
}

fn url(address: &str) -> String {
    format!("http://{}", address.trim_start_matches("http://").trim_end_matches('/'))
}

impl Control {
    /// Finds the endpoint. `None` when nobody said where it is and there is none in the usual folder.
    ///
    /// # Errors
    /// What was named and cannot be used.
    pub(super) fn find(place: &Where) -> Result<Option<Self>, Failure> {
        if place.processes()?.is_empty() {
            if place.state.is_some() {
                let folder = place.folder().unwrap_or_default();
                return Err(Failure::new(format!("no Tandem runs with the state folder {}", folder.display()))
                    .remedy("give the folder that `tandem run --state DIR` was given, or leave --state out"));
            }
            return Ok(None);
        }
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .timeout_connect(Some(CONNECT_WAIT))
            .timeout_global(Some(ANSWER_WAIT))
            .build();
        Ok(Some(Self { place: place.clone(), agent: config.into() }))
    }

    /// Where it is: the first process, if there are several.
    pub(super) fn url(&self) -> String {
        self.processes().ok().and_then(|p| p.into_iter().next()).map(|p| p.url).unwrap_or_default()
    }

    fn processes(&self) -> Result<Vec<Process>, String> {
        let found = self.place.processes().map_err(|e| e.to_string())?;
        if found.is_empty() { Err("no Tandem runs there any more".into()) } else { Ok(found) }
    }

    /// Asks every process. One of several may be dead: then what the others say is all there is.
    fn ask<T>(&self, ask: impl Fn(&Process) -> Result<T, String>) -> Result<Vec<(Process, T)>, String> {
        let (mut answers, mut failed) = (Vec::new(), Ok(()));
        for process in self.processes()? {
            match ask(&process) {
                Ok(answer) => answers.push((process, answer)),
                Err(why) => failed = failed.and(Err(why)),
            }
        }
        if answers.is_empty() { failed.map(|()| answers) } else { Ok(answers) }
    }

    fn get(&self, process: &Process, path: &str) -> Result<String, String> {
        let request = self.agent.get(format!("{}{path}", process.url)).header("Authorization", bearer(process));
        Self::answer(process, request.call())
    }

    fn answer(
        process: &Process,
        answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    ) -> Result<String, String> {
        let url = &process.url;
        let mut answer = answer.map_err(|e| format!("the control endpoint at {url} does not answer: {e}"))?;
        let status = answer.status();
        let body = answer.body_mut().with_config().limit(ANSWER_MAX).read_to_string();
        let body = body.map_err(|e| format!("the control endpoint at {url}: {e}"))?;
        if status.is_success() {
            return Ok(body);
        }
        let said = serde_json::from_str::<Value>(&body).ok();
        let said = said.as_ref().and_then(|v| v.pointer("/error/message")).and_then(Value::as_str);
        Err(format!("the control endpoint says {status}: {}", said.unwrap_or("without a reason")))
    }

    fn json(&self, process: &Process, path: &str) -> Result<Value, String> {
        let text = self.get(process, path)?;
        serde_json::from_str(&text).map_err(|e| format!("{}{path} is no JSON: {e}", process.url))
    }

    /// `kill`, `stop` or `start` for a node.
    ///
    /// # Errors
    /// Why not, in a sentence.
    pub(super) fn node(&self, name: &str, command: &str) -> Result<(), String> {
        let process = self.processes()?.into_iter().find(|p| p.runs(name));
        let process = process.ok_or_else(|| format!("no process that runs here has the node {name}"))?;
        let request = self.agent.post(format!("{}/api/v1/nodes/{name}/{command}", process.url));
        Self::answer(&process, request.header("Authorization", bearer(&process)).send_empty()).map(drop)
    }

    /// The cluster at a glance.
    ///
    /// # Errors
    /// Why not, in a sentence.
    pub(super) fn status(&self) -> Result<Status, String> {
        let mut answers = self.ask(|process| Status::of(&self.json(process, "/api/v1/status")?))?.into_iter();
        let (first, mut status) = answers.next().ok_or("nobody answered")?;
        let mut several = false;
        status.nodes.iter_mut().filter(|n| !first.runs(&n.name)).for_each(NodeStatus::has_none);
        for (process, other) in answers {
            several = true;
            // Of its own nodes each process knows best.
            for own in other.nodes.into_iter().filter(|n| process.runs(&n.name)) {
                match status.nodes.iter_mut().find(|n| n.name == own.name) {
                    Some(node) => *node = own,
                    None => status.nodes.push(own),
                }
            }
        }
        if several {
            status.registrations = status.nodes.iter().map(|n| n.registrations).sum();
        }
        Ok(status)
    }

    /// The node that serves each registered device.
    ///
    /// # Errors
    /// Why not, in a sentence.
    pub(super) fn registered(&self) -> Result<BTreeMap<String, String>, String> {
        let answers = self.ask(|process| self.registered_at(process))?;
        Ok(answers.into_iter().flat_map(|(_, devices)| devices).collect())
    }

    /// The same for the nodes of one process.
    fn registered_at(&self, process: &Process) -> Result<BTreeMap<String, String>, String> {
        let mut all = BTreeMap::new();
        let mut cursor = String::new();
        loop {
            let after = if cursor.is_empty() { String::new() } else { format!("&cursor={}", escaped(&cursor)) };
            let page = self.json(process, &format!("/api/v1/devices?state=registered&limit={PAGE}{after}"))?;
            let devices = page.get("devices").and_then(Value::as_array).ok_or("the list has no devices")?;
            for device in devices {
                let field = |name: &str| device.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
                let node = field("node");
                if process.runs(&node) {
                    all.insert(field("name"), node);
                }
            }
            match page.get("next").and_then(Value::as_str) {
                // A cursor that does not advance would never end.
                Some(next) if next > cursor.as_str() => cursor = next.to_owned(),
                _ => return Ok(all),
            }
        }
    }

    /// The metrics pages of all processes.
    ///
    /// # Errors
    /// Why not, in a sentence.
    pub(super) fn metrics(&self) -> Result<Metrics, String> {
        let pages = self.ask(|process| self.get(process, "/metrics"))?;
        Ok(Metrics(pages.into_iter().flat_map(|(_, page)| Metrics::read(&page).0).collect()))
    }
}

fn bearer(process: &Process) -> String {
    format!("Bearer {}", process.token)
}

/// For a query: everything but letters and digits as `%XX`.
fn escaped(text: &str) -> String {
    text.bytes()
        .map(|b| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect()
}

/// A metrics page: name with labels, and value.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Metrics(Vec<(String, f64)>);

impl Metrics {
    fn read(text: &str) -> Self {
        let line = |l: &str| {
            let (series, value) = l.rsplit_once(' ')?;
            Some((series.to_owned(), value.parse().ok()?))
        };
        Self(text.lines().filter(|l| !l.starts_with('#')).filter_map(line).collect())
    }

    /// The sum of all series of this name that carry these labels.
    pub(super) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let fits = |series: &str| {
            let (own, rest) = series.split_once('{').unwrap_or((series, ""));
            own == name && labels.iter().all(|(k, v)| rest.contains(&format!("{k}=\"{v}\"")))
        };
        self.0.iter().filter(|(series, _)| fits(series)).map(|(_, value)| value).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tandem_host::disk::Access;

    #[test]
    fn metrics_are_summed_by_name_and_labels() {
        let page =
            "# TYPE a counter\na{node=\"X\",method=\"R\"} 3\na{node=\"Y\",method=\"R\"} 4\naa{node=\"X\"} 100\nb 7.5\n";
        let metrics = Metrics::read(page);
        assert_eq!(metrics.sum("a", &[]), 7.0);
        assert_eq!(metrics.sum("a", &[("node", "Y")]), 4.0);
        assert_eq!((metrics.sum("b", &[]), metrics.sum("c", &[])), (7.5, 0.0));
    }

    #[test]
    fn a_folder_that_was_named_must_hold_a_process() {
        let place = Where { state: Some("/nowhere/at/all".into()), ..Where::default() };
        let text = Control::find(&place).unwrap_err().to_string();
        assert!(text.contains("/nowhere/at/all"), "{text}");
        let place = Where { address: Some("127.0.0.1:1".into()), state: Some("/nowhere".into()), ..Where::default() };
        assert!(Control::find(&place).unwrap_err().to_string().contains("--token-file"));
    }

    #[test]
    fn processes_that_share_a_folder_are_all_found_and_those_that_are_gone_are_not() {
        let folder = std::env::temp_dir().join(format!("tandem-loadtest-control-{}", std::process::id()));
        let write = |name: &str, pid: u32, address: &str, node: &str| {
            let place = folder.join(name);
            std::fs::create_dir_all(&place).unwrap();
            let text = format!(
                r#"{{"address":"{address}","token_file":"control.token","nodes":["{node}"],"pid":{pid},"more":1}}"#
            );
            let put = |name: &str, text: String| {
                RealDisk.write(&place.join(name), text.as_bytes(), Access::Private).unwrap();
            };
            put(FILE, text);
            put("control.token", format!("secret {node}\n"));
        };
        let alive = std::process::id();
        write("process/A", alive, "127.0.0.1:1", "A");
        write("process/B", alive, "http://127.0.0.1:2/", "B");
        // No process has the highest number there is.
        write("process/C", u32::MAX, "127.0.0.1:3", "C");
        let place = Where { state: Some(folder.clone()), ..Where::default() };
        let found = place.processes().unwrap();
        let said: Vec<_> = found.iter().map(|p| (p.url.as_str(), p.token.as_str(), p.runs("B"))).collect();
        assert_eq!(said, [("http://127.0.0.1:1", "secret A", false), ("http://127.0.0.1:2", "secret B", true)]);
        let named = Where { address: Some("127.0.0.1:2".into()), ..place };
        let found = named.processes().unwrap();
        assert_eq!((found.len(), found[0].token.as_str(), found[0].runs("anything")), (1, "secret B", true));
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_cursor_is_escaped() {
        assert_eq!(escaped("SEP 1&x"), "SEP%201%26x");
    }
}
