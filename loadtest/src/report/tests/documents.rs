//! The JSON document: what is written is read, the committed schema is that of the types, a later version is told apart, and a disk that
//! does not take it loses nothing.

use super::super::document::{self, from_json, json_schema, read, to_json, write_html, write_json};
use super::super::{Distribution, ReportError, SCHEMA, Summary, Verdict};
use super::{fixture, golden};
use serde_json::{Value, json};
use std::io;
use std::path::{Path, PathBuf};
use tandem_host::disk::{Access, Disk, MemoryDisk, RealDisk};
use tandem_host::error::HostError;

fn runs() -> [Summary; 4] {
    [Summary::default(), fixture::one_second(), fixture::three_failovers(), fixture::soak()]
}

#[test]
fn a_summary_is_the_same_after_writing_and_reading() {
    let disk = MemoryDisk::default();
    for summary in runs() {
        write_json(&disk, Path::new("run.json"), &summary).unwrap();
        assert_eq!(read(&disk, Path::new("run.json")).unwrap(), summary);
    }
}

#[test]
fn the_words_that_others_rely_on_are_there() {
    let document: Value = serde_json::from_str(&to_json(&fixture::three_failovers())).unwrap();
    let found = |pointer: &str| document.pointer(pointer).unwrap_or_else(|| panic!("{pointer} is missing"));
    assert_eq!(found("/schema"), &json!(SCHEMA));
    assert_eq!(found("/verdict"), &json!("failed"));
    assert_eq!(
        [found("/devices/total"), found("/devices/lost"), found("/devices/duplicate")],
        [20_050, 3, 0].map(|n| json!(n)).each_ref()
    );
    for field in ["node", "moved", "lost", "duplicate", "last_ms", "reregistrations_per_s", "refusals", "retry_after_s"]
    {
        found(&format!("/failovers/0/{field}"));
    }
    for field in ["p50", "p90", "p99", "max", "buckets"] {
        found(&format!("/failovers/0/outage_ms/{field}"));
    }
    for field in ["cpu_percent", "late_p99_ms", "limited", "reasons", "rx_drops"] {
        found(&format!("/generator/{field}"));
    }
    assert_eq!(found("/markers/1/kind"), &json!("return"));
    assert_eq!(found("/started"), &json!("2026-05-04T10:03:19.123Z"));
}

#[test]
fn exit_statuses_are_those_that_scripts_expect() {
    let all = [Verdict::Pass, Verdict::Failed, Verdict::Threshold, Verdict::Invalid];
    assert_eq!(all.map(Verdict::exit_status), [0, 1, 99, 3]);
    for verdict in all {
        assert_eq!(serde_json::to_value(verdict).unwrap(), json!(verdict.word()));
    }
}

#[test]
fn the_committed_schema_is_that_of_the_types() {
    golden("summary.schema.json", &format!("{:#}\n", json_schema()));
}

/// What of `value` is not as `schema` says: the words of JSON Schema that our types need, and an error for any other.
fn wrong(root: &Value, schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    let Some(rules) = schema.as_object() else { return };
    for (word, rule) in rules {
        let kind_is = |kind: &str| match kind {
            "integer" => value.is_u64() || value.is_i64(),
            "number" => value.is_number(),
            "string" => value.is_string(),
            "boolean" => value.is_boolean(),
            "array" => value.is_array(),
            "object" => value.is_object(),
            "null" => value.is_null(),
            _ => false,
        };
        let fits = |one: &Value| {
            let mut inner = Vec::new();
            wrong(root, one, value, at, &mut inner);
            inner.is_empty()
        };
        let right = match word.as_str() {
            "$ref" => {
                let target = rule.as_str().and_then(|r| r.strip_prefix('#')).and_then(|p| root.pointer(p));
                target.is_some_and(|t| {
                    fits(t) || {
                        wrong(root, t, value, at, found);
                        true
                    }
                })
            }
            "type" => match rule {
                Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).any(kind_is),
                kind => kind.as_str().is_some_and(kind_is),
            },
            "anyOf" => rule.as_array().is_some_and(|all| all.iter().any(fits)),
            "oneOf" => rule.as_array().is_some_and(|all| all.iter().filter(|one| fits(one)).count() == 1),
            "const" => rule == value,
            "minimum" => value.as_f64().is_none_or(|v| v >= rule.as_f64().unwrap_or(f64::NAN)),
            "maximum" => value.as_f64().is_none_or(|v| v <= rule.as_f64().unwrap_or(f64::NAN)),
            "required" => {
                let names = rule.as_array().into_iter().flatten().filter_map(Value::as_str);
                names.for_each(|n| {
                    if value.is_object() && value.get(n).is_none() {
                        found.push(format!("{at}/{n} is missing"))
                    }
                });
                true
            }
            "properties" | "additionalProperties" => {
                for (name, inner) in value.as_object().into_iter().flatten() {
                    let own = rules.get("properties").and_then(|p| p.get(name));
                    let rule = if word == "properties" { own } else { own.is_none().then_some(rule) };
                    if let Some(rule) = rule {
                        wrong(root, rule, inner, &format!("{at}/{name}"), found);
                    } else if word == "properties" && !rules.contains_key("additionalProperties") {
                        found.push(format!("{at}/{name} is not in the schema"));
                    }
                }
                true
            }
            "items" => {
                let items = value.as_array().into_iter().flatten().enumerate();
                items.for_each(|(n, item)| wrong(root, rule, item, &format!("{at}/{n}"), found));
                true
            }
            "$defs" | "$schema" | "$id" | "title" | "description" | "default" | "format" => true,
            _ => false,
        };
        if !right {
            found.push(format!("{at}: {value} against {word}: {rule}"));
        }
    }
}

#[test]
fn every_run_is_as_the_schema_says_and_what_is_not_is_found() {
    let schema = json_schema();
    let check = |document: &Value| {
        let mut found = Vec::new();
        wrong(&schema, &schema, document, "", &mut found);
        found
    };
    for summary in runs() {
        let document: Value = serde_json::from_str(&to_json(&summary)).unwrap();
        assert_eq!(check(&document), Vec::<String>::new());
    }
    let good: Value = serde_json::from_str(&to_json(&fixture::three_failovers())).unwrap();
    for (pointer, bad) in [
        ("/verdict", json!("good")),
        ("/seed", json!(-1)),
        ("/failovers/1/outage_ms/p99", json!("fast")),
        ("/series/points/0/devices/CCM1", json!(1.5)),
        ("/markers/0/kind", json!("explosion")),
        ("/generator/limited", json!(null)),
    ] {
        let mut document = good.clone();
        *document.pointer_mut(pointer).unwrap() = bad;
        assert_ne!(check(&document), Vec::<String>::new(), "{pointer}");
        assert!(from_json(document.to_string().as_bytes(), Path::new("x")).is_err(), "{pointer}");
    }
}

#[test]
fn the_committed_example_is_what_the_code_makes() {
    golden("example.json", &to_json(&fixture::three_failovers()));
}

#[test]
fn fields_of_a_newer_program_are_passed_over_and_a_newer_schema_is_named() {
    let mut document: Value = serde_json::from_str(&to_json(&fixture::one_second())).unwrap();
    document.as_object_mut().unwrap().insert("mood".to_owned(), json!({"good": true}));
    assert_eq!(from_json(document.to_string().as_bytes(), Path::new("a.json")).unwrap(), fixture::one_second());

    // A later document need not have any field of ours.
    let error = from_json(br#"{"schema": 9, "verdict": {"is": "good"}}"#, Path::new("a.json")).unwrap_err();
    assert!(matches!(error, ReportError::Newer { found: 9, known: SCHEMA, .. }));
    let text = error.to_string();
    assert!(text.contains("a.json") && text.contains("version 9") && text.contains("up to 1"), "{text}");
}

#[test]
fn what_is_no_summary_is_named_with_its_place() {
    for (bytes, wanted) in [
        (&b"not json"[..], "line 1"),
        (b"{}", "schema"),
        (b"[]", "is no summary"),
        (br#"{"schema": "one"}"#, "string"),
        (br#"{"schema": 1}"#, "version"),
        (b"\xff\xfe", "line 1"),
    ] {
        let text = from_json(bytes, Path::new("b.json")).unwrap_err().to_string();
        assert!(text.contains("b.json") && text.contains(wanted), "{text}");
    }
}

#[test]
fn a_number_that_is_none_is_not_measured_and_loses_no_report() {
    let mut summary = fixture::one_second();
    summary.generator.cpu_percent = Some(f64::NAN);
    summary.registrations.ira_percent = Some(f64::INFINITY);
    let back = from_json(to_json(&summary).as_bytes(), Path::new("x")).unwrap();
    assert_eq!((back.generator.cpu_percent, back.registrations.ira_percent), (None, None));
}

/// A disk without space.
struct Full;

impl Disk for Full {
    fn read(&self, path: &Path, bound: u64) -> Result<Vec<u8>, HostError> {
        MemoryDisk::default().read(path, bound)
    }
    fn write(&self, path: &Path, _: &[u8], _: Access) -> Result<(), HostError> {
        Err(HostError::Disk { doing: "write", path: path.to_owned(), source: io::ErrorKind::StorageFull.into() })
    }
    fn create(&self, path: &Path, bytes: &[u8], access: Access) -> Result<bool, HostError> {
        self.write(path, bytes, access).map(|()| true)
    }
    fn create_dir(&self, _: &Path) -> Result<(), HostError> {
        Ok(())
    }
    fn remove(&self, _: &Path) -> Result<(), HostError> {
        Ok(())
    }
}

#[test]
fn a_full_disk_loses_the_file_and_not_the_run() {
    let summary = fixture::three_failovers();
    for (error, what) in [
        (write_json(&Full, Path::new("run.json"), &summary).unwrap_err(), "JSON summary"),
        (write_html(&Full, Path::new("run.html"), &summary).unwrap_err(), "HTML report"),
    ] {
        let text = error.to_string();
        for part in [
            what,
            "no storage space",
            "verdict failed",
            "3 lost",
            "failover CCM2 at 180 s",
            "seed 7",
            "3 of 20,000 devices",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
    assert!(
        document::check(&Full, Path::new("run.json"), "JSON summary")
            .unwrap_err()
            .to_string()
            .contains("no storage space")
    );
}

/// A folder of this test alone, removed at its end.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn folder(name: &str) -> Folder {
    let path = std::env::temp_dir().join(format!("loadtest-report-{name}-{}", std::process::id()));
    RealDisk.create_dir(&path).unwrap();
    Folder(path)
}

#[test]
fn a_place_that_takes_no_file_is_found_before_the_run() {
    let folder = folder("places");
    let check = |path: &Path| document::check(&RealDisk, path, "HTML report").map_err(|e| e.to_string());
    let good = folder.0.join("run.html");
    assert_eq!(check(&good), Ok(()));
    assert_eq!(std::fs::read_dir(&folder.0).unwrap().count(), 0, "it leaves nothing behind");
    for (path, wanted) in [
        (folder.0.clone(), "it is a folder"),
        (folder.0.join("no/such/run.html"), "No such file"),
        (PathBuf::from("/dev/null"), "a device or pipe"),
        (PathBuf::from("/"), "names no file"),
    ] {
        let error = check(&path).unwrap_err();
        assert!(error.contains(wanted) && error.contains("HTML report"), "{error}");
        let error = write_html(&RealDisk, &path, &fixture::one_second()).unwrap_err().to_string();
        assert!(error.contains(wanted), "{error}");
    }
}

#[test]
fn a_link_stays_a_link_and_an_old_report_is_replaced_as_a_whole() {
    let folder = folder("link");
    let (real, link) = (folder.0.join("real.json"), folder.0.join("link.json"));
    RealDisk.write(&real, b"old", Access::Shared).unwrap();
    std::os::unix::fs::symlink(&real, &link).unwrap();
    let mut summary = fixture::one_second();
    summary
        .failovers
        .push(super::super::Failover { outage_ms: Distribution::from_values([1.0]), ..Default::default() });
    write_json(&RealDisk, &link, &summary).unwrap();
    assert!(link.symlink_metadata().unwrap().is_symlink());
    assert_eq!(read(&RealDisk, &real).unwrap(), summary);
    assert_eq!(std::fs::read_dir(&folder.0).unwrap().count(), 2, "no temporary file stays");
}
