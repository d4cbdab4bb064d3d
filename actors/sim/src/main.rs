//! `tandem-sim`: runs seeds of the simulator, many at once, and says which of them broke what, and how to see it again.
//!
//! It reads its arguments, hands out seeds and prints; a run is `tandem_sim::run`, and no run knows of another.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this is the command line")]

use clap::{Parser, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;
use tandem_host::random::Random;
use tandem_host::supervise::contain;
use tandem_sim::{Outcome, Setup, run};

/// Events shown of a run that broke something.
const SHORT: usize = 30;
/// Most seeds in one go.
const SEEDS_MAX: u64 = 100_000_000;

/// Runs a small cluster with faults drawn from a seed, in virtual time, and checks what must hold after every step.
#[derive(Parser)]
#[command(
    name = "tandem-sim",
    version,
    after_help = "EXAMPLES\n  tandem-sim --seeds 10000              the first 10,000 seeds\n  tandem-sim --seeds 100 --from 5000    100 seeds from 5000 on\n  \
                  tandem-sim --fresh 50                 50 seeds nobody has seen; their numbers are printed\n  \
                  tandem-sim --seed 4711 --trace        one run, every datagram and frame\n\n\
                  EXIT CODES\n  0  everything held   1  something broke   2  wrong arguments"
)]
struct Arguments {
    /// One seed, with every event: equal seeds give equal runs, bit for bit [default: 1]
    #[arg(long, value_name = "N", conflicts_with_all = ["seeds", "fresh"])]
    seed: Option<u64>,
    /// So many seeds, one after another
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..=SEEDS_MAX))]
    seeds: Option<u64>,
    /// The first of them
    #[arg(long, value_name = "N", default_value_t = 1, requires = "seeds")]
    from: u64,
    /// So many random seeds more; their numbers are printed
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..=SEEDS_MAX))]
    fresh: Option<u64>,
    /// Virtual seconds with faults, before everything heals
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Phones, at least 5
    #[arg(long, default_value_t = 30)]
    devices: u32,
    /// Every run has the configuration database, not only one in six
    #[arg(long)]
    database: bool,
    /// Every datagram and frame is a line too
    #[arg(long)]
    trace: bool,
    /// Runs at the same time [default: one per processor]
    #[arg(long, value_name = "COUNT")]
    jobs: Option<usize>,
    /// Form of the output: table for people, json for scripts
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    #[default]
    Table,
    Json,
}

/// One run; a panic is a finding like any other.
fn one(arguments: &Arguments, seed: u64) -> Result<Outcome, String> {
    let setup = Setup::drawn(seed, arguments.devices)?;
    let setup = if arguments.database && !setup.database { setup.with_database(arguments.devices)? } else { setup };
    let setup = Setup { traced: arguments.trace, ..setup };
    contain(|| run(setup, Duration::from_secs(arguments.seconds)))
        .unwrap_or_else(|panic| Ok(Outcome::panicked(seed, format!("{panic:?}"))))
}

/// How to see a run again.
fn replay(arguments: &Arguments, seed: u64) -> String {
    let mut command = format!("cargo run --release -p sim -- --seed {seed} --trace");
    if arguments.seconds != 60 {
        command += &format!(" --seconds {}", arguments.seconds);
    }
    if arguments.devices != 30 {
        command += &format!(" --devices {}", arguments.devices);
    }
    if arguments.database {
        command += " --database";
    }
    command
}

fn figures(outcome: &Outcome) -> String {
    let verdict = outcome.broken.as_ref().map_or_else(|| "everything holds".to_owned(), |b| format!("BROKEN {b}"));
    format!(
        "seed {} hash {:016x}: {} events, {} packets, {} steps, {} checks, {:?} of virtual time, {:?}, {} moves: {verdict}",
        outcome.seed,
        outcome.hash,
        outcome.lines.len(),
        outcome.packets,
        outcome.steps,
        outcome.asked,
        outcome.took,
        outcome.worst,
        outcome.moves,
    )
}

fn as_json(arguments: &Arguments, outcome: &Outcome) -> Value {
    let end = outcome.lines.len().saturating_sub(SHORT);
    let broken = outcome.broken.as_ref();
    json!({
        "seed": outcome.seed,
        "hash": format!("{:016x}", outcome.hash),
        "steps": outcome.steps,
        "packets": outcome.packets,
        "checks": outcome.asked,
        "virtual_seconds": outcome.took.as_secs_f64(),
        "rule": broken.map(|b| b.rule),
        "how": broken.map(|b| b.how.clone()),
        "trace": broken.and(outcome.lines.get(end..)),
        "replay": broken.map(|_| replay(arguments, outcome.seed)),
    })
}

/// One seed, with all its events.
fn single(arguments: &Arguments, seed: u64) -> Result<bool, String> {
    let outcome = one(arguments, seed)?;
    if arguments.output == Format::Json {
        let mut value = as_json(arguments, &outcome);
        if let Some(fields) = value.as_object_mut() {
            fields.insert("trace".to_owned(), json!(outcome.lines));
        }
        println!("{value:#}");
    } else {
        outcome.lines.iter().for_each(|line| println!("{line}"));
        println!("{}", figures(&outcome));
    }
    Ok(outcome.broken.is_none())
}

/// Many seeds on several threads; findings are shown as they come, the sum at the end.
fn many(arguments: &Arguments, seeds: &[u64]) -> Result<bool, String> {
    let jobs = arguments.jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    let (next, (results, inbox)) = (AtomicUsize::new(0), mpsc::channel());
    let bar = ProgressBar::new(seeds.len() as u64);
    let style = ProgressStyle::with_template("{wide_bar} {pos}/{len} {elapsed} (still {eta}) {msg}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    std::thread::scope(|scope| {
        for _ in 0..jobs.clamp(1, seeds.len().max(1)) {
            let (next, results) = (&next, results.clone());
            scope.spawn(move || {
                while let Some(seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let result = one(arguments, *seed);
                    let failed = result.is_err();
                    if results.send(result).is_err() || failed {
                        return;
                    }
                }
            });
        }
        drop(results);
        let mut sum = Sum::default();
        for result in inbox {
            let outcome = match result {
                Ok(outcome) => outcome,
                Err(why) => {
                    next.store(seeds.len(), Ordering::Relaxed);
                    return Err(why);
                }
            };
            sum.add(arguments, &outcome, &bar);
        }
        bar.finish_and_clear();
        sum.tell(arguments, seeds);
        Ok(sum.findings.is_empty())
    })
}

#[derive(Default)]
struct Sum {
    runs: u64,
    steps: u64,
    packets: u64,
    checks: u64,
    virtual_time: Duration,
    findings: Vec<Value>,
}

impl Sum {
    fn add(&mut self, arguments: &Arguments, outcome: &Outcome, bar: &ProgressBar) {
        self.runs += 1;
        self.steps += outcome.steps;
        self.packets += outcome.packets;
        self.checks += outcome.asked;
        self.virtual_time += outcome.took;
        if let Some(broken) = &outcome.broken {
            self.findings.push(as_json(arguments, outcome));
            bar.set_message(format!("{} broken", self.findings.len()));
            if arguments.output == Format::Table {
                let end = outcome.lines.len().saturating_sub(SHORT);
                let lines = outcome.lines.get(end..).unwrap_or_default().join("\n  ");
                let (seed, again) = (outcome.seed, replay(arguments, outcome.seed));
                bar.suspend(|| println!("seed {seed}: {broken}\n  {lines}\n  again: {again}\n"));
            }
        }
        bar.inc(1);
    }

    fn tell(&self, arguments: &Arguments, seeds: &[u64]) {
        if arguments.output == Format::Json {
            let fresh = arguments.fresh.map(|_| seeds);
            println!(
                "{:#}",
                json!({
                    "runs": self.runs, "steps": self.steps, "packets": self.packets, "checks": self.checks,
                    "virtual_seconds": self.virtual_time.as_secs_f64(), "seeds": fresh, "broken": self.findings,
                })
            );
            return;
        }
        let broken: Vec<_> = self.findings.iter().filter_map(|f| f.get("seed")?.as_u64()).collect();
        let verdict = if broken.is_empty() { "everything held".to_owned() } else { format!("BROKEN in {broken:?}") };
        println!(
            "{} runs, {} steps, {} packets, {} checks, {} hours of virtual time: {verdict}",
            self.runs,
            self.steps,
            self.packets,
            self.checks,
            self.virtual_time.as_secs() / 3_600
        );
    }
}

fn carry_out(arguments: &Arguments) -> Result<bool, String> {
    let mut seeds: Vec<u64> = match arguments.seeds {
        Some(count) => (arguments.from..arguments.from.saturating_add(count)).collect(),
        None => Vec::new(),
    };
    if let Some(count) = arguments.fresh {
        let mut dice = Random::from_os().map_err(|e| e.to_string())?;
        // Short enough to be typed.
        let fresh: Vec<u64> = (0..count).map(|_| dice.below(1 << 40)).collect();
        if arguments.output == Format::Table {
            println!("fresh seeds: {fresh:?}");
        }
        seeds.extend(fresh);
    }
    if seeds.is_empty() { single(arguments, arguments.seed.unwrap_or(1)) } else { many(arguments, &seeds) }
}

fn main() -> ExitCode {
    match carry_out(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("tandem-sim: {why}");
            ExitCode::from(2)
        }
    }
}
