//! `tandem-sim`: runs seeds of the simulator from the command line and prints every event and the hash.
//!
//! It only reads its arguments and prints; a run is `tandem_sim::run`.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this is the command line")]

use clap::Parser;
use std::process::ExitCode;
use std::time::Duration;
use tandem_sim::{Outcome, Setup, run};

/// Runs a small cluster with faults drawn from a seed, in virtual time.
#[derive(Parser)]
#[command(name = "tandem-sim", version)]
struct Arguments {
    /// The seed: equal seeds give equal runs.
    #[arg(long, default_value_t = 1, conflicts_with = "seeds")]
    seed: u64,
    /// Several seeds, FIRST..LAST (LAST not included): one line each.
    #[arg(long, value_name = "A..B", value_parser = range)]
    seeds: Option<std::ops::Range<u64>>,
    /// Virtual seconds with faults, before everything heals.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Phones, at least 5.
    #[arg(long, default_value_t = 30)]
    devices: u32,
    /// Every datagram and frame is a line too.
    #[arg(long)]
    trace: bool,
}

fn range(text: &str) -> Result<std::ops::Range<u64>, String> {
    let parsed = text.split_once("..").and_then(|(a, b)| Some(a.parse().ok()?..b.parse().ok()?));
    parsed.ok_or_else(|| format!("`{text}` is no range of seeds; write it as 1..21"))
}

fn one(arguments: &Arguments, seed: u64) -> Result<Outcome, String> {
    let setup = Setup { traced: arguments.trace, ..Setup::small(seed, arguments.devices)? };
    run(setup, Duration::from_secs(arguments.seconds))
}

fn tell(outcome: &Outcome) {
    let verdict = outcome.broken.as_ref().map_or_else(|| "everything holds".to_owned(), |b| format!("BROKEN {b}"));
    println!(
        "seed {} hash {:016x}: {} events, {} packets, {} steps, {} checks, {:?} of virtual time, {:?}: {verdict}",
        outcome.seed,
        outcome.hash,
        outcome.lines.len(),
        outcome.packets,
        outcome.steps,
        outcome.asked,
        outcome.took,
        outcome.worst,
    );
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let seeds = arguments.seeds.clone().unwrap_or(arguments.seed..arguments.seed.saturating_add(1));
    let mut broken = false;
    for seed in seeds {
        match one(&arguments, seed) {
            Ok(outcome) => {
                if arguments.seeds.is_none() {
                    outcome.lines.iter().for_each(|line| println!("{line}"));
                }
                tell(&outcome);
                broken |= outcome.broken.is_some();
            }
            Err(why) => {
                eprintln!("tandem-sim: {why}");
                return ExitCode::from(2);
            }
        }
    }
    if broken { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
