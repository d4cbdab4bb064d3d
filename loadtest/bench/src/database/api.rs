//! The admin API of one process, asked as its operator would: with the control token, over connections that stay open.
//!
//! It must never take a refusal for an answer: the status comes with every one.

use crate::error::Error;
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::time::Duration;
use tandem_host::disk::{Disk, RealDisk};

/// Longest control file and token that are read.
const SMALL: u64 = 4_096;
/// Longest answer: an import names the entity tag of every row.
const ANSWER_MAX: u64 = 256 << 20;
/// An import of a million rows takes its time.
const PATIENCE: Duration = Duration::from_secs(300);

/// See the module.
#[derive(Clone)]
pub(super) struct Api {
    base: String,
    bearer: String,
    agent: ureq::Agent,
}

/// A status and what came with it.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Value,
}
impl Answer {
    /// The body, when all went well.
    pub(super) fn good(self, what: &str) -> Result<Value, Error> {
        if (200..300).contains(&self.status) {
            return Ok(self.body);
        }
        let mut said = self.body.to_string();
        said.truncate(said.char_indices().nth(600).map_or(said.len(), |(at, _)| at));
        Err(Error::Worthless(format!("{what}: {} {said}", self.status)))
    }
}

/// Where a copy of the configuration stands, by its own node's word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Copy {
    pub(super) revision: u64,
    pub(super) digest: String,
}

impl Api {
    /// Of the process that has its own folder here.
    pub(super) fn of(folder: &Path) -> Result<Self, Error> {
        let text = |name: &str| -> Result<String, Error> {
            let bytes = RealDisk.read(&folder.join(name), SMALL)?;
            Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
        };
        let control: Value = serde_json::from_str(&text("control.json")?).unwrap_or_default();
        let address = control.get("address").and_then(Value::as_str);
        let address = address.ok_or_else(|| Error::Worthless("control.json has no address".to_owned()))?;
        let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(PATIENCE));
        Ok(Self {
            base: format!("http://{address}"),
            bearer: format!("Bearer {}", text("control.token")?),
            agent: config.build().into(),
        })
    }
    /// The same over connections of its own.
    pub(super) fn another(&self) -> Self {
        let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(PATIENCE));
        Self { agent: config.build().into(), ..self.clone() }
    }
    fn url(&self, path: &str) -> String {
        format!("{}/api/v1{path}", self.base)
    }
    fn read(what: &str, answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Result<Answer, Error> {
        let failed = |e: ureq::Error| Error::Worthless(format!("{what}: {e}"));
        let mut answer = answer.map_err(failed)?;
        let status = answer.status().as_u16();
        let text = answer.body_mut().with_config().limit(ANSWER_MAX).read_to_string().map_err(failed)?;
        Ok(Answer { status, body: serde_json::from_str(&text).unwrap_or(Value::String(text)) })
    }
    pub(super) fn get(&self, path: &str) -> Result<Answer, Error> {
        Self::read(path, self.agent.get(self.url(path)).header("authorization", &self.bearer).call())
    }
    /// Sends a file of rows.
    pub(super) fn import(&self, query: &str, kind: &str, file: &str) -> Result<Answer, Error> {
        let request = self.agent.post(self.url(&format!("/config/import?{query}")));
        let request = request.header("authorization", &self.bearer).header("content-type", kind);
        Self::read("import", request.send(file))
    }
    /// Changes some fields of a row.
    pub(super) fn patch(&self, path: &str, fields: &Value) -> Result<Answer, Error> {
        let request = self.agent.patch(self.url(path)).header("authorization", &self.bearer);
        Self::read(path, request.header("content-type", "application/json").send(fields.to_string()))
    }
    /// Whether a node of the process is in service.
    pub(super) fn ready(&self) -> bool {
        let answer = self.agent.get(format!("{}/readyz", self.base)).call();
        // Read to its end, or the connection is not used again.
        answer.is_ok_and(|mut a| a.status() == 200 && a.body_mut().read_to_string().is_ok())
    }
    /// The copy of the node that answers; `None` when it has no time to.
    pub(super) fn copy(&self) -> Result<Option<Copy>, Error> {
        let answer = self.get("/config")?;
        if answer.status == 503 {
            return Ok(None);
        }
        let body = answer.good("where the copy stands")?;
        let me = body.get("node").cloned().unwrap_or_default();
        let copies = body.get("copies").and_then(Value::as_array).into_iter().flatten();
        let own = copies.into_iter().find(|c| c.get("node") == Some(&me));
        let found = own.and_then(|copy| {
            let digest = copy.get("digest")?.as_str()?.to_owned();
            Some(Copy { revision: copy.get("revision")?.as_u64()?, digest })
        });
        found.map(Some).ok_or_else(|| Error::Worthless("the overview does not tell the node's own copy".to_owned()))
    }
    /// Follows the events of one kind: each line is a page of them.
    pub(super) fn follow(&self, kind: &str) -> Result<impl Iterator<Item = Value> + use<>, Error> {
        let config = ureq::Agent::config_builder().http_status_as_error(true);
        let agent: ureq::Agent = config.build().into();
        let request = agent.get(self.url(&format!("/events?follow=1&kind={kind}")));
        let request = request.header("authorization", &self.bearer).header("accept", "application/x-ndjson");
        let answer = request.call().map_err(|e| Error::Worthless(format!("the events cannot be followed: {e}")))?;
        let lines = BufReader::new(answer.into_body().into_reader()).lines();
        Ok(lines.map_while(Result::ok).filter_map(|line| serde_json::from_str(&line).ok()))
    }
}
