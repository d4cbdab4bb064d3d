//! The program as a newcomer uses it: started, asked from another terminal, started twice, killed. Each test has a home of its own, so that
//! nothing of the person who runs the tests is seen or touched.

#![expect(clippy::expect_used, reason = "all of this file is test code")]
#![expect(
    clippy::disallowed_methods,
    reason = "a person has a clock, and writes and reads files; what is waited for is another process"
)]

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// How long anything may take that is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// A home folder, removed at the end.
struct Home(PathBuf);

impl Home {
    fn new(test: &str) -> Self {
        let path = std::env::temp_dir().join(format!("tandem-program-{}-{test}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a folder for the test");
        Self(path)
    }
    fn folder(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tandem"));
        command.args(arguments).current_dir(&self.0).env_clear().env("HOME", &self.0).env("NO_COLOR", "1");
        command.stdin(Stdio::null());
        command
    }
    fn tandem(&self, arguments: &[&str]) -> Said {
        Said(self.command(arguments).output().expect("the program starts"))
    }
    /// Starts a cluster of one node on free ports; `settings` are lines of the configuration.
    fn run(&self, cluster: &str, settings: &str, arguments: &[&str]) -> Running {
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
struct Said(Output);
impl Said {
    fn code(&self) -> i32 {
        self.0.status.code().unwrap_or(-1)
    }
    fn out(&self) -> String {
        String::from_utf8_lossy(&self.0.stdout).into_owned()
    }
    fn err(&self) -> String {
        String::from_utf8_lossy(&self.0.stderr).into_owned()
    }
    /// The output of a command that must have worked.
    fn good(&self) -> String {
        assert_eq!(self.code(), 0, "{}{}", self.out(), self.err());
        self.out()
    }
    fn cluster(&self) -> String {
        let status: Value = serde_json::from_str(&self.good()).expect("JSON");
        status.get("cluster").and_then(Value::as_str).expect("a cluster").to_owned()
    }
}

/// A program in the background; killed at the end.
struct Running {
    child: Child,
    log: PathBuf,
}
impl Running {
    fn start(mut command: Command, log: &Path) -> Self {
        let file = std::fs::File::create(log).expect("a log");
        let errors = file.try_clone().expect("a handle");
        let child = command.stdout(file).stderr(errors).spawn().expect("the program starts");
        Self { child, log: log.to_owned() }
    }
    fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
    /// Waits until it has said this.
    fn until(self, text: &str) -> Self {
        wait_until(|| self.said().contains(text), || format!("{text:?} in {}", self.said()));
        self
    }
    fn signal(&self, name: &str) {
        let done = Command::new("sh").args(["-c", &format!("kill -{name} {}", self.child.id())]).status();
        assert!(done.is_ok_and(|s| s.success()));
    }
    fn ended(&mut self) -> Option<i32> {
        self.child.try_wait().expect("a child").map(|s| s.code().unwrap_or(-1))
    }
    /// Its exit code once it has ended.
    fn end(mut self) -> (i32, String) {
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

fn wait_until(mut condition: impl FnMut() -> bool, what: impl Fn() -> String) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < PATIENCE, "not in time: {}", what());
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn commands_find_the_only_tandem_wherever_its_state_is() {
    let home = Home::new("found");
    assert_eq!(home.tandem(&["status"]).code(), 3);
    let state = home.folder("elsewhere/deep");
    let running = home.run("lab", &format!("state_dir = {state:?}"), &[]).until("ask it");
    assert!(running.said().contains(&format!("--state {} status", state.display())), "{}", running.said());
    assert_eq!(home.tandem(&["status", "-o", "json"]).cluster(), "lab");
    assert_eq!(home.tandem(&["--state", "elsewhere/deep", "status", "-o", "json"]).cluster(), "lab");
    let nothing = home.tandem(&["--state", "nothing", "status"]);
    assert_eq!(nothing.code(), 3);
    assert!(
        nothing.err().contains("running elsewhere") && nothing.err().contains("cluster lab (CCM1)"),
        "{}",
        nothing.err()
    );
    running.signal("TERM");
    let (code, said) = running.end();
    assert_eq!(code, 0, "{said}");
    let gone = home.tandem(&["status"]);
    assert!(gone.code() == 3 && gone.err().contains("tandem quickstart"), "{}", gone.err());
    let left: Vec<_> = std::fs::read_dir(home.folder(".local/state/tandem/running")).expect("the folder").collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn of_several_tandems_one_must_be_named_and_a_dead_one_does_not_count() {
    let home = Home::new("several");
    let first = home.run("lab", "", &["--state", "one"]).until("ask it");
    let second = home.run("plant", "", &["--state", "two"]).until("ask it");
    let which = home.tandem(&["node", "kill", "CCM1"]);
    assert_eq!(which.code(), 2, "{}", which.err());
    for told in ["2 Tandems run here", "cluster lab", "cluster plant", "TANDEM_STATE"] {
        assert!(which.err().contains(told), "{told}: {}", which.err());
    }
    // What the message says to write works as it stands.
    let line = which.err().lines().find(|l| l.contains("cluster plant")).expect("a line").to_owned();
    let state = line.split_whitespace().nth(1).expect("a folder").to_owned();
    assert_eq!(home.tandem(&["status", "-o", "json", "--state", &state]).cluster(), "plant");
    first.signal("KILL");
    drop(first);
    assert_eq!(home.tandem(&["status", "-o", "json"]).cluster(), "plant");
    let left = std::fs::read_dir(home.folder(".local/state/tandem/running")).expect("the folder").count();
    assert_eq!(left, 1, "what the dead one left is gone");
    drop(second);
}

#[test]
fn a_state_folder_is_for_one_process_at_a_time() {
    let home = Home::new("twice");
    let first = home.run("lab", "", &["--state", "one"]).until("ask it");
    let (code, said) = home.run("plant", "", &["--state", "one"]).end();
    assert_eq!(code, 1, "{said}");
    let who = format!("in use by another Tandem: process {}", first.child.id());
    assert!(said.contains(&who) && said.contains("--state DIR"), "{said}");
    assert_eq!(home.tandem(&["status", "-o", "json"]).cluster(), "lab", "the first goes on");
    first.signal("KILL");
    drop(first);
    // A crash leaves nothing behind that keeps the folder.
    let again = home.run("plant", "", &["--state", "one"]).until("ask it");
    assert_eq!(home.tandem(&["status", "-o", "json"]).cluster(), "plant");
    drop(again);
}

#[test]
fn mistakes_are_told_with_what_would_be_right_and_nothing_is_claimed_that_was_not_done() {
    let home = Home::new("mistakes");
    let running = home.run("lab", "", &[]).until("ask it");
    wait_until(|| home.tandem(&["node", "list"]).good().contains("in_service"), || "service".to_owned());
    let nodes: Value = serde_json::from_str(&home.tandem(&["node", "list", "-o", "json"]).good()).expect("JSON");
    assert_eq!(nodes.pointer("/nodes/0/name").and_then(Value::as_str), Some("CCM1"));
    for (line, code, told) in [
        ("node start CCM1", 0, "nothing to do: CCM1 runs (in_service, life "),
        ("node kill CCM2", 1, "did you mean CCM1?"),
        ("group show Sales", 1, "known: G1"),
        ("device list --node elsewhere", 1, "known: CCM1"),
        ("device show phone2", 1, "did you mean phone1?"),
        ("events --kind nonsense", 0, "no event matches"),
        ("node kill CCM1", 0, "CCM1 killed: stopped"),
        ("node stop CCM1", 0, "nothing to do: CCM1 does not run (stopped, life "),
        ("device explain phone1", 1, "start one: `tandem node start NAME`"),
        ("node start CCM1", 0, "CCM1 started: "),
        ("quickstart --devices 8 --control 192.0.2.1:80 --state two", 1, "--allow-remote-control"),
        ("quickstart --devices 8 --state lab.toml", 1, "name a folder that it may write with --state DIR"),
        ("device show a/b", 1, "error: \"a/b\" is not a valid device name"),
        ("completions tcsh", 2, "zsh"),
        ("check --config nothing.toml", 1, "cannot read nothing.toml"),
    ] {
        let words: Vec<&str> = line.split_whitespace().collect();
        let said = home.tandem(&words);
        let all = said.out() + &said.err();
        assert!(said.code() == code && all.contains(told), "tandem {line}: {} {all}", said.code());
    }
    assert_eq!(home.tandem(&["device", "show", ""]).code(), 2);
    running.signal("INT");
    let (code, said) = running.end();
    assert_eq!(code, 0, "{said}");
}
