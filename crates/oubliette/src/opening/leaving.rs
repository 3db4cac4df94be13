//! Letting mirrors and agents go. The decisions are in the log, and the parties forgotten, before anything is sealed without them.

use std::sync::Arc;

use jiff::Timestamp;
use keyforest::Probe;
use keyforest::media::Medium;
use oubliette_core::service::{TransparencyLog, VaultError};
use oubliette_proof::entry::{Body, Entry, Party, UnsignedDrop};
use oubliette_proof::note::SigningKey;
use oubliette_proof::{Seconds, Token};
use oubliette_store::escrow::LiesIn;
use oubliette_store::media::{Owed, Parties, PartyKind};

/// Named moments at which a test may crash the process.
const RECORDED: &str = "party.drop.recorded";
const FORGOTTEN: &str = "party.drop.forgotten";

/// A decision to go on without parties.
pub struct Leaving {
    /// What each does, and its name in the configuration.
    pub parties: Vec<(PartyKind, Token)>,
    /// Why, in one word.
    pub reason: Token,
    /// Signs the decisions.
    pub key: SigningKey,
}

/// What was recorded of one that was let go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// What it did.
    pub kind: PartyKind,
    /// Its name.
    pub name: Token,
    /// The decision's number in the log.
    pub entry: u64,
    /// What a mirror holds is of this epoch at most; an agent, which confirmed it, may have been given a later root.
    pub last_epoch: u64,
    /// Whether anything was ever put to an agent.
    pub given: bool,
    /// What became of what it holds.
    pub forgot: Forgot,
}

/// Whether who was let go has forgotten what it held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Forgot {
    /// It was not asked: a mirror holds nothing that has to be forgotten, nor does an agent that was given nothing.
    NotAsked,
    /// It confirmed that.
    Confirmed,
    /// It did not, for this reason.
    Unconfirmed(String),
}

impl Leaving {
    /// Whether this is one of them.
    pub(super) fn is(&self, kind: PartyKind, name: &str) -> bool {
        self.parties.iter().any(|(leaving, named)| (*leaving, named.as_str()) == (kind, name))
    }

    /// The agents among them.
    pub(super) fn agents(&self) -> Vec<String> {
        let agents = self.parties.iter().filter(|(kind, _)| *kind == PartyKind::Agent);
        agents.map(|(_, name)| name.as_str().to_owned()).collect()
    }

    /// Records the decisions, then forgets the parties: a decision that is not recorded does not count. `epoch` is in force. What
    /// an agent has not been told yet is noted in the same stroke, with where it is asked by the addresses of `agents`.
    /// After a crash in between the same decision may be given, and is recorded, again. Blocks.
    pub(super) fn settle(
        self,
        log: &TransparencyLog,
        key_state: &Arc<dyn Medium>,
        epoch: u64,
        agents: &[(String, String)],
        probe: &dyn Probe,
    ) -> Result<Vec<Left>, VaultError> {
        let known = Parties::read(&**key_state).map_err(VaultError::internal)?;
        let Some(known) = known else { return Err(other("no party is known")) };
        let seconds = u64::try_from(Timestamp::now().as_second()).ok().and_then(Seconds::new);
        let time = seconds.ok_or_else(|| other("this clock is wrong"))?;
        let (mut entries, mut left, mut owed) = (Vec::new(), Vec::new(), Vec::new());
        for (kind, name) in self.parties {
            let Some(party) = known.get(kind, name.as_str()) else { return Err(other("a party is not known")) };
            let (agent, lies_in) = (party.kind == PartyKind::Agent, party.lies_in);
            let given = agent && lies_in != LiesIn::Nowhere;
            let url = agents.iter().find(|(agent, _)| agent == name.as_str()).map(|(_, url)| url.clone());
            let url = url.filter(|url| !url.is_empty() && !url.contains(char::is_whitespace));
            let (agent, epoch_of_it) = (name.as_str().to_owned(), party.confirmed);
            owed.extend(given.then_some(Owed { agent, entry: 0, epoch: epoch_of_it, lies_in, url }));
            let (party, last_epoch) = match kind {
                // Nothing was sealed that a mirror did not hold.
                PartyKind::Mirror => (Party::Mirror, epoch.max(party.confirmed)),
                PartyKind::Agent => (Party::Agent, party.confirmed),
            };
            let decision = UnsignedDrop { party, name: name.clone(), last_epoch, reason: self.reason.clone() };
            entries.push(Entry { time, body: Body::PartyDropped(decision.sign(&log.origin(), &self.key)) });
            left.push(Left { kind, name, entry: 0, last_epoch, given, forgot: Forgot::NotAsked });
        }
        let first = log.append(&entries).map_err(VaultError::internal)?;
        probe.reached(RECORDED);
        for (left, number) in left.iter_mut().zip(first..) {
            left.entry = number;
        }
        for (owed, left) in owed.iter_mut().zip(left.iter().filter(|left: &&Left| left.given)) {
            owed.entry = left.entry;
        }
        // What was noted of the others meanwhile stays.
        let forget = |parties: &mut Parties| {
            let leave = |Left { kind, name, .. }: &Left| parties.drop_party(*kind, name.as_str()).is_some();
            let news = left.iter().map(leave).filter(|left| *left).count() > 0;
            owed.into_iter().for_each(|owed| parties.owe(owed));
            news
        };
        Parties::change(key_state, || known.state(), forget).map_err(VaultError::internal)?;
        probe.reached(FORGOTTEN);
        Ok(left)
    }
}

fn other(why: &'static str) -> VaultError {
    VaultError::internal(std::io::Error::other(why))
}
