//! What becomes of a node whose thread stands still.

use super::*;
use crate::call_manager::CallManager;
use crate::run::{Setup, Up};
use actix::{Context, Handler, Message};
use std::sync::mpsc;
use tandem_host::arbiter::run_main;

const PATIENCE: Duration = Duration::from_secs(60);

/// Makes the thread of a node stand still until the other end says or is gone.
struct StandStill(mpsc::Receiver<()>);
impl Message for StandStill {
    type Result = ();
}
impl Handler<StandStill> for CallManager {
    type Result = ();
    fn handle(&mut self, m: StandStill, _: &mut Context<Self>) {
        let _ = m.0.recv();
    }
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("not in time: {what}"));
}

#[test]
fn a_node_that_stood_still_begins_a_new_life_when_it_has_let_go_of_its_sockets() {
    let folder = std::env::temp_dir().join(format!("tandem-process-{}", std::process::id()));
    let text = "[cluster]\nname = \"still\"\n[[node]]\nname = \"STILL1\"\naddress = \"127.0.0.1\"\nsip_udp = 0\nsip_tcp = 0\n\
                [[group]]\nname = \"G1\"\nmembers = [\"STILL1\"]\n[[device_pool]]\nname = \"DP1\"\ngroup = \"G1\"\n";
    let config = Config::parse("still", text).unwrap();
    let setup = Setup { nodes: Vec::new(), state: folder.clone(), control: None, beyond_loopback: false };
    run_main(async move {
        let up = Up::start(config, &setup).await.unwrap();
        let (process, name) = (Arc::clone(&up.process), NodeName::new("STILL1").unwrap());
        let watched = Arc::clone(&process);
        let watch = tokio::task::spawn_local(async move { watched.watch().await });
        let serves = || process.running().first().is_some_and(|n| n.in_service());
        until("the node serves", serves).await;
        let first = process.life_of(&name).unwrap();
        let (release, held) = mpsc::channel();
        process.running()[0].handles.manager.tell(StandStill(held)).unwrap();
        let told = |kind: &str| process.journal.after(0, 1_000).into_iter().filter(|e| e.kind == kind).count();
        until("its death", || told("node_died") == 1).await;
        assert!(process.running().is_empty() && process.is_failing(), "its sockets are still taken");
        // Nothing is tried while it would be in vain.
        tokio::time::sleep(START_AGAIN + WATCH_EVERY * 3).await;
        assert_eq!((told("node_started"), told("node_start_failed")), (1, 0));
        drop(release);
        until("a new life", serves).await;
        assert!(process.life_of(&name).unwrap() > first && !process.is_failing());
        assert_eq!((told("node_died"), told("node_started")), (1, 2));
        watch.abort();
        up.end(false).await;
    })
    .unwrap();
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_node_that_cannot_begin_a_new_life_is_tried_again() {
    let folder = std::env::temp_dir().join(format!("tandem-process-again-{}", std::process::id()));
    let text = "[cluster]\nname = \"again\"\n[[node]]\nname = \"AGAIN1\"\naddress = \"127.0.0.1\"\nsip_udp = 0\nsip_tcp = 0\n\
                [[group]]\nname = \"G1\"\nmembers = [\"AGAIN1\"]\n[[device_pool]]\nname = \"DP1\"\ngroup = \"G1\"\n";
    let config = Config::parse("again", text).unwrap();
    let setup = Setup { nodes: Vec::new(), state: folder.clone(), control: None, beyond_loopback: false };
    run_main(async move {
        let up = Up::start(config, &setup).await.unwrap();
        let (process, name) = (Arc::clone(&up.process), NodeName::new("AGAIN1").unwrap());
        let udp = process.directory().sip_address(&name, true, false).unwrap();
        // It dies, and somebody else takes its port before its next life does.
        let node = process.running()[0].clone();
        node.kill();
        node.ended().await;
        let taken = tandem_host::datagram::DatagramSocket::bind(udp).unwrap();
        let watched = Arc::clone(&process);
        let watch = tokio::task::spawn_local(async move { watched.watch().await });
        let told = |kind: &str| process.journal.after(0, 1_000).into_iter().filter(|e| e.kind == kind).count();
        until("a start in vain", || told("node_start_failed") == 1).await;
        assert!(process.is_failing());
        drop(taken);
        until("a new life", || process.running().first().is_some_and(|n| n.in_service())).await;
        assert_eq!(told("node_start_failed"), 1, "said once");
        watch.abort();
        up.end(false).await;
    })
    .unwrap();
    std::fs::remove_dir_all(folder).unwrap();
}
