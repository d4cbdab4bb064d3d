//! The OpenAPI document: served, committed, and a list of routes to walk: who may what is tried for each.

use crate::support::{Console, basic, read};
use serde_json::{Value, json};
use std::path::PathBuf;

fn committed() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json")
}

#[test]
#[expect(clippy::disallowed_methods, reason = "reads a generated page, and writes it on request only")]
fn the_committed_document_is_the_one_that_is_served() {
    if std::env::var_os("TANDEM_BLESS").is_some() {
        std::fs::write(committed(), tandem_console::openapi()).unwrap();
    }
    let text = std::fs::read_to_string(committed()).unwrap_or_default();
    let same = text.lines().zip(tandem_console::openapi().lines()).take_while(|(a, b)| a == b).count();
    assert!(
        text == tandem_console::openapi(),
        "docs/openapi.json differs at line {}: run `TANDEM_BLESS=1 cargo test -p tandem-console`",
        same + 1
    );
    let console = Console::start();
    let (status, served) = read(console.get_with("/api/v1/openapi.json", &[]));
    assert_eq!((status, served.as_str()), (200, text.as_str()), "open to everybody");
}

/// The least role, the scope, and whether anybody may it for himself.
type Need = (String, String, bool);

/// The routes of the document: method, a path that can be asked for, who may.
fn routes() -> Vec<(String, String, Option<Need>)> {
    let document: Value = serde_json::from_str(tandem_console::openapi()).unwrap();
    let mut routes = Vec::new();
    for (path, operations) in document.pointer("/paths").and_then(Value::as_object).unwrap() {
        let named =
            [("{table}", "device"), ("{key}", "SEP1"), ("{name}", "otto"), ("{revision}", "2"), ("{command}", "stop")];
        let mut asked = named.iter().fold(path.clone(), |path, (place, name)| path.replace(place, name));
        for (method, operation) in operations.as_object().unwrap() {
            let required = operation["parameters"].as_array().into_iter().flatten();
            for query in required.filter(|p| p["in"] == "query" && p["required"] == true) {
                asked = format!("{asked}?{}=0", query["name"].as_str().unwrap());
            }
            let word = |name: &str| operation[name].as_str().map(str::to_owned);
            let need = word("x-tandem-role").zip(word("x-tandem-scope"));
            let need = need.map(|(role, scope)| (role, scope, operation["x-tandem-own"] == true));
            routes.push((method.to_uppercase(), format!("/api/v1{asked}"), need));
        }
    }
    routes
}

#[test]
fn every_route_is_for_its_role_and_its_scope_and_for_nobody_else() {
    let console = Console::start();
    let roles = ["read-only", "operator", "admin"];
    let routes = routes();
    assert!(routes.len() > 30, "{}", routes.len());
    for (method, path, need) in routes {
        let status = |authorization: &str| {
            let dry = if method == "PUT" || method == "PATCH" { "{}" } else { "" };
            let headers = [("Authorization", authorization)];
            console.send(&method, &path, &headers, dry.as_bytes()).status().as_u16()
        };
        let Some((role, scope, own)) = need else {
            assert_eq!(status("Bearer nobody-at-all"), 200, "{method} {path} is open");
            continue;
        };
        assert_eq!(status("Bearer nobody-at-all"), 401, "{method} {path}");
        assert_eq!(status(&basic("otto", "not his password")), 401, "{method} {path}");
        for (n, has) in roles.iter().enumerate() {
            let enough = n >= roles.iter().position(|r| *r == role).unwrap();
            let may = |status: u16| !matches!(status, 401 | 403);
            assert_eq!(may(status(&format!("Bearer {has}"))), enough, "{method} {path} for {has}");
            assert_eq!(may(status(&format!("Bearer {has}/{scope},x"))), enough, "{method} {path} for {has}/{scope}");
            let other = if scope == "status" { "audit" } else { "status" };
            assert_eq!(status(&format!("Bearer {has}/{other}")), 403, "{method} {path} for {has}/{other}");
            assert_eq!(status(&format!("Bearer {has}/")), 403, "{method} {path} without any scope");
        }
        // Otto is an operator, and the password that the path speaks of is his.
        let his = own || role != "admin";
        assert_eq!(!matches!(status(&basic("otto", "password of otto")), 401 | 403), his, "{method} {path} for otto");
    }
}

#[test]
fn a_wrong_method_says_which_are_right_after_it_is_known_who_asks() {
    let console = Console::start();
    let response = console.send("PATCH", "/api/v1/config/changes", &[], b"{}");
    assert_eq!(response.headers()["allow"], "GET, POST");
    let (status, body) = read(response);
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &body["type"]), (405, &json!("urn:tandem:problem:method-not-allowed")));
    assert_eq!(console.send("PATCH", "/api/v1/config/changes", &[("Authorization", "Bearer x")], b"").status(), 401);
}
