//! Three CallManagers in this process, until all are in service; then they stop in good order.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::time::Duration;
use tandem_examples::{cluster, line, until};
use tandem_host::arbiter::run_main;
use tandem_model::admin::NodeState;

fn main() -> Result<(), String> {
    run_main(async {
        let (up, state) = cluster(8).await?;
        until("three nodes in service", Duration::from_secs(20), async || {
            up.process.at_a_glance().await.iter().all(|(_, state, _)| *state == NodeState::InService)
        })
        .await?;
        println!("{}", line(&up).await);
        println!("console http://{}/, state folder {}", up.control, state.display());
        up.end(true).await;
        println!("stopped");
        Ok(())
    })
    .map_err(|e| e.to_string())?
}
