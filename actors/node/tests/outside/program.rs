//! Programs from outside: where they are, what to say when one is missing, how to run one within a bound.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Set by the gate: a missing program is a failure there, not a skip.
const REQUIRE: &str = "TANDEM_REQUIRE_PROGRAMS";
/// How long anything outside may take before the test gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// Time between two looks at something that cannot wake us.
const LOOK: Duration = Duration::from_millis(20);

/// Is `name` in the search path? If not, says so (or fails, where [`REQUIRE`] is 1).
pub(crate) fn found(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let there = std::env::split_paths(&path).any(|folder| folder.join(name).is_file());
    let required = std::env::var_os(REQUIRE).is_some_and(|v| v == "1");
    assert!(there || !required, "{name} is not installed, and {REQUIRE}=1 allows no skip");
    if !there {
        println!("skipped: {name} not found");
    }
    there
}

/// Looks again and again until `look` has an answer; `None` once [`PATIENCE`] is over. What we wait for lives in another process
/// and cannot wake us.
pub(crate) fn eventually<T>(mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    loop {
        match look() {
            None if start.elapsed() < PATIENCE => std::thread::park_timeout(LOOK),
            answer => return answer,
        }
    }
}

/// A running program whose output goes to a file; it is killed when this is dropped.
pub(crate) struct Running {
    child: Child,
    output: PathBuf,
}

impl Running {
    /// Starts `command` with both outputs in the file `output`.
    pub(crate) fn start(mut command: Command, output: &Path) -> Self {
        let file = std::fs::File::create(output).expect("the output file can be created");
        let copy = file.try_clone().expect("a file handle can be cloned");
        let child = command
            .stdin(Stdio::piped())
            .stdout(file)
            .stderr(copy)
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
        Self { child, output: output.to_owned() }
    }

    /// Everything it has said so far.
    pub(crate) fn output(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.output).unwrap_or_default()).into_owned()
    }

    /// Types a line into it. A program that has ended does not listen; its exit is what the test then looks at.
    pub(crate) fn say(&mut self, line: &str) {
        use std::io::Write as _;
        if let Some(stdin) = self.child.stdin.as_mut() {
            let _ = writeln!(stdin, "{line}").and_then(|()| stdin.flush());
        }
    }

    /// Has it ended?
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Asks it to end, as a person would with Ctrl-C.
    pub(crate) fn interrupt(&self) {
        signal("INT", self.child.id());
    }

    /// Waits for its end.
    pub(crate) fn finish(mut self) -> (ExitStatus, String) {
        drop(self.child.stdin.take());
        let status = eventually(|| self.ended());
        let output = self.output();
        (status.unwrap_or_else(|| panic!("still running after {PATIENCE:?}:\n{output}")), output)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a signal through the shell: this test may not use `unsafe`.
fn signal(name: &str, pid: u32) {
    let status = Command::new("sh").args(["-c", &format!("kill -{name} {pid}")]).status();
    assert!(status.is_ok_and(|s| s.success()), "kill -{name} {pid}");
}
