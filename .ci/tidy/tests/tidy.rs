//! Runs every house rule over this checkout; each failing test lists its breaches as `file:line: message`.
//!
//! `TANDEM_BLESS=1` rewrites the two generated pages, `docs/METRICS.md` and `docs/CONFIGURATION.md`; nothing else is ever written.

use tandem_tidy::{File, Finding, configuration, docs, manifest, source, tree};

fn check(rule: impl Fn(&[File]) -> Vec<Finding>) {
    let files = tree::read(&tree::root()).unwrap_or_default();
    assert!(files.len() > 40, "only {} files found: is this the checkout?", files.len());
    let mut findings = rule(&files);
    findings.sort();
    findings.dedup();
    let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
    assert!(lines.is_empty(), "{} breaches\n{}\n", lines.len(), lines.join("\n"));
}

/// Files that the rules do not read (LICENSE, figures, ...) may be linked to.
fn on_disk(path: &str) -> bool {
    tree::root().join(path).exists()
}

#[test]
fn every_crate_uses_only_what_the_architecture_draws() {
    check(manifest::arrows);
}

#[test]
fn pure_crates_name_no_library_that_waits_or_opens() {
    check(manifest::pure_dependencies);
}

#[test]
fn pure_crates_hold_no_door_to_the_outside() {
    check(source::purity);
}

#[test]
fn every_member_inherits_from_the_workspace() {
    check(manifest::inheritance);
}

#[test]
fn every_dependency_has_a_written_reason() {
    check(manifest::reasons);
}

#[test]
fn no_file_is_too_long() {
    check(source::file_length);
}

#[test]
fn every_file_opens_with_what_it_is() {
    check(source::opening_comment);
}

#[test]
fn no_line_has_loose_white_space() {
    check(source::white_space);
}

#[test]
fn nothing_is_unfinished_and_every_test_runs() {
    check(source::unfinished);
}

#[test]
fn metric_names_are_written_in_one_place() {
    check(source::metric_names);
}

/// Writes a generated page anew where that was asked for.
#[expect(clippy::disallowed_methods, reason = "writes a generated page, on request only")]
fn bless(path: &str, text: &str) {
    if std::env::var_os("TANDEM_BLESS").is_some() {
        let written = std::fs::write(tree::root().join(path), text);
        assert!(written.is_ok(), "{path}: {written:?}");
    }
}

#[test]
fn the_metrics_page_equals_the_list() {
    bless(docs::METRICS, &docs::metrics_page());
    check(docs::metrics);
}

#[test]
fn the_configuration_page_equals_the_schema() {
    bless(configuration::PAGE, &configuration::page());
    check(configuration::check);
}

#[test]
fn metrics_named_in_documents_exist() {
    check(docs::metric_names);
}

#[test]
fn decisions_are_numbered_and_short() {
    check(docs::decisions);
}

#[test]
fn links_between_documents_resolve() {
    check(|files| docs::links(files, &on_disk));
}

#[test]
fn paths_named_in_documents_exist() {
    check(|files| docs::paths(files, &on_disk));
}

#[test]
fn the_readme_shows_its_two_commands() {
    check(docs::readme);
}

#[test]
fn the_change_log_has_an_open_section() {
    check(docs::changelog);
}
