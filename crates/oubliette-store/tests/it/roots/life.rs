//! The register's part in the life of a forest, with faults: create, seal after seal, recover after every death.
//!
//! The driver does to the slots what `keyforest` does, and checks what `keyforest` counts on.

use std::collections::BTreeSet;

use keyforest::media::SlotError;

use super::conformance::{Device, number, record};

/// What a life takes place in.
pub trait World {
    /// Opens the slots in a new process; `None` when a fault was in the way.
    fn open(&self) -> Option<Device>;
    /// Whether a fault has ended the process.
    fn is_dead(&self) -> bool;
    /// A new process begins. What is durable stays.
    fn restart(&self);
    /// The records that somebody reads who has every byte of every carrier there ever was and all keys of now.
    fn revealed(&self) -> BTreeSet<u64>;
}

/// Lives through `seals` seals and gives how often the process died and how often a call had to be repeated.
pub fn live(world: &dyn World, seals: u64) -> (u32, u32) {
    let mut life = Life { world, device: None, slot: 0, epoch: 0, answered: 0, deaths: 0, repeats: 0 };
    life.start();
    while life.answered < seals {
        life.seal();
    }
    (life.deaths, life.repeats)
}

struct Life<'a> {
    world: &'a dyn World,
    device: Option<Device>,
    slot: usize,
    epoch: u64,
    /// Highest epoch that was called sealed.
    answered: u64,
    deaths: u32,
    repeats: u32,
}

enum Outcome {
    Done,
    Died,
}

impl Life<'_> {
    fn device(&self) -> &Device {
        self.device.as_ref().unwrap()
    }

    /// A process from its start until the register is in order: a first root, or the recovery of one.
    fn start(&mut self) {
        for _ in 0..50 {
            self.device = None;
            if self.world.is_dead() {
                self.deaths += 1;
                self.world.restart();
            }
            let Some(device) = self.world.open() else {
                self.repeats += 1;
                continue;
            };
            self.device = Some(device);
            if self.bring_in_order() {
                let revealed = self.world.revealed();
                assert!(revealed.iter().all(|epoch| *epoch >= self.epoch), "{revealed:?} at {}", self.epoch);
                self.answered = self.epoch;
                return;
            }
            self.repeats += 1;
        }
        panic!("the register was never brought in order");
    }

    /// As `keyforest::open` and `create`, where any error is the end of this attempt.
    fn bring_in_order(&mut self) -> bool {
        let mut found = [None, None];
        for (slot, found) in found.iter_mut().enumerate() {
            let Ok(block) = self.device().read_slot(slot) else { return false };
            *found = number(&block[..]);
        }
        let (slot, epoch) = match found {
            [None, None] => {
                assert_eq!(self.answered, 0, "the vault is lost");
                if self.device().write_slot(0, &record(1)).is_err() || self.device().destroy_slot(1).is_err() {
                    return false;
                }
                (self.slot, self.epoch) = (0, 1);
                return true;
            }
            [Some(zero), one] if one.is_none_or(|one| zero > one) => (0, zero),
            [_, Some(one)] => (1, one),
            [Some(zero), None] => (0, zero),
        };
        assert!(epoch >= self.answered, "an epoch that was answered is gone: {epoch} of {}", self.answered);
        assert!(epoch <= self.epoch + 1, "an epoch that was never written");
        let device = self.device();
        if device.rewrite_slot(slot, &record(epoch)).is_err() || device.destroy_slot(1 - slot).is_err() {
            return false;
        }
        (self.slot, self.epoch) = (slot, epoch);
        true
    }

    fn seal(&mut self) {
        let (next, old) = (self.epoch + 1, self.slot);
        if let Outcome::Died = self.until_done(|device| device.write_slot(1 - old, &record(next))) {
            return self.start();
        }
        if let Outcome::Died = self.until_done(|device| device.destroy_slot(old)) {
            return self.start();
        }
        (self.slot, self.epoch, self.answered) = (1 - old, next, next);
        let revealed = self.world.revealed();
        assert!(revealed.contains(&next), "the control: {revealed:?} at {next}");
        assert!(revealed.iter().all(|epoch| *epoch >= next), "{revealed:?} at {next}");
        // Not readable is a fault of this moment; readable and another one would be a loss.
        match self.device().read_slot(self.slot) {
            Ok(block) => assert_eq!(number(&block[..]), Some(next)),
            Err(_) => self.repeats += 1,
        }
    }

    fn until_done(&mut self, call: impl Fn(&Device) -> Result<(), SlotError>) -> Outcome {
        for _ in 0..50 {
            let done = call(self.device());
            if self.world.is_dead() {
                return Outcome::Died;
            }
            match done {
                Ok(()) => return Outcome::Done,
                Err(SlotError::Again(_)) => self.repeats += 1,
                Err(SlotError::End(error)) => panic!("nothing here is the end: {error}"),
            }
        }
        panic!("the call never succeeded");
    }
}
