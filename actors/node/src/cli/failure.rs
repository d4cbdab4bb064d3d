//! How a command ends: its exit code and, when it failed, what to tell the person.
//!
//! Every failure says what was wrong and, where there is one, what would be right. It must never hold a token.

use std::fmt;
use std::io;
use std::process::ExitCode;
use tandem_model::admin::AdminError;
use tandem_model::admin::config::RowProblem;

/// Problems of a change that are printed; of more only the number is.
const PROBLEMS_MAX: usize = 20;

/// Exit codes, the same for every command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0: done.
    Done,
    /// 1: refused or failed.
    Failed,
    /// 2: the command line is wrong.
    Usage,
    /// 3: the control endpoint cannot be reached.
    Unreachable,
}
impl Exit {
    /// The number.
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Unreachable => 3,
        }
    }
}
impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Why a command ended early.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// With which exit code.
    pub exit: Exit,
    /// What was wrong; empty when there is nothing to say, as when the reader of the output went away.
    pub message: String,
    /// What would be right, one line each.
    pub remedies: Vec<String>,
}

impl Failure {
    /// A failure without a remedy.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), remedies: Vec::new() }
    }
    /// With what would be right.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedies.push(remedy.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.message)?;
        self.remedies.iter().try_for_each(|r| write!(f, "\n       {r}"))
    }
}
impl std::error::Error for Failure {}

impl From<AdminError> for Failure {
    fn from(error: AdminError) -> Self {
        let code = error.code.map(|c| format!("{c}: ")).unwrap_or_default();
        let nearest = error.nearest.map(|n| format!("did you mean {n}?"));
        let rest = error.problems.len().saturating_sub(PROBLEMS_MAX);
        let more = (rest > 0).then(|| format!("and {rest} more"));
        let problems = error.problems.iter().take(PROBLEMS_MAX).map(problem).chain(more);
        let etag = error.etag.map(|etag| format!("the entity tag is {etag} now"));
        let remedies = problems.chain(nearest).chain(etag).chain(error.remedy).collect();
        Self { exit: Exit::Failed, message: format!("{code}{}", error.message), remedies }
    }
}

/// One problem of a change on one line: where, what, what would be right.
fn problem(problem: &RowProblem) -> String {
    let row = problem.table.map(|t| format!("{t} {}", problem.key.as_deref().unwrap_or_default()));
    let places = [problem.line.map(|line| format!("line {line}")), row, problem.field.clone()];
    let place = places.into_iter().flatten().map(|p| p.trim_end().to_owned()).collect::<Vec<_>>().join(", ");
    let expected = problem.expected.as_ref().map(|e| format!("; expected {e}")).unwrap_or_default();
    if place.is_empty() {
        format!("{}{expected}", problem.what)
    } else {
        format!("{place}: {}{expected}", problem.what)
    }
}

impl From<io::Error> for Failure {
    /// Of the output: a reader that has seen enough (`| head`) is no failure.
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::new(Exit::Done, "");
        }
        Self::new(Exit::Failed, format!("cannot write the output: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_reads_as_what_was_wrong_and_then_what_would_be_right() {
        let error = AdminError::unknown("node", "CCM4", ["CCM1"]).remedy("see `tandem status`");
        let text = Failure::from(error).to_string();
        assert_eq!(text, "error: there is no node \"CCM4\"\n       did you mean CCM1?\n       see `tandem status`");
    }

    #[test]
    fn every_problem_of_a_change_is_told_with_its_line() {
        let bad = RowProblem {
            line: Some(4),
            table: Some(tandem_model::admin::config::ConfigTable::Device),
            key: Some("SEP9".to_owned()),
            field: Some("pool".to_owned()),
            what: "there is no device pool \"DP9\"".to_owned(),
            expected: Some("DP1".to_owned()),
            ..RowProblem::default()
        };
        let error =
            AdminError { problems: vec![bad; 22], ..AdminError::new(tandem_model::admin::ErrorKind::Refused, "no") };
        let text = Failure::from(error).to_string();
        assert!(
            text.contains("\n       line 4, device SEP9, pool: there is no device pool \"DP9\"; expected DP1\n"),
            "{text}"
        );
        assert!(text.ends_with("and 2 more"), "{text}");
    }

    #[test]
    fn a_closed_pipe_is_a_quiet_end_and_a_full_disk_is_not() {
        let closed = Failure::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!((closed.exit, closed.message.as_str()), (Exit::Done, ""));
        assert_eq!(Failure::from(io::Error::from(io::ErrorKind::StorageFull)).exit, Exit::Failed);
    }
}
