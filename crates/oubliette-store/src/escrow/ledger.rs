//! What agents are known to hold: never more than they do.
//!
//! The root in force may lie with agents in two ways at once, while it is dealt anew to other agents, in another order, in another
//! number of shares or to another recovery key. An agent that is away then may have the old way only, and for long. So whatever
//! an agent is to give up *of the root in force* it gives up only if what all of them are known to hold beside that brings the
//! root back. What it gives up is not counted any more before it is told to; what it is given is counted when it has said so. All
//! agents are judged under one lock, so no two of them give up what the other one relied upon.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::envelope::Label;
use super::{Keep, Root};

/// An agent's place among all of them.
pub(super) type At = usize;

pub(super) struct Ledger {
    /// What each is to hold; of which root is open.
    dealing: Vec<Label>,
    /// How many must hold a root before the register gets it.
    put: usize,
    held: Mutex<Vec<Vec<Label>>>,
}

impl Ledger {
    /// Nobody is known to hold anything.
    pub(super) fn new(dealing: Vec<Label>, put: usize) -> Self {
        let held = Mutex::new(vec![Vec::new(); dealing.len()]);
        Self { dealing, put, held }
    }

    /// What an agent is to hold of a root.
    pub(super) fn label(&self, at: At, root: Root) -> Label {
        Label { root, ..self.dealing[at].clone() }
    }

    /// An agent has said what it holds.
    pub(super) fn learn(&self, at: At, holds: &[Label]) {
        self.lock()[at] = holds.to_vec();
    }

    /// Whether some root of this epoch or a later one lies with as many agents as a new one has to.
    pub(super) fn is_dealt(&self, epoch: u64) -> bool {
        let held = self.lock();
        let later = held.iter().flatten().map(|label| label.root).filter(|root| root.epoch >= epoch);
        later.into_iter().any(|root| self.dealt(&held, root))
    }

    /// What an agent is to keep instead that is to keep `only` of a root and holds that root in another way as well: that too, before
    /// enough have it as it is dealt now.
    pub(super) fn keeps(&self, at: At, holds: &[Label], only: &Label) -> Option<Keep> {
        let held = of_root(holds, only);
        if held.iter().all(|label| *label == only) {
            return None;
        }
        let mut all = self.lock();
        if held.contains(&only) && self.dealt(&all, only.root) {
            all[at].retain(|label| label.root != only.root || label == only);
            return None;
        }
        match held[..] {
            [one] => Some(Keep::Only(one.clone())),
            // Both its places hold this root, so there is no other of its epoch.
            _ => Some(Keep::NothingUpTo(only.root.epoch - 1)),
        }
    }

    /// Which of two envelopes of the root in force an agent keeps while `new` is put beside it. `Ok(None)`: it has a place for that.
    ///
    /// # Errors
    /// None of the two is known not to be needed.
    pub(super) fn makes_room(&self, at: At, holds: &[Label], new: &Label, in_force: Root) -> Result<Option<Label>, ()> {
        let ours = self.label(at, in_force);
        let mut held = of_root(holds, &ours);
        if held.len() < 2 || held.contains(&new) {
            return Ok(None);
        }
        let mut all = self.lock();
        let dealt = self.dealt(&all, in_force);
        // The first one goes if it can: of the way that it is not dealt in any more, or does not come to be dealt in.
        held.sort_by_key(|label| (**label == ours) == dealt);
        for (goes, stays) in [(held[0], held[1]), (held[1], held[0])] {
            let mut left = all.clone();
            left[at].retain(|label| label != goes);
            if self.dealt(&left, in_force) || comes_back(&left, &ours) {
                *all = left;
                return Ok(Some(stays.clone()));
            }
        }
        Err(())
    }

    fn dealt(&self, held: &[Vec<Label>], root: Root) -> bool {
        let has = |(at, held): &(At, &Vec<Label>)| held.contains(&self.label(*at, root));
        held.iter().enumerate().filter(has).count() >= self.put
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Vec<Label>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn of_root<'a>(holds: &'a [Label], like: &Label) -> Vec<&'a Label> {
    holds.iter().filter(|label| label.root == like.root && label.instance == like.instance).collect()
}

/// Whether what is held brings the root of `like` back, in whatever way it was dealt: shares of one root fit each other when as
/// many of them are needed.
fn comes_back(held: &[Vec<Label>], like: &Label) -> bool {
    let all: Vec<&Label> = held.iter().flat_map(|held| of_root(held, like)).collect();
    all.iter().any(|one| {
        let fits = all.iter().filter(|other| (other.needed, other.key) == (one.needed, one.key));
        let mut numbers: Vec<u8> = fits.map(|label| label.number).collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers.len() >= usize::from(one.needed)
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::super::slots::place;
    use super::*;

    const IN_FORCE: Root = Root { epoch: 7, state: [7; 32] };
    const NEXT: Root = Root { epoch: 8, state: [8; 32] };
    const AGENTS: usize = 3;

    /// How a configuration has roots lie with agents: how many are needed, how many must hold one, and the numbers of their shares.
    type Dealing = (u8, usize, [u8; AGENTS]);

    /// An epoch, and in which dealing.
    type What = (u64, usize);
    type Places = [Option<What>; 2];

    /// How a process decides.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Rule {
        Right,
        /// What is put goes over either of two envelopes of the root in force.
        NoRoomMade,
        /// What an agent holds in the old way goes once it holds the new one.
        KeepsAtOnce,
    }

    /// One state of the agents while the root in force is dealt anew and the next one is put beside it.
    #[derive(Clone, Debug, PartialEq, Eq, Hash)]
    struct World {
        /// The configuration of the process that runs.
        dealing: usize,
        places: [Places; AGENTS],
        /// It knows what the agent holds: there is a session, and all of it was answered.
        in_session: [bool; AGENTS],
        known: [Vec<What>; AGENTS],
        /// Requests more that may be cut short or whose answers may be lost, and starts that may come.
        losses: u8,
        starts: u8,
    }

    impl World {
        fn with(&self, at: At, places: Places) -> Self {
            let mut world = self.clone();
            world.places[at] = places;
            world
        }

        fn holds(&self, at: At) -> Vec<What> {
            self.places[at].iter().flatten().copied().collect()
        }
    }

    struct Setup<'a> {
        dealings: &'a [Dealing],
        rule: Rule,
    }

    impl Setup<'_> {
        fn label(&self, at: At, (epoch, dealing): What) -> Label {
            let (needed, _, numbers) = self.dealings[dealing];
            let root = if epoch == IN_FORCE.epoch { IN_FORCE } else { NEXT };
            Label { instance: [0; 16], root, needed, number: numbers[at], key: [0; 8], agent: at.to_string() }
        }

        fn labels(&self, at: At, what: &[What]) -> Vec<Label> {
            what.iter().map(|what| self.label(at, *what)).collect()
        }

        fn ledger(&self, world: &World) -> Ledger {
            let dealing = (0..AGENTS).map(|at| self.label(at, (IN_FORCE.epoch, world.dealing))).collect();
            let ledger = Ledger::new(dealing, self.dealings[world.dealing].1);
            (0..AGENTS).for_each(|at| ledger.learn(at, &self.labels(at, &world.known[at])));
            ledger
        }

        /// The root in force comes back from what agents really hold, or the next one does.
        fn survives(&self, world: &World) -> bool {
            let held: Vec<Vec<Label>> = (0..AGENTS).map(|at| self.labels(at, &world.holds(at))).collect();
            [IN_FORCE, NEXT].iter().any(|root| comes_back(&held, &Label { root: *root, ..self.label(0, (7, 0)) }))
        }

        /// The agent has done it, and the process hears of it or not.
        fn done(&self, world: &World, at: At, places: Places, found: &mut Vec<World>) {
            let mut heard = world.with(at, places);
            heard.known[at] = heard.holds(at);
            heard.in_session[at] = true;
            found.push(heard);
            self.lost(world, at, places, found);
        }

        fn lost(&self, world: &World, at: At, places: Places, found: &mut Vec<World>) {
            let mut lost = world.with(at, places);
            lost.in_session[at] = false;
            if let Some(left) = world.losses.checked_sub(1) {
                found.push(World { losses: left, ..lost });
            }
        }

        fn keep(&self, world: &World, at: At, keep: &Keep, found: &mut Vec<World>) {
            let stays = |held: &What| match keep {
                Keep::Only(only) => self.label(at, *held) == *only,
                Keep::NothingUpTo(epoch) => held.0 > *epoch,
            };
            self.lost(world, at, world.places[at], found);
            self.done(world, at, world.places[at].map(|held| held.filter(stays)), found);
        }

        fn put(&self, world: &World, at: At, new: What, found: &mut Vec<World>) {
            let held = world.places[at];
            if held.contains(&Some(new)) {
                return self.done(world, at, held, found);
            }
            let beside = held.iter().flatten().find(|held| held.0 == IN_FORCE.epoch);
            let slot = place([held[0].as_ref(), held[1].as_ref()], &new, beside, |zero, one| zero < one);
            let with = |what| {
                let mut places = held;
                places[slot] = what;
                places
            };
            // Cut short, the place holds nothing.
            self.lost(world, at, with(None), found);
            self.done(world, at, with(Some(new)), found);
        }

        /// What the process knows after it has made up its mind.
        fn decided(&self, world: &World, ledger: &Ledger) -> World {
            let mut world = world.clone();
            for (at, left) in ledger.lock().iter().enumerate() {
                world.known[at].retain(|what| left.contains(&self.label(at, *what)));
            }
            world
        }

        fn next(&self, world: &World, found: &mut Vec<World>) {
            if let Some(starts) = world.starts.checked_sub(1) {
                for dealing in 1..self.dealings.len() {
                    let (in_session, known) = ([false; AGENTS], Default::default());
                    found.push(World { dealing, in_session, known, starts, ..world.clone() });
                }
            }
            for at in 0..AGENTS {
                if !world.in_session[at] {
                    let mut seen = world.clone();
                    (seen.in_session[at], seen.known[at]) = (true, world.holds(at));
                    found.push(seen);
                    continue;
                }
                let holds = self.labels(at, &world.holds(at));
                for epoch in [IN_FORCE.epoch, NEXT.epoch] {
                    let new = (epoch, world.dealing);
                    let ledger = self.ledger(world);
                    match ledger.makes_room(at, &holds, &self.label(at, new), IN_FORCE) {
                        Ok(Some(stays)) if self.rule != Rule::NoRoomMade => {
                            self.keep(&self.decided(world, &ledger), at, &Keep::Only(stays), found);
                        }
                        Err(()) if self.rule != Rule::NoRoomMade => {}
                        _ => self.put(world, at, new, found),
                    }
                }
                let only = self.label(at, (IN_FORCE.epoch, world.dealing));
                let ledger = self.ledger(world);
                let keeps = ledger
                    .keeps(at, &holds, &only)
                    .filter(|_| self.rule != Rule::KeepsAtOnce || !holds.contains(&only));
                self.keep(&self.decided(world, &ledger), at, &keeps.unwrap_or(Keep::Only(only)), found);
            }
        }

        /// How many states can be reached; `None` if the root is lost in one.
        fn explore(&self, losses: u8, starts: u8) -> Option<usize> {
            let places = [[Some((IN_FORCE.epoch, 0)), None]; AGENTS];
            let (in_session, known) = ([false; AGENTS], Default::default());
            let start = World { dealing: 1, places, in_session, known, losses, starts };
            let mut seen = HashSet::from([start.clone()]);
            let (mut todo, mut found) = (vec![start], Vec::new());
            while let Some(world) = todo.pop() {
                if !self.survives(&world) {
                    return None;
                }
                self.next(&world, &mut found);
                todo.extend(found.drain(..).filter(|world| seen.insert(world.clone())));
            }
            Some(seen.len())
        }
    }

    const TWO: Dealing = (2, 2, [1, 2, 3]);
    const ALL: Dealing = (3, 3, [1, 2, 3]);
    const REORDERED: Dealing = (2, 2, [2, 3, 1]);

    #[test]
    fn no_order_of_events_loses_the_root_in_force_while_it_is_dealt_anew() {
        for (dealings, losses, starts) in [
            (&[TWO, ALL][..], 2, 1),
            (&[ALL, TWO], 2, 1),
            (&[TWO, REORDERED], 2, 1),
            (&[ALL, REORDERED], 2, 1),
            (&[TWO, ALL, REORDERED], 1, 2),
        ] {
            let states = Setup { dealings, rule: Rule::Right }.explore(losses, starts);
            assert!(states.is_some_and(|states| states > 1000), "{dealings:?}: {states:?}");
        }
    }

    #[test]
    fn agents_that_give_up_what_is_needed_are_caught() {
        for rule in [Rule::NoRoomMade, Rule::KeepsAtOnce] {
            assert_eq!(Setup { dealings: &[TWO, ALL], rule }.explore(1, 0), None, "{rule:?}");
        }
    }
}
