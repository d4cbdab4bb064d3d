//! The commands against a real console on loopback whose nodes are scripted: what is printed, in both forms, and what is refused.

#[path = "../../../console/tests/console/fake.rs"]
mod configuration;
mod database;

use super::*;
use args::Format;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use tandem_base::{DeviceName, GroupName, Incarnation, Rank, UnixMillis};
use tandem_console::{Access, Admin, BoxFuture, Listen, Running, serve};
use tandem_model::admin::{
    AdminError, ByRank, DeviceDetail, DeviceEntry, DeviceExplanation, DevicePage, DeviceQuery, DeviceReset,
    DeviceState, ErrorKind, Failback, GroupDetail, GroupStatus, Health, Move, NodeCommand, NodeDone, NodeState,
    NodeStatus, Registrations, Reply, Request, Status,
};
use tandem_model::event::Event;

const TOKEN: &str = "a-token-for-tests-only";

fn node_name(name: &str) -> NodeName {
    NodeName::new(name).unwrap()
}
fn device_name(number: u32) -> DeviceName {
    DeviceName::new(&format!("SEP{number:06}")).unwrap()
}
fn group_name() -> GroupName {
    GroupName::new("G1").unwrap()
}

fn event(sequence: u64) -> Event {
    Event {
        sequence,
        at: UnixMillis(1_700_000_000_000 + sequence * 1_000),
        node: Some(node_name("CCM1")),
        kind: "node_down".to_owned(),
        group: None,
        device: None,
        cause: "killed".to_owned(),
        text: format!("CCM1 is down \u{1b}[2J({sequence})"),
    }
}

fn node_status(name: &str, state: NodeState, registrations: u64) -> NodeStatus {
    NodeStatus {
        name: node_name(name),
        state,
        incarnation: Incarnation(3),
        publisher: name == "CCM1",
        config_revision: None,
        config_lag: 0,
        registrations,
        addresses: vec![format!("udp:127.0.0.1:506{}", name.len())],
        seen_by: BTreeMap::from([(node_name("CCM2"), state), (node_name("CCM3"), NodeState::Down)]),
    }
}
fn group_status() -> GroupStatus {
    GroupStatus {
        name: group_name(),
        members: vec![node_name("CCM1"), node_name("CCM2")],
        devices: 2_500,
        by_node: BTreeMap::from([(node_name("CCM1"), 0), (node_name("CCM2"), 2_400)]),
        policy: "automatic".to_owned(),
    }
}
fn entry(number: u32) -> DeviceEntry {
    DeviceEntry {
        name: device_name(number),
        pool: "DP1".parse().unwrap(),
        group: group_name(),
        kind: "phone".to_owned(),
        lines: vec!["1001".parse().unwrap()],
        state: DeviceState::Registered,
        node: Some(node_name("CCM2")),
        rank: Rank::new(2),
        since: Some(UnixMillis(1_700_000_000_000)),
        contact: Some("sip:1001@10.0.0.1:5060".to_owned()),
    }
}

/// Devices that the scripted nodes know.
const DEVICES: u32 = 2_500;

/// Answers as a cluster in trouble would.
#[derive(Default)]
struct Scripted {
    asked: Mutex<Vec<Request>>,
    events: u64,
    config: Mutex<configuration::Configuration>,
}

impl Scripted {
    fn answer(request: Request) -> Result<Reply, AdminError> {
        Ok(match request {
            Request::Status => Reply::Status(Status {
                cluster: "lab".to_owned(),
                config_revision: 7,
                answered_by: Some(node_name("CCM2")),
                nodes: vec![node_status("CCM1", NodeState::Suspect, 0), node_status("CCM2", NodeState::Down, 2_400)],
                groups: vec![group_status()],
                registrations: Registrations { total: 2_400, by_rank: ByRank { first: 0, second: 2_400, third: 0 } },
                quarantined: 1,
            }),
            Request::DeviceList(query) => Reply::Devices(Self::page(&query)),
            Request::DeviceShow(_) => Reply::Device(DeviceDetail {
                entry: DeviceEntry { contact: Some("sip:\u{1b}]0;owned\u{7}@x".to_owned()), ..entry(1) },
                members: vec![node_name("CCM1"), node_name("CCM2")],
                transport: Some("udp".to_owned()),
                source: Some("10.0.0.1:5060".to_owned()),
                expires: None,
                last_reason: Some("failover".to_owned()),
                quarantine: None,
            }),
            Request::DeviceExplain(name) => Reply::Explanation(DeviceExplanation {
                name,
                group: group_name(),
                desired_node: Some(node_name("CCM2")),
                actual_node: Some(node_name("CCM2")),
                rank: Rank::new(2),
                since: None,
                last_reason: Some("failover".to_owned()),
                sentence: "It is at CCM2 because CCM1 is down.".to_owned(),
                history: vec![event(1)],
            }),
            Request::GroupShow(_) => Reply::Group(GroupDetail {
                status: group_status(),
                by_rank: ByRank { first: 0, second: 2_400, third: 0 },
                pools: vec!["DP1".parse().unwrap()],
                if_down: BTreeMap::from([(node_name("CCM2"), BTreeMap::from([(node_name("CCM1"), 2_400)]))]),
            }),
            Request::Failback { group, preview } => Reply::Failback(Failback {
                group,
                started: !preview,
                would_move: 2_400,
                moves: vec![Move { from: node_name("CCM2"), to: node_name("CCM1"), devices: 2_400 }],
                examples: vec![device_name(0), device_name(1)],
                waiting_for: Some("CCM1 is up for 40 s of 120 s".to_owned()),
            }),
            Request::Node { name, command } if name.as_str() == "CCM1" => Reply::Node(NodeDone {
                name,
                command,
                state: NodeState::Stopped,
                incarnation: Incarnation(3),
                already: command == NodeCommand::Stop,
            }),
            Request::Node { name, .. } => {
                return Err(AdminError::unknown("node", name.as_str(), ["CCM1", "CCM2"]).remedy("see `tandem status`"));
            }
            Request::DeviceReset(device) => Reply::Reset(DeviceReset { device, node: Some(node_name("CCM2")) }),
            Request::Config(_) | Request::DeviceRelease(_) | Request::GroupList => {
                return Err(AdminError::new(ErrorKind::Refused, "not now").code("T0001"));
            }
        })
    }
    fn page(query: &DeviceQuery) -> DevicePage {
        let after = query.cursor.as_ref();
        let found = (0..DEVICES).filter(|i| after.is_none_or(|a| device_name(*i) > *a));
        let devices: Vec<_> = found.map(entry).take(query.page_size()).collect();
        let next = devices.last().map(|d| d.name.clone()).filter(|last| *last < device_name(DEVICES - 1));
        DevicePage { devices, next }
    }
}

impl Admin for Scripted {
    fn call(&self, request: Request) -> BoxFuture<'_, Result<Reply, AdminError>> {
        if let Request::Config(request) = request {
            let answer = self.config.lock().unwrap().answer(*request).map(Reply::Config);
            return Box::pin(async move { answer });
        }
        self.asked.lock().unwrap().push(request.clone());
        Box::pin(async move { Self::answer(request) })
    }
    fn events_after(&self, after: u64, limit: usize) -> Vec<Event> {
        (after + 1..=self.events).take(limit).map(event).collect()
    }
    fn now(&self) -> tandem_base::Time {
        tandem_base::Time::ZERO
    }
    fn last_event(&self) -> u64 {
        self.events
    }
    fn news(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::pending())
    }
    fn metrics(&self) -> String {
        String::new()
    }
    fn health(&self) -> Health {
        Health { healthy: true, ready: true, nodes: BTreeMap::new() }
    }
}

/// A state folder with a console behind it, as `tandem run` leaves it.
struct Tandem {
    folder: PathBuf,
    console: Option<Running>,
    admin: Arc<Scripted>,
}

impl Tandem {
    #[expect(clippy::disallowed_methods, reason = "a test makes the files that the commands find")]
    fn start(test: &str, events: u64) -> Self {
        let folder = std::env::temp_dir().join(format!("tandem-commands-{}-{test}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let admin = Arc::new(Scripted { events, ..Scripted::default() });
        let access = Access { token: TOKEN.to_owned(), token_file: folder.join("control.token") };
        let listen = Listen { address: "127.0.0.1:0".parse().unwrap(), beyond_loopback: false };
        std::fs::write(&access.token_file, format!("{TOKEN}\n")).unwrap();
        let console = serve(listen, access, Arc::clone(&admin) as Arc<dyn Admin>).unwrap();
        let control = tandem_model::admin::ControlFile {
            address: console.address().to_string(),
            token_file: "control.token".into(),
            pid: std::process::id(),
            nodes: Vec::new(),
        };
        std::fs::write(folder.join("control.json"), serde_json::to_string(&control).unwrap()).unwrap();
        Self { folder, console: Some(console), admin }
    }
    /// Output, notes, and how it ended.
    fn tandem(&self, arguments: &str) -> (String, String, Result<(), Failure>) {
        let words =
            ["tandem", "--state", self.folder.to_str().unwrap()].into_iter().chain(arguments.split_whitespace());
        let cli = parse(words).unwrap();
        let (mut sink, mut notes) = (Vec::new(), Vec::new());
        let mut out = Out::to(cli.global.output, false, &mut sink, &mut notes);
        let done = carry_out(cli, &no_programs(), &mut out).and_then(|()| out.flush());
        drop(out);
        (String::from_utf8(sink).unwrap(), String::from_utf8(notes).unwrap(), done)
    }
    fn prints(&self, arguments: &str) -> String {
        let (text, _, done) = self.tandem(arguments);
        assert_eq!(done, Ok(()), "{arguments}");
        text
    }
    fn json(&self, arguments: &str) -> serde_json::Value {
        serde_json::from_str(&self.prints(&format!("{arguments} -o json"))).unwrap()
    }
}
impl Drop for Tandem {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
fn no_programs() -> Programs<'static> {
    let never = |what: &str| Failure::new(Exit::Failed, format!("{what} was not asked for"));
    Programs {
        run: Box::leak(Box::new(move |_| Err(never("run")))),
        up: Box::leak(Box::new(move |_| Err(never("up")))),
        quickstart: Box::leak(Box::new(move |_| Err(never("quickstart")))),
    }
}

#[test]
fn the_command_line_is_sound() {
    fn options<'a>(command: &'a clap::Command, path: &str, found: &mut Vec<(String, &'a clap::Arg)>) {
        found.extend(command.get_arguments().map(|a| (path.to_owned(), a)));
        command.get_subcommands().for_each(|c| options(c, &format!("{path} {}", c.get_name()), found));
    }
    let command = Cli::command();
    command.clone().debug_assert();
    // An option of a command that shadows a global one would be read as the other.
    let mut found = Vec::new();
    options(&command, "tandem", &mut found);
    let global: Vec<_> = found.iter().filter(|(_, a)| a.is_global_set()).map(|(_, a)| a.get_id()).collect();
    assert!(global.len() >= 4, "{global:?}");
    for (path, option) in found.iter().filter(|(_, a)| !a.is_global_set()) {
        assert!(!global.contains(&option.get_id()), "{path} --{}", option.get_id());
        assert!(option.get_help().is_some(), "{path} --{} has no help", option.get_id());
    }
}

#[test]
fn the_status_for_people_names_what_is_wrong() {
    let tandem = Tandem::start("status", 0);
    assert_eq!(
        tandem.prints("status"),
        "\
cluster lab, configuration 0000000000000007, answered by CCM2

NODE  STATE    LIFE  ROLE        CONFIG  REGISTRATIONS  ADDRESSES
CCM1  suspect     3  publisher        -              0  udp:127.0.0.1:5064
CCM2  down        3  subscriber       -           2400  udp:127.0.0.1:5064

GROUP  MEMBERS      DEVICES  SERVED BY  GOES HOME
G1     CCM1 > CCM2     2500  CCM2 2400  automatic

registrations 2400: rank 1 0, rank 2 2400, rank 3 0
the nodes do not agree about CCM1: seen suspect by CCM2; down by CCM3
100 of 2500 devices are not registered: `tandem device list --in-state unregistered`
1 devices are in quarantine: `tandem device list --in-state quarantined`
"
    );
}

#[test]
fn the_status_for_scripts_is_what_the_api_said() {
    let status = Tandem::start("status-json", 0).json("status");
    assert_eq!(status["nodes"][0]["state"], "suspect");
    assert_eq!(status["groups"][0]["by_node"]["CCM2"], 2_400);
    assert_eq!(status["registrations"]["by_rank"], serde_json::json!({"1": 0, "2": 2_400, "3": 0}));
    assert_eq!((&status["api"], &status["nodes"][0]["publisher"]), (&1.into(), &true.into()));
}

#[test]
fn a_short_list_says_how_to_see_the_rest() {
    let tandem = Tandem::start("list", 0);
    let (text, notes, _) = tandem.tandem("device list --limit 2 --node CCM2 --search sep");
    assert_eq!(
        text,
        "\
DEVICE     KIND   GROUP  POOL  LINES  STATE       NODE  RANK  SINCE                 CONTACT
SEP000000  phone  G1     DP1   1001   registered  CCM2     2  2023-11-14T22:13:20Z  sip:1001@10.0.0.1:5060
SEP000001  phone  G1     DP1   1001   registered  CCM2     2  2023-11-14T22:13:20Z  sip:1001@10.0.0.1:5060
"
    );
    assert_eq!(notes, "there are more: --all shows every device, --cursor SEP000001 goes on from here\n");
    let asked = tandem.admin.asked.lock().unwrap().clone();
    let [Request::DeviceList(query)] = asked.as_slice() else { panic!("{asked:?}") };
    assert_eq!(
        (query.limit, query.node.as_ref(), query.search.as_deref()),
        (Some(2), Some(&node_name("CCM2")), Some("sep"))
    );
}

#[test]
fn all_devices_come_page_by_page_each_once() {
    let tandem = Tandem::start("all", 0);
    let all = tandem.json("device list --all");
    let names: Vec<_> = all["devices"].as_array().unwrap().iter().map(|d| d["name"].as_str().unwrap()).collect();
    assert_eq!((names.len(), &all["next"]), (DEVICES as usize, &serde_json::Value::Null));
    assert!(names.is_sorted() && names.windows(2).all(|w| w[0] != w[1]));
    assert_eq!(tandem.admin.asked.lock().unwrap().len(), 3);
    assert_eq!(tandem.prints("device list --all").lines().count(), DEVICES as usize + 1, "one header for all pages");
    let rest = tandem.json("device list --limit 5 --cursor SEP000010");
    assert_eq!((&rest["devices"][0]["name"], &rest["next"]), (&"SEP000011".into(), &"SEP000015".into()));
}

#[test]
fn what_a_phone_wrote_cannot_steer_the_terminal() {
    let tandem = Tandem::start("escape", 1);
    for command in ["device show SEP000001", "events", "device explain SEP000001"] {
        let text = tandem.prints(command);
        assert!(!text.contains(['\u{1b}', '\u{7}']) && text.contains('?'), "{text:?}");
    }
}

#[test]
fn an_explanation_begins_with_its_sentence_and_ends_with_the_history() {
    let text = Tandem::start("explain", 0).prints("device explain SEP000001");
    assert!(text.starts_with("It is at CCM2 because CCM1 is down.\n"), "{text}");
    assert!(text.contains("should be at  CCM2\n"), "{text}");
    assert!(text.ends_with("2023-11-14T22:13:21Z       1 node_down      CCM1 is down ?[2J(1)\n"), "{text}");
}

#[test]
fn a_group_says_who_would_take_over() {
    let text = Tandem::start("group", 0).prints("group show G1");
    assert!(
        text.ends_with(
            "pools: DP1\nregistered: rank 1 0, rank 2 2400, rank 3 0\nif CCM2 died now: devices move: 2400 to CCM1\n"
        ),
        "{text}"
    );
}

#[test]
fn a_preview_moves_nobody_and_says_who_would_move() {
    let tandem = Tandem::start("failback", 0);
    assert_eq!(
        tandem.prints("failback --group G1 --preview"),
        "G1: 2400 devices would move\nFROM  TO    DEVICES\nCCM2  CCM1     2400\n\
         among them: SEP000000, SEP000001\nwaiting for: CCM1 is up for 40 s of 120 s\n"
    );
    assert!(tandem.prints("failback --group G1").starts_with("G1: 2400 devices will be called home\n"));
    let asked = tandem.admin.asked.lock().unwrap().clone();
    assert_eq!(asked[0], Request::Failback { group: group_name(), preview: true });
    assert_eq!(asked[1], Request::Failback { group: group_name(), preview: false });
}

#[test]
fn a_node_is_commanded_and_an_unknown_one_is_refused_with_the_nearest() {
    let tandem = Tandem::start("node", 0);
    assert_eq!(tandem.prints("node kill CCM1"), "CCM1 killed: stopped, life 3\n");
    assert_eq!(tandem.prints("node stop CCM1"), "nothing to do: CCM1 does not run (stopped, life 3)\n");
    let (_, _, refused) = tandem.tandem("node stop CMC2");
    let refused = refused.unwrap_err();
    assert_eq!(refused.exit, Exit::Failed);
    assert_eq!(
        refused.to_string(),
        "error: there is no node \"CMC2\"\n       did you mean CCM2?\n       see `tandem status`"
    );
    let (_, _, strange) = tandem.tandem("node stop ../../status");
    assert!(strange.unwrap_err().message.contains("not a valid node name"));
    assert_eq!(tandem.tandem("group list").2.unwrap_err().to_string(), "error: T0001: not now");
}

#[test]
fn events_end_at_what_there_was_and_follow_each_other() {
    let tandem = Tandem::start("events", 2_345);
    assert_eq!(tandem.prints("events").lines().count(), 100);
    assert_eq!(tandem.prints("events --last 3").lines().count(), 3);
    let all = tandem.json("events --all");
    let numbers: Vec<_> = all["events"].as_array().unwrap().iter().filter_map(|e| e["sequence"].as_u64()).collect();
    assert_eq!(numbers, (1..=2_345).collect::<Vec<_>>());
    assert_eq!((&all["next"], &all["api"], &all["restarted"]), (&2_345.into(), &1.into(), &false.into()));
    assert_eq!(tandem.json("events --kind nothing")["events"], serde_json::json!([]));
    let (_, notes, _) = tandem.tandem("events --after 9999");
    assert!(notes.contains("started anew"), "{notes}");
}

#[test]
fn following_prints_what_happens_until_nobody_reads_any_more() {
    /// A reader that goes away after three lines.
    struct Head(usize);
    impl Write for Head {
        fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
            let lines = text.iter().filter(|b| **b == b'\n').count();
            self.0 = self.0.checked_sub(lines).ok_or(std::io::ErrorKind::BrokenPipe)?;
            Ok(text.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let tandem = Tandem::start("follow", 10);
    let cli = parse(["tandem", "--state", tandem.folder.to_str().unwrap(), "events", "-f", "--last", "10"]).unwrap();
    let mut out = Out::to(Format::Table, false, Head(3), std::io::sink());
    let ended = carry_out(cli, &no_programs(), &mut out).unwrap_err();
    assert_eq!((ended.exit, ended.message.as_str()), (Exit::Done, ""));
}

#[test]
fn following_goes_on_after_a_lost_connection_without_a_gap_or_a_repetition() {
    /// Ends the first console when it has printed event 10, and the reading after event 12.
    struct Sink<'a>(&'a Mutex<Tandem>, Vec<u8>);
    impl Write for Sink<'_> {
        fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
            self.1.extend_from_slice(text);
            Ok(text.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            let seen = |n: u64| String::from_utf8_lossy(&self.1).contains(&format!("({n})"));
            if seen(12) {
                let text = String::from_utf8_lossy(&self.1);
                let printed = text.lines().filter_map(|l| l.split_whitespace().nth(1)?.parse().ok());
                assert_eq!(printed.collect::<Vec<u64>>(), (1..=12).collect::<Vec<_>>());
                return Err(std::io::ErrorKind::BrokenPipe.into());
            }
            if seen(10)
                && let Some(console) = self.0.lock().unwrap().console.take()
            {
                console.stop();
            }
            Ok(())
        }
    }
    let (first, second) = (Mutex::new(Tandem::start("before", 10)), Tandem::start("after", 12));
    let global = |t: &Tandem| Global { state: Some(t.folder.clone()), ..Global::default() };
    let (before, after) = (global(&first.lock().unwrap()), global(&second));
    let pauses = Mutex::new(0);
    let find = || {
        let global = if *pauses.lock().unwrap() == 0 { &before } else { &after };
        Processes::find(global).map(|found| found.into_client(None))
    };
    let mut notes = Vec::new();
    let mut out = Out::to(Format::Table, false, Sink(&first, Vec::new()), &mut notes);
    let query = args::Events { follow: true, last: Some(10), ..args::Events::default() };
    let ended = events::follow(&find, &|| *pauses.lock().unwrap() += 1, &query, &mut out).unwrap_err();
    drop(out);
    assert_eq!((ended.exit, *pauses.lock().unwrap()), (Exit::Done, 1), "{ended}");
    assert_eq!(String::from_utf8(notes).unwrap(), "the connection is lost: trying again\n");
}

#[test]
fn a_wrong_token_a_stopped_process_and_a_stranger_are_told_apart() {
    let mut tandem = Tandem::start("unreachable", 0);
    let wrong = tandem.folder.join("wrong");
    #[expect(clippy::disallowed_methods, reason = "a test makes the files that the commands find")]
    std::fs::write(&wrong, "another-token-than-that").unwrap();
    let (_, _, refused) = tandem.tandem(&format!("status --token-file {}", wrong.display()));
    let refused = refused.unwrap_err();
    assert_eq!(
        (refused.exit, refused.message.as_str()),
        (Exit::Failed, "T0401: the token is wrong, or its time is over")
    );
    assert!(refused.to_string().contains("control.token") && !refused.to_string().contains(TOKEN), "{refused}");
    if let Some(console) = tandem.console.take() {
        console.stop();
    }
    let (_, _, gone) = tandem.tandem("status");
    let gone = gone.unwrap_err();
    assert_eq!(gone.exit, Exit::Unreachable);
    assert!(gone.to_string().contains("is it running?"), "{gone}");
}

#[test]
fn programs_get_their_options() {
    let asked = Mutex::new(Vec::new());
    let run = |o: RunOptions| {
        asked.lock().unwrap().push(format!("{o:?}"));
        Ok(())
    };
    let quickstart = |o: QuickstartOptions| {
        asked.lock().unwrap().push(format!("{o:?}"));
        Ok(())
    };
    let up = |o: UpOptions| {
        asked.lock().unwrap().push(format!("{o:?}"));
        Ok(())
    };
    let programs = Programs { run: &run, up: &up, quickstart: &quickstart };
    let go = |line: &str| {
        let mut out = Out::to(Format::Table, false, std::io::sink(), std::io::sink());
        carry_out(parse(line.split_whitespace()).unwrap(), &programs, &mut out)
    };
    go("tandem run --config c.toml --node CCM1 --node CCM2 --state /s --control 127.0.0.1:7060").unwrap();
    go("tandem quickstart --state /s -o json").unwrap();
    go("tandem up --config c.toml --control 127.0.0.1:7060").unwrap();
    assert_eq!(go("tandem run --config c.toml --state /s --control here").unwrap_err().exit, Exit::Usage);
    let asked = asked.lock().unwrap();
    assert!(
        asked[0].contains(r#"NodeName("CCM2")"#) && asked[0].contains("control: Some(127.0.0.1:7060)"),
        "{asked:?}"
    );
    assert!(asked[2].contains("c.toml") && asked[2].contains("control: Some(127.0.0.1:7060)"), "{asked:?}");
    assert!(asked[1].contains("devices: 800") && asked[1].contains("json: true"), "{asked:?}");
}

#[test]
fn a_wrong_command_line_is_a_usage_error_and_help_is_not() {
    for wrong in [
        "tandem",
        "tandem nope",
        "tandem device list --limit 5 --all",
        "tandem device list --in-state asleep",
        "tandem run",
    ] {
        assert_eq!(parse(wrong.split_whitespace()).unwrap_err().exit_code(), 2, "{wrong}");
    }
    for fine in ["tandem --help", "tandem --version", "tandem node --help", "tandem events -h"] {
        assert!(!parse(fine.split_whitespace()).unwrap_err().use_stderr(), "{fine}");
    }
}

#[test]
fn help_teaches_by_example_and_tells_the_exit_codes() {
    let help = |line: &str| parse(line.split_whitespace()).unwrap_err().to_string();
    let top = help("tandem --help");
    for told in ["tandem quickstart", "control.json", "$XDG_STATE_HOME/tandem", "EXIT CODES", "NO_COLOR"] {
        assert!(top.contains(told), "{told}: {top}");
    }
    for command in
        ["config", "config get", "config import", "device add", "group update", "pool add", "user", "user token"]
    {
        assert!(help(&format!("tandem {command} --help")).contains("EXAMPLE"), "{command}");
    }
    for command in ["run", "quickstart", "check", "status", "node", "device list", "failback", "events", "completions"]
    {
        assert!(help(&format!("tandem {command} --help")).contains("EXAMPLE"), "{command}");
    }
}

#[test]
fn completions_know_the_commands() {
    let cli = parse(["tandem", "completions", "bash"]).unwrap();
    let mut script = Vec::new();
    let mut out = Out::to(Format::Table, false, &mut script, std::io::sink());
    carry_out(cli, &no_programs(), &mut out).unwrap();
    drop(out);
    assert!(String::from_utf8(script).unwrap().contains("failback"));
}
