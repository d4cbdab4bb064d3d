//! Programs that are run to their end, with what they said, and waiting that Ctrl-C ends.

use crate::error::Error;
use crate::{pause, stopped};
use std::ffi::OsStr;
use std::process::{Command, Stdio};
use std::time::Duration;
use tandem_base::Time;
use tandem_host::clock::Clock;

/// How often somebody who waits looks up.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Runs a program and returns its standard output.
///
/// # Errors
/// It cannot be started, or says that it failed; then with its last words.
pub(super) fn run<S: AsRef<OsStr>>(program: &str, arguments: &[S]) -> Result<String, Error> {
    let line = || {
        let words = arguments.iter().map(|a| a.as_ref().to_string_lossy().into_owned());
        std::iter::once(program.to_owned()).chain(words).collect::<Vec<_>>().join(" ")
    };
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let output = output.map_err(|source| Error::Io { doing: format!("cannot run {}", line()), source })?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(Error::Worthless(format!("{}: {}", line(), said.trim())));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Waits.
///
/// # Errors
/// [`Error::Interrupted`]: somebody pressed Ctrl-C.
pub(super) fn wait(time: Duration) -> Result<(), Error> {
    let clock = Clock::system();
    let until = clock.now() + time;
    until_then(clock, until)
}

/// Waits until a moment.
///
/// # Errors
/// As [`wait`].
pub(super) fn until_then(clock: Clock, until: Time) -> Result<(), Error> {
    loop {
        if stopped() {
            return Err(Error::Interrupted);
        }
        let left = until.since(clock.now());
        if left.is_zero() {
            return Ok(());
        }
        pause(left.min(LOOK_EVERY));
    }
}

/// Looks again and again until `look` has an answer; `None` after `patience`.
///
/// # Errors
/// Those of `look`, or as [`wait`].
pub(super) fn eventually<T>(
    patience: Duration,
    every: Duration,
    mut look: impl FnMut() -> Result<Option<T>, Error>,
) -> Result<Option<T>, Error> {
    let clock = Clock::system();
    let until = clock.now() + patience;
    loop {
        if let Some(found) = look()? {
            return Ok(Some(found));
        }
        if clock.now() >= until {
            return Ok(None);
        }
        wait(every)?;
    }
}
