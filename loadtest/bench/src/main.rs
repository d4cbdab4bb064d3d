//! `tandem-bench`: what an operation costs Tandem, beside a bare UDP exchange and Kamailio in the same sitting.
//!
//! A stranger to the cluster: it writes configuration files, starts programs, speaks SIP and reads `/metrics`. It talks to loopback only, ends
//! every server that it started, and claims nothing that it did not see.

#![cfg_attr(
    test,
    allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")
)]

mod aims;
mod args;
mod bench;
mod cluster;
mod database;
mod echo;
mod error;
mod generator;
mod hosts;
mod kernel;
mod overload;
mod progress;
mod request;
mod row;
mod server;
mod table;
mod tcp;

use args::{Cli, Command, Global, Part, Register, Registrar, Sitting};
use bench::{Bench, Results, Wanted};
use clap::Parser;
use error::Error;
use overload::Crowd;
use progress::Progress;
use server::{Kind, Place};
use std::io::Write;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use table::Head;
use tandem_host::arbiter::{interrupted, run_main};
use tandem_host::disk::{Disk, RealDisk};

static STOPPED: AtomicBool = AtomicBool::new(false);

/// Whether somebody wants it to end.
fn stopped() -> bool {
    STOPPED.load(Ordering::Relaxed)
}

/// Waits, between measurements.
#[expect(clippy::disallowed_methods, reason = "a program of one thread that waits for other programs")]
fn pause(time: Duration) {
    std::thread::sleep(time);
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    listen_for_signals();
    let done = match &cli.command {
        Command::Echo { listen } => echo::serve(*listen),
        Command::Spin => {
            echo::spin();
            Ok(())
        }
        Command::Phones => hosts::phones::serve(),
        Command::Page { url } => server::page(url)
            .and_then(|text| std::io::stdout().write_all(text.as_bytes()).map_err(Error::io("cannot print the page"))),
        Command::Hosts(options) => match hosts::run(&cli.global, options) {
            Ok(true) => Ok(()),
            Ok(false) => return ExitCode::FAILURE,
            Err(error) => Err(error),
        },
        command => return measure(&cli.global, command),
    };
    said(done)
}

fn said(done: Result<(), Error>) -> ExitCode {
    let Err(error) = done else { return ExitCode::SUCCESS };
    // Whoever closed the pipe does not want to hear it.
    let _ = writeln!(std::io::stderr(), "tandem-bench: {error}");
    ExitCode::FAILURE
}

/// The first signal ends what runs in good order; servers end with their values.
fn listen_for_signals() {
    let wait = || {
        let heard = run_main(interrupted());
        STOPPED.store(matches!(heard, Ok(Ok(_))), Ordering::Relaxed);
    };
    // Without the thread a signal ends the program at once, and the servers notice that it is gone.
    let _ = std::thread::Builder::new().name("signals".to_owned()).spawn(wait);
}

fn measure(global: &Global, command: &Command) -> ExitCode {
    let mut bench = match prepare(global) {
        Ok(bench) => bench,
        Err(error) => return said(Err(error)),
    };
    let devices = match command {
        Command::Floor { runs } => {
            bench.part("floor", |b| b.bare(*runs));
            0
        }
        Command::Register(register) => {
            register_parts(&mut bench, register);
            register.devices
        }
        Command::Tcp { connections, rounds, runs } => {
            enough_files(&mut bench, *connections);
            bench.part("bare exchange", |b| b.bare(*runs));
            bench.part("tcp", |b| b.tcp(*connections, *rounds, *runs));
            *connections
        }
        Command::Memory { devices, growth_seconds } => {
            memory(&mut bench, devices, *growth_seconds);
            devices.first().copied().unwrap_or_default()
        }
        Command::Cluster(options) => {
            cluster::measure(&mut bench, options);
            options.devices
        }
        Command::Database(options) => {
            database::measure(&mut bench, options);
            options.devices
        }
        Command::Sitting(sitting) => {
            sit(&mut bench, sitting);
            sitting.devices
        }
        Command::Echo { .. } | Command::Spin | Command::Phones | Command::Page { .. } | Command::Hosts(_) => 0,
    };
    if stopped() {
        bench.results.incomplete = Some("interrupted".to_owned());
    }
    let measured = bench.results.rows.iter().any(|r| r.server == Kind::Kamailio);
    let kamailio = if measured { server::kamailio_version(&bench.place) } else { None };
    let request_bytes = request::Template::new(40_000, "UDP").len();
    let all_aims = matches!(command, Command::Sitting(_));
    let text = table::render(global.output, &Head { request_bytes, kamailio, devices, all_aims }, &bench.results);
    let written = std::io::stdout().write_all(text.as_bytes());
    let complete = table::complete(&bench.results) && written.is_ok();
    if complete { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Pins this process and makes its folder.
fn prepare(global: &Global) -> Result<Bench, Error> {
    let me = std::process::id().to_string();
    let run = |program: &str, arguments: &[&str]| -> Result<(), Error> {
        let output = std::process::Command::new(program)
            .args(arguments)
            .output()
            .map_err(Error::io(format!("cannot run {program} (package util-linux)")))?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.success() { Ok(()) } else { Err(Error::Worthless(format!("{program}: {}", said.trim()))) }
    };
    run("taskset", &["-pc", &global.generator_core, &me])?;
    let nice = global.nice.to_string();
    if global.nice != 0 {
        run("renice", &["-n", &nice, "-p", &me])?;
    }
    let beside = std::env::current_exe().map_err(Error::io("cannot find this very program"))?.with_file_name("tandem");
    let usual = std::env::temp_dir().join(format!("tandem-bench-{me}"));
    let work = global.work.clone().unwrap_or(usual);
    RealDisk.create_dir(&work)?;
    let mut progress = Progress::new();
    progress.say(&format!("configurations, state and logs: {}", work.display()));
    let place = Place {
        core: global.server_core.clone(),
        nice: global.nice,
        work,
        tandem: global.tandem.clone().unwrap_or(beside),
        kamailio: global.kamailio.clone(),
    };
    Ok(Bench { place, progress, results: Results::default() })
}

/// A connection takes a file here too. A limit that cannot be raised is told by the connection that meets it.
fn enough_files(bench: &mut Bench, connections: u32) {
    let wanted = u64::from(connections) + 256;
    if kernel::open_files() >= wanted {
        return;
    }
    let (me, limit) = (std::process::id().to_string(), format!("--nofile={wanted}:{wanted}"));
    let raised = std::process::Command::new("prlimit").args(["--pid", &me, &limit]).status();
    if !raised.is_ok_and(|s| s.success()) {
        bench.progress.say(&format!("{connections} connections need {wanted} open files: `ulimit -n {wanted}` first"));
    }
}

fn register_parts(bench: &mut Bench, register: &Register) {
    let kind = match register.server {
        Registrar::Tandem => Kind::Tandem,
        Registrar::Kamailio => Kind::Kamailio,
    };
    let has = |part: Part| register.part.contains(&part);
    let wanted = Wanted {
        devices: register.devices,
        runs: register.runs,
        operations: register.operations,
        refresh: has(Part::Refresh),
        paced: has(Part::Paced).then_some(register.rate),
    };
    bench.part("bare exchange", |b| b.bare(register.runs));
    if has(Part::Fill) || has(Part::Refresh) || has(Part::Paced) {
        bench.part("register", |b| b.plain(kind, None, &wanted));
    }
    if has(Part::Challenged) {
        bench.part("challenged", |b| b.challenged(kind, &wanted));
    }
    if has(Part::Overload) && kind == Kind::Tandem {
        bench.part("overload", |b| b.overload(&crowd(register)));
    }
    bench.part("bare exchange", |b| b.bare(register.runs));
}

const fn crowd(register: &Register) -> Crowd {
    // Twice as many are configured.
    let registered = if register.devices > 1_000_000 { 1_000_000 } else { register.devices };
    Crowd { registered, newcomers_percent: register.newcomers, seconds: register.overload_seconds }
}

fn memory(bench: &mut Bench, devices: &[u32], growth_seconds: u64) {
    bench.part("memory", |b| {
        let empty = b.empty(Kind::Tandem)?;
        let just_filled = |devices| Wanted { devices, runs: 0, operations: 0, refresh: false, paced: None };
        devices.iter().try_for_each(|d| b.plain(Kind::Tandem, Some(empty), &just_filled(*d)))
    });
    if let Some(first) = devices.first().filter(|_| growth_seconds > 0) {
        bench.part("growth", |b| b.growth(*first, growth_seconds));
    }
}

/// Everything in turn.
fn sit(bench: &mut Bench, sitting: &Sitting) {
    let Sitting { runs, operations, devices, .. } = *sitting;
    let wanted = |devices, paced| Wanted { devices, runs, operations, refresh: true, paced };
    let main = wanted(devices, Some(10_000));
    let kamailio = server::kamailio_version(&bench.place).is_some();
    if !kamailio {
        bench.progress.say("Kamailio is not here: its columns stay empty (Debian: apt-get install kamailio)");
    }
    let peers = |bench: &mut Bench| {
        bench.part("bare exchange", |b| b.bare(runs))
            && (!kamailio
                || bench.part("Kamailio", |b| {
                    let empty = b.empty(Kind::Kamailio)?;
                    b.plain(Kind::Kamailio, Some(empty), &main)?;
                    b.challenged(Kind::Kamailio, &main)
                }))
    };
    let ours = |bench: &mut Bench| {
        bench.part("Tandem", |b| {
            let empty = b.empty(Kind::Tandem)?;
            b.plain(Kind::Tandem, Some(empty), &main)?;
            b.challenged(Kind::Tandem, &main)?;
            sitting.also.iter().try_for_each(|d| b.plain(Kind::Tandem, Some(empty), &wanted(*d, None)))
        })
    };
    if !(peers(bench) && ours(bench)) {
        return;
    }
    // The cost per connection is compared with a bare exchange of its own minute.
    enough_files(bench, sitting.connections);
    if sitting.connections > 0 && !bench.part("tcp", |b| b.tcp(sitting.connections, 20, runs)) {
        return;
    }
    if !peers(bench) {
        return;
    }
    if sitting.overload_seconds > 0 {
        let crowd = Crowd { registered: devices, newcomers_percent: 10, seconds: sitting.overload_seconds };
        bench.part("overload", |b| b.overload(&crowd));
    }
    if sitting.growth_seconds > 0 {
        bench.part("growth", |b| b.growth(devices, sitting.growth_seconds));
    }
}
