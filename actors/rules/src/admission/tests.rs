//! Tests of admission: the pace is kept, promises are kept, overload has a hysteresis.

use super::*;
use crate::invariants::admitted_within_pace;
use proptest::prelude::*;

fn ms(millis: u64) -> Time {
    Time::from_millis(millis)
}
fn told(admit: Admit) -> u32 {
    match admit {
        Admit::Later(secs) => secs,
        Admit::Yes => panic!("admitted"),
    }
}

#[test]
fn a_burst_is_taken_at_once_and_then_the_pace_holds() {
    let mut bucket = Admission::with(10, 5, ms(0));
    assert_eq!((0..5).filter(|_| bucket.take(ms(0), 0) == Admit::Yes).count(), 5);
    assert_eq!(bucket.take(ms(0), 0), Admit::Later(1));
    assert_eq!(bucket.take(ms(99), 0), Admit::Later(1));
    assert_eq!(bucket.take(ms(100), 0), Admit::Yes);
    assert_eq!(bucket.take(ms(101), 0), Admit::Later(1));
}

#[test]
fn the_time_to_come_back_grows_with_the_backlog_and_shrinks_as_time_passes() {
    let mut bucket = Admission::with(10, 1, ms(0));
    assert_eq!(bucket.take(ms(0), 0), Admit::Yes);
    let waits: Vec<u32> = (0..100).map(|_| told(bucket.take(ms(0), 0))).collect();
    assert!(waits.is_sorted() && waits.first() == Some(&1) && waits.last() == Some(&10), "{waits:?}");
    assert_eq!(bucket.backlog(ms(0)), 101);
    assert_eq!(bucket.backlog(ms(5_000)), 51);
    assert_eq!(bucket.backlog(ms(60_000)), 0);
}

#[test]
fn a_storm_that_comes_back_as_it_was_told_is_taken_in_about_the_time_its_size_needs() {
    // 5,000 phones at once at 100 a second: 50 s would be perfect.
    let mut bucket = Admission::with(100, 100, ms(0));
    let mut waiting: Vec<u64> = vec![0; 5_000];
    let (mut asked, mut last) = (0u32, 0);
    let mut random = 1u64;
    while !waiting.is_empty() {
        waiting.sort_unstable();
        let second = waiting[0];
        let mut later = Vec::new();
        for at in waiting.drain(..) {
            if at > second {
                later.push(at);
                continue;
            }
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            asked += 1;
            // Phones that come back in the same second come at its different moments.
            let now = ms(second * 1_000 + random % 1_000 * u64::from(second > 0));
            match bucket.take(now.max(bucket.counted), random) {
                Admit::Yes => last = second,
                Admit::Later(secs) => later.push(second + u64::from(secs)),
            }
        }
        waiting = later;
    }
    assert!((45..=90).contains(&last), "the last one is taken after {last} s");
    assert!(asked < 5_000 * 3, "{asked} requests for 5,000 phones");
}

#[test]
fn an_overloaded_node_takes_half() {
    let mut bucket = Admission::with(10, 10, ms(0));
    bucket.set_overloaded(true);
    assert_eq!((0..10).filter(|_| bucket.take(ms(0), 0) == Admit::Yes).count(), 5);
    let mut tiny = Admission::with(1, 1, ms(0));
    tiny.set_overloaded(true);
    assert!((0..10).any(|s| tiny.take(ms(s * 1_000), 0) == Admit::Yes), "even a burst of one is not shut for good");
}

proptest! {
    #[test]
    fn never_more_than_the_pace_and_never_told_later_than_twice_what_is_needed(
        rate in 1u32..2_000,
        burst in 1u32..500,
        steps in proptest::collection::vec((0u64..2_000, 1usize..40, any::<u64>(), any::<bool>()), 1..60),
    ) {
        let mut bucket = Admission::with(rate, burst, Time::ZERO);
        let (mut now, mut admitted, mut promised) = (Time::ZERO, 0u64, 0u64);
        for (wait, asks, random, overloaded) in steps {
            now += Duration::from_millis(wait);
            bucket.set_overloaded(overloaded);
            for i in 0..asks {
                match bucket.take(now, random.wrapping_mul(i as u64 + 1)) {
                    Admit::Yes => admitted += 1,
                    Admit::Later(secs) => {
                        promised += 1;
                        prop_assert!((1..=RETRY_AFTER_MAX_SECS).contains(&secs));
                        // What is needed at most: all promises so far, one after the other, at the half pace of overload.
                        let needed = promised as f64 * 2.0 / f64::from(rate);
                        prop_assert!(f64::from(secs) <= (2.0 * needed).max(1.0) + 1.0, "told {} needed {}", secs, needed);
                    }
                }
            }
            let kept = admitted_within_pace(admitted, now.since(Time::ZERO), rate, burst);
            prop_assert!(kept.is_ok(), "{:?}", kept);
        }
    }

    #[test]
    fn nobody_is_told_to_come_before_those_promised_earlier_are_through(asks in 1usize..300, rate in 1u32..50) {
        let mut bucket = Admission::with(rate, 1, Time::ZERO);
        prop_assert_eq!(bucket.take(Time::ZERO, 0), Admit::Yes);
        for n in 1..=asks {
            let exact = n as f64 / f64::from(rate);
            let secs = f64::from(told(bucket.take(Time::ZERO, u64::MAX / (n as u64))));
            // A promise is a slot of a whole number of microseconds.
            prop_assert!(secs + 0.001 >= exact.min(f64::from(RETRY_AFTER_MAX_SECS)), "number {} told {}", n, secs);
        }
    }
}

#[test]
fn overload_comes_and_goes_only_after_a_tenth_of_a_second_without_a_break() {
    let mut overload = Overload::default();
    let delay = Duration::from_millis;
    assert!(!overload.observe(ms(0), delay(25)));
    assert!(!overload.observe(ms(50), delay(19)), "a short peak is no overload");
    assert!(!overload.observe(ms(60), delay(20)));
    assert!(!overload.observe(ms(159), delay(30)));
    assert!(overload.observe(ms(160), delay(30)));
    assert!(overload.observe(ms(200), delay(10)), "between the thresholds nothing changes");
    assert!(overload.observe(ms(300), delay(8)));
    assert!(overload.observe(ms(400), delay(7)));
    assert!(!overload.observe(ms(500), delay(0)));
    assert!(!overload.is_on());
}

#[test]
fn a_flooded_socket_is_overload_although_the_mailbox_is_quick() {
    let delay = Duration::from_millis;
    for (mailbox, sockets, lost, expected) in
        [(0, 0, 0, 0), (3, 0, 0, 3), (0, 25, 0, 25), (3, 25, 0, 25), (30, 25, 0, 30), (0, 0, 1, 500)]
    {
        assert_eq!(queue_delay(delay(mailbox), delay(sockets), lost), delay(expected), "{mailbox} {sockets} {lost}");
    }
    let mut overload = Overload::default();
    let mut see = |at, lost| overload.observe(ms(at), queue_delay(delay(1), delay(0), lost));
    assert!(!see(0, 7));
    assert!(see(100, 1), "it has lost datagrams for a tenth of a second");
    assert!(see(200, 0));
    assert!(!see(300, 0), "and recovers");
}

#[test]
fn another_pace_counts_from_now_on() {
    let mut admission = Admission::with(10, 100, ms(0));
    let taken =
        |admission: &mut Admission, now| (0..1_000).take_while(|_| admission.take(now, 0) == Admit::Yes).count();
    let other = Settings { registrations_per_second: 1_000, registrations_burst: 20, ..Settings::default() };
    admission.set_pace(&other, ms(0));
    assert_eq!(taken(&mut admission, ms(0)), 20, "the bucket has become smaller");
    assert_eq!(taken(&mut admission, ms(15)), 15);
}
