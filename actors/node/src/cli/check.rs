//! `tandem check` and `tandem config schema`: about the configuration file, without a running process.
//!
//! What is wrong is told by `tandem_model::config`, with line and remedy. It must never show a password.

use super::failure::{Exit, Failure};
use super::output::Out;
use serde_json::{Value, json};
use std::path::Path;
use tandem_model::admin::API;
use tandem_model::config::{Config, Problem, Problems, json_schema};

/// Reads a configuration file and says what is wrong with it.
///
/// # Errors
/// When it cannot be read, or with everything that is wrong in it.
pub fn check(file: &Path, out: &mut Out<'_>) -> Result<(), Failure> {
    let checked = parse(file)?;
    if out.is_data() {
        out.data(&report(file, &checked))?;
        // All is said; scripts see it in the exit code as well.
        return checked.map(|_| ()).map_err(|_| Failure::new(Exit::Failed, ""));
    }
    let config = checked.map_err(|problems| refused(file, &problems))?;
    for warning in &config.warnings {
        out.text(&format!("warning: {warning}\n\n"))?;
    }
    let (nodes, groups, pools) = (config.nodes.len(), config.groups.len(), config.pools.len());
    let contents = format!("{nodes} nodes, {groups} groups, {pools} device pools, {} devices", config.device_count());
    out.line(&format!("{}: good: cluster {}, {contents}", file.display(), config.cluster.name))
}

/// Reads and checks a configuration file.
///
/// # Errors
/// When it cannot be read, or with everything that is wrong in it.
pub fn load(file: &Path) -> Result<Config, Failure> {
    parse(file)?.map_err(|problems| refused(file, &problems))
}

fn parse(file: &Path) -> Result<Result<Config, Problems>, Failure> {
    let text = super::state::read_config(file)
        .map_err(|e| e.remedy("`tandem config schema` describes what stands in a configuration file"))?;
    Ok(Config::parse(&file.to_string_lossy(), &text))
}

fn refused(file: &Path, problems: &Problems) -> Failure {
    Failure::new(Exit::Failed, format!("{} cannot be used\n\n{problems}", file.display()))
}

fn report(file: &Path, checked: &Result<Config, Problems>) -> Value {
    let file = file.to_string_lossy();
    match checked {
        Ok(config) => json!({
            "api": API, "file": file, "good": true, "cluster": config.cluster.name.to_string(),
            "nodes": config.nodes.len(), "groups": config.groups.len(), "device_pools": config.pools.len(),
            "devices": config.device_count(), "problems": [], "total": 0,
            "warnings": config.warnings.iter().map(as_json).collect::<Vec<_>>(),
        }),
        Err(problems) => json!({
            "api": API, "file": file, "good": false, "total": problems.total, "warnings": [],
            "problems": problems.list.iter().map(as_json).collect::<Vec<_>>(),
        }),
    }
}

fn as_json(problem: &Problem) -> Value {
    let Problem { line, column, row, field, value, what, expected, nearest, .. } = problem;
    json!({"line": line, "column": column, "row": row, "field": field, "value": value, "what": what,
        "expected": expected, "nearest": nearest})
}

/// Prints the JSON Schema of the configuration file.
///
/// # Errors
/// When it cannot be written.
pub fn schema(out: &mut Out<'_>) -> Result<(), Failure> {
    out.data(&json_schema())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::Format;

    const GOOD: &str = r#"
[cluster]
name = "lab"
[[node]]
name = "CCM1"
address = "127.0.0.1"
[[group]]
name = "G1"
members = ["CCM1"]
[[device_pool]]
name = "DP1"
group = "G1"
"#;

    /// Output and end of checking a file with this text.
    #[expect(clippy::disallowed_methods, reason = "a test makes the file that the command reads")]
    fn checked(test: &str, format: Format, text: &str) -> (String, Result<(), Failure>) {
        let file = std::env::temp_dir().join(format!("tandem-check-{}-{test}.toml", std::process::id()));
        std::fs::write(&file, text).unwrap();
        let mut printed = Vec::new();
        let mut out = Out::to(format, false, &mut printed, std::io::sink());
        let done = check(&file, &mut out);
        drop(out);
        std::fs::remove_file(&file).unwrap();
        (String::from_utf8(printed).unwrap(), done)
    }

    #[test]
    fn a_good_file_is_summed_up() {
        let (text, done) = checked("good", Format::Table, GOOD);
        assert_eq!(done, Ok(()));
        assert!(text.ends_with(": good: cluster lab, 1 nodes, 1 groups, 1 device pools, 0 devices\n"), "{text}");
        let (text, _) = checked("good-json", Format::Json, GOOD);
        let report: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&report["good"], &report["nodes"], &report["total"]), (&true.into(), &1.into(), &0.into()));
    }

    #[test]
    fn a_wrong_file_is_refused_with_line_and_nearest_name() {
        let wrong = GOOD.replace("group = \"G1\"", "group = \"G2\"");
        let (text, done) = checked("wrong", Format::Table, &wrong);
        let failure = done.unwrap_err();
        assert_eq!((text.as_str(), failure.exit), ("", Exit::Failed));
        assert!(failure.message.contains("cannot be used") && failure.message.contains(":12:"), "{failure}");
        let (text, done) = checked("wrong-json", Format::Json, &wrong);
        let report: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(done.unwrap_err().exit, Exit::Failed);
        assert_eq!((&report["good"], &report["problems"][0]["line"]), (&false.into(), &12.into()));
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let mut out = Out::to(Format::Table, false, std::io::sink(), std::io::sink());
        let failure = check(Path::new("/no/such/cluster.toml"), &mut out).unwrap_err();
        assert!(
            failure.to_string().contains("/no/such/cluster.toml") && failure.to_string().contains("schema"),
            "{failure}"
        );
    }

    #[test]
    fn the_schema_is_json_and_knows_the_tables() {
        let mut printed = Vec::new();
        schema(&mut Out::to(Format::Table, false, &mut printed, std::io::sink())).unwrap();
        let schema: Value = serde_json::from_slice(&printed).unwrap();
        assert!(schema["properties"]["device_pool"].is_object(), "{schema}");
    }
}
