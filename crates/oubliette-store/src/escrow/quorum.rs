//! How many agents are enough.

use thiserror::Error;

/// More agents than this are a mistake.
pub const MOST_AGENTS: usize = 16;

/// Why there can be no such quorum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum QuorumError {
    /// Nobody, or too many.
    #[error("one to {MOST_AGENTS} agents")]
    Agents,
    /// One agent's share would be the whole root, or all agents together could not bring it back.
    #[error("a root is shared so that at least two agents are needed, and at most as many as there are")]
    Shares,
}

/// Which part of the agents it takes to bring a root back, to seal and to call a root destroyed.
///
/// Three numbers belong together. When *k* agents can bring a root back, it is gone when all but *k* - 1 have destroyed what
/// they had of it. Its successor must be with at least *k* before that; it is asked of as many as have to confirm the
/// destruction, which costs nothing, for those must be in reach anyway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quorum {
    agents: usize,
    restore: usize,
    put: usize,
}

impl Quorum {
    /// Every agent holds the whole root: any one brings it back, so all must put and all must destroy.
    pub fn plain(agents: usize) -> Result<Self, QuorumError> {
        if !(1..=MOST_AGENTS).contains(&agents) {
            return Err(QuorumError::Agents);
        }
        Ok(Self { agents, restore: 1, put: agents })
    }

    /// Every agent holds a share, and `restore` of them bring the root back.
    pub fn shares(restore: usize, agents: usize) -> Result<Self, QuorumError> {
        if !(1..=MOST_AGENTS).contains(&agents) {
            return Err(QuorumError::Agents);
        }
        if !(2..=agents).contains(&restore) {
            return Err(QuorumError::Shares);
        }
        Ok(Self { agents, restore, put: restore.max(agents - restore + 1) })
    }

    /// How many there are.
    pub fn agents(self) -> usize {
        self.agents
    }

    /// How many bring a root back.
    pub fn restore(self) -> usize {
        self.restore
    }

    /// How many must hold a root before the register gets it.
    pub fn put(self) -> usize {
        self.put
    }

    /// How many must have destroyed all older roots before a seal counts.
    pub fn destroy(self) -> usize {
        self.agents - self.restore + 1
    }

    /// Whether agents hold shares rather than whole roots.
    pub fn is_shared(self) -> bool {
        self.restore > 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_has_not_confirmed_is_too_few_to_bring_a_root_back() {
        for agents in 1..=MOST_AGENTS {
            let shared = (2..=agents).map(|restore| Quorum::shares(restore, agents).unwrap());
            for quorum in shared.chain([Quorum::plain(agents).unwrap()]) {
                assert_eq!(quorum.agents() - quorum.destroy(), quorum.restore() - 1);
                assert!(quorum.put() >= quorum.restore() && quorum.put() <= agents);
                assert!(quorum.destroy() <= quorum.put(), "the next root is with whoever has to destroy the last");
            }
        }
    }

    #[test]
    fn two_of_three_spare_one_agent_and_two_plain_ones_none() {
        let shared = Quorum::shares(2, 3).unwrap();
        assert_eq!((shared.put(), shared.destroy()), (2, 2));
        let plain = Quorum::plain(2).unwrap();
        assert_eq!((plain.put(), plain.destroy()), (2, 2));
    }

    #[test]
    fn quorums_that_cannot_be_are_refused() {
        assert_eq!(Quorum::plain(0), Err(QuorumError::Agents));
        assert_eq!(Quorum::plain(MOST_AGENTS + 1), Err(QuorumError::Agents));
        assert_eq!(Quorum::shares(1, 3), Err(QuorumError::Shares));
        assert_eq!(Quorum::shares(4, 3), Err(QuorumError::Shares));
    }
}
