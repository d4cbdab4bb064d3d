//! A refusal as it travels: a problem document (RFC 9457) that holds the whole [`AdminError`].
//!
//! `type`, `title` and `status` follow from the kind and never change; `detail` and the extension members are for the case at hand.

use super::config::RowProblem;
use super::{AdminError, ErrorKind};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The media type of a problem document.
pub const PROBLEM_JSON: &str = "application/problem+json";
/// What every `type` begins with.
const TYPE: &str = "urn:tandem:problem:";

impl ErrorKind {
    /// All kinds.
    pub const ALL: [Self; 11] = [
        Self::Invalid,
        Self::Unauthorized,
        Self::Forbidden,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::Refused,
        Self::Precondition,
        Self::TooLarge,
        Self::TooMany,
        Self::Unavailable,
        Self::Internal,
    ];
    /// HTTP status.
    pub const fn status(self) -> u16 {
        match self {
            Self::Invalid => 400,
            Self::Unauthorized => 401,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::Refused => 409,
            Self::Precondition => 412,
            Self::TooLarge => 413,
            Self::TooMany => 429,
            Self::Internal => 500,
            Self::Unavailable => 503,
        }
    }
    /// The last word of `type`.
    const fn word(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not-found",
            Self::MethodNotAllowed => "method-not-allowed",
            Self::Refused => "refused",
            Self::Precondition => "precondition",
            Self::TooLarge => "too-large",
            Self::TooMany => "too-many",
            Self::Unavailable => "unavailable",
            Self::Internal => "internal",
        }
    }
    /// `title`.
    const fn title(self) -> &'static str {
        match self {
            Self::Invalid => "The request is wrong",
            Self::Unauthorized => "Nobody is known by these credentials",
            Self::Forbidden => "Who asks may not",
            Self::NotFound => "There is no such thing",
            Self::MethodNotAllowed => "The path does not take this method",
            Self::Refused => "It cannot be done in the present state",
            Self::Precondition => "What was expected is not so",
            Self::TooLarge => "It is larger than what is taken",
            Self::TooMany => "Too many wrong tries",
            Self::Unavailable => "Nobody can answer now",
            Self::Internal => "A defect of ours",
        }
    }
}

/// The body of every HTTP answer that is a refusal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProblemDocument {
    /// `urn:tandem:problem:` and the kind: what programs look at. It never changes.
    pub r#type: String,
    /// The kind in a few words.
    pub title: String,
    /// HTTP status of the answer.
    pub status: u16,
    /// What was wrong this time, in lower case, without a full stop.
    pub detail: String,
    /// Code to look up, such as `T0401`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
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
impl From<AdminError> for ProblemDocument {
    fn from(error: AdminError) -> Self {
        Self {
            r#type: format!("{TYPE}{}", error.kind.word()),
            title: error.kind.title().to_owned(),
            status: error.kind.status(),
            detail: error.message,
            code: error.code,
            remedy: error.remedy,
            nearest: error.nearest,
            problems: error.problems,
            etag: error.etag,
            retry_after: error.retry_after,
        }
    }
}
impl From<ProblemDocument> for AdminError {
    /// A kind of a later version is taken by its status, and as a defect when that is not known either.
    fn from(problem: ProblemDocument) -> Self {
        let word = problem.r#type.strip_prefix(TYPE).unwrap_or_default();
        let by_word = ErrorKind::ALL.into_iter().find(|kind| kind.word() == word);
        let by_status = || ErrorKind::ALL.into_iter().find(|kind| kind.status() == problem.status);
        Self {
            kind: by_word.or_else(by_status).unwrap_or(ErrorKind::Internal),
            code: problem.code,
            message: problem.detail,
            remedy: problem.remedy,
            nearest: problem.nearest,
            problems: problem.problems,
            etag: problem.etag,
            retry_after: problem.retry_after,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_survives_the_way_as_a_problem_document() {
        for kind in ErrorKind::ALL {
            let error = AdminError {
                nearest: Some("CCM1".to_owned()),
                problems: vec![RowProblem { line: Some(7), what: "wrong".to_owned(), ..RowProblem::default() }],
                etag: Some("0".repeat(32)),
                retry_after: Some(8),
                ..AdminError::new(kind, "it is so").code("T0001").remedy("do this")
            };
            let text = serde_json::to_string(&ProblemDocument::from(error.clone())).unwrap();
            assert!(text.contains(r#""type":"urn:tandem:problem:"#) && text.contains("\"status\":"), "{text}");
            assert_eq!(AdminError::from(serde_json::from_str::<ProblemDocument>(&text).unwrap()), error);
        }
    }

    #[test]
    fn a_problem_of_a_later_version_is_taken_by_its_status() {
        let text = r#"{"type":"urn:tandem:problem:gone-fishing","title":"x","status":409,"detail":"y","new":1}"#;
        let error = AdminError::from(serde_json::from_str::<ProblemDocument>(text).unwrap());
        assert_eq!((error.kind, error.message.as_str()), (ErrorKind::Refused, "y"));
    }
}
