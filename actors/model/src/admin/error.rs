//! Refusals as words: what was wrong, where, what would be right, and the nearest name that exists.
//!
//! What is sent of it is a [`super::ProblemDocument`]. It must never carry a secret or the inside of a defect.

use super::config::RowProblem;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What kind of trouble an [`AdminError`] is; decides HTTP status and exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// The request itself is wrong (400).
    Invalid,
    /// The token is missing or wrong (401).
    Unauthorized,
    /// Who asks may not (403).
    Forbidden,
    /// There is no such thing (404).
    NotFound,
    /// It cannot be done in the present state (409).
    Refused,
    /// What the asker expected to find is not so: an entity tag or a revision (412).
    Precondition,
    /// The path is there, its method is not (405).
    MethodNotAllowed,
    /// It is longer than anything that is taken (413).
    TooLarge,
    /// Too many wrong tries from one address (429).
    TooMany,
    /// Nobody can answer now (503).
    Unavailable,
    /// A defect of ours (500).
    Internal,
}

/// Most names that a refusal tells when none is near.
const KNOWN_MAX: usize = 8;

/// A refusal, for people first: what was wrong and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AdminError {
    /// What kind of trouble.
    pub kind: ErrorKind,
    /// Code to look up, such as `T0107`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// What was wrong, in lower case, without a full stop.
    pub message: String,
    /// What would be right.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
    /// The nearest name that exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nearest: Option<String>,
    /// Everything that is wrong with a change, each with its row or line.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<RowProblem>,
    /// The entity tag of the row as it is, when another was expected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// When it may be tried again, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u64>,
}

impl AdminError {
    /// A refusal of `kind` that says `message`.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        let (code, remedy, nearest, etag, retry_after) = (None, None, None, None, None);
        Self { kind, code, message: message.into(), remedy, nearest, problems: Vec::new(), etag, retry_after }
    }
    /// There is no `what` (such as `"device"`) called `name`; `known` are the names that exist, to find the nearest.
    pub fn unknown<'a>(what: &str, name: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        let known: Vec<&str> = known.into_iter().collect();
        let nearest = nearest(name, known.iter().copied()).map(str::to_owned);
        // Where nothing is near, a few names are told as they are.
        let few = nearest.is_none() && (1..=KNOWN_MAX).contains(&known.len());
        let remedy = few.then(|| format!("known: {}", known.join(", ")));
        Self { nearest, remedy, ..Self::new(ErrorKind::NotFound, format!("there is no {what} {name:?}")) }
    }
    /// With what would be right.
    #[must_use]
    pub fn remedy(self, remedy: impl Into<String>) -> Self {
        Self { remedy: Some(remedy.into()), ..self }
    }
    /// With a code.
    #[must_use]
    pub fn code(self, code: &str) -> Self {
        Self { code: Some(code.to_owned()), ..self }
    }
}
impl fmt::Display for AdminError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(code) = &self.code {
            write!(f, "{code}: ")?;
        }
        f.write_str(&self.message)?;
        if let Some(nearest) = &self.nearest {
            write!(f, "; did you mean {nearest}?")?;
        }
        if let Some(remedy) = &self.remedy {
            write!(f, "; {remedy}")?;
        }
        Ok(())
    }
}
impl std::error::Error for AdminError {}

/// How many of `known` are looked at: a directory of a million names is not worth a second of a person's time.
const NEAREST_LOOKED_AT_MAX: usize = 20_000;
/// From which likeness on (Jaro-Winkler, 0 to 1) a name is offered.
const NEAREST_LIKENESS: f64 = 0.8;

/// The name in `known` that is most like `name`, letters of either case; `None` when none is like it.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = name.to_ascii_lowercase();
    let mut best = None;
    for candidate in known.into_iter().take(NEAREST_LOOKED_AT_MAX) {
        let likeness = strsim::jaro_winkler(&wanted, &candidate.to_ascii_lowercase());
        if likeness >= NEAREST_LIKENESS && best.is_none_or(|(so_far, _)| likeness > so_far) {
            best = Some((likeness, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}
