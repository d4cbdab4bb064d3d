//! The presets, each as the short story that it is. What the words mean is in `run`.

use std::time::Duration;
use tandem_base::Time;

use super::args::{Flap, Kill, Preset, Rolling, Soak, Steady, Storm};
use super::run::{Run, Stop};
use crate::fleet::Arrival;

/// Devices switched on per second where the ramp is what is measured.
const RATE_MEASURED: f64 = 200.0;
/// The same where it is only the way there.
const RATE: f64 = 1_000.0;
/// The usual warm-up.
const WARM_UP: Duration = Duration::from_secs(5);
/// What is watched after the last device has moved.
const AFTERMATH: Duration = Duration::from_secs(5);
/// As many devices come back at once in a storm before it is spread over a longer time.
const STORM_PER_SECOND: f64 = 20_000.0;

/// Plays the preset.
///
/// # Errors
/// [`Stop`].
pub(super) async fn play(run: &mut Run) -> Result<(), Stop> {
    match run.setup.preset.clone() {
        Preset::Register(_) => register(run).await,
        Preset::Refresh(o) => refresh(run, &o).await,
        Preset::Storm(o) => storm(run, &o).await,
        Preset::Failover(o) => failover(run, &o).await,
        Preset::Failback(o) => failback(run, &o).await,
        Preset::Rolling(o) => rolling(run, &o).await,
        Preset::Flap(o) => flap(run, &o).await,
        Preset::Soak(o) => soak(run, &o).await,
    }
}

fn rate(run: &Run, usual: f64) -> f64 {
    run.setup.preset.common().rate.unwrap_or(usual)
}

fn warm_up(run: &Run) -> Duration {
    run.setup.preset.common().warm_up.unwrap_or(WARM_UP)
}

async fn register(run: &mut Run) -> Result<(), Stop> {
    let rate = rate(run, RATE_MEASURED);
    let ramp = Duration::from_secs_f64(f64::from(run.devices()) / rate);
    let usual = (ramp / 10).min(WARM_UP);
    run.measure(run.setup.preset.common().warm_up.unwrap_or(usual));
    run.ramp(rate).await
}

/// All registered, then the warm-up begins.
async fn ready(run: &mut Run) -> Result<(), Stop> {
    let rate = rate(run, RATE);
    run.ramp(rate).await?;
    let warm_up = warm_up(run);
    run.measure(warm_up);
    run.enter("warm-up");
    run.calm(warm_up).await
}

async fn refresh(run: &mut Run, options: &Steady) -> Result<(), Stop> {
    let ramp = rate(run, RATE);
    run.ramp(ramp).await?;
    let keepalive = options.common.keepalive.unwrap_or(Duration::from_secs(30));
    let usual = f64::from(run.devices()) / keepalive.as_secs_f64().max(0.001);
    let rate = options.refreshes.unwrap_or(usual);
    let warm_up = warm_up(run);
    run.measure(warm_up);
    run.enter("refresh");
    let whole = warm_up + options.duration;
    let end = run.schedule(Arrival::Refresh, rate, (rate * whole.as_secs_f64()) as u64);
    run.until(end).await?;
    // Late answers still count.
    run.calm(options.common.patience.min(AFTERMATH)).await
}

async fn storm(run: &mut Run, options: &Storm) -> Result<(), Stop> {
    let ramp = rate(run, RATE);
    run.ramp(ramp).await?;
    run.enter("dark");
    if !run.fleet.cut() {
        return Err(Stop::Broken("the phones' thread took no more orders".into()));
    }
    run.calm(options.dark).await?;
    let devices = f64::from(run.devices());
    let usual = Duration::from_secs_f64((devices / STORM_PER_SECOND).max(1.0));
    let within = options.within.unwrap_or(usual).as_secs_f64().max(0.001);
    run.measure(Duration::ZERO);
    run.enter("storm");
    let end = run.schedule(Arrival::Start, devices / within, run.devices().into());
    run.until(end).await?;
    run.all_registered().await?;
    run.calm(AFTERMATH).await
}

/// The node that was named, or the busiest.
fn chosen(run: &Run, options: &Kill) -> Result<usize, Stop> {
    match &options.node {
        None => Ok(run.busiest()),
        Some(name) => run.node(name).ok_or_else(|| {
            let names: Vec<&str> = run.setup.cluster.nodes.iter().map(|n| n.name.as_str()).collect();
            Stop::Broken(format!("--node {name}: the file has {}", names.join(", ")))
        }),
    }
}

async fn failover(run: &mut Run, options: &Kill) -> Result<(), Stop> {
    let node = chosen(run, options)?;
    ready(run).await?;
    run.enter("steady");
    run.calm(options.at).await?;
    run.enter("failover");
    run.kill(node).await?;
    run.all_moved().await?;
    run.enter("aftermath");
    run.calm(AFTERMATH).await
}

async fn failback(run: &mut Run, options: &Kill) -> Result<(), Stop> {
    let node = chosen(run, options)?;
    ready(run).await?;
    run.enter("failover");
    run.kill(node).await?;
    run.all_moved().await?;
    run.enter("steady");
    run.calm(options.at).await?;
    run.enter("failback");
    run.bring_back(node).await?;
    run.all_moved().await?;
    run.enter("aftermath");
    run.calm(AFTERMATH).await
}

async fn rolling(run: &mut Run, options: &Rolling) -> Result<(), Stop> {
    ready(run).await?;
    for round in 1..=options.rounds {
        for node in 0..run.setup.cluster.nodes.len() {
            run.enter(&format!("round {round}"));
            run.calm(options.pause).await?;
            run.kill(node).await?;
            run.all_moved().await?;
            run.calm(options.pause).await?;
            run.bring_back(node).await?;
            run.all_moved().await?;
        }
    }
    run.calm(AFTERMATH).await
}

async fn flap(run: &mut Run, options: &Flap) -> Result<(), Stop> {
    let node = chosen(run, &options.kill)?;
    ready(run).await?;
    run.enter("steady");
    run.calm(options.kill.at).await?;
    run.enter("flap");
    for _ in 0..options.times {
        run.kill(node).await?;
        run.calm(options.down).await?;
        run.bring_back(node).await?;
        run.calm(options.up).await?;
    }
    settle(run).await
}

/// After the last return: whoever is on its way home arrives, or counts of ours and of the nodes would be taken in mid-move.
async fn settle(run: &mut Run) -> Result<(), Stop> {
    run.enter("settle");
    run.all_registered().await?;
    run.all_moved().await?;
    run.calm(AFTERMATH).await
}

async fn soak(run: &mut Run, options: &Soak) -> Result<(), Stop> {
    ready(run).await?;
    run.enter("soak");
    let end = run.clock.now() + options.duration;
    let Some(every) = options.kill_every else { return run.until(end).await };
    let nodes = run.setup.cluster.nodes.len().max(1);
    for turn in 0.. {
        let next: Time = run.clock.now() + every;
        if end <= next {
            run.until(end).await?;
            break;
        }
        run.until(run.clock.now() + every / 2).await?;
        run.kill(turn % nodes).await?;
        run.until(next).await?;
        run.bring_back(turn % nodes).await?;
    }
    settle(run).await
}

/// Pace and number of the arrivals that a run begins with.
pub(super) fn first_schedule(setup: &super::setup::Setup) -> (f64, u64) {
    let usual = if matches!(setup.preset, Preset::Register(_)) { RATE_MEASURED } else { RATE };
    (setup.preset.common().rate.unwrap_or(usual), setup.plan.names.len() as u64)
}
