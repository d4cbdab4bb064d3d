//! The control endpoint of a Tandem process, as an outsider sees it: a few paths of its HTTP API, read as plain JSON.
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

#[derive(Deserialize)]
struct ControlFile {
    address: String,
    token_file: PathBuf,
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
    url: String,
    token: String,
    agent: Agent,
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

impl Control {
    /// Finds the endpoint. `None` when nobody said where it is and there is none in the usual folder.
    ///
    /// # Errors
    /// What was named and cannot be used.
    pub(super) fn find(place: &Where) -> Result<Option<Self>, Failure> {
        let asked = place.state.is_some() || place.address.is_some();
        let folder = place.state.clone().or_else(usual_folder);
        let file = folder.as_ref().map(|f| f.join("control.json")).filter(|f| f.exists());
        let found = match &file {
            Some(path) => {
                let text = read(path)?;
                let found = serde_json::from_str::<ControlFile>(&text);
                Some(found.map_err(|e| Failure::new(format!("{} is damaged: {e}", path.display())))?)
            }
            None => None,
        };
        let Some(address) = place.address.clone().or_else(|| found.as_ref().map(|f| f.address.clone())) else {
            if asked {
                let folder = folder.unwrap_or_default();
                return Err(Failure::new(format!("no Tandem runs with the state folder {}", folder.display()))
                    .remedy("give the folder that `tandem run --state DIR` was given, or leave --state out"));
            }
            return Ok(None);
        };
        let beside = |f: &ControlFile| folder.clone().unwrap_or_default().join(&f.token_file);
        let token_file = place.token_file.clone().or_else(|| found.as_ref().map(beside));
        let Some(token_file) = token_file else {
            return Err(Failure::new(format!("the control endpoint {address} wants a token"))
                .remedy("name the file that holds it with --token-file FILE"));
        };
        let token = read(&token_file)?.trim().to_owned();
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .timeout_connect(Some(CONNECT_WAIT))
            .timeout_global(Some(ANSWER_WAIT))
            .build();
        let url = format!("http://{}", address.trim_start_matches("http://").trim_end_matches('/'));
        Ok(Some(Self { url, token, agent: config.into() }))
    }

    /// Where it is.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    fn get(&self, path: &str) -> Result<String, String> {
        let request = self.agent.get(format!("{}{path}", self.url)).header("Authorization", self.bearer());
        self.answer(request.call())
    }

    fn bearer(&self) -> String {
        format!("Bearer {}", self.token)
    }

    fn answer(&self, answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Result<String, String> {
        let mut answer = answer.map_err(|e| format!("the control endpoint at {} does not answer: {e}", self.url))?;
        let status = answer.status();
        let body = answer.body_mut().with_config().limit(ANSWER_MAX).read_to_string();
        let body = body.map_err(|e| format!("the control endpoint at {}: {e}", self.url))?;
        if status.is_success() {
            return Ok(body);
        }
        let said = serde_json::from_str::<Value>(&body).ok();
        let said = said.as_ref().and_then(|v| v.pointer("/error/message")).and_then(Value::as_str);
        Err(format!("the control endpoint says {status}: {}", said.unwrap_or("without a reason")))
    }

    fn json(&self, path: &str) -> Result<Value, String> {
        serde_json::from_str(&self.get(path)?).map_err(|e| format!("{}{path} is no JSON: {e}", self.url))
    }

    /// `kill`, `stop` or `start` for a node.
    ///
    /// # Errors
    /// Why not, in a sentence.
    pub(super) fn node(&self, name: &str, command: &str) -> Result<(), String> {
        let request = self.agent.post(format!("{}/api/v1/nodes/{name}/{command}", self.url));
        self.answer(request.header("Authorization", self.bearer()).send_empty()).map(drop)
    }

    /// The cluster at a glance.
    ///
    /// # Errors
    /// Why not, in a sentence.
    pub(super) fn status(&self) -> Result<Status, String> {
        let value = self.json("/api/v1/status")?;
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
        Ok(Status {
            cluster: text(&value, "cluster"),
            nodes: nodes.collect(),
            registrations: count(&value, "/registrations/total").ok_or("the status has no count of registrations")?,
        })
    }

    /// The node that serves each registered device.
    ///
    /// # Errors
    /// Why not, in a sentence.
    pub(super) fn registered(&self) -> Result<BTreeMap<String, String>, String> {
        let mut all = BTreeMap::new();
        let mut cursor = String::new();
        loop {
            let after = if cursor.is_empty() { String::new() } else { format!("&cursor={}", escaped(&cursor)) };
            let page = self.json(&format!("/api/v1/devices?state=registered&limit={PAGE}{after}"))?;
            let devices = page.get("devices").and_then(Value::as_array).ok_or("the list has no devices")?;
            for device in devices {
                let field = |name: &str| device.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
                all.insert(field("name"), field("node"));
            }
            match page.get("next").and_then(Value::as_str) {
                // A cursor that does not advance would never end.
                Some(next) if next > cursor.as_str() => cursor = next.to_owned(),
                _ => return Ok(all),
            }
        }
    }

    /// The metrics page.
    ///
    /// # Errors
    /// Why not, in a sentence.
    pub(super) fn metrics(&self) -> Result<Metrics, String> {
        Ok(Metrics::read(&self.get("/metrics")?))
    }
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
    fn a_cursor_is_escaped() {
        assert_eq!(escaped("SEP 1&x"), "SEP%201%26x");
    }
}
