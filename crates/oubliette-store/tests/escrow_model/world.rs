//! One state of everything that matters, and all that may happen next.
//!
//! Roots are numbers in the order in which they were drawn; `EPOCH` of a root says which state it opens. An attempt that a
//! crash cut short and the one after it are two roots of one epoch.

use oubliette_store::escrow::Quorum;
use oubliette_store::escrow::slots::place;

pub const MOST_AGENTS: usize = 4;
pub const MOST_MIRRORS: usize = 2;
const MOST_ROOTS: usize = 6;
/// Root number of an empty place.
pub const NONE: u8 = 0;

/// The protocol, or the protocol with one thing wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    Correct,
    /// Too few agents need to hold the new root.
    PutQuorumOffByOne,
    /// Too few agents need to have destroyed the old one.
    DestroyQuorumOffByOne,
    /// The register's old root dies before the agents have the new one.
    RegisterBeforeAgents,
    /// A seal counts as soon as the register is done.
    SealedBeforeAgents,
    /// The mirrors get the pages last.
    PagesAfterRoot,
    /// A seal goes on when one of the mirrors has the pages.
    OneMirrorIsEnough,
    /// An agent overwrites the root in force when it gets the new one.
    AgentPutsOver,
    /// An agent counts as having destroyed when it holds the new root, whatever else it holds.
    HoldingIsConfirming,
    /// A start believes that the agents are as they should be.
    RecoveryForgetsAgents,
    /// An agent does what an old message says.
    LateMessagesCount,
    /// After an agent was let go, the quorum of those that are left counts at once.
    QuorumAtOnce,
    /// An agent is known by its name: whatever register answers under it is taken for the one before.
    NameIsEnough,
}

/// How much there is of everything.
#[derive(Clone, Copy)]
pub struct Setup {
    pub variant: Variant,
    pub quorum: Quorum,
    /// The quorum of those that are left when the first agent is let go, which happens once at most; without it, never.
    pub left: Option<Quorum>,
    pub mirrors: usize,
    /// The last epoch that is sealed.
    pub last: u8,
    pub crashes: u8,
    /// The first agent may be set up anew under its name, once, while the register that it had is kept; and may get that back.
    pub replaced: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// After a start: the agents get the root in force.
    OpenPut,
    /// The register's other slot is destroyed.
    OpenDestroy,
    /// The agents destroy all but the root in force.
    OpenKeep,
    Serving,
    Ship,
    Put,
    Write,
    Destroy,
    Keep,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Message {
    Put { new: u8, beside: u8 },
    Keep { root: u8 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct World {
    // What is durable, and the same after a crash.
    pub register: [u8; 2],
    pub mirrors: [u8; MOST_MIRRORS],
    pub agents: [[u8; 2]; MOST_AGENTS],
    /// The register that the first agent had, while another one answers under its name.
    pub shelf: Option<[u8; 2]>,
    /// It was set up anew.
    replaced: bool,
    epochs: [u8; MOST_ROOTS],
    drawn: u8,
    /// The newest root that was told to be sealed: all that are older must be gone.
    pub sealed: u8,
    crashes: u8,
    /// The first agent was let go: it keeps what it has, and nobody asks it for anything.
    pub gone: bool,
    /// Since then: not all that are left have confirmed a seal.
    mixed: bool,
    /// Since then: enough of those that are left were given the root in force.
    given: bool,
    // The process.
    pub phase: Phase,
    in_force: u8,
    fresh: u8,
    /// Parties that have confirmed this phase, as bits.
    confirmed: u8,
    // The network: one message that was given up by its sender and may still arrive.
    late: Option<(u8, Message)>,
}

impl World {
    pub fn start() -> Self {
        let mut epochs = [0; MOST_ROOTS];
        epochs[1] = 1;
        Self {
            register: [1, NONE],
            mirrors: [0; MOST_MIRRORS],
            agents: [[NONE; 2]; MOST_AGENTS],
            shelf: None,
            replaced: false,
            epochs,
            drawn: 1,
            sealed: 0,
            crashes: 0,
            gone: false,
            mixed: false,
            given: false,
            phase: Phase::OpenPut,
            in_force: 1,
            fresh: NONE,
            confirmed: 0,
            late: None,
        }
    }

    pub fn is_done(&self, setup: &Setup) -> bool {
        self.phase == Phase::Serving && self.epoch(self.in_force) == setup.last
    }

    pub fn epoch(&self, root: u8) -> u8 {
        self.epochs[usize::from(root)]
    }

    /// I2: no root that is older than the newest sealed one can be had from anywhere.
    pub fn forgets(&self, setup: &Setup) -> bool {
        (1..self.sealed).all(|root| {
            // One that was let go counts where it has a share. Where it has the whole root there is nothing to be done.
            let first = usize::from(self.gone && !setup.quorum.is_shared());
            !self.register.contains(&root) && self.holders(root, setup, first) < setup.quorum.restore()
        })
    }

    /// How many agents are enough, of those that are asked.
    fn quorum(&self, setup: &Setup) -> Quorum {
        setup.left.filter(|_| self.gone).unwrap_or(setup.quorum)
    }

    /// The agents that are asked.
    fn asked(&self, setup: &Setup) -> std::ops::Range<usize> {
        usize::from(self.gone)..setup.quorum.agents()
    }

    /// I1: the root that a start would take is always the one that brings everything back when the machine burns: its pages are
    /// at the mirrors and it is with enough agents. From the first seal on; before, there is nothing to lose.
    pub fn survives(&self, setup: &Setup) -> bool {
        let root = self.highest();
        let mirrored = self.mirrors[..setup.mirrors].iter().all(|has| has & (1 << root) != 0);
        // Who lets an agent go takes its part with it, until those that are left have the root in force.
        let back = mirrored && self.holders(root, setup, usize::from(self.given)) >= setup.quorum.restore();
        root != NONE && (self.sealed == 0 || back)
    }

    /// A register that is kept can be had as one that answers.
    fn holders(&self, root: u8, setup: &Setup, first: usize) -> usize {
        let answering = self.agents[first..setup.quorum.agents()].iter().filter(|held| held.contains(&root)).count();
        let kept = self.shelf.is_some_and(|held| held.contains(&root) && !self.agents[0].contains(&root));
        answering + usize::from(kept && first == 0)
    }

    /// Whether what answers as this agent is the register that its envelopes lie in.
    fn is_known(&self, agent: usize, setup: &Setup) -> bool {
        agent > 0 || self.shelf.is_none() || setup.variant == Variant::NameIsEnough
    }

    /// The root that a start takes: the highest epoch of the register.
    fn highest(&self) -> u8 {
        let [zero, one] = self.register;
        if self.epoch(one) > self.epoch(zero) { one } else { zero }
    }

    /// Everything that may happen, the crashes and the network's tricks included.
    pub fn next(&self, setup: &Setup, found: &mut Vec<World>) {
        self.steps(setup, u8::MAX, true, found);
        if let Some((agent, message)) = self.late {
            let mut world = World { late: None, ..*self };
            // Another register knows nothing of the session.
            if self.is_known(usize::from(agent), setup) {
                world.agent(usize::from(agent), message, setup.variant, found);
            }
            world.late = None;
            found.push(world);
        }
        match self.shelf {
            None if setup.replaced && !self.replaced => {
                let mut world = World { shelf: Some(self.agents[0]), replaced: true, ..*self };
                world.agents[0] = [NONE; 2];
                found.push(world);
            }
            Some(kept) => {
                let mut world = World { shelf: None, ..*self };
                world.agents[0] = kept;
                found.push(world);
            }
            None => {}
        }
        if self.crashes < setup.crashes {
            found.push(self.crashed());
            if setup.left.is_some() && !self.gone {
                found.push(World { gone: true, mixed: true, ..self.crashed() });
            }
            if self.phase == Phase::Write {
                // The block was torn, or it arrived and nobody heard.
                let mut torn = *self;
                torn.register[self.spare()] = NONE;
                found.push(torn.crashed());
            }
            if matches!(self.phase, Phase::Destroy | Phase::OpenDestroy) {
                let mut gone = *self;
                gone.register[gone.other()] = NONE;
                found.push(gone.crashed());
            }
        }
    }

    /// What the vault may do next with the parties of `reach` (bits; agents first, then mirrors). With `tricks`, requests get
    /// lost on the way, answers get lost, and messages arrive late.
    pub fn steps(&self, setup: &Setup, reach: u8, tricks: bool, found: &mut Vec<World>) {
        let agents = setup.quorum.agents();
        let variant = setup.variant;
        let request = match self.phase {
            Phase::OpenPut => Some(Message::Put { new: self.in_force, beside: self.in_force }),
            Phase::Put => Some(Message::Put { new: self.fresh, beside: self.in_force }),
            Phase::OpenKeep => Some(Message::Keep { root: self.in_force }),
            Phase::Keep => Some(Message::Keep { root: self.fresh }),
            // Told later, from the background.
            Phase::Serving => Some(Message::Keep { root: self.in_force }),
            _ => None,
        };
        if let Some(message) = request {
            let reached = |agent: &usize| reach & (1 << agent) != 0 && self.is_known(*agent, setup);
            for agent in self.asked(setup).filter(reached) {
                if self.confirmed & (1 << agent) == 0 {
                    let (mut world, mut torn) = (*self, Vec::new());
                    world.agent(agent, message, variant, &mut torn);
                    if tricks {
                        found.append(&mut torn);
                        // It was done and the answer got lost; or it is still on its way.
                        found.push(world);
                        if self.late.is_none() {
                            found.push(World { late: Some((agent as u8, message)), ..*self });
                        }
                    }
                    let confirms = variant != Variant::HoldingIsConfirming || self.agents[agent].contains(&self.fresh);
                    if confirms || !matches!(message, Message::Keep { .. }) {
                        world.confirmed |= 1 << agent;
                    }
                    if variant == Variant::HoldingIsConfirming && self.phase == Phase::Keep && confirms {
                        // It is not even asked.
                        world.agents = self.agents;
                    }
                    found.push(world);
                }
            }
        }
        if self.phase == Phase::Ship || (variant == Variant::PagesAfterRoot && self.phase == Phase::Keep) {
            let root = self.fresh;
            for mirror in (0..setup.mirrors).filter(|mirror| reach & (1 << (agents + mirror)) != 0) {
                if self.mirrors[mirror] & (1 << root) == 0 {
                    let mut world = *self;
                    world.mirrors[mirror] |= 1 << root;
                    found.push(world);
                }
            }
        }
        self.advance(setup, reach, found);
    }

    /// The step that needs nobody else, where its condition is met.
    fn advance(&self, setup: &Setup, reach: u8, found: &mut Vec<World>) {
        let (quorum, variant) = (self.quorum(setup), setup.variant);
        let confirmed = self.confirmed.count_ones() as usize;
        let put = quorum.put() - usize::from(variant == Variant::PutQuorumOffByOne);
        let destroy = match variant {
            Variant::DestroyQuorumOffByOne => quorum.destroy() - 1,
            Variant::QuorumAtOnce => quorum.destroy(),
            _ if self.mixed => quorum.agents(),
            _ => quorum.destroy(),
        };
        let mirrored = |root: u8| self.mirrors[..setup.mirrors].iter().all(|has| has & (1 << root) != 0);
        let to = |phase| World { phase, confirmed: 0, ..*self };
        let sealed = |root: u8| World {
            phase: Phase::Serving,
            in_force: root,
            fresh: NONE,
            sealed: self.sealed.max(root),
            confirmed: 0,
            ..*self
        };
        match self.phase {
            Phase::OpenPut => {
                // A mirror that fell behind catches up when it can be reached. A start waits for it only when there was no
                // seal yet: later it has the root in force, for that was not written before.
                let mut world = World { given: self.gone, ..to(Phase::OpenDestroy) };
                for mirror in 0..setup.mirrors {
                    if reach & (1 << (setup.quorum.agents() + mirror)) != 0 {
                        world.mirrors[mirror] |= 1 << self.in_force;
                    }
                }
                let has = world.mirrors[..setup.mirrors].iter().all(|has| has & (1 << self.in_force) != 0);
                let forgets = variant == Variant::RecoveryForgetsAgents && self.sealed > 0;
                if (has || self.sealed > 0) && (confirmed >= put || forgets) {
                    found.push(world);
                }
            }
            Phase::OpenDestroy => {
                let mut world = to(Phase::OpenKeep);
                world.register[self.other()] = NONE;
                found.push(world);
            }
            Phase::OpenKeep => {
                if confirmed >= destroy || variant == Variant::RecoveryForgetsAgents {
                    found.push(sealed(self.in_force));
                }
            }
            Phase::Serving => {
                let epoch = self.epoch(self.in_force);
                if epoch < setup.last && usize::from(self.drawn) + 1 < MOST_ROOTS {
                    let mut world = to(Phase::Ship);
                    world.drawn += 1;
                    world.fresh = world.drawn;
                    world.epochs[usize::from(world.fresh)] = epoch + 1;
                    found.push(world);
                }
            }
            Phase::Ship => match variant {
                Variant::PagesAfterRoot => found.push(to(Phase::Put)),
                Variant::OneMirrorIsEnough if self.mirrors.iter().any(|has| has & (1 << self.fresh) != 0) => {
                    found.push(to(Phase::Put));
                }
                _ if !mirrored(self.fresh) => {}
                Variant::RegisterBeforeAgents => found.push(to(Phase::Write)),
                _ => found.push(to(Phase::Put)),
            },
            Phase::Put => {
                if confirmed >= put {
                    let early = variant == Variant::RegisterBeforeAgents;
                    found.push(to(if early { Phase::Keep } else { Phase::Write }));
                }
            }
            Phase::Write => {
                let mut world = to(Phase::Destroy);
                world.register[self.spare()] = self.fresh;
                found.push(world);
            }
            Phase::Destroy => {
                let mut world = to(Phase::Keep);
                world.register[self.other()] = NONE;
                match variant {
                    Variant::SealedBeforeAgents => {
                        found.push(World { register: world.register, ..sealed(self.fresh) });
                    }
                    Variant::RegisterBeforeAgents => found.push(World { phase: Phase::Put, ..world }),
                    _ => found.push(world),
                }
            }
            Phase::Keep => {
                if confirmed >= destroy {
                    found.push(World { mixed: false, ..sealed(self.fresh) });
                }
            }
        }
    }

    fn spare(&self) -> usize {
        usize::from(self.register[0] == self.in_force)
    }

    /// The slot that is to die: the one without the newest root.
    fn other(&self) -> usize {
        let newest = self.highest();
        usize::from(self.register[0] == newest)
    }

    fn crashed(&self) -> World {
        let in_force = self.highest();
        World { crashes: self.crashes + 1, phase: Phase::OpenPut, in_force, fresh: NONE, confirmed: 0, ..*self }
    }

    /// What an agent does with a message; on the way it may be cut short, which leaves the place that it wrote to torn.
    fn agent(&mut self, agent: usize, message: Message, variant: Variant, torn: &mut Vec<World>) {
        // A message is numbered: whatever was sent before one that has arrived is refused.
        if variant != Variant::LateMessagesCount && self.late.is_some_and(|(late, _)| usize::from(late) == agent) {
            self.late = None;
        }
        let held = self.agents[agent];
        match message {
            Message::Put { new, beside } => {
                let in_slot = |slot: usize| (held[slot] != NONE).then_some(&held[slot]);
                let older = |zero: &u8, one: &u8| (self.epoch(*zero), zero) < (self.epoch(*one), one);
                let at = match variant {
                    Variant::AgentPutsOver => held.iter().position(|root| *root == beside).unwrap_or(0),
                    _ => place([in_slot(0), in_slot(1)], &new, Some(&beside), older),
                };
                if held[at] != new {
                    self.agents[agent][at] = NONE;
                    torn.push(*self);
                    self.agents[agent][at] = new;
                }
            }
            Message::Keep { root } => {
                for place in self.agents[agent].iter_mut().filter(|place| **place != root) {
                    *place = NONE;
                }
            }
        }
    }
}
