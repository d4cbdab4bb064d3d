//! Rules on Rust files: length, opening comment, banned words, purity of the pure crates, where metric names may stand.
//!
//! Text rules on purpose: they read no syntax tree, so they stay quick and their messages stay plain. What needs syntax is clippy's.

use crate::{File, Finding};

/// Longest file, in lines (DESIGN section 3; the aim is 200 to 400).
pub const FILE_LINES_MAX: usize = 600;

/// Folders of the crates that hold decisions, machines and words: state and time, no I/O.
pub const PURE: &[&str] = &[
    "runtime/base/",
    "runtime/sip/",
    "runtime/cluster/",
    "runtime/database/src/replication/",
    "actors/model/",
    "actors/rules/",
];

/// What would open a door to the outside in a pure crate, and what to use instead.
const DOORS: &[(&str, &str)] = &[
    ("async fn", "a pure crate never waits: take `now` and return outputs"),
    (".await", "a pure crate never waits: take `now` and return outputs"),
    ("std::fs", "disk goes through tandem_host"),
    ("std::process", "processes are the business of tandem_host and the binary"),
    ("std::thread", "threads belong to tandem_host"),
    ("UdpSocket", "sockets go through tandem_host"),
    ("TcpStream", "sockets go through tandem_host"),
    ("TcpListener", "sockets go through tandem_host"),
    ("Instant::now", "`now` is a parameter"),
    ("SystemTime::now", "`now` is a parameter"),
];

/// Words that mark unfinished work or a test that does not run. Split here, so that this file does not break its own rule.
const UNFINISHED: &[&str] = &[
    concat!("to", "do!("),
    concat!("unimple", "mented!("),
    concat!("FIX", "ME"),
    concat!("TO", "DO"),
    concat!("X", "XX:"),
    concat!("#[ig", "nore"),
];

/// Where the full name of a metric may be written out.
const METRIC_NAME_HOME: &str = "runtime/base/src/metric.rs";
const METRIC_LITERAL: &str = concat!("\"tandem", "_");

/// A text that begins like a metric and goes on like one. What is followed by `:` or `=` is a path or a log filter of ours.
fn writes_a_metric(line: &str) -> bool {
    line.split(METRIC_LITERAL).skip(1).any(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        !end.and_then(|i| rest.get(i..)).is_some_and(|rest| rest.starts_with([':', '=', '.']))
    })
}

fn rust(files: &[File]) -> impl Iterator<Item = &File> {
    files.iter().filter(|f| f.path.ends_with(".rs"))
}

/// Lines of a file before its tests begin. A file of tests has none.
fn production(file: &File) -> impl Iterator<Item = (usize, &str)> {
    let tests = file.path.contains("/tests/") || file.path.ends_with("/tests.rs") || file.path.contains("/benches/");
    file.lines().take_while(move |(_, line)| !tests && !line.trim_start().starts_with("#[cfg(test)]"))
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with("//")
}

/// Each file opens with `//!`.
pub fn opening_comment(files: &[File]) -> Vec<Finding> {
    rust(files)
        .filter(|f| !f.text.starts_with("//!"))
        .map(|f| Finding::new(&f.path, 1, "must open with `//!`: what it is, why, what it must never do"))
        .collect()
}

/// No file is longer than [`FILE_LINES_MAX`].
pub fn file_length(files: &[File]) -> Vec<Finding> {
    rust(files)
        .filter_map(|f| {
            let lines = f.text.lines().count();
            (lines > FILE_LINES_MAX).then(|| {
                Finding::new(&f.path, lines, format!("{lines} lines; at most {FILE_LINES_MAX}: split it by concern"))
            })
        })
        .collect()
}

/// No white space at a line's end, no tabs.
pub fn white_space(files: &[File]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in rust(files) {
        for (n, line) in file.lines() {
            if line.contains('\t') {
                findings.push(Finding::new(&file.path, n, "a tab: indent with spaces, write `\\t` in text"));
            }
            if line.ends_with(char::is_whitespace) {
                findings.push(Finding::new(&file.path, n, "white space at the end of the line"));
            }
        }
    }
    findings
}

/// Nothing unfinished, no test that does not run.
pub fn unfinished(files: &[File]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in rust(files) {
        for (n, line) in file.lines() {
            for word in UNFINISHED.iter().filter(|w| line.contains(**w)) {
                findings.push(Finding::new(&file.path, n, format!("`{word}`: finish it or leave it out")));
            }
        }
    }
    findings
}

/// The pure crates hold no door to the outside.
pub fn purity(files: &[File]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in rust(files).filter(|f| PURE.iter().any(|p| f.path.starts_with(p))) {
        for (n, line) in production(file).filter(|(_, line)| !is_comment(line)) {
            for (door, instead) in DOORS.iter().filter(|(door, _)| line.contains(door)) {
                findings.push(Finding::new(&file.path, n, format!("`{door}` in a pure crate: {instead}")));
            }
        }
    }
    findings
}

/// A metric's full name is written in one place only.
pub fn metric_names(files: &[File]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in rust(files).filter(|f| f.path != METRIC_NAME_HOME) {
        for (n, _) in production(file).filter(|(_, line)| !is_comment(line) && writes_a_metric(line)) {
            findings.push(Finding::new(&file.path, n, "a metric name as text: use tandem_base::metric"));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(path: &str, text: &str) -> Vec<File> {
        vec![File::new(path, text)]
    }

    #[test]
    fn a_file_without_its_opening_comment_is_found() {
        assert_eq!(opening_comment(&one("a.rs", "use x;\n")).len(), 1);
        assert!(opening_comment(&one("a.rs", "//! Why.\n")).is_empty());
        assert!(opening_comment(&one("a.md", "text")).is_empty());
    }

    #[test]
    fn a_file_may_have_600_lines_and_not_601() {
        assert!(file_length(&one("a.rs", &"x\n".repeat(600))).is_empty());
        assert_eq!(file_length(&one("a.rs", &"x\n".repeat(601))).len(), 1);
    }

    #[test]
    fn white_space_is_found_with_its_line() {
        let found = white_space(&one("a.rs", "ok\nbad \n\tbad\n"));
        assert_eq!(found.iter().map(|f| f.line).collect::<Vec<_>>(), vec![2, 3]);
    }

    #[test]
    fn unfinished_work_is_found() {
        for word in UNFINISHED {
            assert_eq!(unfinished(&one("a.rs", &format!("fine\n{word}"))).len(), 1, "{word}");
        }
    }

    #[test]
    fn a_pure_crate_may_read_a_file_in_its_tests_only() {
        let door = "use std::fs;\n";
        assert_eq!(purity(&one("actors/rules/src/a.rs", door)).len(), 1);
        assert!(purity(&one("actors/rules/src/a.rs", &format!("#[cfg(test)]\n{door}"))).is_empty());
        assert!(purity(&one("actors/rules/tests/a.rs", door)).is_empty());
        assert!(purity(&one("runtime/host/src/a.rs", door)).is_empty());
    }

    #[test]
    fn a_metric_name_is_found_outside_its_home() {
        let text = format!("counter!({METRIC_LITERAL}x_total\")");
        assert_eq!(metric_names(&one("actors/node/src/a.rs", &text)).len(), 1);
        assert!(metric_names(&one(METRIC_NAME_HOME, &text)).is_empty());
        let path = format!("see({METRIC_LITERAL}base::metric\")");
        assert!(metric_names(&one("actors/node/src/a.rs", &path)).is_empty());
    }
}
