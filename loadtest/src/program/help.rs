//! The long texts of `--help`: what each preset does, what to look at, an example.

/// One line.
pub(super) const ABOUT: &str = "Thousands of simulated SIP phones, an honest verdict";

/// Above the list of presets.
pub(super) const LONG_ABOUT: &str = "\
Thousands of simulated SIP phones over real sockets, and an honest verdict.

The phones read addresses, groups and credentials from the cluster's file and are strangers otherwise: any registrar can be
loaded. They never leave this host: every address has to be a loopback address.

Latency counts from the moment that was planned, so nothing that stalls can hide it. The generator watches itself: when it
was the limit, the run is invalid, and says why. Begin with `tandem-loadtest register --config FILE` beside a running
`tandem run --config FILE`, then kill a node with `tandem-loadtest failover --config FILE`.";

/// Below it, with the figures that a threshold may name.
pub(super) fn after() -> String {
    format!("Figures for --threshold 'NAME<VALUE' (also <=, >, >=):\n{}\n\n{AFTER}", super::threshold::names())
}

const AFTER: &str = "\
Exit status:
   0  good
   1  operations failed, devices were lost or registered twice, counts do not agree, or the run was interrupted
   2  the command line, the file or the surroundings do not permit a run, or a report could not be written or read
   3  invalid: the generator was the limit, the figures say nothing about the server
  99  a --threshold does not hold
 130  Ctrl-C a second time: ended at once, without a report

`tandem-loadtest PRESET --help` explains a preset. docs/LOADTEST.md explains the figures.";

pub(super) const REGISTER: &str = "\
What it does: switches devices on at a steady pace (--rate), waits until all are registered.

What to look at: 'register' latency (RRD of RFC 6076: from the planned REGISTER to its 200, challenge included), 'served'
(from power-on to the first registration, Retry-After included), refusals.

Example: tandem-loadtest register --config examples/config/figure-6-2.toml --rate 500 --threshold 'register.p99<50ms'";

pub(super) const REFRESH: &str = "\
What it does: registers all devices (not measured), then refreshes registrations by an open-loop schedule: arrivals come at
their moments whether or not the server keeps up.

What to look at: 'refresh' latency, failures, and on the server its CPU. Raise --refreshes until p99 leaves the ground: that
is the capacity.

Example: tandem-loadtest refresh --config examples/config/benchmark.toml --refreshes 10000 --duration 60s --threshold 'refresh.p99<5ms'";

pub(super) const STORM: &str = "\
What it does: registers all devices (not measured), cuts their power so that they forget everything and tell nobody, and
switches them on again all at once.

What to look at: 'served' (how long until everybody is registered again), how many were told to come back later and when,
registrations per second over time.

Example: tandem-loadtest storm --config examples/config/figure-6-2.toml --within 1s --threshold 'served.max<10s'";

pub(super) const FAILOVER: &str = "\
What it does: registers all devices, waits for --at, kills one node through the control endpoint (or with --kill-with),
follows every device that it served until it is registered elsewhere, and starts the node again at the end.

What to look at: 'outage' (from the kill to the registration elsewhere, per device), lost and duplicate devices (0), the
refreshes of devices that were not affected ('survivors.p99'). Over UDP a device notices a death at its next refresh:
--keepalive bounds the outage. Over TCP, or with --notice, it notices at once and waits --jitter: this shows how fast the
others can take them.

Example: tandem-loadtest failover --config examples/config/figure-6-2.toml --node CCM1 --at 10s --threshold 'outage.p99<12s' --threshold 'lost<=0'
         tandem-loadtest failover --config FILE --no-control --kill-with 'kill -9 123'";

pub(super) const FAILBACK: &str = "\
What it does: registers all devices, kills a node, waits until its devices have moved, waits for --at, starts the node
again, and follows its devices home. A node has to be well for its pool's connection monitor duration first (two minutes
unless the file says otherwise), and calls devices home at a pace.

What to look at: 'gap' (how long a device going home was not served: about nothing), devices home over time, none lost.

Example: tandem-loadtest failback --config examples/config/figure-6-2.toml --node CCM1 --stall 180s";

pub(super) const ROLLING: &str = "\
What it does: kills and restarts each node in turn, --rounds times, waiting each time until all have moved and all are home.

What to look at: every line of the table of failovers: nobody lost, nobody twice, outages alike in the second round.

Example: tandem-loadtest rolling --config examples/config/figure-6-2.toml --rounds 2";

pub(super) const FLAP: &str = "\
What it does: one node dies and returns again and again (--down, --up, --times).

What to look at: devices that stayed or moved once are right; 'moved again' and a growing number of refusals are not. At the
end the run waits until everybody is at home.

Example: tandem-loadtest flap --config examples/config/figure-6-2.toml --node CCM1 --down 3s --up 5s --times 5";

pub(super) const SOAK: &str = "\
What it does: keeps all devices registered for --duration, each refreshing by its keepalive; with --kill-every a node dies
now and then, each in turn, and returns half-way to the next death.

What to look at: the curves of the HTML report: latency and errors must stay level from the first minute to the last.

Example: tandem-loadtest soak --config examples/config/figure-6-2.toml --duration 8h --kill-every 5m --html soak.html";

pub(super) const COMPARE: &str = "\
What it does: reads the summaries of two runs (--json) and puts every figure of both beside each other, with the ratio of the
second to the first, and says what differs between the runs: preset, seed, devices, settings.

What to look at: the remarks first, then the lines that are 'better' or 'worse'. Two single runs differ by 10 % for no reason,
and sometimes by more: this judges nobody, and its exit status is 0 whatever it finds, and 2 when a file cannot be read.

Example: tandem-loadtest compare before.json after.json
         tandem-loadtest compare before.json after.json -o json";
