//! Which root to bring back, when agents may lie.
//!
//! An agent cannot open an envelope, and yet it can make one: the recovery key is public, and the name of the root in force
//! stands on its own envelope. What it makes is a record with a checksum of its own making. So nothing that agents give is
//! believed by itself. Every root that can be put together is a *candidate*, and only the key pages tell which is one: the
//! hash in a record names a root page, and its key opens that page. Who invents a record knows no key that opens a page of the
//! vault, and writes no page that has the hash of another. What does not fit the root that opened them is a lie, or the remains
//! of one, and is told with the agent's name.

use std::collections::{BTreeMap, BTreeSet};

use keyforest::media::{SLOT_BYTES, SLOT_RECORD};
use zeroize::Zeroizing;

use super::Root;
use super::envelope::{Envelope, EnvelopeError, Label, share};
use super::recovery_key::SecretKey;
use super::shamir::{self, Share};

/// So many ways of putting shares of one root together are tried: more than there are of taking half of as many agents as there can
/// be, one share of each.
const MOST_WAYS: usize = 20_000;
/// An agent has two places.
const MOST_OF_ONE: usize = 2;

/// A root that envelopes give, which may be invented.
#[derive(Clone)]
pub struct Candidate {
    /// The vault, as the envelopes say.
    pub instance: [u8; 16],
    /// The root.
    pub root: Root,
    /// It, as a register's block.
    pub block: Zeroizing<[u8; SLOT_BYTES]>,
    /// The agents whose envelopes are of it.
    pub agents: BTreeSet<String>,
}

/// An envelope's label, and the root or share that was in it.
type Opened = (Label, Zeroizing<Vec<u8>>);

/// What agents gave, opened.
pub struct Found {
    /// The newest first; of one name those that more agents stand behind.
    pub candidates: Vec<Candidate>,
    /// Why there are no more.
    pub trouble: Option<EnvelopeError>,
    /// Agents whose envelope does not open with the recovery key that it is sealed to: it was changed.
    pub spoilt: BTreeSet<String>,
    /// Agents that gave more envelopes than an agent can hold. Those above it are left out.
    pub lavish: BTreeSet<String>,
    opened: Vec<Opened>,
}

/// Opens envelopes and puts every root together that they give. An envelope counts for the agent that it names: whoever fetches
/// them leaves out those that another one gave.
pub fn look(envelopes: &[Envelope], key: &SecretKey) -> Found {
    let mut trouble = None;
    let mut spoilt = BTreeSet::new();
    let mut opened: Vec<Opened> = Vec::new();
    let (mut given, mut lavish) = (BTreeMap::<&str, usize>::new(), BTreeSet::new());
    for envelope in envelopes {
        let agent = envelope.label().agent.as_str();
        let of_one = given.entry(agent).or_default();
        *of_one += 1;
        if *of_one > MOST_OF_ONE {
            lavish.insert(agent.to_owned());
            continue;
        }
        match envelope.open(key) {
            Ok(plain) => opened.push((envelope.label().clone(), plain)),
            Err(error) => {
                if let EnvelopeError::DoesNotOpen { agent } = &error {
                    spoilt.insert(agent.clone());
                }
                let _ = trouble.get_or_insert(error);
            }
        }
    }
    let named = |(label, _): &Opened| (label.root, label.needed, label.instance);
    let mut names: Vec<_> = opened.iter().map(named).collect();
    names.sort_unstable_by(|one, other| other.cmp(one));
    names.dedup();
    let mut candidates = Vec::new();
    for name in names {
        let mut of: Vec<&Opened> = opened.iter().filter(|opened| named(opened) == name).collect();
        let before = candidates.len();
        // Whoever stands behind one is no part of another: with a wrong share the right ones give nothing.
        // First with one share of each agent: those who lie can then not make the ways more than there are agents for.
        while let Some(candidate) = join(&one_of_each(&of), &of, name.0).or_else(|| join(&of, &of, name.0)) {
            of.retain(|opened| !fits(&candidate, opened));
            candidates.push(candidate);
        }
        if candidates.len() == before {
            let given = of.iter().map(|(label, _)| &label.agent).collect::<BTreeSet<_>>().len();
            let (epoch, needed) = (name.0.epoch, name.1);
            let few = given < usize::from(needed);
            let error = if few { EnvelopeError::TooFew { epoch, needed, given } } else { EnvelopeError::NoRoot };
            let _ = trouble.get_or_insert(error);
        }
        candidates[before..].sort_by_key(|candidate| std::cmp::Reverse(candidate.agents.len()));
    }
    candidates.sort_by_key(|candidate| std::cmp::Reverse(candidate.root.epoch));
    if envelopes.is_empty() {
        trouble = Some(EnvelopeError::None);
    }
    Found { candidates, trouble, spoilt, lavish, opened }
}

impl Found {
    /// Agents that gave something under the name of this root that is not of it. They lie, or their registers are damaged in a
    /// way that no checksum tells: where it is certain that this is the root.
    pub fn liars(&self, root: &Candidate) -> BTreeSet<String> {
        let same = |(label, _): &&Opened| label.root == root.root && label.instance == root.instance;
        let wrong = self.opened.iter().filter(same).filter(|opened| !fits(root, opened));
        wrong.map(|(label, _)| label.agent.clone()).collect()
    }
}

/// Whether an envelope is one of this root: shares follow from the record, so each can be made again.
fn fits(root: &Candidate, (label, plain): &Opened) -> bool {
    let record = &root.block[..SLOT_RECORD];
    let right = match label.needed {
        1 => Some(Zeroizing::new(record.to_vec())),
        needed => share(record, &label.instance, needed, label.number).ok().map(|share| share.values),
    };
    right.is_some_and(|right| right == *plain)
}

/// The first share of each agent.
fn one_of_each<'a>(of: &[&'a Opened]) -> Vec<&'a Opened> {
    let mut seen = BTreeSet::new();
    of.iter().filter(|(label, _)| seen.insert(&label.agent)).copied().collect()
}

/// The first record of this name that some of them give and that enough of `all` stand behind. Agents that lie together can make
/// shares of a record that has its checksum and that no share follows from: such a one does not end the search.
fn join(of: &[&Opened], all: &[&Opened], root: Root) -> Option<Candidate> {
    let (first, _) = of.first()?;
    let needed = usize::from(first.needed);
    let mut ways = 0;
    let mut chosen = Vec::with_capacity(needed);
    let mut found = None;
    each(of, needed, &mut chosen, &mut |chosen| {
        ways += 1;
        found = record(chosen, root).and_then(|block| {
            let mut candidate = Candidate { instance: first.instance, root, block, agents: BTreeSet::new() };
            let fitting = all.iter().filter(|opened| fits(&candidate, opened)).map(|(label, _)| label.agent.clone());
            candidate.agents = fitting.collect();
            (candidate.agents.len() >= needed).then_some(candidate)
        });
        found.is_some() || ways >= MOST_WAYS
    });
    found
}

/// Every choice of so many of them, each of another agent and of another number; ends when `tried` says so.
fn each<'a>(
    of: &[&'a Opened],
    needed: usize,
    chosen: &mut Vec<&'a Opened>,
    tried: &mut dyn FnMut(&[&'a Opened]) -> bool,
) -> bool {
    if chosen.len() == needed {
        return tried(chosen);
    }
    for (at, one) in of.iter().enumerate() {
        if of.len() - at < needed - chosen.len() {
            return false;
        }
        if chosen.iter().any(|(label, _)| label.agent == one.0.agent || label.number == one.0.number) {
            continue;
        }
        chosen.push(one);
        let end = each(&of[at + 1..], needed, chosen, tried);
        chosen.pop();
        if end {
            return true;
        }
    }
    false
}

fn record(of: &[&Opened], root: Root) -> Option<Zeroizing<[u8; SLOT_BYTES]>> {
    let record = match of {
        [(Label { needed: 1, .. }, whole)] => whole.clone(),
        _ => {
            let share = |(label, values): &&Opened| Share { number: label.number, values: values.clone() };
            shamir::join(&of.iter().map(share).collect::<Vec<_>>())?
        }
    };
    let mut block = Zeroizing::new([0; SLOT_BYTES]);
    (record.len() == SLOT_RECORD).then(|| block[..SLOT_RECORD].copy_from_slice(&record))?;
    (Root::of(&block) == Some(root)).then_some(block)
}

#[cfg(test)]
mod tests {
    use super::super::envelope::{seal, seal_plain};
    use super::super::{PublicKey, Quorum};
    use super::*;

    const INSTANCE: [u8; 16] = *b"instance of test";

    fn block(epoch: u64, state: u8, key: u8) -> [u8; SLOT_BYTES] {
        let mut block = [0; SLOT_BYTES];
        block[..8].copy_from_slice(b"KFSLOT01");
        block[8..16].copy_from_slice(&epoch.to_le_bytes());
        block[16..48].fill(key);
        block[48..80].fill(state);
        let sum = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &block[..480]);
        block[480..512].copy_from_slice(sum.as_ref());
        block
    }

    fn of(block: &[u8; SLOT_BYTES], quorum: Quorum, number: u8, key: &PublicKey) -> Envelope {
        seal(block, INSTANCE, quorum, number, &format!("agent-{number}"), key).unwrap()
    }

    fn names(agents: &BTreeSet<String>) -> Vec<&str> {
        agents.iter().map(String::as_str).collect()
    }

    #[test]
    fn a_wrong_share_is_left_out_and_its_agent_named_wherever_it_stands() {
        let secret = SecretKey::generate().unwrap();
        let key = secret.public().unwrap();
        let (quorum, real, fake) = (Quorum::shares(3, 5).unwrap(), block(7, 1, 2), block(7, 1, 9));
        for liar in 1..=5 {
            let share = |number| of(if number == liar { &fake } else { &real }, quorum, number, &key);
            let found = look(&(1..=5).map(share).collect::<Vec<_>>(), &secret);
            assert_eq!(found.candidates.len(), 1);
            let candidate = &found.candidates[0];
            assert!(*candidate.block == real && candidate.agents.len() == 4);
            assert_eq!(names(&found.liars(candidate)), [format!("agent-{liar}")]);
        }
    }

    #[test]
    fn whole_roots_under_one_name_are_candidates_each_and_more_agents_come_first() {
        let secret = SecretKey::generate().unwrap();
        let key = secret.public().unwrap();
        let quorum = Quorum::plain(3).unwrap();
        let (real, fake, later) = (block(7, 1, 2), block(7, 1, 9), block(8, 3, 9));
        let given = [of(&fake, quorum, 1, &key), of(&real, quorum, 2, &key), of(&real, quorum, 3, &key)];
        let found = look(&given, &secret);
        let blocks: Vec<bool> = found.candidates.iter().map(|candidate| *candidate.block == real).collect();
        assert_eq!(blocks, [true, false]);
        assert_eq!(names(&found.liars(&found.candidates[0])), ["agent-1"]);
        let given = [of(&later, quorum, 1, &key), of(&real, quorum, 2, &key), of(&real, quorum, 3, &key)];
        let found = look(&given, &secret);
        let epochs: Vec<u64> = found.candidates.iter().map(|candidate| candidate.root.epoch).collect();
        assert_eq!(epochs, [8, 7]);
        assert!(found.liars(&found.candidates[1]).is_empty(), "under another name: the pages tell");
    }

    #[test]
    fn one_agent_counts_once_however_many_shares_it_gives() {
        let secret = SecretKey::generate().unwrap();
        let key = secret.public().unwrap();
        let (quorum, fake) = (Quorum::shares(2, 3).unwrap(), block(9, 1, 9));
        let own = |number| seal(&fake, INSTANCE, quorum, number, "agent-1", &key).unwrap();
        let found = look(&[own(1), own(2), own(3)], &secret);
        assert!(found.candidates.is_empty());
        assert_eq!(found.trouble, Some(EnvelopeError::TooFew { epoch: 9, needed: 2, given: 1 }));
    }

    /// Agents that lie together know each other's shares, and may make shares that belong to no root as the vault shares it.
    #[test]
    fn shares_of_a_record_that_liars_made_up_among_themselves_do_not_end_the_search() {
        let secret = SecretKey::generate().unwrap();
        let key = secret.public().unwrap();
        let (quorum, real, fake) = (Quorum::shares(2, 5).unwrap(), block(7, 1, 2), block(7, 1, 9));
        let mut coefficients = vec![0; SLOT_RECORD];
        aws_lc_rs::rand::fill(&mut coefficients).unwrap();
        let among_them =
            |number| shamir::share(&fake[..SLOT_RECORD], number, 2, &coefficients).map(|share| share.values).unwrap();
        let honest = |number| of(&real, quorum, number, &key);
        let label = honest(1).label().clone();
        let given: Vec<Envelope> = (1..=5)
            .map(|number| match number {
                1 | 2 => seal_plain(
                    &Label { number, agent: format!("agent-{number}"), ..label.clone() },
                    among_them(number),
                    &key,
                ),
                _ => Ok(honest(number)),
            })
            .collect::<Result<_, _>>()
            .unwrap();
        let found = look(&given, &secret);
        assert_eq!(found.candidates.len(), 1);
        let candidate = &found.candidates[0];
        assert!(*candidate.block == real);
        assert_eq!(names(&candidate.agents), ["agent-3", "agent-4", "agent-5"]);
        assert_eq!(names(&found.liars(candidate)), ["agent-1", "agent-2"]);
    }

    #[test]
    fn an_agent_that_gives_many_shares_does_not_use_up_all_the_ways_and_is_named() {
        let secret = SecretKey::generate().unwrap();
        let key = secret.public().unwrap();
        let (quorum, real, fake) = (Quorum::shares(8, 16).unwrap(), block(7, 1, 2), block(7, 1, 9));
        let lie = |number| seal(&fake, INSTANCE, quorum, number, "agent-1", &key).unwrap();
        let mut given: Vec<Envelope> = (1..=6).map(lie).collect();
        given.extend((2..=16).map(|number| of(&real, quorum, number, &key)));
        let found = look(&given, &secret);
        assert_eq!(names(&found.lavish), ["agent-1"]);
        assert_eq!(found.candidates.len(), 1);
        assert!(*found.candidates[0].block == real && found.candidates[0].agents.len() == 15);
        assert!(look(&given[5..], &secret).lavish.is_empty());
    }

    /// After agents were numbered anew one may hold a share of each number, and both are right.
    #[test]
    fn of_two_shares_of_one_agent_the_one_that_it_takes_is_taken() {
        let secret = SecretKey::generate().unwrap();
        let key = secret.public().unwrap();
        let (quorum, real) = (Quorum::shares(2, 3).unwrap(), block(7, 1, 2));
        let both = |number| seal(&real, INSTANCE, quorum, number, "agent-3", &key).unwrap();
        let found = look(&[both(2), both(3), of(&real, quorum, 2, &key)], &secret);
        assert_eq!(found.candidates.len(), 1);
        assert!(*found.candidates[0].block == real && found.lavish.is_empty());
    }

    #[test]
    fn a_changed_envelope_names_its_agent() {
        let secret = SecretKey::generate().unwrap();
        let key = secret.public().unwrap();
        let whole = of(&block(7, 1, 2), Quorum::plain(1).unwrap(), 1, &key);
        let mut changed = whole.bytes().to_vec();
        *changed.last_mut().unwrap() ^= 1;
        let found = look(&[Envelope::read(&changed).unwrap()], &secret);
        assert_eq!(names(&found.spoilt), ["agent-1"]);
        assert!(found.candidates.is_empty());
    }
}
