//! What a REGISTER costs the device host without sockets: a batch of 32 datagrams in, answers and rows out.
//!
//! `cargo bench -p tandem --bench batch` compares with the run before. `batch --once refresh 100000 200000` (or `challenged`) registers so
//! many devices and then does so many operations once, for `valgrind --tool=callgrind --toggle-collect='*Scene::measured*'` and for
//! `perf record`. Figures are for comparison within one sitting on one machine; nothing here asserts a time.

#![expect(missing_docs, reason = "the group is made by a macro")]
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a program for people who measure: what cannot be is said and ends it"
)]

#[path = "support/requests.rs"]
mod requests;
#[path = "support/scene.rs"]
mod scene;

use criterion::measurement::{Measurement, WallTime};
use criterion::{BenchmarkId, Criterion, criterion_group};
use scene::{Meter, Scene, Unmeasured, Work};
use std::time::{Duration, Instant};

/// As in the program: the CallManager's side of a row allocates.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SIZES: [u32; 3] = [1_000, 100_000, 1_000_000];

#[derive(Default)]
struct Watch {
    since: Option<Instant>,
    total: Duration,
}
impl Meter for Watch {
    fn begin(&mut self) {
        self.since = Some(WallTime.start());
    }
    fn end(&mut self) {
        self.total += self.since.take().map_or(Duration::ZERO, |since| WallTime.end(since));
    }
}

fn bench(c: &mut Criterion) {
    for work in [Work::Refresh, Work::Challenged] {
        let mut group = c.benchmark_group(match work {
            Work::Refresh => "refresh",
            Work::Challenged => "challenged",
        });
        for devices in SIZES {
            // Made when first asked for: a filter on one size does not pay for the others.
            let mut scene = None;
            group.bench_function(BenchmarkId::from_parameter(devices), |b| {
                let scene = scene.get_or_insert_with(|| Scene::new(work, devices));
                b.iter_custom(|asked| {
                    let mut watch = Watch::default();
                    let done = scene.run(asked, &mut watch);
                    watch.total.mul_f64(asked as f64 / done as f64)
                });
                check(scene, work);
            });
        }
    }
}

/// A benchmark of answers that refuse would be fast.
fn check(scene: &Scene, work: Work) {
    let [.., two, _, four, _, _] = scene.answers;
    let right = if work == Work::Challenged { four == two } else { four == 0 };
    let others = scene.answers.iter().sum::<u64>() - two - four;
    assert!(right && two > 0 && others == 0, "not the answers of {work:?}: {:?}", scene.answers);
}

criterion_group!(benches, bench);

fn once(arguments: &[String]) {
    let usage = "usage: --once refresh|challenged DEVICES OPERATIONS";
    let [work, devices, operations] = arguments else { return println!("{usage}") };
    let work = match work.as_str() {
        "refresh" => Work::Refresh,
        "challenged" => Work::Challenged,
        _ => return println!("{usage}"),
    };
    let (Ok(devices), Ok(operations)) = (devices.parse(), operations.parse()) else { return println!("{usage}") };
    let mut scene = Scene::new(work, devices);
    let done = scene.run(operations, &mut Unmeasured);
    check(&scene, work);
    println!("{done} operations of {work:?}, {devices} devices, answers by hundred {:?}", scene.answers);
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    match arguments.split_first() {
        Some((first, rest)) if first == "--once" => once(rest),
        _ => {
            benches();
            Criterion::default().configure_from_args().final_summary();
        }
    }
}
