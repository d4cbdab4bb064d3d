//! The command line's side of the admin API: one request, one answer, and the endless stream of events.
//!
//! Blocking, with deadlines. It must never follow a redirect or use a proxy: the token is for the control endpoint only.

use super::failure::{Exit, Failure};
use super::state::Endpoint;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::fmt::Write;
use std::io::{BufRead, BufReader, Lines};
use std::time::Duration;
use tandem_model::admin::{API, AdminError, Health, ProblemDocument, Versioned};
use tandem_model::config::FILE_BYTES_MAX;
pub use ureq::http::Method;
use ureq::http::{Request, Response};
use ureq::{Agent, Body, BodyReader};

/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Longest wait for an answer; the console itself gives up a little earlier and says so.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);
/// Longest silence of a stream: three of its heartbeats.
const STREAM_SILENCE: Duration = Duration::from_secs(tandem_console::HEARTBEAT.as_secs() * 3);
/// Longest wait for a whole file to be written, or read.
const FILE_TIMEOUT: Duration = Duration::from_secs(300);
/// Largest answer taken, in bytes. A page of devices has a tenth of that.
const ANSWER_MAX: u64 = 32 * 1024 * 1024;

/// An answer: as it came, for scripts, and as words.
pub struct Answer<T> {
    /// With fields of later versions, if there are any.
    pub raw: serde_json::Value,
    /// What this version knows of it.
    pub body: T,
}

/// A connection to the control endpoint of a running process.
pub struct Client {
    endpoint: Endpoint,
    agent: Agent,
}

impl Client {
    /// A client of `endpoint`; connects with the first request.
    pub fn new(endpoint: Endpoint) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .build();
        Self { endpoint, agent: config.into() }
    }

    /// Asks.
    ///
    /// # Errors
    /// Exit code 3 when nobody answers, 1 with the reason when it was refused.
    pub fn get<T: DeserializeOwned>(&self, path: &str) -> Result<Answer<T>, Failure> {
        self.get_within(path, ANSWER_TIMEOUT)
    }
    /// As [`Client::get`], with a patience of its own.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub fn get_within<T: DeserializeOwned>(&self, path: &str, patience: Duration) -> Result<Answer<T>, Failure> {
        let request = self.agent.get(self.url(path)).header("Authorization", self.authorization());
        self.read(request.config().timeout_global(Some(patience)).build().call())
    }
    /// Whether the process is well; `None` when it does not answer.
    pub fn health(&self, patience: Duration) -> Option<Health> {
        let request = self.agent.get(format!("{}/healthz", self.endpoint.url));
        let mut response = request.config().timeout_global(Some(patience)).build().call().ok()?;
        let text = response.body_mut().with_config().limit(ANSWER_MAX).read_to_string().ok()?;
        serde_json::from_str::<Versioned<Health>>(&text).ok().map(|answer| answer.body)
    }
    /// Commands.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub fn post<T: DeserializeOwned>(&self, path: &str) -> Result<Answer<T>, Failure> {
        let request = self.agent.post(self.url(path)).header("Authorization", self.authorization());
        self.read(request.config().timeout_global(Some(ANSWER_TIMEOUT)).build().send_empty())
    }
    /// Sends JSON, perhaps on conditions.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, String)],
        body: Option<&serde_json::Value>,
    ) -> Result<Answer<T>, Failure> {
        let text = body.map(ToString::to_string).unwrap_or_default();
        let kind = body.map(|_| ("Content-Type", "application/json".to_owned()));
        let headers: Vec<_> = headers.iter().cloned().chain(kind).collect();
        self.send_file(method, path, &headers, text.into_bytes())
    }
    /// Sends a file.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub fn send_file<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, String)],
        file: Vec<u8>,
    ) -> Result<Answer<T>, Failure> {
        let request =
            Request::builder().method(method).uri(self.url(path)).header("Authorization", self.authorization());
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, value));
        let request = request.body(file).map_err(|e| Failure::new(Exit::Usage, format!("this cannot be sent: {e}")))?;
        self.read(self.agent.run(self.agent.configure_request(request).timeout_global(Some(FILE_TIMEOUT)).build()))
    }
    /// Asks for a text.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub fn text(&self, path: &str) -> Result<String, Failure> {
        let request = self.agent.get(self.url(path)).header("Authorization", self.authorization());
        let answer = request.config().timeout_global(Some(FILE_TIMEOUT)).build().call();
        let mut response = answer.map_err(|e| self.unreachable(&e))?;
        if !response.status().is_success() {
            return Err(self.refused(response));
        }
        let bound = u64::try_from(FILE_BYTES_MAX).unwrap_or(u64::MAX).saturating_add(ANSWER_MAX);
        response.body_mut().with_config().limit(bound).read_to_string().map_err(|e| self.unreachable(&e))
    }
    /// Opens a stream of JSON lines.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub fn lines(&self, path: &str) -> Result<Lines<BufReader<BodyReader<'static>>>, Failure> {
        let request = self.agent.get(self.url(path)).header("Authorization", self.authorization());
        let request =
            request.header("Accept", "application/x-ndjson").config().timeout_per_read(Some(STREAM_SILENCE)).build();
        let response = request.call().map_err(|e| self.unreachable(&e))?;
        if !response.status().is_success() {
            return Err(self.refused(response));
        }
        Ok(BufReader::new(response.into_body().into_reader()).lines())
    }

    fn url(&self, path: &str) -> String {
        format!("{}/api/v{API}{path}", self.endpoint.url)
    }
    fn authorization(&self) -> String {
        format!("Bearer {}", self.endpoint.token)
    }
    fn read<T: DeserializeOwned>(&self, answer: Result<Response<Body>, ureq::Error>) -> Result<Answer<T>, Failure> {
        let mut response = answer.map_err(|e| self.unreachable(&e))?;
        if !response.status().is_success() {
            return Err(self.refused(response));
        }
        let text =
            response.body_mut().with_config().limit(ANSWER_MAX).read_to_string().map_err(|e| self.unreachable(&e))?;
        let raw: serde_json::Value = serde_json::from_str(&text).map_err(|e| self.strange(&e.to_string()))?;
        let answer = Versioned::<T>::deserialize(&raw).map_err(|e| self.strange(&e.to_string()))?;
        Ok(Answer { raw, body: answer.body })
    }
    fn refused(&self, mut response: Response<Body>) -> Failure {
        let status = response.status();
        let text = response.body_mut().read_to_string().unwrap_or_default();
        match serde_json::from_str::<ProblemDocument>(&text) {
            Ok(problem) => Failure::from(AdminError::from(problem)),
            Err(_) => self.strange(&format!("it answered {status}")),
        }
    }
    fn unreachable(&self, why: &ureq::Error) -> Failure {
        let why = match why {
            ureq::Error::Io(e) => e.to_string(),
            other => other.to_string(),
        };
        let message = format!("cannot reach the control endpoint at {}: {why}", self.endpoint.url);
        Failure::new(Exit::Unreachable, message).remedy(&self.endpoint.absent)
    }
    fn strange(&self, why: &str) -> Failure {
        let message = format!("what answers at {} does not speak version {API} of this API: {why}", self.endpoint.url);
        Failure::new(Exit::Unreachable, message)
            .remedy("use the `tandem` that the running process was started with, or check --control")
    }
}

/// A text as part of a path or query (RFC 3986 section 2.3).
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// A query string of the parameters that are given; empty when none is.
pub fn query(parameters: &[(&str, Option<String>)]) -> String {
    let given = parameters.iter().filter_map(|(k, v)| Some(format!("{k}={}", escaped(v.as_deref()?))));
    let joined = given.collect::<Vec<_>>().join("&");
    if joined.is_empty() { joined } else { format!("?{joined}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_person_types_cannot_leave_its_place_in_a_path() {
        assert_eq!(escaped("SEP-1._~"), "SEP-1._~");
        assert_eq!(escaped("../nodes?a=b&c#d é"), "..%2Fnodes%3Fa%3Db%26c%23d%20%C3%A9");
        assert_eq!(query(&[("a", Some("1&2".to_owned())), ("b", None), ("c", Some(String::new()))]), "?a=1%262&c=");
        assert_eq!(query(&[("a", None)]), "");
    }
}
