//! One simulated phone: it registers over real SIP, its node is killed, and it tells where it went and why.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::time::Duration;
use tandem::quickstart::phones;
use tandem_base::NodeName;
use tandem_examples::{cluster, until};
use tandem_host::arbiter::run_main;
use tandem_loadtest::Fleet;

fn main() -> Result<(), String> {
    run_main(async {
        let (up, _) = cluster(1).await?;
        let fleet = Fleet::start(phones(&up.process, 1)).map_err(|e| e.to_string())?;
        let patience = Duration::from_secs(30);
        until("registered", patience, async || fleet.stats().registered == 1).await?;
        let home = NodeName::new("CCM1").map_err(|e| e.to_string())?;
        up.process.kill(&home).await.map_err(|e| e.to_string())?;
        let elsewhere = async || up.process.at_a_glance().await.iter().any(|(n, _, count)| *n != home && *count == 1);
        until("registered elsewhere", patience, elsewhere).await?;
        until("the phone knows it", patience, async || fleet.stats().registered == 1).await?;
        for (phone, change) in fleet.history() {
            println!("phone {phone}: {change:?}");
        }
        fleet.begin_stop();
        up.end(false).await;
        Ok(())
    })
    .map_err(|e| e.to_string())?
}
