//! The program `tandem`: arguments to `cli`, nodes through `run` and `quickstart`.

use std::process::ExitCode;
use tandem::cli::{self, Programs};

/// Kept small under a million devices; messages across threads are its cheapest case.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    tandem_host::memory::usual_pages();
    cli::main(&Programs { run: &tandem::run::run, up: &tandem::up::up, quickstart: &tandem::quickstart::run })
}
