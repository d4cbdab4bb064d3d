//! Rules on documents: links resolve, named paths exist, decisions are numbered and short, the README keeps its promise,
//! `docs/METRICS.md` equals the list in `tandem_base::metric`.

use crate::markdown;
use crate::{File, Finding, find};
use std::fmt::Write as _;
use tandem_base::metric::{ALL, MetricKind};

/// The generated page of metrics.
pub const METRICS: &str = "docs/METRICS.md";
/// The two commands that the README promises, word for word.
pub const COMMANDS: [&str; 2] = ["cargo run --release -- quickstart", "cargo test --workspace"];
/// Lines of a decision: enough for context, choice and price, short enough to be read.
const DECISION_LINES: std::ops::RangeInclusive<usize> = 10..=30;
/// Top folders: a path in backticks that starts with one of them must exist.
const TOP: &[&str] = &["runtime/", "actors/", "docs/", "examples/", "loadtest/", ".ci/"];

fn pages(files: &[File]) -> impl Iterator<Item = &File> {
    files.iter().filter(|f| f.path.ends_with(".md"))
}

/// `docs/a/../b` without its dots; `None` when it leaves the repository.
fn resolve(from: &str, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "." | "" => {}
            ".." => drop(parts.pop()?),
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

fn exists(files: &[File], path: &str) -> bool {
    let folder = format!("{}/", path.trim_end_matches('/'));
    path.is_empty() || files.iter().any(|f| f.path == path || f.path.starts_with(&folder))
}

/// Every relative link leads to a file of the repository, and its anchor to a heading.
pub fn links(files: &[File], other: &dyn Fn(&str) -> bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    for page in pages(files) {
        for (n, line) in markdown::prose(page) {
            for link in markdown::links(line).into_iter().filter(|l| !l.contains("://") && !l.starts_with("mailto:")) {
                let (target, anchor) = link.split_once('#').unwrap_or((link, ""));
                let path = if target.is_empty() { Some(page.path.clone()) } else { resolve(&page.path, target) };
                let Some(path) = path.filter(|p| exists(files, p) || other(p)) else {
                    findings.push(Finding::new(&page.path, n, format!("link to {link}: nothing is there")));
                    continue;
                };
                let known = |f: &File| {
                    markdown::prose(f).iter().any(|(_, l)| markdown::is_heading(l) && markdown::anchor(l) == anchor)
                };
                if !anchor.is_empty() && !find(files, &path).is_some_and(known) {
                    findings.push(Finding::new(&page.path, n, format!("link to {link}: no such heading")));
                }
            }
        }
    }
    findings
}

/// A path in backticks that starts with a top folder exists: a document that names what is gone is wrong.
pub fn paths(files: &[File], other: &dyn Fn(&str) -> bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    for page in pages(files) {
        for (n, line) in markdown::prose(page) {
            for span in markdown::code_spans(line).into_iter().filter(|s| TOP.iter().any(|t| s.starts_with(t))) {
                let path = span.split([':', ' ']).next().unwrap_or(span);
                // Patterns (`docs/decisions/NNNN-*.md`) name no single file.
                let pattern = path.contains(['*', '<', '{']) || path.contains("NNNN");
                if !pattern && !exists(files, path) && !other(path) {
                    findings.push(Finding::new(&page.path, n, format!("`{path}` does not exist")));
                }
            }
        }
    }
    findings
}

/// Every metric that a document names in backticks exists.
pub fn metric_names(files: &[File]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for page in pages(files) {
        for (n, line) in markdown::prose(page) {
            for span in markdown::code_spans(line).into_iter().filter(|s| s.starts_with("tandem\u{5f}")) {
                let name = span.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or(span);
                // Crates' paths (tandem_base::metric) look alike.
                let path = span.get(name.len()..).is_some_and(|rest| rest.starts_with("::"));
                let series = ["", "_bucket", "_sum", "_count"].map(|suffix| name.strip_suffix(suffix));
                if !path && !ALL.iter().any(|m| series.contains(&Some(m.name))) {
                    findings.push(Finding::new(&page.path, n, format!("there is no metric `{name}`")));
                }
            }
        }
    }
    findings
}

/// Decisions are numbered from 0001 without gaps and keep to [`DECISION_LINES`].
pub fn decisions(files: &[File]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let decisions = files.iter().filter_map(|f| Some((f, f.path.strip_prefix("docs/decisions/")?)));
    let mut expected = 1;
    for (file, name) in decisions {
        let number = name.get(..4).and_then(|n| n.parse::<usize>().ok());
        if number != Some(expected) || !name.get(4..).is_some_and(|r| r.starts_with('-') && r.ends_with(".md")) {
            let message = format!("expected {expected:04}-title.md: decisions are numbered without gaps");
            findings.push(Finding::new(&file.path, 1, message));
        }
        expected = number.unwrap_or(expected) + 1;
        let lines = file.text.lines().count();
        if !DECISION_LINES.contains(&lines) {
            findings.push(Finding::new(&file.path, lines, format!("{lines} lines; a decision has 10 to 30")));
        }
    }
    if expected == 1 {
        findings.push(Finding::new("docs/decisions", 1, "no decision found"));
    }
    findings
}

/// The README shows [`COMMANDS`], each alone on a line of a code block.
pub fn readme(files: &[File]) -> Vec<Finding> {
    let Some(file) = find(files, "README.md") else {
        return vec![Finding::new("README.md", 1, "missing")];
    };
    let lines = markdown::code_lines(file);
    let missing = COMMANDS.iter().filter(|c| !lines.iter().any(|(_, line)| line == *c));
    missing.map(|c| Finding::new("README.md", 1, format!("`{c}` must stand alone on a line of a code block"))).collect()
}

/// The change log has a section for what is not released.
pub fn changelog(files: &[File]) -> Vec<Finding> {
    let open = find(files, "CHANGELOG.md").is_some_and(|f| f.lines().any(|(_, line)| line == "## Unreleased"));
    if open { vec![] } else { vec![Finding::new("CHANGELOG.md", 1, "no section `## Unreleased`")] }
}

/// What [`METRICS`] should say: one row per metric of `tandem_base::metric::ALL`.
pub fn metrics_page() -> String {
    let mut page = String::from(
        "# Metrics\n\n\
         Every metric that a Tandem process shows at `/metrics` (Prometheus text). Labels are bounded sets: never a device, a number, a\n\
         call or an address. This page is generated from `runtime/base/src/metric.rs`; `TANDEM_BLESS=1 cargo test -p tandem-tidy`\n\
         writes it anew.\n\n\
         | metric | kind | labels | meaning |\n|---|---|---|---|\n",
    );
    for metric in ALL {
        let kind = match metric.kind {
            MetricKind::Counter => "counter",
            MetricKind::Gauge => "gauge",
            MetricKind::Histogram(_) => "histogram",
        };
        let labels: Vec<String> = metric.labels.iter().map(|l| format!("`{l}`")).collect();
        // Writing to a String cannot fail.
        let _ = writeln!(page, "| `{}` | {kind} | {} | {} |", metric.name, labels.join(" "), metric.help);
    }
    page.push_str("\nBuckets of the histograms, in seconds:\n\n");
    for metric in ALL {
        if let MetricKind::Histogram(buckets) = metric.kind {
            let buckets: Vec<String> = buckets.iter().map(f64::to_string).collect();
            let _ = writeln!(page, "- `{}`: {}", metric.name, buckets.join(", "));
        }
    }
    page
}

/// [`METRICS`] equals [`metrics_page`].
pub fn metrics(files: &[File]) -> Vec<Finding> {
    generated(files, METRICS, &metrics_page(), "tandem_base::metric::ALL")
}

/// The page at `path` equals what is generated from `source`; found at its first difference.
pub(crate) fn generated(files: &[File], path: &str, expected: &str, source: &str) -> Vec<Finding> {
    let found = find(files, path).map_or("", |f| f.text.as_str());
    if found == expected {
        return vec![];
    }
    let same = found.lines().zip(expected.lines()).take_while(|(a, b)| a == b).count();
    vec![Finding::new(path, same + 1, format!("differs from {source}: run `TANDEM_BLESS=1 cargo test -p tandem-tidy`"))]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn none(_: &str) -> bool {
        false
    }

    #[test]
    fn a_dead_link_and_a_dead_anchor_are_found() {
        let files = [
            File::new("README.md", "[a](docs/A.md#one) [b](docs/B.md) [c](docs/A.md#two) [d](https://example.org/x)\n"),
            File::new("docs/A.md", "# One\n\n[up](../README.md) [out](../../x)\n"),
        ];
        let found: Vec<String> = links(&files, &none).iter().map(|f| f.to_string()).collect();
        assert_eq!(
            found,
            [
                "README.md:1: link to docs/B.md: nothing is there",
                "README.md:1: link to docs/A.md#two: no such heading",
                "docs/A.md:3: link to ../../x: nothing is there",
            ]
        );
    }

    #[test]
    fn a_path_that_is_gone_is_found() {
        let files = [File::new("docs/A.md", "`docs/A.md` `actors/gone.rs` `docs/decisions/NNNN-*.md` `other/x`\n")];
        assert_eq!(paths(&files, &none).len(), 1);
    }

    #[test]
    fn a_metric_that_does_not_exist_is_found() {
        let text = "`tandem_registrations{node=\"CCM1\"}` `tandem_base::metric` `tandem_actor_queue_delay_seconds_bucket` `tandem_x`\n";
        let found = metric_names(&[File::new("docs/A.md", text)]);
        assert_eq!(found, vec![Finding::new("docs/A.md", 1, "there is no metric `tandem_x`")]);
    }

    #[test]
    fn a_gap_in_the_decisions_and_a_long_one_are_found() {
        let text = "line\n".repeat(12);
        let good = [File::new("docs/decisions/0001-a.md", &text), File::new("docs/decisions/0002-b.md", &text)];
        assert_eq!(decisions(&good), vec![]);
        let gap = [File::new("docs/decisions/0001-a.md", &text), File::new("docs/decisions/0003-b.md", &text)];
        assert_eq!(decisions(&gap).len(), 1);
        assert_eq!(decisions(&[File::new("docs/decisions/0001-a.md", &"line\n".repeat(31))]).len(), 1);
    }

    #[test]
    fn a_readme_without_its_commands_is_found() {
        let good = format!("```sh\n{}\n{}\n```\n", COMMANDS[0], COMMANDS[1]);
        assert_eq!(readme(&[File::new("README.md", &good)]), vec![]);
        assert_eq!(readme(&[File::new("README.md", "cargo test --workspace")]).len(), 2);
    }

    #[test]
    fn a_metrics_page_that_is_behind_is_found_at_its_first_difference() {
        let page = metrics_page();
        assert_eq!(metrics(&[File::new(METRICS, &page)]), vec![]);
        let behind: String = page.lines().take(9).map(|l| format!("{l}\n")).collect();
        assert_eq!(metrics(&[File::new(METRICS, &behind)]).first().map(|f| f.line), Some(10));
    }

    #[test]
    fn a_change_log_needs_its_open_section() {
        assert_eq!(changelog(&[File::new("CHANGELOG.md", "## 0.1.0\n")]).len(), 1);
        assert_eq!(changelog(&[File::new("CHANGELOG.md", "## Unreleased\n")]), vec![]);
    }
}
