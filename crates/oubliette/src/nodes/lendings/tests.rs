use std::sync::atomic::{AtomicU64, Ordering};

use oubliette_core::ports::PurgeSet;

use super::*;

/// A table whose clock is set by the test.
struct Rig {
    lendings: Arc<Lendings>,
    millis: Arc<AtomicU64>,
}

impl Rig {
    fn new() -> Self {
        let millis = Arc::new(AtomicU64::new(10_000));
        let clock = Arc::clone(&millis);
        let clock: BootClock = Arc::new(move || Duration::from_millis(clock.load(Ordering::SeqCst)));
        Self { lendings: Arc::new(Lendings::new(clock)), millis }
    }

    fn pass(&self, millis: u64) {
        self.millis.fetch_add(millis, Ordering::SeqCst);
    }

    fn hear(&self, front: u64, change: impl FnOnce(&mut Renew)) -> Result<(), Unknown> {
        let mut renew = Renew {
            front,
            name: "front".to_owned(),
            first: false,
            acked: 0,
            released: Vec::new(),
            quiet: false,
            bye: false,
        };
        change(&mut renew);
        self.lendings.hear(&renew).map(drop)
    }

    fn lease(&self, front: u64) -> Renewed {
        self.hear(front, |renew| renew.first = true).unwrap();
        self.lendings.answer(front, LEASE).unwrap()
    }
}

fn leaf(number: u64) -> PurgeSet {
    PurgeSet { leaves: [Leaf(number)].into_iter().collect(), ..PurgeSet::default() }
}

#[test]
fn a_key_that_was_lent_holds_an_erasure_up_until_it_was_given_back() {
    let rig = Rig::new();
    assert!(!rig.lendings.lend(1, 1, Leaf(8)), "nothing is lent to whom nobody knows");
    rig.lease(1);
    assert!(rig.lendings.lend(1, 1, Leaf(8)) && rig.lendings.lend(1, 2, Leaf(9)));
    assert!(!rig.lendings.lend(1, 2, Leaf(10)), "a name stands for one key");
    assert!(rig.lendings.is_back(&leaf(10)) && !rig.lendings.is_back(&leaf(8)));
    rig.lendings.take_back(&leaf(8));
    assert!(rig.lendings.pressing(1));
    let told = rig.lendings.answer(1, LEASE).unwrap();
    assert_eq!((told.recalled, told.upto), (vec![1], 1));
    assert!(!rig.lendings.is_back(&leaf(8)), "told is not obeyed");
    rig.hear(1, |renew| renew.acked = 1).unwrap();
    assert!(rig.lendings.is_back(&leaf(8)) && !rig.lendings.is_back(&leaf(9)));
    rig.hear(1, |renew| renew.released = vec![2]).unwrap();
    assert!(rig.lendings.is_back(&leaf(9)));
    assert_eq!(rig.lendings.fronts(), ["front"]);
}

#[test]
fn what_was_never_told_cannot_be_acknowledged() {
    let rig = Rig::new();
    rig.lease(1);
    assert!(rig.lendings.lend(1, 1, Leaf(8)));
    rig.lendings.take_back(&leaf(8));
    rig.hear(1, |renew| renew.acked = 5).unwrap();
    assert!(!rig.lendings.is_back(&leaf(8)));
}

#[test]
fn a_front_that_falls_silent_holds_nothing_up_after_its_lease_and_comes_back_with_nothing() {
    let rig = Rig::new();
    let renewed = rig.lease(1);
    assert_eq!(renewed.ttl, 3_000);
    assert!(rig.lendings.lend(1, 1, Leaf(8)));
    rig.lendings.take_back(&leaf(8));
    rig.pass(3_099);
    assert!(!rig.lendings.is_back(&leaf(8)), "its clock may be a little slow");
    rig.pass(1);
    assert!(rig.lendings.is_back(&leaf(8)));
    assert_eq!(rig.hear(1, |_| ()), Err(Unknown));
    assert_eq!(rig.lendings.answer(1, LEASE), Err(Unknown));
    assert!(!rig.lendings.lend(1, 2, Leaf(8)));
    rig.lease(2);
    assert!(rig.lendings.lend(2, 1, Leaf(8)));
}

#[test]
fn a_lease_is_promised_for_no_longer_than_the_holders_own() {
    let rig = Rig::new();
    rig.hear(1, |renew| renew.first = true).unwrap();
    assert_eq!(rig.lendings.answer(1, Duration::from_micros(700_900)).unwrap().ttl, 700);
    assert_eq!(rig.lendings.answer(1, Duration::from_secs(60)).unwrap().ttl, 3_000);
    assert_eq!(rig.lendings.answer(1, Duration::ZERO).unwrap().ttl, 0);
}

#[test]
fn who_has_to_give_something_back_gets_no_more_time_until_it_said_that_it_did() {
    let rig = Rig::new();
    rig.lease(1);
    assert!(rig.lendings.lend(1, 1, Leaf(8)));
    rig.pass(1_000);
    rig.lendings.take_back(&leaf(8));
    assert_eq!(rig.lendings.answer(1, LEASE).unwrap().ttl, 2_000);
    for left in [1_000, 0] {
        rig.pass(1_000);
        rig.hear(1, |_| ()).unwrap();
        let again = rig.lendings.answer(1, LEASE).unwrap();
        assert_eq!((again.ttl, again.recalled), (left, vec![1]), "an answer that was lost is said again");
    }
    assert!(!rig.lendings.is_back(&leaf(8)));
    rig.pass(100);
    assert!(rig.lendings.is_back(&leaf(8)));
}

#[test]
fn a_front_that_obeys_keeps_its_lease_however_often_something_is_taken_back() {
    let rig = Rig::new();
    rig.lease(1);
    for request in 1..50 {
        assert!(rig.lendings.lend(1, request, Leaf(8)));
        rig.pass(300);
        rig.hear(1, |renew| renew.acked = request - 1).unwrap();
        rig.lendings.take_back(&leaf(8));
        let told = rig.lendings.answer(1, LEASE).unwrap();
        assert_eq!((told.ttl, told.recalled), (3_000, vec![request]));
    }
}

#[test]
fn an_erasure_that_waits_goes_on_when_the_key_comes_back() {
    let rig = Rig::new();
    rig.lease(1);
    assert!(rig.lendings.lend(1, 1, Leaf(8)));
    let (sender, waited) = std::sync::mpsc::channel();
    let lendings = Arc::clone(&rig.lendings);
    let waiting = std::thread::spawn(move || {
        lendings.take_back(&leaf(8));
        lendings.wait_back(&leaf(8));
        sender.send(()).unwrap();
    });
    assert!(waited.recv_timeout(Duration::from_millis(200)).is_err(), "it waits");
    rig.lendings.answer(1, LEASE).unwrap();
    rig.hear(1, |renew| renew.acked = 1).unwrap();
    waited.recv_timeout(Duration::from_secs(10)).unwrap();
    waiting.join().unwrap();
}

#[test]
fn who_hands_over_lends_nothing_more_and_has_everything_back_when_it_is_done() {
    let rig = Rig::new();
    rig.lease(1);
    assert!(rig.lendings.lend(1, 1, Leaf(8)));
    rig.lendings.move_on();
    assert!(!rig.lendings.lend(1, 2, Leaf(9)));
    assert!(rig.lendings.pressing(1) && rig.lendings.answer(1, LEASE).unwrap().moving);
    rig.hear(1, |renew| renew.quiet = true).unwrap();
    rig.lendings.wait_quiet();
    let lendings = Arc::clone(&rig.lendings);
    let closing = std::thread::spawn(move || lendings.close());
    while !rig.lendings.pressing(1) {
        std::thread::yield_now();
    }
    rig.hear(1, |renew| renew.quiet = true).unwrap();
    let told = rig.lendings.answer(1, LEASE).unwrap();
    assert!(told.over && told.ttl == 0 && !closing.is_finished());
    assert_eq!(rig.hear(1, |renew| renew.bye = true), Err(Unknown));
    closing.join().unwrap();
    assert_eq!(rig.hear(1, |_| ()), Err(Unknown));
    assert_eq!(rig.hear(2, |renew| renew.first = true), Err(Unknown));
}

#[test]
fn a_request_that_was_given_up_before_its_key_was_lent_gets_none() {
    let rig = Rig::new();
    rig.lease(1);
    rig.hear(1, |renew| renew.released = vec![7]).unwrap();
    assert!(!rig.lendings.lend(1, 7, Leaf(8)));
    assert!(rig.lendings.is_back(&leaf(8)));
}

#[test]
fn a_front_that_ends_in_order_holds_nothing_up() {
    let rig = Rig::new();
    rig.lease(1);
    assert!(rig.lendings.lend(1, 1, Leaf(8)));
    assert_eq!(rig.hear(1, |renew| renew.bye = true), Err(Unknown));
    assert!(rig.lendings.is_back(&leaf(8)));
}
