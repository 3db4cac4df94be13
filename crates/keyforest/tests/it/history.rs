//! A random life of a forest, with crashes, checked after every answer by the attacker and by a trivial model.

use std::collections::BTreeMap;

use keyforest::attack::Attacker;
use keyforest::{Change, Forest, ForestConfig, Lane, Leaf, LeafSet, LeafStatus, Pins, SealError};

use crate::sim::{Dice, Sim};

/// What went wrong in a history.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    pub crashes: u32,
    pub checks: u32,
    /// Seals that waited for the register and were finished.
    pub waits: u32,
    /// Leaves answered as erased that the attacker derives, or that the forest itself gives out.
    pub leaks: u32,
    /// Live leaves whose key is gone or another.
    pub losses: u32,
    /// The forest did not open again.
    pub unrecoverable: u32,
    /// A seal was stopped by its own check.
    pub refused: u32,
    /// A leaf was issued twice, or a journal record forgotten.
    pub broken_promises: u32,
}

impl Findings {
    pub fn add(&mut self, other: Self) {
        self.crashes += other.crashes;
        self.checks += other.checks;
        self.waits += other.waits;
        self.leaks += other.leaks;
        self.losses += other.losses;
        self.unrecoverable += other.unrecoverable;
        self.refused += other.refused;
        self.broken_promises += other.broken_promises;
    }

    pub fn is_clean(&self) -> bool {
        self.leaks + self.losses + self.unrecoverable + self.refused + self.broken_promises == 0
    }
}

/// How the vault around the forest behaves.
#[derive(Clone, Copy, Default)]
pub struct Ways {
    /// The register is in the backups that the attacker has.
    pub register_backed_up: bool,
    /// *Sealed* is answered when the new root is durable, not when the old one is gone.
    pub answers_early: bool,
    /// Flushes fail now and then; the process ends, the machine stays up.
    pub flush_errors: bool,
    /// The register's store is out of reach now and then; the seal is finished when it answers again, or by a recovery.
    pub register_stalls: bool,
}

pub fn config() -> ForestConfig {
    ForestConfig { page_memory: 4096, pack_bytes: 24 << 10, reserve_bytes: 4096, provision_buckets: 2 }
}

/// Lives through `epochs` seals. `sim` carries the deliberate mistakes.
pub fn live(sim: &Sim, seed: u64, epochs: u32, ways: Ways) -> Findings {
    let mut dice = Dice::new(seed ^ 0xabcd);
    let mut findings = Findings::default();
    let mut model = Model::default();
    let Some(mut forest) = begin(sim, &mut dice, &mut findings) else { return findings };
    for _ in 0..epochs {
        model.ingest(&forest, &mut dice, &mut findings);
        if dice.one_in(3) {
            model.journal(&forest, &mut dice);
        }
        let change = model.change(&forest, &mut dice);
        set_trap(sim, &mut dice, ways);
        let mut sealed = seal(&forest, &change, &mut dice);
        while matches!(sealed, Err(SealError::Stalled(_))) && !sim.is_dead() && !dice.one_in(5) {
            findings.losses += u32::from(!model.reads(&forest));
            sealed = forest.finish_seal().map(|_| ());
            findings.waits += u32::from(sealed.is_ok());
        }
        let mut tries = 0;
        // A power cut while the seal was tidying up comes after its answer.
        while sealed.is_err() || sim.is_dead() {
            tries += 1;
            match &sealed {
                Err(SealError::NotDone(_)) if !sim.is_dead() => findings.refused += 1,
                _ => findings.crashes += 1,
            }
            if tries > 4 {
                return findings;
            }
            if ways.answers_early && sim.points().contains("keyforest.seal.new_root_durable") {
                // Answered before the crash: it must hold whatever comes.
                model.erased(&change.puncture);
                model.check(sim, None, ways, &mut findings);
            }
            drop(forest);
            match recover(sim, &mut dice, &mut findings, ways) {
                Some(open) => forest = open,
                None => return findings,
            }
            model.reopened(&forest, &mut findings);
            // The test is the puncture, not the epoch: what recovery brought to its end needs no second seal.
            let finished = !change.puncture.is_empty()
                && change.puncture.iter().all(|leaf| forest.status(leaf).is_ok_and(|s| s == LeafStatus::Punctured));
            if sealed.is_err() {
                sealed = if finished { Ok(()) } else { forest.seal(&repeat(&change)).map(|_| ()) };
            }
        }
        model.erased(&change.puncture);
        model.journal_done = model.journal_done.max(change.journal_done.unwrap_or(0));
        model.check(sim, Some(&forest), ways, &mut findings);
        if dice.one_in(4) {
            drop(forest);
            sim.power_cycle();
            match recover(sim, &mut dice, &mut findings, ways) {
                Some(open) => forest = open,
                None => return findings,
            }
            model.reopened(&forest, &mut findings);
            if forest.seal(&Change { provision: 2, ..Change::default() }).is_err() {
                findings.unrecoverable += 1;
                return findings;
            }
        }
    }
    findings
}

/// At once, or made ready first; now and then a seal that was made ready is taken back and made anew.
fn seal(forest: &Forest, change: &Change, dice: &mut Dice) -> Result<(), SealError> {
    if dice.one_in(2) {
        return forest.seal(change).map(|_| ());
    }
    forest.prepare_seal(change)?;
    if dice.one_in(3) {
        forest.abandon_seal()?;
        return forest.seal(change).map(|_| ());
    }
    forest.finish_seal().map(|_| ())
}

fn repeat(change: &Change) -> Change {
    Change { puncture: change.puncture.clone(), provision: 2, journal_done: change.journal_done, ..Change::default() }
}

fn set_trap(sim: &Sim, dice: &mut Dice, ways: Ways) {
    if ways.register_stalls && dice.one_in(2) {
        sim.register_unanswered(1 + dice.roll(4) as u32);
    }
    match dice.roll(4) {
        0 if ways.flush_errors => sim.fail_flush_after(dice.roll(3)),
        0 => sim.cut_after(1 + dice.roll(6)),
        1 => sim.cut_at_point(keyforest::CRASH_POINTS[dice.roll(keyforest::CRASH_POINTS.len() as u64) as usize]),
        _ => {}
    }
}

fn begin(sim: &Sim, dice: &mut Dice, findings: &mut Findings) -> Option<Forest> {
    if dice.one_in(3) {
        sim.cut_after(1 + dice.roll(8));
    }
    for _ in 0..3 {
        match Forest::create(sim.stores(), config(), b"attached", Pins::default()) {
            Ok(forest) => return Some(forest),
            Err(keyforest::ForestError::Exists) => {
                let (forest, _) = Forest::open(sim.stores(), config()).ok()?;
                // The first supply belongs to the run that was cut off.
                forest.seal(&Change { provision: 2, ..Change::default() }).ok()?;
                return Some(forest);
            }
            Err(_) => {
                findings.crashes += 1;
                sim.power_cycle();
            }
        }
    }
    findings.unrecoverable += 1;
    None
}

/// Opens again; sometimes the power goes during that too.
fn recover(sim: &Sim, dice: &mut Dice, findings: &mut Findings, ways: Ways) -> Option<Forest> {
    for attempt in 0..4 {
        if ways.flush_errors && attempt == 0 {
            // Only the process ended; a clean cache may still say what the disk never got.
            sim.process_ends();
        } else {
            sim.power_cycle();
        }
        if attempt < 3 && dice.one_in(3) {
            sim.cut_after(1 + dice.roll(4));
        }
        match Forest::open(sim.stores(), config()) {
            Ok((forest, _)) if !sim.is_dead() => {
                sim.process_ends();
                return Some(forest);
            }
            _ if sim.is_dead() => findings.crashes += 1,
            _ => break,
        }
    }
    findings.unrecoverable += 1;
    None
}

#[derive(Default)]
struct Model {
    live: BTreeMap<u64, [u8; 32]>,
    erased: Vec<u64>,
    issued: std::collections::BTreeSet<u64>,
    journaled: BTreeMap<u64, Vec<u8>>,
    journal_done: u64,
}

impl Model {
    fn ingest(&mut self, forest: &Forest, dice: &mut Dice, findings: &mut Findings) {
        for _ in 0..1 + dice.roll(20) {
            let Ok(group) = forest.allocate_group(Lane(dice.roll(2))) else { break };
            for leaf in group.leaves() {
                if !self.issued.insert(leaf.0) {
                    findings.broken_promises += 1;
                }
                if let Ok(key) = forest.key(leaf) {
                    self.live.insert(leaf.0, *key.expose());
                }
            }
        }
    }

    fn journal(&mut self, forest: &Forest, dice: &mut Dice) {
        let record = vec![dice.roll(256) as u8; dice.roll(700) as usize];
        if let Ok(position) = forest.journal_append(&record) {
            self.journaled.insert(position, record);
        }
    }

    fn change(&self, forest: &Forest, dice: &mut Dice) -> Change {
        let all: Vec<u64> = self.live.keys().copied().collect();
        let mut puncture = LeafSet::new();
        if !all.is_empty() {
            match dice.roll(4) {
                0 => puncture.extend([Leaf(all[dice.roll(all.len() as u64) as usize])]),
                1 => puncture.extend((0..50).map(|_| Leaf(all[dice.roll(all.len() as u64) as usize]))),
                2 => {
                    let from = dice.roll(all.len() as u64) as usize;
                    puncture.extend(all[from..].iter().take(200).map(|leaf| Leaf(*leaf)));
                }
                _ => puncture.extend(all.iter().filter(|_| dice.one_in(2)).map(|leaf| Leaf(*leaf))),
            }
        }
        let canaries = all.iter().map(|leaf| Leaf(*leaf)).filter(|leaf| !puncture.contains(*leaf)).take(2).collect();
        let provision = if forest.supply() < 2 { 1 + dice.roll(70) } else { dice.roll(2) };
        let last = self.journaled.keys().next_back().copied().filter(|_| dice.one_in(2));
        let attachment = dice.one_in(5).then(|| vec![7; dice.roll(3000) as usize]);
        Change { puncture, canaries, provision, journal_done: last, attachment, ..Change::default() }
    }

    fn erased(&mut self, leaves: &LeafSet) {
        for leaf in leaves.iter() {
            if self.live.remove(&leaf.0).is_some() {
                self.erased.push(leaf.0);
            }
        }
    }

    fn reopened(&mut self, forest: &Forest, findings: &mut Findings) {
        let kept: BTreeMap<u64, Vec<u8>> = forest.journal().unwrap_or_default().into_iter().collect();
        let done = self.journal_done;
        // A seal that was cut off after its commit point may have done more than was answered; never less.
        let first = kept.keys().next().copied().unwrap_or(u64::MAX).max(done + 1);
        let last = self.journaled.keys().next_back().copied().unwrap_or(0);
        for (position, record) in self.journaled.range(first.min(last + 1)..) {
            if kept.get(position) != Some(record) {
                findings.broken_promises += 1;
            }
        }
    }

    /// Everything live is given out, also while a seal waits.
    fn reads(&self, forest: &Forest) -> bool {
        self.live.iter().all(|(leaf, key)| forest.key(Leaf(*leaf)).is_ok_and(|found| found.expose() == key))
    }

    fn check(&self, sim: &Sim, forest: Option<&Forest>, ways: Ways, findings: &mut Findings) {
        findings.checks += 1;
        let mut attacker = Attacker::new();
        sim.archive().iter().for_each(|bytes| attacker.archive(bytes));
        attacker.register(&sim.register());
        if ways.register_backed_up {
            sim.register_archive().iter().for_each(|bytes| attacker.register(&bytes[..512]));
        }
        let reached = attacker.closure();
        findings.leaks += self.erased.iter().filter(|leaf| reached.reaches(Leaf(**leaf))).count().min(1) as u32;
        let Some(forest) = forest else { return };
        if self.erased.iter().any(|leaf| forest.key(Leaf(*leaf)).is_ok()) {
            findings.leaks += 1;
        }
        let lost = self.live.iter().any(|(leaf, key)| {
            // The attacker with the current register must reach what is live: else the check would prove nothing.
            let known = reached.keys(Leaf(*leaf)).iter().any(|found| found.expose() == key);
            !known || !forest.key(Leaf(*leaf)).is_ok_and(|found| found.expose() == key)
        });
        findings.losses += u32::from(lost);
    }
}
