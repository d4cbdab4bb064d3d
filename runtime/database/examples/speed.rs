//! What the store costs on this disk: an import, its replay elsewhere, a snapshot, single commits with fsync, questions, opening.
//!
//! Prints figures; it is no test. Works in a folder that it removes: the one named first, or the system's for temporary files.
//! `cargo run --release -p tandem-database --example speed -- [FOLDER] [DEVICES]`

// A program at a terminal: it prints, reads the clock and stops at what it cannot do.
#![allow(
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used
)]

use std::path::Path;
use std::time::{Duration, Instant};
use tandem_base::{NodeName, UnixMillis};
use tandem_database::replication::{Done, LogPosition, LogRead, Work};
use tandem_database::{
    Document, Draft, DraftOp, Epoch, Query, Store, StoreSettings, Table, Target, UserField, UserSetting, Worker,
};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().map_or_else(std::env::temp_dir, Into::into);
    let devices = arguments.next().and_then(|n| n.parse().ok()).unwrap_or(100_000);
    let folder = folder.join(format!("database-speed-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    run(&folder, devices);
    std::fs::remove_dir_all(&folder).unwrap();
}

fn timed<T>(what: &str, work: impl FnOnce() -> T) -> (T, Duration) {
    let (began, cpu) = (Instant::now(), cpu());
    let value = work();
    let (took, used) = (began.elapsed(), self::cpu() - cpu);
    println!("{what:<52} {:>9.1} ms, CPU {used:>6} ms", took.as_secs_f64() * 1e3);
    (value, took)
}
/// CPU of this process so far, in milliseconds (ticks of 10 ms).
fn cpu() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    fields.skip(11).take(2).filter_map(|f| f.parse::<u64>().ok()).sum::<u64>() * 10
}
fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    line.and_then(|l| l.split_whitespace().next()).and_then(|n| n.parse().ok()).unwrap_or(0) / 1024
}

fn device(n: u64) -> Document {
    Document::new()
        .with("kind", "phone")
        .with("pool", format!("DP{}", n % 10))
        .with("description", format!("Phone number {n} on floor {}", n % 40))
        .with("digest_user", format!("user{n:07}"))
        .with("password", format!("secret-{n:07}"))
        .with("lines", vec![format!("{}", 1_000_000 + n)])
}
fn draft(ops: Vec<DraftOp>) -> Draft {
    Draft { author: "speed".into(), at: UnixMillis(1), ops, ..Draft::default() }
}
fn layout() -> Vec<DraftOp> {
    let mut ops = vec![];
    for n in 1..=3 {
        let node = Document::new().with("address", vec![format!("10.0.0.{n}")]);
        ops.push(DraftOp::create(Table::Node, format!("CCM{n}"), node));
    }
    ops.push(DraftOp::create(Table::Group, "G1", Document::new().with("members", vec!["CCM1", "CCM2", "CCM3"])));
    for n in 0..10 {
        ops.push(DraftOp::create(Table::DevicePool, format!("DP{n}"), Document::new().with("group", "G1")));
    }
    ops
}

fn run(folder: &Path, devices: u64) {
    let settings = StoreSettings::default();
    let open = |name: &str| Store::open(&folder.join(name), settings).unwrap();
    let epoch = Epoch { number: 1, started: UnixMillis(1), publisher: NodeName::new("CCM1").unwrap() };
    let (mut a, b, mut c) = (open("a"), open("b"), open("c"));
    a.commit(&epoch, &draft(layout())).unwrap();
    let import: Vec<_> =
        (0..devices).map(|n| DraftOp::create(Table::Device, format!("SEP{n:012}"), device(n))).collect();
    let import = draft(import);
    timed(&format!("import of {devices} devices, one transaction"), || drop(a.commit(&epoch, &import).unwrap()));
    drop(import);
    println!("{:<52} {:>9} MiB", "most memory so far", memory());

    let mut subscriber = Worker::new(b).unwrap();
    let (changes, _) = timed("the log read in pieces", || {
        let LogRead::Parts { parts, .. } =
            a.read_log((0, None), LogPosition { revision: 1, op: 0 }, usize::MAX).unwrap()
        else {
            unreachable!("the log begins at 1")
        };
        let (first, rest) = parts.split_first().unwrap();
        println!("{:<52} {:>9} KiB", "as it travels", parts.iter().map(|p| p.ops.0.len()).sum::<usize>() / 1024);
        vec![vec![first.clone()], rest.to_vec()]
    });
    timed("applied at a subscriber", || {
        let work = Work::Apply { changes, history: a.epochs().unwrap() };
        let Done::Applied { stopped: None, .. } = subscriber.run(UnixMillis(1), work) else { panic!("it fits") };
    });
    timed("a snapshot read, staged and restored elsewhere", || {
        let mut snapshot = a.snapshot().unwrap();
        for index in 0.. {
            let (items, end) = snapshot.next_chunk().unwrap();
            c.stage_chunk(index, &items.0).unwrap();
            if end {
                break;
            }
        }
        let (head, history) = (snapshot.head().clone(), snapshot.epochs().to_vec());
        let epoch = head.epoch.clone().unwrap();
        let target = Target { revision: head.revision, digest: head.digest, epoch, history, at: UnixMillis(1) };
        c.restore(&target).unwrap();
    });
    assert_eq!(a.head().unwrap().digest, c.head().unwrap().digest);
    assert_eq!(a.head().unwrap().digest, subscriber.head().digest);
    singles(&mut a, &epoch);
    questions(&a, devices);
    drop(a);
    let (a, _) = timed("opened (quick_check)", || open("a"));
    timed("every row read", || Table::ALL.into_iter().for_each(|t| a.each(t, |_, _| {}).unwrap()));
    timed("digest counted anew", || assert_eq!(a.recount().unwrap(), a.head().unwrap().digest));
    let bytes: u64 = std::fs::read_dir(folder).unwrap().map(|f| f.unwrap().metadata().unwrap().len()).sum();
    println!("{:<52} {:>9} MiB", "the three files", bytes >> 20);
    println!("{:<52} {:>9} MiB", "most memory", memory());
}

fn singles(a: &mut Store, epoch: &Epoch) {
    let one =
        |n: u64| draft(vec![DraftOp::put(Table::Device, format!("SEP{n:012}"), device(n).with("description", n))]);
    let one = |n: u64| {
        let mut d = one(n);
        d.ops.iter_mut().for_each(|o| o.after.as_mut().unwrap().set("description", format!("changed {n}")));
        d
    };
    let (mut times, count) = (Vec::new(), 400);
    for n in 0..count {
        let began = Instant::now();
        a.commit(epoch, &one(n)).unwrap();
        times.push(began.elapsed());
    }
    times.sort_unstable();
    let total: Duration = times.iter().sum();
    let at = |share: f64| times[((count - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    println!(
        "{:<52} {:>9.0} /s; p50 {:.2} ms, p99 {:.2} ms",
        "single changes, each with its fsync",
        count as f64 / total.as_secs_f64(),
        at(0.5),
        at(0.99)
    );
    let batch: Vec<_> = (0..1_000).map(|n| one(n + 10_000)).collect();
    let began = Instant::now();
    for some in batch.chunks(20) {
        a.commit_many(epoch, some).unwrap().into_iter().for_each(|r| drop(r.unwrap()));
    }
    let rate = 1_000.0 / began.elapsed().as_secs_f64();
    println!("{:<52} {rate:>9.0} /s", "changes in groups of 20, one fsync each");
    let user = |n: u64| UserSetting {
        device: format!("SEP{n:012}"),
        field: UserField::CallForwardAll,
        value: Some("1001".into()),
        at: UnixMillis(n),
        author: "speed".into(),
        node: NodeName::new("CCM1").unwrap(),
    };
    timed("10,000 user settings in groups of 256", || {
        for some in (0..10_000).collect::<Vec<u64>>().chunks(256) {
            a.set_user(some.iter().map(|n| user(*n)).collect()).unwrap();
        }
    });
}

fn questions(a: &Store, devices: u64) {
    let page = |query: Query| a.list(&query).unwrap().rows.len();
    let middle = || Query { after: Some(format!("SEP{:012}", devices / 2)), ..Query::of(Table::Device) };
    let each = |what: &str, query: Query| {
        let (began, count) = (Instant::now(), 50);
        let mut rows = 0;
        (0..count).for_each(|_| rows = page(query.clone()));
        let micros = began.elapsed().as_secs_f64() * 1e6 / f64::from(count);
        println!("{what:<52} {micros:>9.0} us for {rows} rows");
    };
    each("a page of 100 from the middle", middle());
    each("the same of one pool", middle().with("pool", "DP3"));
    each("by line", Query::of(Table::Device).with("lines", &format!("{}", 1_000_000 + devices / 3)));
    each("by prefix", Query { prefix: Some("SEP00000000777".into()), ..Query::of(Table::Device) });
    each("a search that finds nothing", Query { search: Some("nowhere".into()), ..Query::of(Table::Device) });
    each("a search that finds many", Query { search: Some("floor 7".into()), ..Query::of(Table::Device) });
    timed("count of one pool", || a.count(&Query::of(Table::Device).with("pool", "DP3")).unwrap());
}
