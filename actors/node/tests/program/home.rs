//! A home folder of one test and the programs that run in it, as a newcomer sees them.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// How long anything may take that is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A home folder, removed at the end.
pub(crate) struct Home(pub(crate) PathBuf);

impl Home {
    pub(crate) fn new(test: &str) -> Self {
        let path = std::env::temp_dir().join(format!("tandem-program-{}-{test}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a folder for the test");
        Self(path)
    }
    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tandem"));
        command.args(arguments).current_dir(&self.0).env_clear().env("HOME", &self.0).env("NO_COLOR", "1");
        command.stdin(Stdio::null());
        command
    }
    pub(crate) fn tandem(&self, arguments: &[&str]) -> Said {
        Said(self.command(arguments).output().expect("the program starts"))
    }
    /// Starts a cluster of one node on free ports; `settings` are lines of the configuration.
    pub(crate) fn run(&self, cluster: &str, settings: &str, arguments: &[&str]) -> Running {
        let config = self.folder(&format!("{cluster}.toml"));
        let text = format!(
            "[cluster]\nname = \"{cluster}\"\n\n[settings]\n{settings}\n\n[[node]]\nname = \"CCM1\"\naddress = \"127.0.0.1\"\n\
             sip_udp = 0\nsip_tcp = 0\n\n[[group]]\nname = \"G1\"\nmembers = [\"CCM1\"]\n\n[[device_pool]]\nname = \"DP1\"\n\
             group = \"G1\"\n\n[[device]]\nname = \"phone1\"\npool = \"DP1\"\npassword = \"a long secret\"\n"
        );
        std::fs::write(&config, text).expect("a configuration");
        let config = config.to_string_lossy().into_owned();
        let all: Vec<&str> = ["run", "--config", &config].into_iter().chain(arguments.iter().copied()).collect();
        Running::start(self.command(&all), &self.folder(&format!("{cluster}.log")))
    }
}
impl Drop for Home {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What a command said.
pub(crate) struct Said(pub(crate) Output);
impl Said {
    pub(crate) fn code(&self) -> i32 {
        self.0.status.code().unwrap_or(-1)
    }
    pub(crate) fn out(&self) -> String {
        String::from_utf8_lossy(&self.0.stdout).into_owned()
    }
    pub(crate) fn err(&self) -> String {
        String::from_utf8_lossy(&self.0.stderr).into_owned()
    }
    /// The output of a command that must have worked.
    pub(crate) fn good(&self) -> String {
        assert_eq!(self.code(), 0, "{}{}", self.out(), self.err());
        self.out()
    }
    pub(crate) fn cluster(&self) -> String {
        let status: Value = serde_json::from_str(&self.good()).expect("JSON");
        status.get("cluster").and_then(Value::as_str).expect("a cluster").to_owned()
    }
}

/// A program in the background; killed at the end.
pub(crate) struct Running {
    pub(crate) child: Child,
    log: PathBuf,
}
impl Running {
    pub(crate) fn start(mut command: Command, log: &Path) -> Self {
        let file = std::fs::File::create(log).expect("a log");
        let errors = file.try_clone().expect("a handle");
        let child = command.stdout(file).stderr(errors).spawn().expect("the program starts");
        Self { child, log: log.to_owned() }
    }
    pub(crate) fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
    /// Waits until it has said this.
    pub(crate) fn until(self, text: &str) -> Self {
        wait_until(|| self.said().contains(text), || format!("{text:?} in {}", self.said()));
        self
    }
    pub(crate) fn signal(&self, name: &str) {
        let done = Command::new("sh").args(["-c", &format!("kill -{name} {}", self.child.id())]).status();
        assert!(done.is_ok_and(|s| s.success()));
    }
    pub(crate) fn ended(&mut self) -> Option<i32> {
        self.child.try_wait().expect("a child").map(|s| s.code().unwrap_or(-1))
    }
    /// Its exit code once it has ended.
    pub(crate) fn end(mut self) -> (i32, String) {
        wait_until(|| self.ended().is_some(), || "an end".to_owned());
        (self.ended().unwrap_or(-1), self.said())
    }
}
impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Most of one look that counts as waiting: a test that was itself stopped for minutes has not waited for anybody.
const LOOK_MAX: Duration = Duration::from_secs(5);

pub(crate) fn wait_until(mut condition: impl FnMut() -> bool, what: impl Fn() -> String) {
    let mut waited = Duration::ZERO;
    loop {
        let begun = Instant::now();
        if condition() {
            return;
        }
        assert!(waited < PATIENCE, "not in time: {}", what());
        std::thread::sleep(Duration::from_millis(20));
        waited += begun.elapsed().min(LOOK_MAX);
    }
}
