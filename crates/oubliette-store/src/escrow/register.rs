//! Which register an agent's envelopes lie in.
//!
//! An agent's name says where it is asked, not what it holds: one that is set up anew under an old name knows nothing of what
//! the register before it still keeps, and would confirm all the same. So a register draws a number of its own when it is
//! made, the vault remembers in which one an agent's envelopes lie, before it puts any there, and what another one says counts
//! for nothing.

use std::fmt;
use std::io;
use std::sync::Arc;

use aws_lc_rs::rand;

use super::envelope::Label;
use super::link::LinkError;

/// A register's own number, drawn when it was made. It lies in the blocks themselves, and so goes where they go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RegisterId(pub [u8; 16]);

impl RegisterId {
    /// Draws one.
    pub fn draw() -> io::Result<Self> {
        let mut id = [0; 16];
        rand::fill(&mut id).map_err(|_| io::Error::other("no random numbers"))?;
        Ok(Self(id))
    }

    /// As [`fmt::Display`] writes it.
    pub fn parse(text: &str) -> Option<Self> {
        Some(Self(hex::decode(text).ok()?.try_into().ok()?))
    }
}

impl fmt::Display for RegisterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// Where the envelopes of an agent lie, as far as the vault remembers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LiesIn {
    /// Nothing was ever put to it.
    #[default]
    Nowhere,
    /// In a register that had no number yet: an agent of an older version, or a vault of one.
    Unnamed,
    /// In this one, and in no other.
    Register(RegisterId),
}

/// What earlier processes noted of an agent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Noted {
    /// Where its envelopes lie.
    pub lies_in: LiesIn,
    /// The epoch in force when it joined, or the last one that it confirmed to hold alone.
    pub epoch: u64,
    /// Whether it ever confirmed one: an agent that shows an older root then was set back to a copy.
    pub confirmed: bool,
    /// What is noted of it is not known to be so wherever the key state lies: nothing is put to it before.
    pub due: bool,
}

/// Notes where an agent's envelopes lie: durable on `Ok`. Called before anything is put there.
pub type Note = Arc<dyn Fn(&str, LiesIn) -> io::Result<()> + Send + Sync>;

/// Sees to it that everything that is noted of agents is durable wherever the key state lies; on `Ok` it is. Called before
/// anything is put into a register that is noted anew, or in another way than before. It may be called again and again.
pub type Settle = Arc<dyn Fn() -> io::Result<()> + Send + Sync>;

/// What may be asked of a register that answers under the name of an agent.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Meeting {
    /// It is the one.
    Known,
    /// It is the one from now on: to be noted first.
    Became(LiesIn),
}

/// Judges the register that answered for the agent `name`: the one that its envelopes lie in?
///
/// Where that one had no number yet, one that has is taken for it only if it shows an envelope that is as new as the last that
/// the agent confirmed: an empty one may be another, and an older one a copy.
///
/// # Errors
/// It is another, or may be.
pub(super) fn meet(name: &str, noted: Noted, told: Option<RegisterId>, holds: &[Label]) -> Result<Meeting, LinkError> {
    let agent = || name.to_owned();
    match (noted.lies_in, told) {
        (LiesIn::Nowhere, None) => Ok(Meeting::Became(LiesIn::Unnamed)),
        (LiesIn::Nowhere, Some(told)) => Ok(Meeting::Became(LiesIn::Register(told))),
        (LiesIn::Unnamed, None) => Ok(Meeting::Known),
        (LiesIn::Unnamed, Some(told)) => {
            if holds.iter().any(|label| label.agent == name && label.root.epoch >= noted.epoch) {
                Ok(Meeting::Became(LiesIn::Register(told)))
            } else {
                Err(LinkError::Unproven { agent: agent(), epoch: noted.epoch })
            }
        }
        (LiesIn::Register(known), Some(told)) if known == told => Ok(Meeting::Known),
        (LiesIn::Register(known), told) => Err(LinkError::OtherRegister { agent: agent(), known, told }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::escrow::Root;

    const ONE: RegisterId = RegisterId([1; 16]);
    const TWO: RegisterId = RegisterId([2; 16]);

    fn holding(epoch: u64) -> [Label; 1] {
        let (instance, root) = ([0; 16], Root { epoch, state: [3; 32] });
        [Label { instance, root, needed: 1, number: 1, key: [0; 8], agent: "attic".to_owned() }]
    }

    fn met(lies_in: LiesIn, told: Option<RegisterId>, holds: &[Label]) -> Option<Meeting> {
        meet("attic", Noted { lies_in, epoch: 7, confirmed: true, due: false }, told, holds).ok()
    }

    #[test]
    fn the_first_register_is_noted_and_no_other_counts_from_then_on() {
        assert_eq!(met(LiesIn::Nowhere, Some(ONE), &[]), Some(Meeting::Became(LiesIn::Register(ONE))));
        assert_eq!(met(LiesIn::Register(ONE), Some(ONE), &[]), Some(Meeting::Known));
        for told in [Some(TWO), None] {
            assert_eq!(met(LiesIn::Register(ONE), told, &holding(9)), None, "whatever it shows");
        }
    }

    #[test]
    fn a_register_that_got_its_number_later_is_believed_only_with_what_was_put_there() {
        assert_eq!(met(LiesIn::Nowhere, None, &[]), Some(Meeting::Became(LiesIn::Unnamed)));
        assert_eq!(met(LiesIn::Unnamed, None, &[]), Some(Meeting::Known));
        assert_eq!(met(LiesIn::Unnamed, Some(ONE), &[]), None, "it may be a new one");
        assert_eq!(met(LiesIn::Unnamed, Some(ONE), &holding(6)), None, "it may be a copy");
        assert_eq!(met(LiesIn::Unnamed, Some(ONE), &holding(7)), Some(Meeting::Became(LiesIn::Register(ONE))));
    }

    #[test]
    fn a_number_is_read_as_it_is_written() {
        assert_eq!(RegisterId::parse(&ONE.to_string()), Some(ONE));
        assert_ne!(RegisterId::draw().unwrap(), RegisterId::draw().unwrap());
        assert_eq!(RegisterId::parse("01"), None);
    }
}
