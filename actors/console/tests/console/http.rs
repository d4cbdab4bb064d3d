//! The console over real loopback HTTP: who is let in, what is asked, what is refused and how.

use crate::support::{Console, DEVICES, Scripted, TOKEN, TOKEN_FILE, error, node, read};
use serde_json::json;
use tandem_console::{Access, ConsoleError, Listen, serve};
use tandem_model::admin::config::ConfigRequest;
use tandem_model::admin::{DevicePage, DeviceState, ErrorKind, NodeCommand, Request};

#[test]
fn the_api_refuses_a_missing_or_wrong_token_and_says_where_the_right_one_is() {
    for header in [None, Some("Bearer wrong-wrong-wrong-wrong"), Some("Basic YTpi"), Some(TOKEN), Some("Bearer ")] {
        // A console of its own each time: whoever is wrong too often has to wait.
        let console = Console::start();
        for path in ["/api/v1/status", "/api/v1/events?follow=1", "/api/v1/nothing", "/api", "/api/v2"] {
            let headers: Vec<_> = header.map(|h| ("Authorization", h)).into_iter().collect();
            let response = console.get_with(path, &headers);
            assert!(response.headers().contains_key("www-authenticate"), "{path}");
            let (status, body) = read(response);
            let error = error(&body);
            assert_eq!((status, error.kind), (401, ErrorKind::Unauthorized), "{path} {header:?}");
            assert!(error.remedy.as_deref().unwrap_or_default().contains(TOKEN_FILE), "{error}");
            assert!(!body.contains(TOKEN));
        }
        let asked = console.admin.asked.lock().unwrap().clone();
        let proof = |r: &Request| matches!(r, Request::Config(c) if matches!(**c, ConfigRequest::Identify(_)));
        assert!(asked.iter().all(proof), "nothing is asked before it is known who asks: {asked:?}");
    }
}

#[test]
fn who_guesses_has_to_wait_and_the_operator_of_the_host_does_not() {
    let console = Console::start();
    let guess = || console.get_with("/api/v1/status", &[("Authorization", "Bearer wrong-wrong-wrong-wrong")]);
    let refused: Vec<u16> = (0..8).map(|_| guess().status().as_u16()).collect();
    assert_eq!(refused, [401, 401, 401, 401, 401, 429, 429, 429]);
    let response = guess();
    assert_eq!(response.headers().get("retry-after").and_then(|v| v.to_str().ok()), Some("1"));
    let (_, body) = read(response);
    let told = error(&body);
    assert_eq!((told.kind, told.retry_after), (ErrorKind::TooMany, Some(1)), "{told}");
    let right = format!("Bearer {TOKEN}");
    assert_eq!(console.get_with("/api/v1/status", &[("Authorization", &right)]).status().as_u16(), 200);
}

#[test]
fn the_right_token_is_let_in_whatever_the_case_of_its_scheme() {
    let console = Console::start();
    for scheme in ["Bearer", "bearer", "BEARER"] {
        let header = format!("{scheme} {TOKEN}");
        assert_eq!(console.get_with("/api/v1/status", &[("Authorization", &header)]).status().as_u16(), 200);
    }
}

#[test]
fn the_status_is_versioned_json() {
    let console = Console::start();
    let status = console.json("/api/v1/status");
    assert_eq!(status["api"], 1);
    assert_eq!(
        status["nodes"][1],
        json!({"name": "CCM2", "state": "down", "incarnation": 1, "publisher": false,
        "config_revision": null, "config_lag": 0, "registrations": 0, "addresses": [], "seen_by": {}})
    );
    assert_eq!(status["registrations"], json!({"total": 5, "by_rank": {"1": 5, "2": 0, "3": 0}}));
}

#[test]
fn a_list_is_read_to_its_end_page_by_page_without_a_device_missing_or_twice() {
    let console = Console::start();
    let (mut names, mut path, mut pages) = (Vec::new(), "/api/v1/devices?limit=999999".to_owned(), 0);
    loop {
        let page: DevicePage = serde_json::from_value(console.json(&path)).unwrap();
        names.extend(page.devices.into_iter().map(|d| d.name));
        pages += 1;
        let Some(next) = page.next else { break };
        path = format!("/api/v1/devices?limit=1000&cursor={next}");
    }
    assert_eq!((names.len(), pages), (DEVICES, 3));
    assert!(names.is_sorted() && names.windows(2).all(|w| w[0] != w[1]));
}

#[test]
fn filters_reach_the_nodes_as_they_were_given() {
    let console = Console::start();
    console.json("/api/v1/devices?group=G1&pool=DP1&node=CCM1&state=orphaned&search=sep%20x&limit=5");
    let asked = console.admin.asked.lock().unwrap().clone();
    let [Request::DeviceList(query)] = asked.as_slice() else { panic!("{asked:?}") };
    assert_eq!(query.group.as_ref().map(|g| g.as_str()), Some("G1"));
    assert_eq!(query.pool.as_ref().map(|p| p.as_str()), Some("DP1"));
    assert_eq!((query.node.as_ref(), query.state), (Some(&node("CCM1")), Some(DeviceState::Orphaned)));
    assert_eq!((query.search.as_deref(), query.limit), (Some("sep x"), Some(5)));
}

#[test]
fn a_query_that_cannot_be_read_is_refused_with_what_is_wrong_in_it() {
    let console = Console::start();
    for (query, told) in [
        ("colour=red", "colour"),
        ("state=asleep", "quarantined"),
        ("limit=many", "invalid digit"),
        ("node=a%0d%0ab", "node"),
        ("group=", "CallManager group"),
    ] {
        let (status, body) = console.get(&format!("/api/v1/devices?{query}"));
        let error = error(&body);
        assert_eq!((status, error.kind), (400, ErrorKind::Invalid), "{query}");
        assert!(error.message.contains(told), "{query}: {error}");
    }
    assert!(console.admin.asked.lock().unwrap().is_empty());
}

#[test]
fn refusals_of_the_nodes_come_with_their_status_and_remedy() {
    let console = Console::start();
    let (status, body) = console.get("/api/v1/devices/SEP0002");
    let refused = error(&body);
    assert_eq!((status, refused.nearest.as_deref()), (404, Some("SEP0001")));
    assert_eq!(refused.remedy.as_deref(), Some("see `tandem device list`"));
    assert_eq!(console.get("/api/v1/devices/SEP0002/explain").0, 404);
    assert_eq!(console.post("/api/v1/nodes/CCM1/start", b"").0, 409);
}

#[test]
fn commands_are_posted_and_say_what_was_done() {
    let console = Console::start();
    assert_eq!(console.post("/api/v1/nodes/CCM1/kill", b"").0, 200);
    assert_eq!(console.post("/api/v1/devices/SEP0002/release", b"").0, 200);
    for (path, started) in [("failback", true), ("failback?preview=true", false)] {
        let (status, body) = console.post(&format!("/api/v1/groups/G1/{path}"), b"");
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!((status, &body["started"]), (200, &json!(started)));
    }
    let asked = console.admin.asked.lock().unwrap().clone();
    assert_eq!(asked[0], Request::Node { name: node("CCM1"), command: NodeCommand::Kill });
    assert_eq!(asked[3], Request::Failback { group: "G1".parse().unwrap(), preview: true });
}

#[test]
fn a_command_by_get_and_an_unknown_command_do_nothing() {
    let console = Console::start();
    let (status, body) = console.get("/api/v1/nodes/CCM1/kill");
    assert_eq!((status, error(&body).remedy.as_deref()), (405, Some("use POST")));
    let (status, body) = console.post("/api/v1/nodes/CCM1/stopp", b"");
    assert_eq!((status, error(&body).nearest.as_deref()), (404, Some("stop")));
    assert_eq!(console.post("/api/v1/status", b"").0, 405);
    assert!(console.admin.asked.lock().unwrap().is_empty());
}

#[test]
fn an_unknown_path_is_a_json_404_everywhere() {
    let console = Console::start();
    for path in ["/nothing", "/api/v1/nothing", "/api/v1/devices/a/b/c", "/api/v2/status", "/metrics/x", "/page.html"] {
        let (status, body) = console.get(path);
        assert_eq!((status, error(&body).kind), (404, ErrorKind::NotFound), "{path}");
    }
}

#[test]
fn what_is_larger_than_any_request_needs_to_be_is_refused() {
    let console = Console::start();
    let (status, body) = console.post("/api/v1/nodes/CCM1/stop", &[b'x'; 5_000]);
    assert_eq!((status, error(&body).kind), (413, ErrorKind::TooLarge));
    let (status, _) = console.get(&format!("/api/v1/devices?search={}", "x".repeat(3_000)));
    assert_eq!(status, 400);
    assert!(console.admin.asked.lock().unwrap().is_empty());
}

#[test]
fn metrics_health_and_page_are_open() {
    let console = Console::start();
    let metrics = console.get_with("/metrics", &[]);
    assert_eq!(metrics.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    assert!(read(metrics).1.contains("up_and_well 1"));
    assert_eq!(console.get_with("/healthz", &[]).status().as_u16(), 200);
    assert_eq!(console.get_with("/readyz", &[]).status().as_u16(), 200);
    *console.admin.not_ready.lock().unwrap() = true;
    let (status, body) = read(console.get_with("/readyz", &[]));
    assert_eq!(status, 503);
    assert!(body.contains(r#""CCM1":"joining""#), "{body}");
}

#[test]
fn the_page_loads_nothing_from_elsewhere() {
    let console = Console::start();
    for path in ["/", "/page.js", "/page.css"] {
        let response = console.get_with(path, &[]);
        assert!(response.headers()["content-security-policy"].to_str().unwrap().starts_with("default-src 'none'"));
        let (status, text) = read(response);
        assert_eq!(status, 200, "{path}");
        assert!(!text.contains("http://") && !text.contains("https://") && !text.contains("//cdn"), "{path}");
    }
}

#[test]
fn an_address_that_other_hosts_reach_is_refused_unless_allowed() {
    let admin = || std::sync::Arc::new(Scripted::default());
    let access = || Access { token: TOKEN.to_owned(), token_file: TOKEN_FILE.into() };
    let listen = |address: &str, beyond_loopback| Listen { address: address.parse().unwrap(), beyond_loopback };
    let refused = serve(listen("0.0.0.0:0", false), access(), admin()).unwrap_err();
    assert!(matches!(refused, ConsoleError::NotLoopback(_)) && refused.to_string().contains("127.0.0.1"), "{refused}");
    serve(listen("0.0.0.0:0", true), access(), admin()).unwrap().stop();
    let weak = Access { token: "short".to_owned(), ..access() };
    assert!(matches!(serve(listen("127.0.0.1:0", false), weak, admin()), Err(ConsoleError::WeakToken)));
}

#[test]
fn a_taken_port_is_said_and_a_stopped_console_frees_its_port() {
    // An address of its own: no other test can take the port in between.
    let serve_at = |address: &str| {
        let access = Access { token: TOKEN.to_owned(), token_file: TOKEN_FILE.into() };
        let listen = Listen { address: address.parse().unwrap(), beyond_loopback: false };
        serve(listen, access, std::sync::Arc::new(Scripted::default()))
    };
    let first = serve_at("127.77.1.1:0").unwrap();
    let address = first.address().to_string();
    let refused = serve_at(&address).unwrap_err();
    assert!(refused.to_string().contains(&address), "{refused}");
    first.stop();
    serve_at(&address).unwrap().stop();
}
