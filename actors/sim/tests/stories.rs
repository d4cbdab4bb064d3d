//! What the simulator has found, told as a story each: the shortest course of events that once ended wrong.

#![expect(clippy::unwrap_used, clippy::panic, reason = "all of this file is test code")]

use std::collections::BTreeSet;
use std::time::Duration;
use tandem_base::Time;
use tandem_sim::{Fault, Setup, Sim};

const CCM1: u16 = 0;
const CCM2: u16 = 1;
const CCM3: u16 = 2;

fn small() -> Sim {
    let mut sim = Sim::new(Setup::small(1, 30).unwrap()).unwrap();
    run(&mut sim, Duration::from_secs(5));
    sim
}

fn run(sim: &mut Sim, time: Duration) {
    if !sim.run_for(time) {
        panic!("{}\n{}", sim.broken().unwrap(), sim.lines().join("\n"));
    }
}

/// Events that hold `what`.
fn told(sim: &Sim, what: &str) -> Vec<String> {
    sim.lines().iter().filter(|l| l.contains(what)).cloned().collect()
}

/// CCM2 is cut off and dies; its devices register elsewhere before anybody knows that it is dead, so its old rows stay as orphans.
/// It returns while frames are lost: it must not take up devices of which it has not yet heard that they have moved.
#[test]
fn a_returned_node_takes_up_no_device_that_has_moved() {
    let mut sim = small();
    sim.apply(Fault::Cut(CCM2, CCM1));
    sim.apply(Fault::Cut(CCM2, CCM3));
    sim.apply(Fault::Crash(CCM2));
    run(&mut sim, Duration::from_secs(8));
    let early = told(&sim, "(rank 2): move");
    assert!(!early.is_empty(), "nobody moved before the death was known");
    sim.apply(Fault::Heal(CCM2, CCM1));
    sim.apply(Fault::Heal(CCM2, CCM3));
    for _ in 0..10 {
        sim.apply(Fault::LinkLoss(300_000));
        sim.apply(Fault::Return(CCM2));
        run(&mut sim, Duration::from_secs(3));
        sim.apply(Fault::LinkLoss(0));
        run(&mut sim, Duration::from_secs(1));
        assert_eq!(told(&sim, "adopted"), Vec::<String>::new());
        sim.apply(Fault::PowerOff(CCM2));
        run(&mut sim, Duration::from_secs(8));
    }
    assert!(sim.heal_and_go_home(), "{:?}", sim.broken());
}

/// CCM1 stands still, its phones lose patience and register elsewhere. Then it goes on and finds their old requests at its socket:
/// they are older than what happened meanwhile, and must not win over it.
#[test]
fn requests_that_waited_at_a_node_that_stood_still_do_not_win() {
    let mut sim = small();
    sim.apply(Fault::Hang(CCM1));
    run(&mut sim, Duration::from_secs(5));
    let moved = told(&sim, ": failover").len();
    assert!(moved >= 10, "{moved} devices have moved");
    let before = told(&sim, "unregister").len();
    sim.apply(Fault::Resume(CCM1));
    run(&mut sim, Duration::from_secs(1));
    let lost: Vec<_> = told(&sim, "unregister").into_iter().skip(before).filter(|l| !l.contains("[CCM1]")).collect();
    assert_eq!(lost, Vec::<String>::new());
    assert!(sim.heal_and_go_home(), "{:?}", sim.broken());
}

/// CCM1 is stopped in good order: every device of it is at the next member of its group before CCM1 ends, and none asks twice.
#[test]
fn a_node_that_is_stopped_sends_its_devices_away_first() {
    let mut sim = small();
    let at_home = told(&sim, "[CCM1] register").len();
    sim.apply(Fault::Stop(CCM1));
    run(&mut sim, Duration::from_secs(5));
    assert_eq!(told(&sim, "at CCM1 (rank 1): drain").len(), at_home, "{}", sim.lines().join("\n"));
    assert_eq!(told(&sim, "CCM1 has stopped").len(), 1, "it took longer than its devices needed");
    assert_eq!(told(&sim, "NoAnswer"), Vec::<String>::new());
    let [held, _] = sim.table();
    assert_eq!(held.values().sum::<u32>(), 30, "{held:?}");
    assert!(sim.heal_and_go_home(), "{:?}", sim.broken());
}

/// The rows of CCM3's earlier life go when its new one serves. What the others count at it is what it serves then, and not less by them.
/// (The look at the copies compares the counts.)
#[test]
fn a_node_that_has_returned_is_counted_as_it_is() {
    let mut sim = small();
    sim.apply(Fault::PowerOff(CCM3));
    run(&mut sim, Duration::from_secs(1));
    sim.apply(Fault::Return(CCM3));
    run(&mut sim, Duration::from_secs(10));
    assert!(told(&sim, "CCM3#1700000000 have gone: it has a new life").len() == 2, "{}", sim.lines().join("\n"));
    assert!(sim.heal_and_go_home(), "{:?}", sim.broken());
}

/// CCM1 is dead and CCM3 hears CCM2, which does not hear it: CCM2's rows count as orphans at CCM3. One of them takes over a row of CCM1, and
/// must not go with it.
#[test]
fn a_device_that_moved_to_a_node_that_does_not_hear_us_is_still_known() {
    let mut sim = small();
    sim.apply(Fault::CutOneWay(CCM3, CCM2));
    run(&mut sim, Duration::from_secs(2));
    sim.apply(Fault::Crash(CCM1));
    run(&mut sim, Duration::from_secs(8));
    assert_eq!(told(&sim, "(rank 2): failover").len(), 12, "{}", sim.lines().join("\n"));
    assert!(sim.heal_and_go_home(), "{:?}", sim.broken());
}

/// CCM3 returns, waits for CCM2, which it cannot reach, and is stopped again before it serves: the devices of its life before are still known.
/// (The look at the copies asks that orphans stay.)
#[test]
fn a_node_that_is_stopped_while_it_joins_takes_no_rows_with_it() {
    let mut sim = small();
    sim.apply(Fault::Cut(CCM2, CCM3));
    sim.apply(Fault::PowerOff(CCM3));
    sim.apply(Fault::Return(CCM3));
    run(&mut sim, Duration::from_millis(900));
    sim.apply(Fault::Stop(CCM3));
    run(&mut sim, Duration::from_secs(2));
    assert_eq!(told(&sim, "CCM3#1700000000 have gone"), Vec::<String>::new());
    assert!(sim.heal_and_go_home(), "{:?}", sim.broken());
}

/// The link of CCM1 and CCM2 is there for a second and away for a second, for a minute. Their phones reach them all the time: nobody moves.
#[test]
fn a_link_that_flaps_for_a_minute_moves_nobody() {
    let mut sim = small();
    let before = told(&sim, "register").len();
    for _ in 0..30 {
        sim.apply(Fault::Cut(CCM1, CCM2));
        run(&mut sim, Duration::from_secs(1));
        sim.apply(Fault::Heal(CCM1, CCM2));
        run(&mut sim, Duration::from_secs(1));
    }
    assert!(told(&sim, "was out of sight").len() > 10, "it did not flap");
    assert_eq!(told(&sim, "register").len(), before, "{}", sim.lines().join("\n"));
    assert!(sim.is_everybody_home());
}

/// All three nodes lose power and come back one after another: every phone is home again, and nobody serves before it is complete.
#[test]
fn a_cluster_that_restarts_as_a_whole_has_everybody_home_again() {
    let mut sim = small();
    [CCM1, CCM2, CCM3].into_iter().for_each(|n| sim.apply(Fault::PowerOff(n)));
    run(&mut sim, Duration::from_secs(3));
    for n in [CCM3, CCM1, CCM2] {
        sim.apply(Fault::Return(n));
        run(&mut sim, Duration::from_millis(700));
    }
    assert!(sim.heal_and_go_home(), "{:?}", sim.broken());
}

/// The disk of CCM2 takes no byte, so the number of a new life cannot be kept: the node does not begin it. Once there is space it does.
#[test]
fn a_node_begins_no_life_whose_number_it_cannot_keep() {
    let mut sim = small();
    sim.apply(Fault::Crash(CCM2));
    sim.apply(Fault::DiskFull(CCM2));
    sim.apply(Fault::Return(CCM2));
    run(&mut sim, Duration::from_secs(5));
    assert!(told(&sim, "CCM2 cannot write the number of its life").len() >= 4, "{}", sim.lines().join("\n"));
    assert_eq!(told(&sim, "CCM2 is up (life").len(), 2, "only its first life was seen, by two nodes");
    sim.apply(Fault::DiskTorn(CCM2));
    run(&mut sim, Duration::from_secs(3));
    sim.apply(Fault::DiskGood(CCM2));
    run(&mut sim, Duration::from_secs(3));
    assert_eq!(told(&sim, "CCM2 is up (life").len(), 4);
    assert!(sim.heal_and_go_home(), "{:?}", sim.broken());
}

/// CCM1 and CCM2 are dead, so their devices are at CCM3; both return together. Whoever lives at CCM1 goes there in one step, although
/// CCM2 answers as well and is often ready a moment earlier.
#[test]
fn two_nodes_that_return_together_get_their_devices_back_in_one_step() {
    for (first, second) in [(CCM1, CCM2), (CCM2, CCM1)] {
        let mut sim = small();
        sim.apply(Fault::Crash(CCM1));
        sim.apply(Fault::Crash(CCM2));
        run(&mut sim, Duration::from_secs(10));
        let before = sim.lines().len();
        sim.apply(Fault::Return(first));
        run(&mut sim, Duration::from_millis(700));
        sim.apply(Fault::Return(second));
        run(&mut sim, Duration::from_secs(40));
        assert!(sim.is_everybody_home(), "{}", sim.lines().join("\n"));
        // Every device that has another home than CCM3: 24 of 30. One whose refresh was on its way when it went may go home twice.
        let moves: Vec<_> = sim.lines().iter().skip(before).filter(|l| l.contains("reregister")).cloned().collect();
        let detours: Vec<_> = moves.iter().filter(|l| !l.contains("(rank 1): failback")).collect();
        assert_eq!(detours, Vec::<&String>::new());
        let who: BTreeSet<_> =
            moves.iter().filter_map(|l| l.split(" reregister: ").nth(1)?.split(' ').next()).collect();
        assert_eq!(who.len(), 24, "{}", moves.join("\n"));
    }
}

/// CCM3 is out of reach of its phones; CCM1, which reaches it, calls them home in vain. Then CCM3 dies and returns within reach: that is
/// a new reason to call, although the call before was less than half a minute ago.
#[test]
fn a_call_home_that_led_nowhere_does_not_delay_the_next_return() {
    let mut setup = Setup::small(1, 30).unwrap();
    // Phones that do not watch their home come only when they are called.
    setup.phones.standby_heartbeat = None;
    let mut sim = Sim::new(setup).unwrap();
    run(&mut sim, Duration::from_secs(7));
    sim.apply(Fault::Unplug { node: CCM3, of: 1 });
    run(&mut sim, Duration::from_secs(9));
    let called = told(&sim, "Waiting CCM1: Called");
    // How many exactly follows from the dice; one would do for the story.
    assert!(called.len() >= 3, "those of the group with CCM3 and CCM1: {called:?}");
    sim.apply(Fault::Crash(CCM3));
    sim.apply(Fault::Plug(CCM3));
    run(&mut sim, Duration::from_secs(1));
    sim.apply(Fault::Return(CCM3));
    run(&mut sim, Duration::from_secs(8));
    assert!(sim.is_everybody_home(), "{:?}\n{}", sim.table(), sim.lines().join("\n"));
    assert!(sim.now() < Time::from_secs(7 + 30), "the first calls would be forgotten by now");
}

/// The seed that showed it: one device was at its backup for 19.6 s after its home was back.
#[test]
fn a_call_home_that_led_nowhere_as_a_seed_had_it() {
    let mut setup = Setup::small(1_332, 30).unwrap();
    setup.limits.misplaced = Duration::from_secs(18);
    let outcome = tandem_sim::run(setup, Duration::from_secs(60)).unwrap();
    assert!(outcome.broken.is_none(), "{:?}\n{}", outcome.broken, outcome.lines.join("\n"));
}

/// Requests that were challenged since a line of the log: how often a phone had to prove itself.
fn challenged(sim: &Sim, from: usize) -> usize {
    let lines = sim.lines().iter().skip(from);
    lines.filter(|l| l.contains("SIP/2.0 401")).count()
}

fn traced() -> Sim {
    let mut sim = Sim::new(Setup { traced: true, ..Setup::small(1, 30).unwrap() }).unwrap();
    run(&mut sim, Duration::from_secs(5));
    sim
}

/// The wall clock of CCM1 is ten minutes ahead of all others, or behind them. Its phones go to the others and home again: each is challenged once
/// per node, and none without end because what it has used looks newer than whatever another node can issue.
#[test]
fn a_phone_gets_in_however_far_apart_the_clocks_of_two_nodes_are() {
    for ahead in [600_000, 86_400_000, -600_000] {
        let mut sim = traced();
        sim.apply(Fault::ClockSet(CCM1, ahead));
        // Long enough for every phone to have used a nonce of that clock: nonces live for five minutes, registrations for one.
        sim.apply(Fault::Crash(CCM1));
        sim.apply(Fault::Return(CCM1));
        run(&mut sim, Duration::from_secs(60));
        assert!(sim.is_everybody_home(), "{:?}", sim.table());
        let before = sim.lines().len();
        sim.apply(Fault::Crash(CCM1));
        run(&mut sim, Duration::from_secs(10));
        let [held, felt] = sim.table();
        assert_eq!((held.values().sum::<u32>(), felt.values().sum::<u32>()), (30, 30), "{ahead}: {held:?} {felt:?}");
        sim.apply(Fault::Return(CCM1));
        run(&mut sim, Duration::from_secs(25));
        assert!(sim.is_everybody_home(), "{ahead}: {:?}", sim.table());
        let asked = challenged(&sim, before);
        assert!(asked <= 60, "{ahead}: {asked} challenges");
    }
}

/// The wall clock of CCM1 is set back by ten minutes, and forward, and back, while phones are registered there: no phone notices.
#[test]
fn a_wall_clock_that_is_set_while_a_node_serves_disturbs_nobody() {
    let mut sim = traced();
    let before = sim.lines().len();
    for ahead in [-600_000, 0, 600_000, -600_000] {
        sim.apply(Fault::ClockSet(CCM1, ahead));
        run(&mut sim, Duration::from_secs(60));
        assert!(sim.is_everybody_home(), "{ahead}: {:?}", sim.table());
    }
    let moved: Vec<_> = sim.lines().iter().skip(before).filter(|l| l.contains("register")).cloned().collect();
    assert_eq!(moved, Vec::<String>::new());
    // Each may be asked anew when the clock is set forward, and when its nonce is five minutes old.
    let asked = challenged(&sim, before);
    assert!(asked <= 30 * 4, "{asked} challenges");
}

/// The wall clock of CCM2 is far behind while CCM1's phones are there, and then CCM2 begins a new life an hour before its last one ended:
/// what phones used of the nonces of that life is no bound for those of this one.
#[test]
fn a_new_life_with_an_earlier_clock_lets_its_phones_in() {
    let mut sim = traced();
    sim.apply(Fault::ClockSet(CCM2, 3_600_000));
    sim.apply(Fault::Crash(CCM2));
    sim.apply(Fault::Return(CCM2));
    run(&mut sim, Duration::from_secs(60));
    sim.apply(Fault::ClockSet(CCM2, 0));
    let before = sim.lines().len();
    sim.apply(Fault::Crash(CCM2));
    run(&mut sim, Duration::from_millis(100));
    sim.apply(Fault::Return(CCM2));
    run(&mut sim, Duration::from_secs(60));
    assert!(sim.is_everybody_home(), "{:?}", sim.table());
    let asked = challenged(&sim, before);
    assert!(asked <= 60, "{asked} challenges");
}

/// A cluster that has been up for long enough to have its tables on disk.
fn kept() -> Sim {
    let mut sim = small();
    run(&mut sim, Duration::from_secs(8));
    sim
}

/// Everybody loses power for less than a phone's patience: all of them are known again before the first has registered anew.
#[test]
fn a_cluster_that_lost_power_knows_its_phones_before_they_have_refreshed() {
    let mut sim = kept();
    let before = told(&sim, "register").len();
    [CCM1, CCM2, CCM3].into_iter().for_each(|n| sim.apply(Fault::PowerOff(n)));
    run(&mut sim, Duration::from_millis(200));
    [CCM1, CCM2, CCM3].into_iter().for_each(|n| sim.apply(Fault::Return(n)));
    run(&mut sim, Duration::from_millis(1_500));
    let adopted = told(&sim, ": adopted").len();
    assert_eq!((adopted, told(&sim, "register").len()), (30, before + 30), "{}", sim.lines().join("\n"));
    let [held, _] = sim.table();
    assert_eq!(held.values().sum::<u32>(), 30, "{held:?}");
    assert!(sim.heal_and_go_home(), "{:?}", sim.broken());
}

/// The same, and the file of CCM1 is cut off, or altered: it says so, and takes its phones up from the files of the others.
#[test]
fn a_file_that_is_torn_loses_no_phone_that_another_file_has() {
    for (place, cut) in [(0, true), (500, true), (1_000, false)] {
        let mut sim = kept();
        let before = sim.lines().len();
        [CCM1, CCM2, CCM3].into_iter().for_each(|n| sim.apply(Fault::PowerOff(n)));
        sim.apply(Fault::TablesSpoilt { node: CCM1, place, cut });
        run(&mut sim, Duration::from_millis(200));
        [CCM1, CCM2, CCM3].into_iter().for_each(|n| sim.apply(Fault::Return(n)));
        run(&mut sim, Duration::from_millis(1_500));
        let said: Vec<_> = told(&sim, "damaged or cut off");
        assert!(said.len() == 1 && said[0].contains("[CCM1]"), "{said:?}");
        let adopted: Vec<_> = sim.lines().iter().skip(before).filter(|l| l.contains(": adopted")).cloned().collect();
        assert_eq!(adopted.len(), 30, "{}", sim.lines()[before..].join("\n"));
        assert!(sim.heal_and_go_home(), "{:?}", sim.broken());
    }
}

/// CCM2 stays away after the power is back, and its phones are off: their rows are orphans at the others.
#[test]
fn phones_of_a_node_that_stays_away_are_orphans_from_a_file() {
    let mut sim = kept();
    [CCM1, CCM2, CCM3].into_iter().for_each(|n| sim.apply(Fault::PowerOff(n)));
    sim.apply(Fault::Unpowered(1));
    [CCM1, CCM3].into_iter().for_each(|n| sim.apply(Fault::Return(n)));
    let before = sim.lines().len();
    run(&mut sim, Duration::from_secs(4));
    let of_ccm2 = told(&sim, "CCM2 is down: its 12 registrations").len();
    let orphans: Vec<_> = sim.lines().iter().skip(before).filter(|l| l.contains("registrations of CCM2#")).collect();
    assert_eq!(orphans.len(), 2, "{of_ccm2} {orphans:?}\n{}", sim.lines()[before..].join("\n"));
    assert!(sim.heal_and_go_home(), "{:?}", sim.broken());
}

/// A node that is stopped in good order writes its tables as they are, however slow its disk is, before it ends.
#[test]
fn a_node_that_is_stopped_keeps_its_tables_first() {
    let mut sim = kept();
    sim.apply(Fault::DiskSlow(CCM1, 700));
    let at = sim.now();
    sim.apply(Fault::Stop(CCM1));
    run(&mut sim, Duration::from_secs(5));
    let stopped = told(&sim, "CCM1 has stopped");
    let after: f64 = stopped[0].split('s').next().unwrap().parse().unwrap();
    assert!(after >= at.as_secs() as f64 + 0.7, "{stopped:?}");
    assert!(sim.heal_and_go_home(), "{:?}", sim.broken());
}
