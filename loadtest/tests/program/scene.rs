//! A registrar and its control endpoint, as small as they can be and as dishonest as a test wants them, and the program run against them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tandem_base::metric;

/// How long anything may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// What a node is like.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Honesty {
    Honest,
    /// Says 200 and stores one in so many not.
    Forgets(u64),
    /// Answers after this many milliseconds, one request at a time.
    Slow(u64),
}

#[derive(Default)]
struct Node {
    held: BTreeMap<String, ()>,
    requests: u64,
    answers: u64,
}

/// Two nodes A and B, and their control endpoint.
pub(crate) struct Scene {
    pub(crate) folder: PathBuf,
    nodes: [Arc<Mutex<Node>>; 2],
    alive: [Arc<AtomicBool>; 2],
    pub(crate) addresses: [SocketAddr; 2],
}

fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.split("\r\n").find_map(|l| l.strip_prefix(name)?.strip_prefix(": "))
}

fn node(socket: UdpSocket, alive: Arc<AtomicBool>, node: Arc<Mutex<Node>>, honesty: Honesty, serial: Arc<AtomicU64>) {
    let mut buffer = [0; 4_096];
    while alive.load(Ordering::Relaxed) {
        let Ok((length, from)) = socket.recv_from(&mut buffer) else { continue };
        let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
        let Some(to) = field(&text, "To") else { continue };
        if let Honesty::Slow(millis) = honesty {
            std::thread::park_timeout(Duration::from_millis(millis));
        }
        let user = to.trim_start_matches("<sip:").split('@').next().unwrap_or_default().to_owned();
        let mut node = node.lock().expect("no panic");
        let mut answer = String::from("SIP/2.0 200 OK\r\n");
        for name in ["Via", "From", "To", "Call-ID", "CSeq"] {
            let _ = write!(answer, "{name}: {}\r\n", field(&text, name).unwrap_or_default());
        }
        if text.starts_with("REGISTER ") {
            node.requests += 1;
            node.answers += 1;
            let contact = field(&text, "Contact").unwrap_or_default();
            let forgotten =
                matches!(honesty, Honesty::Forgets(n) if serial.fetch_add(1, Ordering::Relaxed) % n == n - 1);
            if text.contains("\r\nExpires: 0\r\n") {
                if !text.contains("cisco-keep-alive") {
                    node.held.remove(&user);
                }
            } else {
                if !forgotten {
                    node.held.insert(user, ());
                }
                let _ = write!(answer, "Contact: {contact};expires=100\r\n");
            }
        }
        answer.push_str("Content-Length: 0\r\n\r\n");
        let _ = socket.send_to(answer.as_bytes(), from);
    }
    node.lock().expect("no panic").held.clear();
}

impl Scene {
    pub(crate) fn new(name: &str, devices: u32, honesty: Honesty) -> Self {
        let folder = std::env::temp_dir().join(format!("tandem-loadtest-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let nodes: [Arc<Mutex<Node>>; 2] = Default::default();
        let alive = [true, true].map(|a| Arc::new(AtomicBool::new(a)));
        let serial = Arc::new(AtomicU64::new(0));
        let mut addresses = Vec::new();
        for (state, alive) in nodes.iter().zip(&alive) {
            let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
            socket.set_read_timeout(Some(Duration::from_millis(20))).expect("a timeout");
            addresses.push(socket.local_addr().expect("an address"));
            let (state, alive, serial) = (state.clone(), alive.clone(), serial.clone());
            std::thread::spawn(move || node(socket, alive, state, honesty, serial));
        }
        let addresses = [addresses[0], addresses[1]];
        let scene = Self { folder, nodes, alive, addresses };
        scene.control();
        let text = format!(
            "[cluster]\nname = \"scene\"\n[settings]\ndigest = false\n\
             [[node]]\nname = \"A\"\naddress = \"127.0.0.1\"\nsip_udp = {}\n\
             [[node]]\nname = \"B\"\naddress = \"127.0.0.1\"\nsip_udp = {}\n\
             [[group]]\nname = \"G\"\nmembers = [\"A\", \"B\"]\n\
             [[device_pool]]\nname = \"P\"\ngroup = \"G\"\n\
             [[device_series]]\nprefix = \"SEP\"\ncount = {devices}\ndigits = 5\npool = \"P\"\n",
            addresses[0].port(),
            addresses[1].port()
        );
        std::fs::write(scene.folder.join("cluster.toml"), text).expect("the file can be written");
        scene
    }

    /// Name of its folder.
    pub(crate) fn name(&self) -> &str {
        self.folder.file_name().and_then(|n| n.to_str()).expect("a name")
    }

    /// Devices that the nodes hold now.
    pub(crate) fn held(&self) -> u64 {
        self.nodes.iter().map(|n| n.lock().expect("no panic").held.len() as u64).sum()
    }

    /// Closes both nodes' ports.
    pub(crate) fn stop(&self) {
        self.alive.iter().for_each(|a| a.store(false, Ordering::Relaxed));
        let free = |a: &SocketAddr| UdpSocket::bind(a).is_ok();
        eventually("the ports are free", || self.addresses.iter().all(free));
    }

    fn control(&self) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let file = format!("{{\"address\": \"{address}\", \"token_file\": \"control.token\", \"pid\": 1}}");
        std::fs::write(self.folder.join("control.json"), file).expect("written");
        std::fs::write(self.folder.join("control.token"), "secret").expect("written");
        let (nodes, alive) = (self.nodes.clone(), self.alive.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                answer(stream, &nodes, &alive);
            }
        });
    }

    /// The program with these words, `--config` and `--state` added.
    pub(crate) fn command(&self, words: &str) -> Command {
        let mut command = program(words);
        command.arg("--config").arg(self.folder.join("cluster.toml"));
        if !words.contains("--no-control") {
            command.arg("--state").arg(&self.folder);
        }
        command
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        let text = std::fs::read(self.folder.join("run.json")).expect("the summary was written");
        serde_json::from_slice(&text).expect("it is JSON")
    }

    /// Runs it with `--json`, and gives exit status, output and summary.
    pub(crate) fn run(&self, words: &str) -> (i32, String, serde_json::Value) {
        let mut command = self.command(words);
        command.arg("--json").arg(self.folder.join("run.json"));
        let (code, text) = said(&mut command);
        (code, text, self.json())
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.alive.iter().for_each(|a| a.store(false, Ordering::Relaxed));
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

pub(crate) fn program(words: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tandem-loadtest"));
    command.args(words.split_whitespace()).stdin(Stdio::null()).env("HOME", "/nowhere").env_remove("TANDEM_STATE");
    command.env_remove("XDG_STATE_HOME");
    command
}

/// Exit status and everything it said.
pub(crate) fn said(command: &mut Command) -> (i32, String) {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
    let Output { status, stdout, stderr } = child.wait_with_output().expect("it ends");
    let text = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    (status.code().unwrap_or(-1), text)
}

/// Waits until `done`; what we wait for is in another process and cannot wake us.
pub(crate) fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

/// Sends a signal, such as INT, which is Ctrl-C.
pub(crate) fn signal(child: &Child, name: &str) {
    let status = Command::new("sh").args(["-c", &format!("kill -{name} {}", child.id())]).status();
    assert!(status.is_ok_and(|s| s.success()));
}

/// One request to the control endpoint.
fn answer(mut stream: TcpStream, nodes: &[Arc<Mutex<Node>>; 2], alive: &[Arc<AtomicBool>; 2]) {
    let mut reader = BufReader::new(stream.try_clone().expect("a copy"));
    let mut first = String::new();
    let _ = reader.read_line(&mut first);
    let mut line = String::from("x");
    while reader.read_line(&mut line).is_ok_and(|n| n > 2) {
        line.clear();
    }
    let path = first.split(' ').nth(1).unwrap_or_default();
    let names = ["A", "B"];
    let body = if path.starts_with("/api/v1/status") {
        let row = |n: usize| {
            let held = nodes[n].lock().expect("no panic").held.len();
            let state = if alive[n].load(Ordering::Relaxed) { "in_service" } else { "stopped" };
            format!("{{\"name\":\"{}\",\"state\":\"{state}\",\"registrations\":{held},\"addresses\":[]}}", names[n])
        };
        let total: usize = nodes.iter().map(|n| n.lock().expect("no panic").held.len()).sum();
        format!("{{\"cluster\":\"scene\",\"nodes\":[{},{}],\"registrations\":{{\"total\":{total}}}}}", row(0), row(1))
    } else if path.starts_with("/api/v1/devices") {
        let mut rows = Vec::new();
        for (node, name) in nodes.iter().zip(names) {
            let held = node.lock().expect("no panic");
            rows.extend(held.held.keys().map(|d| format!("{{\"name\":\"{d}\",\"node\":\"{name}\"}}")));
        }
        format!("{{\"devices\":[{}],\"next\":null}}", rows.join(","))
    } else if path.starts_with("/metrics") {
        let mut text = String::new();
        for (node, name) in nodes.iter().zip(names) {
            let node = node.lock().expect("no panic");
            let _ = writeln!(text, "{}{{node=\"{name}\"}} {}", metric::REGISTRATIONS.name, node.held.len());
            let _ = writeln!(
                text,
                "{}{{node=\"{name}\",method=\"REGISTER\"}} {}",
                metric::SIP_REQUESTS.name,
                node.requests
            );
            let _ = writeln!(text, "{}{{node=\"{name}\",class=\"2xx\"}} {}", metric::SIP_RESPONSES.name, node.answers);
        }
        text
    } else {
        if let Some(n) = names.iter().position(|n| path.ends_with(&format!("/{n}/kill"))) {
            alive[n].store(false, Ordering::Relaxed);
        }
        "{}".to_owned()
    };
    let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
}
