//! Rules on manifests: who may use whom, inherited lints, and a written reason for each dependency.
//!
//! The arrows are read from the table in `docs/ARCHITECTURE.md`: the document is the rule, not a copy of it.

use crate::markdown::{self, Row};
use crate::{File, Finding, find};
use std::collections::{BTreeMap, BTreeSet};

/// Where the arrows are drawn.
pub const ARCHITECTURE: &str = "docs/ARCHITECTURE.md";
/// The heading of their table: crate, folder, uses, in tests also.
pub const ARROWS: &str = "## Arrows";
/// Where each dependency has its reason.
pub const DEPENDENCIES: &str = "docs/decisions/0002-dependencies.md";

/// Libraries that wait, open or roll dice; a pure crate names none of them.
const IMPURE: &[&str] =
    &["actix", "actix-web", "tokio", "libc", "socket2", "getrandom", "metrics", "metrics-exporter-prometheus", "ureq"];

/// One member of the workspace.
#[derive(Debug)]
pub struct Member {
    /// Folder from the root.
    pub folder: String,
    /// Package name.
    pub name: String,
    /// Normal and build dependencies by name.
    pub uses: BTreeSet<String>,
    /// Dependencies of tests only.
    pub tests: BTreeSet<String>,
    manifest: toml::Table,
}

impl Member {
    /// Path of its manifest.
    pub fn path(&self) -> String {
        format!("{}/Cargo.toml", self.folder)
    }
    fn arrows(names: &BTreeSet<String>) -> BTreeSet<&str> {
        names.iter().map(String::as_str).filter(|n| is_ours(n)).collect()
    }
}

fn is_ours(name: &str) -> bool {
    name == "tandem" || name.starts_with("tandem-")
}

fn keys(table: &toml::Table, key: &str) -> BTreeSet<String> {
    table.get(key).and_then(toml::Value::as_table).map(|t| t.keys().cloned().collect()).unwrap_or_default()
}

/// The members named by the root manifest, in its order, and what was wrong on the way.
pub fn members(files: &[File]) -> (Vec<Member>, Vec<Finding>) {
    let (mut members, mut findings) = (Vec::new(), Vec::new());
    let root = parse(files, "Cargo.toml", &mut findings);
    let folders = root.get("workspace").and_then(|w| w.get("members")).and_then(toml::Value::as_array);
    for folder in folders.into_iter().flatten().filter_map(toml::Value::as_str) {
        let manifest = parse(files, &format!("{folder}/Cargo.toml"), &mut findings);
        let name = manifest.get("package").and_then(|p| p.get("name")).and_then(toml::Value::as_str).unwrap_or("");
        let mut uses = keys(&manifest, "dependencies");
        uses.extend(keys(&manifest, "build-dependencies"));
        for target in manifest.get("target").and_then(toml::Value::as_table).into_iter().flat_map(toml::Table::values) {
            uses.extend(target.as_table().map(|t| keys(t, "dependencies")).unwrap_or_default());
        }
        let tests = keys(&manifest, "dev-dependencies");
        members.push(Member { folder: folder.to_owned(), name: name.to_owned(), uses, tests, manifest });
    }
    if members.is_empty() {
        findings.push(Finding::new("Cargo.toml", 1, "no members found"));
    }
    (members, findings)
}

fn parse(files: &[File], path: &str, findings: &mut Vec<Finding>) -> toml::Table {
    let Some(file) = find(files, path) else {
        findings.push(Finding::new(path, 1, "missing"));
        return toml::Table::new();
    };
    file.text.parse().unwrap_or_else(|error: toml::de::Error| {
        findings.push(Finding::new(path, 1, error.message()));
        toml::Table::new()
    })
}

/// Every member's dependencies inside the house equal its row of the table in [`ARCHITECTURE`].
pub fn arrows(files: &[File]) -> Vec<Finding> {
    let (members, mut findings) = members(files);
    let rows = find(files, ARCHITECTURE).map(|f| markdown::table(f, ARROWS)).unwrap_or_default();
    let by_name: BTreeMap<&str, &Row> =
        rows.iter().filter_map(|r| Some((*markdown::code_spans(r.cell(0)).first()?, r))).collect();
    for member in &members {
        let Some(row) = by_name.get(member.name.as_str()) else {
            let message = format!("`{}` has no row in the table under {ARROWS:?} of {ARCHITECTURE}", member.name);
            findings.push(Finding::new(&member.path(), 1, message));
            continue;
        };
        if markdown::code_spans(row.cell(1)) != [member.folder.as_str()] {
            let message = format!("the folder of `{}` is `{}`", member.name, member.folder);
            findings.push(Finding::new(ARCHITECTURE, row.line, message));
        }
        let file = find(files, &member.path());
        for (cell, names, what) in [(2, &member.uses, "uses"), (3, &member.tests, "uses in tests")] {
            let drawn: BTreeSet<&str> = markdown::code_spans(row.cell(cell)).into_iter().collect();
            let found = Member::arrows(names);
            for name in found.difference(&drawn) {
                let message = format!("{} {what} {name}, an arrow that {ARCHITECTURE} does not draw", member.name);
                findings.push(Finding::new(&member.path(), file.map_or(1, |f| f.line_of(name)), message));
            }
            for name in drawn.difference(&found) {
                let message = format!("drawn, but {} no longer {what} {name}", member.name);
                findings.push(Finding::new(ARCHITECTURE, row.line, message));
            }
        }
    }
    for (name, row) in by_name.iter().filter(|(name, _)| !members.iter().any(|m| m.name == **name)) {
        findings.push(Finding::new(ARCHITECTURE, row.line, format!("no member of the workspace is called {name}")));
    }
    findings
}

/// The pure crates name no library that waits, opens or rolls dice.
pub fn pure_dependencies(files: &[File]) -> Vec<Finding> {
    let (members, mut findings) = members(files);
    for member in members.iter().filter(|m| crate::source::PURE.iter().any(|p| p.trim_end_matches('/') == m.folder)) {
        for name in member.uses.iter().filter(|n| IMPURE.contains(&n.as_str())) {
            let line = find(files, &member.path()).map_or(1, |f| f.line_of(name));
            findings.push(Finding::new(&member.path(), line, format!("a pure crate must not use {name}")));
        }
    }
    findings
}

/// Each member takes lints, version, edition, licence from the workspace and its dependencies too.
pub fn inheritance(files: &[File]) -> Vec<Finding> {
    let (members, mut findings) = members(files);
    let inherits = |value: Option<&toml::Value>| {
        value.and_then(|v| v.get("workspace")).and_then(toml::Value::as_bool).unwrap_or(false)
    };
    for member in &members {
        let path = member.path();
        if !inherits(member.manifest.get("lints")) {
            findings.push(Finding::new(&path, 1, "must say `[lints] workspace = true`"));
        }
        for key in ["version", "edition", "rust-version", "license", "publish"] {
            if !inherits(member.manifest.get("package").and_then(|p| p.get(key))) {
                findings.push(Finding::new(&path, 1, format!("must say `{key}.workspace = true`")));
            }
        }
        for section in ["dependencies", "build-dependencies", "dev-dependencies"] {
            let table = member.manifest.get(section).and_then(toml::Value::as_table);
            for (name, _) in table.into_iter().flatten().filter(|(_, value)| !inherits(Some(*value))) {
                let line = find(files, &path).map_or(1, |f| f.line_of(name));
                let message =
                    format!("{name}: name the version in the root Cargo.toml and say `{name}.workspace = true`");
                findings.push(Finding::new(&path, line, message));
            }
        }
    }
    findings
}

/// Every dependency of the workspace has its reason in [`DEPENDENCIES`], and no reason outlives its dependency.
pub fn reasons(files: &[File]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let root = parse(files, "Cargo.toml", &mut findings);
    let named: BTreeSet<String> = root
        .get("workspace")
        .and_then(toml::Value::as_table)
        .map(|w| keys(w, "dependencies"))
        .unwrap_or_default()
        .into_iter()
        .filter(|n| !is_ours(n))
        .collect();
    let Some(file) = find(files, DEPENDENCIES) else {
        findings.push(Finding::new(DEPENDENCIES, 1, "missing"));
        return findings;
    };
    // Reasons are list items; every name in backticks in one is a dependency that it is about.
    let mut given = BTreeMap::new();
    for (n, line) in file.lines().filter(|(_, line)| line.starts_with("- `")) {
        given.extend(markdown::code_spans(line).into_iter().map(|name| (name.to_owned(), n)));
    }
    for name in named.iter().filter(|n| !given.contains_key(*n)) {
        let line = find(files, "Cargo.toml").map_or(1, |f| f.line_of(&format!("{name} =")));
        findings.push(Finding::new(
            "Cargo.toml",
            line,
            format!("{name} has no line in {DEPENDENCIES}: what is it for?"),
        ));
    }
    for (name, line) in given.iter().filter(|(name, _)| !named.contains(*name)) {
        findings.push(Finding::new(DEPENDENCIES, *line, format!("{name} is no dependency of the workspace")));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    const INHERITED: &str = "version.workspace = true\nedition.workspace = true\nrust-version.workspace = true\n\
        license.workspace = true\npublish.workspace = true\n[lints]\nworkspace = true\n";

    fn tree(dependencies: &str, row: &str) -> Vec<File> {
        vec![
            File::new(
                "Cargo.toml",
                "[workspace]\nmembers = [\"actors/rules\"]\n[workspace.dependencies]\nbytes = \"1\"\n",
            ),
            File::new(
                "actors/rules/Cargo.toml",
                &format!("[package]\nname = \"tandem-rules\"\n{INHERITED}[dependencies]\n{dependencies}"),
            ),
            File::new(ARCHITECTURE, &format!("{ARROWS}\n\n| crate | folder | uses | tests |\n|-|-|-|-|\n{row}\n")),
            File::new(DEPENDENCIES, "- `bytes`: slices of what came from a socket\n"),
        ]
    }
    const ROW: &str = "| `tandem-rules` | `actors/rules` | `tandem-base` | |";

    #[test]
    fn a_drawn_arrow_is_no_finding() {
        let files = tree("tandem-base.workspace = true\n", ROW);
        assert_eq!(arrows(&files), vec![]);
        assert_eq!(inheritance(&files), vec![]);
        assert_eq!(reasons(&files), vec![]);
    }

    #[test]
    fn an_arrow_that_is_not_drawn_is_found_at_its_line() {
        let files = tree("tandem-base.workspace = true\ntandem-cluster.workspace = true\n", ROW);
        let found = arrows(&files);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found.first().map(|f| (f.file.as_str(), f.line)), Some(("actors/rules/Cargo.toml", 12)));
    }

    #[test]
    fn a_drawn_arrow_that_is_gone_and_an_unknown_crate_are_found() {
        assert_eq!(arrows(&tree("", ROW)).len(), 1);
        assert_eq!(arrows(&tree("", "| `tandem-x` | `x` | | |")).len(), 2);
    }

    #[test]
    fn a_pure_crate_that_names_a_runtime_is_found() {
        assert_eq!(pure_dependencies(&tree("tokio.workspace = true\n", ROW)).len(), 1);
        assert!(pure_dependencies(&tree("serde.workspace = true\n", ROW)).is_empty());
    }

    #[test]
    fn a_version_of_its_own_is_found() {
        assert_eq!(inheritance(&tree("serde = \"1\"\n", ROW)).len(), 1);
    }

    #[test]
    fn a_dependency_without_a_reason_and_a_reason_without_a_dependency_are_found() {
        let mut files = tree("", ROW);
        if let Some(file) = files.iter_mut().find(|f| f.path == DEPENDENCIES) {
            file.text = "- `gone`: was nice\n".to_owned();
        }
        assert_eq!(reasons(&files).len(), 2);
    }
}
