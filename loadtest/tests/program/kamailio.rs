//! The same phones at Kamailio, a registrar that we did not write and that has no control endpoint.

use crate::scene::{eventually, program, said};
use std::net::UdpSocket;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Set by the gate: a missing program is a failure there, not a skip.
const REQUIRE: &str = "TANDEM_REQUIRE_PROGRAMS";
/// Where Debian puts its modules.
const MODULES: &str = "/usr/lib/x86_64-linux-gnu/kamailio/modules/:/usr/lib/aarch64-linux-gnu/kamailio/modules/";

/// A registrar in memory that asks for no password, and answers OPTIONS.
fn config(port: u16) -> String {
    format!(
        "#!KAMAILIO\ndebug=-1\nlog_stderror=yes\nfork=yes\nchildren=1\ndisable_tcp=yes\nauto_aliases=no\ndns=no\nrev_dns=no\n\
         listen=udp:127.0.0.1:{port}\nmpath=\"{MODULES}\"\n\
         loadmodule \"sl.so\"\nloadmodule \"pv.so\"\nloadmodule \"usrloc.so\"\nloadmodule \"registrar.so\"\n\
         modparam(\"usrloc\", \"db_mode\", 0)\nmodparam(\"registrar\", \"max_contacts\", 1)\n\
         request_route {{\n  if (method == \"REGISTER\") {{ save(\"location\"); exit; }}\n\
         \x20 if (method == \"OPTIONS\") {{ sl_send_reply(\"200\", \"OK\"); exit; }}\n  sl_send_reply(\"405\", \"Method Not Allowed\");\n}}\n"
    )
}

struct Kamailio(Child);

impl Drop for Kamailio {
    fn drop(&mut self) {
        // Its workers end with it when it is asked politely; it is our own child and no other.
        let _ = Command::new("sh").args(["-c", &format!("kill -TERM {}", self.0.id())]).status();
        let _ = self.0.wait();
    }
}

fn found(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let there = std::env::split_paths(&path).chain(["/usr/sbin".into()]).any(|folder| folder.join(name).is_file());
    let required = std::env::var_os(REQUIRE).is_some_and(|v| v == "1");
    assert!(there || !required, "{name} is not installed, and {REQUIRE}=1 allows no skip");
    if !there {
        println!("skipped: {name} not found");
    }
    there
}

fn start(folder: &Path, port: u16) -> Kamailio {
    std::fs::write(folder.join("kamailio.cfg"), config(port)).expect("the file can be written");
    let log = std::fs::File::create(folder.join("kamailio.log")).expect("a log");
    let path = format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default());
    let mut command = Command::new("kamailio");
    command
        .env("PATH", path)
        .arg("-f")
        .arg(folder.join("kamailio.cfg"))
        .args(["-DD", "-E", "-m", "64", "-M", "8", "-Y"]);
    command.arg(folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    Kamailio(command.spawn().expect("kamailio starts"))
}

#[test]
fn the_same_phones_register_and_refresh_at_kamailio() {
    if !found("kamailio") {
        return;
    }
    let folder = std::env::temp_dir().join(format!("tandem-loadtest-kamailio-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let free = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let address = free.local_addr().expect("an address");
    drop(free);
    let kamailio = start(&folder, address.port());
    let probe = UdpSocket::bind("127.0.0.1:0").expect("a port");
    probe.set_read_timeout(Some(std::time::Duration::from_millis(200))).expect("a timeout");
    let ping = format!(
        "OPTIONS sip:{address} SIP/2.0\r\nVia: SIP/2.0/UDP {own};branch=z9hG4bKp\r\nFrom: <sip:p@{own}>;tag=p\r\nTo: <sip:{address}>\r\n\
         Call-ID: p\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 9\r\nContent-Length: 0\r\n\r\n",
        own = probe.local_addr().expect("an address")
    );
    let log = || std::fs::read_to_string(folder.join("kamailio.log")).unwrap_or_default();
    eventually("kamailio answers", || {
        assert!(!log().contains("bad config file"), "{}", log());
        let _ = probe.send_to(ping.as_bytes(), address);
        probe.recv(&mut [0; 2_048]).is_ok()
    });
    let cluster = format!(
        "[cluster]\nname = \"kamailio.test\"\n[settings]\ndigest = false\n[[node]]\nname = \"K\"\naddress = \"127.0.0.1\"\nsip_udp = {}\n\
         [[group]]\nname = \"G\"\nmembers = [\"K\"]\n[[device_pool]]\nname = \"P\"\ngroup = \"G\"\n\
         [[device_series]]\nprefix = \"u\"\ncount = 200\ndigits = 4\npool = \"P\"\n",
        address.port()
    );
    std::fs::write(folder.join("cluster.toml"), cluster).expect("the file can be written");
    for words in ["register --rate 400", "refresh --refreshes 200 --duration 2s --warm-up 500ms"] {
        let mut command = program(words);
        command.args([
            "--late-limit",
            "60s",
            "--wait-limit",
            "100",
            "--no-control",
            "--threshold",
            "lost<=0",
            "--config",
        ]);
        let (code, text) = said(command.arg(folder.join("cluster.toml")).arg("--json").arg(folder.join("run.json")));
        assert_eq!(code, 0, "{words}: {text}\n{}", log());
        let summary = std::fs::read(folder.join("run.json")).expect("the summary was written");
        let summary: serde_json::Value = serde_json::from_slice(&summary).expect("JSON");
        assert_eq!((&summary["devices"]["registered"], &summary["verdict"]), (&200.into(), &"pass".into()));
        assert!(summary["reconciliation"][0]["note"].as_str().is_some_and(|n| n.contains("nothing to reconcile with")));
    }
    drop(kamailio);
    let _ = std::fs::remove_dir_all(&folder);
}
