//! `tandem-loadtest`: all of it is in the library's `program`, where it can be tested.

use std::process::ExitCode;

fn main() -> ExitCode {
    tandem_loadtest::program::main()
}
