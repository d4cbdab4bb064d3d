//! Files in and out: the configuration file's form and CSV, all or nothing, with the line of each error.

use crate::support::{Console, TOKEN, read};
use serde_json::{Value, json};

fn send(console: &Console, query: &str, body: &str) -> (u16, Value) {
    let (status, text) = read(console.send("POST", &format!("/api/v1/config/import{query}"), &[], body.as_bytes()));
    (status, serde_json::from_str(&text).unwrap())
}
fn field(console: &Console, path: &str, field: &str) -> Value {
    console.json(&format!("/api/v1/config/{path}")).pointer(&format!("/fields/{field}")).cloned().unwrap_or_default()
}

#[test]
fn a_toml_file_is_laid_over_what_is_there_or_replaces_it() {
    let console = Console::start();
    let file = "[[device]]\nname = \"SEP1\"\npool = \"DP1\"\ndescription = \"desk\"\n\n[settings]\ndigest = false\n";
    let (status, written) = send(&console, "", file);
    assert_eq!((status, &written["change"]["ops"]), (200, &json!(2)), "{written}");
    assert_eq!(field(&console, "device/SEP1", "lines"), json!(["1001"]), "what the file does not name stays");
    assert_eq!(field(&console, "setting/digest", "value"), json!(false));
    assert_eq!(send(&console, "?mode=replace", file).0, 200);
    assert_eq!(field(&console, "device/SEP1", "lines"), json!(null));
}

#[test]
fn a_file_with_one_bad_row_changes_nothing_and_names_its_line() {
    let console = Console::start();
    let before = console.admin.config.lock().unwrap().revision();
    let file = "[[device]]\nname = \"SEP7\"\npool = \"DP1\"\n\n[[device]]\nname = \"SEP8\"\npool = \"DP9\"\n";
    let (status, refused) = send(&console, "", file);
    assert_eq!(
        (status, &refused["problems"][0]["line"], &refused["problems"][0]["key"]),
        (409, &json!(5), &json!("SEP8"))
    );
    let csv = "name,pool\nSEP7,DP1\nSEP8,DP9\n";
    let (status, refused) = send(&console, "?format=csv&table=device", csv);
    assert_eq!((status, &refused["problems"][0]["line"]), (409, &json!(3)));
    let (status, refused) = send(&console, "?format=csv&table=device", "name,pol\nSEP7,DP1\n");
    assert_eq!((status, &refused["problems"][0]["expected"]), (400, &json!("pool")));
    assert_eq!(send(&console, "", "[[device]\n").0, 400);
    assert_eq!(send(&console, "?format=csv", csv).0, 400, "which table?");
    assert_eq!(send(&console, "?mode=merged", csv).0, 400);
    assert_eq!(console.admin.config.lock().unwrap().revision(), before);
}

#[test]
fn what_a_file_does_not_have_goes_when_that_is_asked_for() {
    let console = Console::start();
    let csv = "name,pool\nSEP1,DP1\nSEP5,DP1\n";
    let (status, dry) = send(&console, "?format=csv&table=device&prune=true&dry_run=true", csv);
    assert_eq!((status, &dry["change"]), (200, &json!(null)));
    assert_eq!(send(&console, "?format=csv&table=device&prune=true", csv).0, 200);
    let page = console.json("/api/v1/config/device");
    let keys: Vec<_> = page["rows"].as_array().unwrap().iter().map(|r| r["key"].as_str().unwrap()).collect();
    assert_eq!(keys, ["SEP1", "SEP5"]);
    assert_eq!(console.json("/api/v1/config/group")["rows"].as_array().unwrap().len(), 1, "other tables stay");
}

#[test]
fn an_export_comes_back_as_no_change_at_all() {
    let console = Console::start();
    let exported = console.send("GET", "/api/v1/config/export", &[], b"");
    assert_eq!(exported.headers()["content-type"], "application/toml");
    let (_, toml) = read(exported);
    assert!(
        toml.contains("secret = \"*\"") && !toml.contains("s3cret") && !toml.contains("0123456789abcdef"),
        "{toml}"
    );
    assert!(!toml.contains("olga"), "people are not in the file: {toml}");
    let (status, written) = send(&console, "?mode=replace&prune=true", &toml);
    assert_eq!((status, &written["unchanged"]), (200, &json!(true)), "{written}\n{toml}");
    let (status, csv) = console.get("/api/v1/config/export?format=csv&table=device");
    assert_eq!(
        (status, csv.lines().next()),
        (200, Some("name,kind,pool,description,digest_user,password,ha1_md5,ha1_sha256,lines"))
    );
    let (status, written) = send(&console, "?mode=replace&format=csv&table=device", &csv);
    assert_eq!((status, &written["unchanged"]), (200, &json!(true)), "{written}\n{csv}");
}

#[test]
fn many_rows_come_in_and_go_out_page_by_page() {
    let console = Console::start();
    let mut csv = "name,pool,lines\n".to_owned();
    (0..2_500).for_each(|n| csv += &format!("AAA{n:04},DP1,{n};x{n}\n"));
    let headers = [("Authorization", &*format!("Bearer {TOKEN}")), ("Content-Type", "text/csv")];
    let (status, text) = read(console.send("POST", "/api/v1/config/import?table=device", &headers, csv.as_bytes()));
    assert_eq!(status, 200, "{text}");
    let (_, out) = console.get("/api/v1/config/export?format=csv&table=device");
    assert_eq!(out.lines().count(), 2_503);
    assert!(out.contains("AAA2499,,DP1,,,,,,2499;x2499\n"), "{}", out.lines().last().unwrap());
}
