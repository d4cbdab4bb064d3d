//! Child processes: started, listened to line by line, and let go.
//!
//! A child is held by its standard input: when that closes it is to end by itself, also when this process dies without a word. It stands in
//! a process group of its own, so that a terminal's Ctrl-C reaches this process alone. It must never keep more of what a child says than a line.

use crate::error::HostError;
use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

/// Longest line that is told whole, in bytes; a longer one is told in pieces.
const LINE_BYTES_MAX: u64 = 4_096;

/// What a child says and does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// A line on its standard output.
    Line(String),
    /// A line on its standard error.
    Complaint(String),
    /// It has ended, and how; the last that is told.
    Ended(String),
}

/// A child that runs or has run. Dropping it lets it go.
pub struct ChildProcess {
    pid: u32,
    input: Option<ChildStdin>,
    child: Arc<Mutex<Child>>,
}

impl ChildProcess {
    /// Starts a program. `told` is called from threads of its own and may wait: then the child waits too.
    ///
    /// # Errors
    /// [`HostError::Disk`] naming the program, [`HostError::Thread`].
    pub fn start<A: AsRef<OsStr>>(
        program: &Path,
        arguments: &[A],
        told: impl Fn(Said) + Clone + Send + 'static,
    ) -> Result<Self, HostError> {
        let failed = |e| HostError::disk("start", program, e);
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut child = command.spawn().map_err(failed)?;
        let pid = child.id();
        let input = child.stdin.take();
        let (output, errors) = (child.stdout.take(), child.stderr.take());
        let child = Arc::new(Mutex::new(child));
        let started = Self { pid, input, child: Arc::clone(&child) };
        let complain = told.clone();
        thread(pid, "errors", move || lines(errors, |line| complain(Said::Complaint(line))))?;
        thread(pid, "output", move || {
            lines(output, |line| told(Said::Line(line)));
            // Its output has closed, so it is ending; nobody else waits for it.
            let ended = child.lock().unwrap_or_else(PoisonError::into_inner).wait();
            told(Said::Ended(ended.map_or_else(|e| e.to_string(), |status| status.to_string())));
        })?;
        Ok(started)
    }
    /// Its process id.
    pub const fn pid(&self) -> u32 {
        self.pid
    }
    /// Closes its standard input: it is to end.
    pub fn let_go(&mut self) {
        self.input = None;
    }
    /// Ends it at once.
    pub fn kill(&self) {
        // One that has ended needs no end.
        let _ = self.child.lock().unwrap_or_else(PoisonError::into_inner).kill();
    }
}

fn thread(pid: u32, what: &str, body: impl FnOnce() + Send + 'static) -> Result<(), HostError> {
    let name = format!("{pid}-{what}");
    std::thread::Builder::new().name(name.clone()).spawn(body).map_err(|e| HostError::thread(&name, e))?;
    Ok(())
}

/// Tells each line until the stream closes.
fn lines(stream: Option<impl Read>, told: impl Fn(String)) {
    let Some(stream) = stream else { return };
    let mut reader = BufReader::new(stream);
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = reader.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line);
        match read {
            Ok(0) => return,
            Ok(_) => told(String::from_utf8_lossy(&line).trim_end().to_owned()),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::time::Duration;

    const PATIENCE: Duration = Duration::from_secs(20);

    fn shell(script: &str) -> (ChildProcess, mpsc::Receiver<Said>) {
        let (tell, told) = mpsc::channel();
        let child = ChildProcess::start(Path::new("/bin/sh"), &["-c", script], move |said| _ = tell.send(said));
        (child.unwrap(), told)
    }

    #[test]
    fn what_it_says_is_told_and_then_how_it_ended() {
        let (_child, told) = shell("echo one; echo two; exit 3");
        let said: Vec<Said> = told.iter().collect();
        let wanted = [Said::Line("one".into()), Said::Line("two".into()), Said::Ended("exit status: 3".into())];
        assert_eq!(said, wanted);
        let (_child, told) = shell("echo wrong >&2; head -c 5000 /dev/zero | tr '\\0' x");
        let said: Vec<Said> = told.iter().collect();
        assert!(said.contains(&Said::Complaint("wrong".into())), "{said:?}");
        let pieces: Vec<usize> =
            said.iter().filter_map(|s| if let Said::Line(l) = s { Some(l.len()) } else { None }).collect();
        assert_eq!(pieces, [4_096, 904]);
    }

    #[test]
    fn it_ends_when_it_is_let_go_and_when_it_is_killed() {
        let (mut child, told) = shell("cat; echo gone");
        child.let_go();
        assert_eq!(told.recv_timeout(PATIENCE), Ok(Said::Line("gone".into())));
        assert_eq!(told.recv_timeout(PATIENCE), Ok(Said::Ended("exit status: 0".into())));
        let (child, told) = shell("exec sleep 1000");
        child.kill();
        assert!(matches!(told.recv_timeout(PATIENCE), Ok(Said::Ended(how)) if how.contains('9')));
        let (child, told) = shell("cat; echo gone");
        drop(child);
        assert_eq!(told.recv_timeout(PATIENCE), Ok(Said::Line("gone".into())));
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let error = ChildProcess::start(Path::new("/no/such/program"), &["x"], |_| ()).err().unwrap();
        assert!(error.to_string().starts_with("cannot start /no/such/program"), "{error}");
    }
}
