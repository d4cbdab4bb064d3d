//! People over HTTP: who is who, passwords and tokens, what is hidden from whom, and what is written down about it.

use crate::support::{Console, TOKEN, basic, read};
use serde_json::{Value, json};
use tandem_model::admin::config::AuditEntry;

fn with(authorization: &str) -> [(&'static str, &str); 1] {
    [("Authorization", authorization)]
}
fn log(console: &Console) -> Vec<AuditEntry> {
    console.admin.config.lock().unwrap().audit.clone()
}

#[test]
fn a_user_is_known_by_his_password_and_learns_what_he_may() {
    let console = Console::start();
    let who = |authorization: &str| console.ask("GET", "/api/v1/whoami", &with(authorization), &json!(null));
    assert_eq!(who(&basic("rita", "password of rita")).1["role"], "read-only");
    assert_eq!(who(&format!("Bearer {TOKEN}")).1["name"], "control-token");
    assert_eq!(who("Bearer operator/status").1["scopes"], json!(["status"]));
    for wrong in
        [basic("rita", "guess"), basic("nobody", "password of nobody"), "Basic !".to_owned(), "Basic YQ==".to_owned()]
    {
        let (status, body) = who(&wrong);
        assert_eq!((status, &body["code"]), (401, &json!("T0401")), "{wrong}");
    }
}

#[test]
fn users_and_tokens_are_seen_and_changed_by_admins_only() {
    let console = Console::start();
    let (reader, scoped) = ("Bearer read-only", "Bearer admin/config:read,config:write");
    let status = |who: &str, method: &str, path: &str, body: Value| console.ask(method, path, &with(who), &body).0;
    for who in [reader, scoped] {
        for path in [
            "/api/v1/config/user",
            "/api/v1/config/token/t",
            "/api/v1/config/user/olga/used-by",
            "/api/v1/config/export?table=user",
        ] {
            assert_eq!(status(who, "GET", path, json!(null)), 403, "{who} {path}");
        }
    }
    let op = json!({"ops": [{"table": "user", "key": "eve", "fields": {"role": "admin"}}]});
    assert_eq!(status(scoped, "POST", "/api/v1/config/changes", op), 403);
    assert_eq!(status(scoped, "PUT", "/api/v1/config/user/eve", json!({"role": "admin"})), 403);
    assert_eq!(
        read(console.send("POST", "/api/v1/config/import", &with(scoped), b"[[user]]\nname=\"eve\"\nrole=\"admin\"\n"))
            .0,
        403
    );
    assert_eq!(
        status(scoped, "POST", "/api/v1/config/changes/1/revert?force=true", json!(null)),
        403,
        "there is a user in it"
    );
    // The first change made a user among other rows: who may not see him sees the others.
    let tables = |who: &str| {
        let (_, body) = console.ask("GET", "/api/v1/config/changes/1", &with(who), &json!(null));
        body["rows"].as_array().unwrap().iter().filter(|r| r["table"] == "user").count()
    };
    assert_eq!((tables(reader), tables("Bearer admin")), (0, 1));
    for path in ["/api/v1/config/diff?from=0", "/api/v1/config/unsent"] {
        let (_, body) = console.ask("GET", path, &with(reader), &json!(null));
        assert!(!body.to_string().contains("olga") && body.to_string().contains("SEP1"), "{path}: {body}");
    }
}

#[test]
fn a_password_is_changed_by_its_owner_or_an_admin() {
    let console = Console::start();
    let change = |who: &str, user: &str, password: &str| {
        console.ask("POST", &format!("/api/v1/users/{user}/password"), &with(who), &json!({"password": password})).0
    };
    let long = "a long enough password";
    let olga = basic("olga", "password of olga");
    assert_eq!(change(&olga, "olga", long), 200);
    assert_eq!(change(&basic("rita", "password of rita"), "olga", long), 403);
    assert_eq!(
        change(&basic("rita", "password of rita"), "rita", long),
        404,
        "the fake has no row of rita's, but lets her ask"
    );
    assert_eq!(change("Bearer operator", "t", long), 403, "a token is nobody's own");
    assert_eq!(change(&olga, "olga", "short"), 400);
    let text = format!("{:?} {:?}", log(&console), console.admin.asked.lock().unwrap());
    assert!(!text.contains(long) && !text.contains("password of"), "{text}");
}

#[test]
fn a_token_is_told_once() {
    let console = Console::start();
    let body = json!({"id": "t1", "role": "operator", "scopes": ["status", "operate"], "expires": 1_900_000_000_000_u64, "description": "pager"});
    let (status, made) = console.ask("POST", "/api/v1/tokens", &[], &body);
    assert_eq!((status, &made["id"], &made["token"]), (201, &json!("t1"), &json!("told-this-once")));
    let row = console.json("/api/v1/config/token/t1");
    assert_eq!((&row["fields"]["token_hash"], &row["fields"]["scopes"]), (&json!("*"), &json!(["status", "operate"])));
    for wrong in [
        json!({"id": "t2", "role": "king"}),
        json!({"id": "t2", "role": "admin", "scopes": ["everything"]}),
        json!({"id": "t2"}),
        json!({"id": "t2", "role": "admin", "x": 1}),
    ] {
        assert_eq!(console.ask("POST", "/api/v1/tokens", &[], &wrong).0, 400, "{wrong}");
    }
}

#[test]
fn what_users_set_is_set_field_by_field() {
    let console = Console::start();
    let path = "/api/v1/devices/SEP1/settings";
    let set = json!({"call_forward_all": "2000", "do_not_disturb": true});
    assert_eq!(console.ask("PUT", path, &[], &set).1["settings"], set);
    assert_eq!(
        console.ask("PUT", path, &[], &json!({"do_not_disturb": null})).1["settings"],
        json!({"call_forward_all": "2000"})
    );
    assert_eq!(console.json(path)["settings"], json!({"call_forward_all": "2000"}));
    let (status, refused) = console.ask("PUT", path, &[], &json!({"call_forward_all": "1", "do_not_distrub": true}));
    assert_eq!((status, &refused["nearest"]), (400, &json!("do_not_disturb")));
    assert_eq!(console.json(path)["settings"], json!({"call_forward_all": "2000"}), "nothing of it was set");
    assert_eq!(console.ask("GET", "/api/v1/devices/SEP9/settings", &[], &json!(null)).0, 404);
}

#[test]
fn writes_refusals_and_sign_ins_are_written_down_and_reading_is_not() {
    let console = Console::start();
    let olga = basic("olga", "password of olga");
    let path = "/api/v1/config/device/SEP1";
    for _ in 0..3 {
        console.ask("GET", path, &with(&olga), &json!(null));
    }
    console.ask("PATCH", &format!("{path}?comment=x"), &with(&olga), &json!({"description": "y"}));
    console.ask("PATCH", path, &with(&basic("olga", "guess")), &json!({}));
    console.ask("PATCH", path, &with("Bearer read-only"), &json!({}));
    console.ask("GET", "/api/v1/config/user", &with("Bearer read-only"), &json!(null));
    console.ask("GET", path, &[], &json!(null));
    let entries = log(&console);
    let told: Vec<_> = entries.iter().map(|e| (e.who.as_str(), e.action.as_str(), e.status, e.revision)).collect();
    assert_eq!(
        told,
        [
            ("olga", "sign in", 200, None),
            ("olga", "PATCH /api/v1/config/device/SEP1?comment=x", 200, Some(2)),
            ("olga", "PATCH /api/v1/config/device/SEP1", 401, None),
            ("t", "sign in", 200, None),
            ("t", "PATCH /api/v1/config/device/SEP1", 403, None),
            ("t", "GET /api/v1/config/user", 403, None),
            ("control-token", "sign in", 200, None),
        ]
    );
    assert!(entries.iter().all(|e| e.from == "127.0.0.1"), "{entries:?}");
    assert_eq!(console.json("/api/v1/audit?limit=1")["entries"][0]["action"], "sign in");
}

#[test]
fn a_page_of_another_site_is_refused_although_the_browser_knows_the_password() {
    let console = Console::start();
    let olga = basic("olga", "password of olga");
    let headers = [("Authorization", olga.as_str()), ("Origin", "http://evil.example")];
    assert_eq!(console.ask("DELETE", "/api/v1/config/device/SEP1", &headers, &json!(null)).0, 403);
    assert_eq!(console.json("/api/v1/config/device/SEP1")["key"], "SEP1");
}
