//! Why a run could not begin: what is wrong, and what to do about it, in words for people. Exit status 2.
//!
//! What went wrong during a run is not here: that is a verdict.

use std::fmt;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    message: String,
    remedies: Vec<String>,
}

impl Failure {
    /// With its message, a sentence without a full stop.
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), remedies: Vec::new() }
    }

    /// Adds a line that says what would be right.
    pub(super) fn remedy(mut self, line: impl Into<String>) -> Self {
        self.remedies.push(line.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.message)?;
        for line in &self.remedies {
            write!(f, "\n  {line}")?;
        }
        Ok(())
    }
}

impl From<crate::Error> for Failure {
    fn from(error: crate::Error) -> Self {
        Self::new(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remedies_stand_below_the_message() {
        let text = Failure::new("no such file").remedy("name one with --config").to_string();
        assert_eq!(text, "error: no such file\n  name one with --config");
    }
}
