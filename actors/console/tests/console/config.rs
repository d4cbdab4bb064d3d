//! Rows and changes over HTTP: entity tags, conditions, dry runs, history, undoing, refusals as problem documents.

use crate::support::{Console, read};
use serde_json::{Value, json};

const SEP1: &str = "/api/v1/config/device/SEP1";

fn etag(console: &Console, path: &str) -> String {
    let response = console.send("GET", path, &[], b"");
    response.headers()["etag"].to_str().unwrap().to_owned()
}

#[test]
fn a_row_is_read_with_its_tag_and_hides_its_secret() {
    let console = Console::start();
    let row = console.json(SEP1);
    assert_eq!(
        (&row["table"], &row["key"], &row["fields"]),
        (&json!("device"), &json!("SEP1"), &json!({"pool": "DP1", "password": "*", "lines": ["1001"]}))
    );
    let tag = etag(&console, SEP1);
    assert_eq!(tag, format!("\"{}\"", row["etag"].as_str().unwrap()));
    let unchanged = console.send("GET", SEP1, &[("If-None-Match", &tag)], b"");
    assert_eq!((unchanged.status().as_u16(), unchanged.headers()["etag"].to_str().unwrap()), (304, tag.as_str()));
    assert_eq!(console.ask("GET", "/api/v1/config/device/SEP7", &[], &json!(null)).0, 404);
    let (status, refused) = console.ask("GET", "/api/v1/config/devices/SEP1", &[], &json!(null));
    assert_eq!((status, &refused["nearest"]), (404, &json!("device")));
}

#[test]
fn a_list_is_filtered_by_fields_and_read_page_by_page() {
    let console = Console::start();
    let keys = |path: &str| {
        let page = console.json(&format!("/api/v1/config/device{path}"));
        let keys = page["rows"].as_array().unwrap().iter().map(|r| r["key"].as_str().unwrap().to_owned());
        (keys.collect::<Vec<_>>(), page["next"].clone())
    };
    assert_eq!(keys("").0, ["SEP1", "SEP2"]);
    assert_eq!(keys("?lines=1001&pool=DP1").0, ["SEP1"]);
    assert_eq!(keys("?search=lobby").0, ["SEP2"]);
    assert_eq!(keys("?limit=1"), (vec!["SEP1".to_owned()], json!("SEP1")));
    assert_eq!(keys("?limit=1&cursor=SEP1"), (vec!["SEP2".to_owned()], json!(null)));
    for (query, nearest) in [("?polo=DP1", json!("pool")), ("?password=x", json!(null))] {
        let (status, refused) = console.ask("GET", &format!("/api/v1/config/device{query}"), &[], &json!(null));
        assert_eq!((status, &refused["nearest"]), (400, &nearest), "{query}: {refused}");
    }
    assert_eq!(console.ask("GET", "/api/v1/config/device?limit=1&limit=2", &[], &json!(null)).0, 400);
}

#[test]
fn who_has_seen_an_older_row_writes_nothing() {
    let console = Console::start();
    let seen = etag(&console, SEP1);
    let fields = json!({"pool": "DP1", "password": "*", "description": "desk"});
    let written = console.send("PUT", SEP1, &[("If-Match", &seen)], fields.to_string().as_bytes());
    let now = written.headers()["etag"].to_str().unwrap().to_owned();
    let (status, body) = read(written);
    assert_eq!(status, 200, "{body}");
    assert_ne!(now, seen);
    assert_eq!(now, etag(&console, SEP1));
    let (status, refused) = console.ask("PUT", SEP1, &[("If-Match", &seen)], &fields);
    assert_eq!((status, refused["type"].as_str().unwrap()), (412, "urn:tandem:problem:precondition"));
    assert_eq!(format!("\"{}\"", refused["etag"].as_str().unwrap()), now, "who is refused learns the tag of today");
    assert_eq!(console.ask("DELETE", SEP1, &[("If-Match", &seen)], &json!(null)).0, 412);
    assert_eq!(console.ask("PATCH", SEP1, &[("If-Match", &now)], &json!({"description": null})).0, 200);
    assert_eq!(console.json(SEP1)["fields"], json!({"pool": "DP1", "password": "*"}), "lines were not in the PUT");
}

#[test]
fn a_row_is_made_once_and_changed_only_where_it_is() {
    let console = Console::start();
    let path = "/api/v1/config/device_pool/DP2";
    let new = [("If-None-Match", "*")];
    assert_eq!(console.ask("PUT", path, &new, &json!({"group": "G1"})).0, 201);
    assert_eq!(console.ask("PUT", path, &new, &json!({"group": "G1"})).0, 412);
    assert_eq!(console.ask("PATCH", "/api/v1/config/device_pool/DP3", &[], &json!({"group": "G1"})).0, 404);
    assert_eq!(console.ask("DELETE", path, &[], &json!(null)).0, 200);
    assert_eq!(console.ask("DELETE", path, &[], &json!(null)).0, 404);
    for wrong in
        [vec![("If-Match", "abc")], vec![("If-Match", "\"a\", \"b\"")], vec![("If-Match", "*"), ("If-None-Match", "*")]]
    {
        assert_eq!(console.ask("PUT", path, &wrong, &json!({"group": "G1"})).0, 400, "{wrong:?}");
    }
    for body in [&b"{\"group\": "[..], b"[]", b"", b"\xff"] {
        assert_eq!(console.send("PUT", path, &[], body).status(), 400, "{body:?}");
    }
    assert_eq!(console.send("PUT", path, &[], &vec![b' '; (64 << 10) + 1]).status(), 413);
}

#[test]
fn a_dry_run_says_what_would_happen_and_changes_nothing() {
    let console = Console::start();
    let before = console.admin.config.lock().unwrap().revision();
    let (status, written) = console.ask("PATCH", &format!("{SEP1}?dry_run=true"), &[], &json!({"lines": ["7"]}));
    assert_eq!(
        (status, &written["change"], &written["impact"]["sentence"]),
        (200, &json!(null), &json!("1 devices re-register"))
    );
    assert_eq!(console.admin.config.lock().unwrap().revision(), before);
    assert_eq!(console.json(SEP1)["fields"]["lines"], json!(["1001"]));
}

#[test]
fn a_change_of_many_rows_is_all_or_nothing_and_knows_its_author() {
    let console = Console::start();
    let op =
        |key: &str, fields: Value, line: u32| json!({"table": "device", "key": key, "fields": fields, "line": line});
    let before = console.admin.config.lock().unwrap().revision();
    let bad = json!({"ops": [op("SEP8", json!({"pool": "DP1"}), 3), op("SEP9", json!({"pool": "DP9"}), 4)]});
    let (status, refused) = console.ask("POST", "/api/v1/config/changes", &[], &bad);
    let problem = &refused["problems"][0];
    assert_eq!(
        (status, &problem["line"], &problem["op"], &problem["key"]),
        (409, &json!(4), &json!(1), &json!("SEP9"))
    );
    assert_eq!(console.ask("GET", "/api/v1/config/device/SEP8", &[], &json!(null)).0, 404);
    let good =
        json!({"author": "somebody else", "ops": [op("SEP8", json!({"pool": "DP1"}), 3)], "at_revision": before});
    let (status, written) = console.ask("POST", "/api/v1/config/changes?comment=new%20phone", &[], &good);
    let change = &written["change"];
    assert_eq!((status, &change["author"], &change["comment"]), (200, &json!("control-token"), &json!("new phone")));
    assert_eq!(
        console.ask("POST", "/api/v1/config/changes", &[], &good).0,
        412,
        "it was written for an older revision"
    );
    let shown = console.json(&format!("/api/v1/config/changes/{}", before + 1));
    assert_eq!(
        (&shown["change"]["comment"], &shown["rows"][0]["after"]),
        (&json!("new phone"), &json!({"pool": "DP1"}))
    );
    assert_eq!(console.ask("GET", "/api/v1/config/changes/99", &[], &json!(null)).0, 404);
    assert_eq!(console.ask("GET", "/api/v1/config/changes/first", &[], &json!(null)).0, 400);
}

#[test]
fn history_is_read_back_compared_and_undone() {
    let console = Console::start();
    for text in ["one", "two", "three"] {
        assert_eq!(console.ask("PATCH", SEP1, &[], &json!({"description": text})).0, 200);
    }
    let page = console.json("/api/v1/config/changes?limit=2&table=device&key=SEP1");
    assert_eq!((page["changes"].as_array().unwrap().len(), &page["next"]), (2, &json!(3)));
    assert_eq!(console.json("/api/v1/config/changes?before=3&limit=1")["changes"][0]["revision"], 2);
    assert_eq!(console.json("/api/v1/config/diff?from=2")["rows"].as_array().unwrap().len(), 2);
    assert_eq!(console.ask("GET", "/api/v1/config/diff", &[], &json!(null)).0, 400, "from is missing");
    assert_eq!(console.json(&format!("{SEP1}?at=2"))["fields"]["description"], "one");
    let (status, refused) = console.ask("POST", "/api/v1/config/changes/2/revert", &[], &json!(null));
    assert_eq!((status, &refused["remedy"]), (409, &json!("force it")));
    assert_eq!(
        console.ask("POST", "/api/v1/config/changes/4/revert?dry_run=true", &[], &json!(null)).1["change"],
        json!(null)
    );
    assert_eq!(console.ask("POST", "/api/v1/config/changes/4/revert", &[], &json!(null)).0, 200);
    assert_eq!(console.json(SEP1)["fields"]["description"], "two");
}

#[test]
fn who_uses_a_row_is_said() {
    let console = Console::start();
    let uses = console.json("/api/v1/config/group/G1/used-by");
    assert_eq!(uses["uses"], json!([{"table": "device_pool", "key": "DP1", "field": "group"}]));
    assert_eq!(console.ask("GET", "/api/v1/config/group/G9/used-by", &[], &json!(null)).0, 404);
}

#[test]
fn while_the_publisher_is_away_reading_goes_on_and_a_write_is_refused_with_a_problem_document() {
    let console = Console::start();
    console.admin.config.lock().unwrap().away = true;
    let refused = console.send("PATCH", SEP1, &[], b"{\"description\":\"x\"}");
    assert_eq!(refused.headers()["content-type"], "application/problem+json");
    let (status, body) = read(refused);
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &body["status"], &body["type"]), (503, &json!(503), &json!("urn:tandem:problem:unavailable")));
    assert!(body["detail"].as_str().unwrap().contains("CCM1") && body["remedy"].as_str().unwrap().contains("promote"));
    assert_eq!(console.json("/api/v1/config")["away_since"], 1_700_000_000_000_u64);
    assert_eq!(console.json(SEP1)["key"], "SEP1");
}

#[test]
fn the_publisher_moves_by_hand_and_what_was_not_sent_is_shown() {
    let console = Console::start();
    let (status, refused) = console.ask("POST", "/api/v1/nodes/CCM2/promote", &[], &json!(null));
    assert_eq!((status, &refused["remedy"]), (409, &json!("promote CCM1, or force it")));
    let (status, done) = console.ask("POST", "/api/v1/nodes/CCM2/promote?force=true", &[], &json!(null));
    assert_eq!((status, &done["publisher"], &done["epoch"]), (200, &json!("CCM2"), &json!(2)));
    assert_eq!(console.json("/api/v1/config/unsent")["changes"][0]["id"], 1);
}
