//! What the example programs share: a cluster in this process, in a state folder of its own that goes with it.

use std::path::PathBuf;
use std::time::Duration;
use tandem::quickstart::configuration;
use tandem::run::{Setup, Up};
use tandem_model::config::Config;

/// The cluster of the quick start (three nodes, Figure 6-2) with so many devices, on free loopback ports.
///
/// # Errors
/// Text for people: what could not be started.
pub async fn cluster(devices: u32) -> Result<(Up, PathBuf), String> {
    let config = Config::parse("example", &configuration(devices)).map_err(|p| p.to_string())?;
    let state = std::env::temp_dir().join(format!("tandem-example-{}", std::process::id()));
    let setup = Setup { nodes: Vec::new(), state: state.clone(), control: None, beyond_loopback: false };
    let up = Up::start(config, &setup).await.map_err(|e| e.to_string())?;
    Ok((up, state))
}

/// Waits until `done` says so.
///
/// # Errors
/// `what` did not happen within `patience`.
pub async fn until(what: &str, patience: Duration, mut done: impl AsyncFnMut() -> bool) -> Result<(), String> {
    let step = Duration::from_millis(100);
    for _ in 0..patience.as_millis() / step.as_millis() {
        if done().await {
            return Ok(());
        }
        tokio::time::sleep(step).await;
    }
    Err(format!("{what}: not within {} s", patience.as_secs()))
}

/// One line: each node with its state and how many devices it serves.
pub async fn line(up: &Up) -> String {
    let nodes = up.process.at_a_glance().await;
    let words: Vec<_> = nodes.iter().map(|(n, state, count)| format!("{n} {} {count}", state.word())).collect();
    words.join(", ")
}
