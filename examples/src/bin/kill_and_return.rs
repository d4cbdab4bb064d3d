//! Eighty phones on three nodes: CCM1 is killed, its devices move; it returns, they go home.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::time::Duration;
use tandem::quickstart::phones;
use tandem_base::NodeName;
use tandem_examples::{cluster, line, until};
use tandem_host::arbiter::run_main;
use tandem_loadtest::Fleet;

const DEVICES: u32 = 80;

fn main() -> Result<(), String> {
    run_main(async {
        let (up, _) = cluster(DEVICES).await?;
        let fleet = Fleet::start(phones(&up.process, DEVICES)).map_err(|e| e.to_string())?;
        let ccm1 = NodeName::new("CCM1").map_err(|e| e.to_string())?;
        let served = async |node: usize| up.process.at_a_glance().await.get(node).map_or(0, |(_, _, count)| *count);
        let all = async || up.process.at_a_glance().await.iter().map(|(_, _, count)| count).sum::<u64>();
        let patience = Duration::from_secs(40);

        until("all at home", patience, async || all().await == 80 && served(0).await == 40).await?;
        println!("at home:      {}", line(&up).await);
        up.process.kill(&ccm1).await.map_err(|e| e.to_string())?;
        until("all at the others", patience, async || all().await == 80 && served(0).await == 0).await?;
        println!("CCM1 killed:  {}", line(&up).await);
        up.process.start(&ccm1).await.map_err(|e| e.to_string())?;
        until("home again", patience, async || all().await == 80 && served(0).await == 40).await?;
        println!("CCM1 is back: {}", line(&up).await);
        let outages = fleet.stats().outages;
        println!("outage p50 {} ms, max {} ms", outages.p50.as_millis(), outages.max.as_millis());
        fleet.begin_stop();
        up.end(false).await;
        Ok(())
    })
    .map_err(|e| e.to_string())?
}
