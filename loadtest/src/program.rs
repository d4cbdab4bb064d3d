//! The program `tandem-loadtest`: a preset, thousands of phones, an honest verdict.
//!
//! A stranger to the cluster: it reads the cluster's file with structs of its own, speaks SIP, and knows the control endpoint as any
//! outsider does. `setup` looks at everything before the first phone, `script` plays the preset on a `run`, `reconcile` compares
//! counts, `summarize` and `verdict` say what it was worth, `report` (beside this) writes it down.

mod args;
mod cluster_file;
mod compare;
mod control;
mod devices;
mod failure;
mod generator;
mod help;
mod live;
mod mix;
mod output;
mod probe;
mod reconcile;
mod run;
mod script;
mod setup;
mod summarize;
mod threshold;
mod verdict;

use clap::Parser as _;
use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tandem_host::arbiter::{interrupted, run_main};
use tandem_host::disk::RealDisk;

use crate::report::{Summary, Verdict, document, text};
use args::{Cli, Command, Preset};
use failure::Failure;
use run::{Run, Stop};
use setup::Setup;

/// Exit status when a run could not begin, a report not be written, or a summary not be read.
const USAGE: u8 = 2;
/// What is still under way may end before counts are compared.
const SETTLE: Duration = Duration::from_secs(1);

/// Runs the program with the arguments of the process.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.command {
        Command::Run(preset) => run_main(whole(preset)),
        Command::Compare(options) => Ok(compare::show(&options).map(|()| Verdict::Pass.exit_status())),
    };
    let status = match done {
        Ok(Ok(status)) => status,
        Ok(Err(failure)) => {
            complain(&failure.to_string());
            USAGE
        }
        Err(error) => {
            complain(&format!("error: {error}"));
            USAGE
        }
    };
    ExitCode::from(status)
}

fn complain(line: &str) {
    // Nobody left to tell: the exit status still says it.
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Runs `job` on a thread that may wait.
pub(crate) async fn blocking<T: Send + 'static>(job: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(job).await {
        Ok(value) => value,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

async fn whole(preset: Preset) -> Result<u8, Failure> {
    let setup = setup::make(preset).await?;
    let common = setup.preset.common().clone();
    if common.dry_run {
        return dry(setup);
    }
    let flag = Arc::new(AtomicBool::new(false));
    let (raised, mut signals) = (Arc::clone(&flag), 0);
    tokio::task::spawn_local(async move {
        while interrupted().await.is_ok() {
            raised.store(true, Ordering::Relaxed);
            signals += 1;
            if signals > 1 {
                std::process::exit(130);
            }
        }
    });
    let mut run = Run::new(setup, flag)?;
    if !common.quiet {
        for note in run.setup.notes.clone() {
            run.live.say(&format!("note: {note}"));
        }
    }
    run.base = match run.setup.control.clone() {
        Some(control) => blocking(move || control.metrics().ok()).await,
        None => None,
    };
    let stopped = script::play(&mut run).await.err().map(|stop| match stop {
        Stop::Interrupted(why) => why.to_owned(),
        Stop::Broken(why) => why,
    });
    let summary = conclude(&mut run, stopped).await;
    let mut errors = write(&common, &summary);
    run.live.end();
    errors.extend(say(&summary, common.quiet).err());
    run.tidy().await;
    let Run { fleet, .. } = run;
    blocking(move || fleet.stop()).await;
    for error in &errors {
        complain(&format!("error: {error}"));
    }
    Ok(if errors.is_empty() { summary.verdict.exit_status() } else { USAGE })
}

/// Compares counts, sums up, judges.
async fn conclude(run: &mut Run, stopped: Option<String>) -> Summary {
    run.enter("counting");
    if stopped.is_none() {
        // A second Ctrl-C is not waited for: what is known is told.
        let _ = run.calm(SETTLE).await;
    }
    let findings = reconcile::all(run).await;
    let stats = run.fleet.stats();
    let census = run.fleet.census().unwrap_or_default();
    let mut summary = summarize::summary(run, &stats, &census, &findings);
    let (served, late) = run.fleet.with_record(|r| (summarize::millis(&r.served_after), summarize::millis(&r.late)));
    let demands = &run.setup.preset.common().threshold;
    summary.thresholds = demands.iter().map(|t| t.judge(&summary, &served)).collect();
    let spoiled = demands.iter().zip(&summary.thresholds).filter_map(|(t, judged)| t.spoiled(judged, &late));
    summary.generator.reasons.extend(spoiled);
    summary.generator.limited = !summary.generator.reasons.is_empty();
    verdict::judge(&mut summary, &run.complaints, stopped);
    summary
}

/// Writes the reports that were asked for; what could not be written.
fn write(common: &args::Common, summary: &Summary) -> Vec<String> {
    let mut errors = Vec::new();
    if let Some(path) = &common.json {
        errors.extend(document::write_json(&RealDisk, path, summary).err().map(|e| e.to_string()));
    }
    if let Some(path) = &common.html {
        errors.extend(document::write_html(&RealDisk, path, summary).err().map(|e| e.to_string()));
    }
    errors
}

/// Tells the run on stdout.
///
/// # Errors
/// As [`output::write`].
fn say(summary: &Summary, quiet: bool) -> Result<(), String> {
    output::write(&if quiet { format!("{}\n", summary.verdict.word()) } else { text(summary, output::style()) })
}

/// `--dry-run`: the plan and the fingerprint of its schedule.
fn dry(setup: Setup) -> Result<u8, Failure> {
    let mut lines =
        vec![format!("{}: {} devices of cluster {}", setup.preset.word(), setup.plan.names.len(), setup.cluster.name)];
    for (node, address) in setup.cluster.nodes.iter().zip(&setup.addresses) {
        let at_home = |g: &&crate::PhoneGroup| g.servers.first() == Some(address);
        let home: usize = setup.plan.fleet.groups.iter().filter(at_home).map(|g| g.phones.len()).sum();
        lines.push(format!("  {} {address}: home to {home}", node.name));
    }
    lines.push(format!("  sockets at most: {} of {}", setup.plan.fleet.sockets(), setup.plan.fleet.sockets_max));
    let (rate, count) = script::first_schedule(&setup);
    let plan = crate::fleet::Plan {
        what: crate::fleet::Arrival::Start,
        per_second: rate,
        count,
        seed: setup.preset.common().seed,
    };
    let devices = u32::try_from(setup.plan.names.len()).unwrap_or(u32::MAX);
    lines.push(format!(
        "  first schedule: {count} arrivals at {rate}/s, {:.1} s, fingerprint {:016x}",
        plan.length().as_secs_f64(),
        plan.fingerprint(devices)
    ));
    lines.extend(setup.notes.iter().map(|n| format!("note: {n}")));
    lines.push(String::new());
    output::write(&lines.join("\n")).map_err(Failure::new)?;
    Ok(Verdict::Pass.exit_status())
}
