//! Collects problems while a file is read: finds line and column of a span, shows the line without its secrets, keeps a bound.

use super::problem::{PROBLEMS_MAX, Problem, Problems};
use crate::admin::nearest;
use std::ops::Range;

/// Problems kept before they are put in the order of the file; beyond it they are only counted.
const KEPT_MAX: usize = 10 * PROBLEMS_MAX;
/// Longest line that is shown, and longest value, in characters.
const SHOWN_MAX: usize = 160;

/// Fields whose value is never shown.
pub(super) const SECRETS: &[&str] = &["password", "ha1_md5", "ha1_sha256", "secret"];

pub(super) struct Report<'t> {
    file: &'t str,
    text: &'t str,
    errors: Vec<(usize, Problem)>,
    error_count: usize,
    warnings: Vec<(usize, Problem)>,
}

impl<'t> Report<'t> {
    pub(super) const fn new(file: &'t str, text: &'t str) -> Self {
        Self { file, text, errors: Vec::new(), error_count: 0, warnings: Vec::new() }
    }
    pub(super) const fn is_clean(&self) -> bool {
        self.error_count == 0
    }
    /// Notes an error. `span` is where it stands; `None` means the file as a whole.
    pub(super) fn error(&mut self, span: Option<Range<usize>>, problem: Problem) {
        self.error_count += 1;
        if self.errors.len() < KEPT_MAX {
            self.errors.push((span.as_ref().map_or(0, |s| s.start), self.placed(span, problem)));
        }
    }
    /// Notes something allowed but unwise.
    pub(super) fn warning(&mut self, span: Option<Range<usize>>, problem: Problem) {
        if self.warnings.len() < PROBLEMS_MAX {
            self.warnings.push((span.as_ref().map_or(0, |s| s.start), self.placed(span, problem)));
        }
    }
    /// The line, from 1, of a place in the text.
    pub(super) fn line(&self, offset: usize) -> usize {
        let before = self.text.as_bytes().get(..offset).unwrap_or(self.text.as_bytes());
        before.iter().filter(|b| **b == b'\n').count() + 1
    }
    /// The text of a span, shortened, as the value of a problem.
    pub(super) fn value(&self, span: &Range<usize>) -> Option<String> {
        let text = self.text.get(span.clone())?;
        (!text.is_empty()).then(|| shorten(text.lines().next().unwrap_or_default()))
    }

    fn placed(&self, span: Option<Range<usize>>, problem: Problem) -> Problem {
        let file = self.file.to_owned();
        let Some(span) = span else { return Problem { file, ..problem } };
        let mut start = span.start.min(self.text.len());
        // A span that ends the file points behind its last line.
        while start > 0 && !self.text.is_char_boundary(start) {
            start -= 1;
        }
        let (before, after) = self.text.split_at_checked(start).unwrap_or((self.text, ""));
        let line_start = before.rfind('\n').map_or(0, |n| n + 1);
        let in_line = before.get(line_start..).unwrap_or_default();
        let rest = after.split('\n').next().unwrap_or_default();
        let source = mask(&format!("{in_line}{rest}"));
        Problem {
            file,
            line: self.line(start),
            column: in_line.chars().count() + 1,
            source: shorten(source.trim_end()),
            ..problem
        }
    }

    /// Everything found, in the order of the file: errors if there are any, else the warnings.
    pub(super) fn finish(mut self) -> Result<Vec<Problem>, Problems> {
        let in_order = |mut list: Vec<(usize, Problem)>| -> Vec<Problem> {
            list.sort_by_key(|(at, _)| *at);
            list.into_iter().map(|(_, problem)| problem).take(PROBLEMS_MAX).collect()
        };
        if self.error_count > 0 {
            return Err(Problems { list: in_order(std::mem::take(&mut self.errors)), total: self.error_count });
        }
        Ok(in_order(self.warnings))
    }
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(SHOWN_MAX) {
        Some((at, _)) => format!("{}...", text.get(..at).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// The line with stars for the values of secret fields, also of misspelt ones; columns stay where they are.
fn mask(line: &str) -> String {
    let mut shown = line.to_owned();
    let mut from = 0;
    while let Some(at) = shown.get(from..).and_then(|rest| rest.find('=')) {
        from += at;
        let key = shown.get(..from).unwrap_or_default().trim_end().trim_end_matches(['"', '\'']);
        let start = key.rfind(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '_' | '-')).map_or(0, |n| n + 1);
        let name = key.get(start..).unwrap_or_default();
        if nearest(name, SECRETS.iter().copied()).is_some() {
            shown = mask_after(&shown, from);
        }
        from += 1;
    }
    shown
}

/// Stars for what stands after `=` from byte `from` on: the text in quotes, or everything up to a comma or the end.
fn mask_after(line: &str, from: usize) -> String {
    let Some((head, tail)) = line.split_at_checked(from) else { return line.to_owned() };
    let Some(value) = tail.strip_prefix('=') else { return line.to_owned() };
    let value = value.trim_start();
    let before = tail.get(..tail.len() - value.len()).unwrap_or_default();
    let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''));
    let (open, inner) = quote.map_or(("", value), |q| value.split_at_checked(q.len_utf8()).unwrap_or(("", value)));
    let end = match quote {
        // A text over several lines: nothing of this one is shown.
        Some(q) if inner.starts_with([q]) && inner.get(1..).is_some_and(|rest| rest.starts_with(q)) => inner.len(),
        Some(q) => closing(inner, q),
        None => inner.find([',', '}']).unwrap_or(inner.len()),
    };
    let (hidden, after) = inner.split_at_checked(end).unwrap_or((inner, ""));
    format!("{head}{before}{open}{}{after}", "*".repeat(hidden.chars().count()))
}

/// Where the quote ends that was opened before `inner`; its end when it never does.
fn closing(inner: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in inner.char_indices() {
        if c == quote && !escaped {
            return at;
        }
        escaped = quote == '"' && c == '\\' && !escaped;
    }
    inner.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_masked_wherever_they_stand_in_a_line() {
        for (line, shown) in [
            ("password = \"hunter2\" # mine", "password = \"*******\" # mine"),
            ("\"password\"='hunter2'", "\"password\"='*******'"),
            ("password = 12345", "password = *****"),
            (
                "d = { name = \"a\", password = \"b\\\"c\", lines = [] }",
                "d = { name = \"a\", password = \"****\", lines = [] }",
            ),
            ("secret = \"never closed", "secret = \"************"),
            ("password = \"\"\"abc", "password = \"*****"),
            ("pasword = 'hunter2'", "pasword = '*******'"),
            ("a = \"x=y\", password=\"z\"", "a = \"x=y\", password=\"*\""),
            ("# a password is needed", "# a password is needed"),
            ("name = \"password\"", "name = \"password\""),
        ] {
            assert_eq!(mask(line), shown);
        }
    }

    #[test]
    fn a_place_is_told_by_line_column_and_text() {
        let text = "a = 1\nb = é2 x\n";
        let mut report = Report::new("f.toml", text);
        let at = text.find('x').unwrap();
        report.error(Some(at..at + 1), Problem::default());
        report.error(Some(text.len()..text.len()), Problem::default());
        let problems = report.finish().unwrap_err();
        let (x, end) = (&problems.list[0], &problems.list[1]);
        assert_eq!((x.line, x.column, x.source.as_str()), (2, 8, "b = é2 x"));
        assert_eq!((end.line, end.column, end.source.as_str()), (3, 1, ""));
    }
}
