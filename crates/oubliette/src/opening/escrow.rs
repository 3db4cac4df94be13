//! The escrow beside the register, where the configuration names agents.

use std::io;
use std::sync::{Arc, Weak};
use std::time::Duration;

use keyforest::Probe;
use keyforest::media::{Medium, SlotDevice, not_done};
use oubliette_store::escrow::{
    AgentLink, AskClaim, Before, EscrowOptions, Escrowed, HttpsAgent, Note, Noted, Raise, Settle,
};
use oubliette_store::media::{Arrangement, Dealt, Mirrored, Parties, PartyKind};
use uuid::Uuid;

use super::{OpenError, blocking};
use crate::config::{Config, EscrowPlace};

/// How often it is looked whether there is something to note of the agents.
const NOTE_EVERY: Duration = Duration::from_secs(1);
/// After so many looks what they confirmed is noted: for who lets one go that is not there any more.
const CONFIRMED_AFTER: u32 = 60;

/// What the escrow of an opening stands on.
pub(super) struct Ground {
    pub register: Arc<dyn SlotDevice>,
    /// Where the parties are remembered: the key state, before its forest is opened.
    pub key_state: Arc<dyn Medium>,
    pub mirrored: Option<Arc<Mirrored>>,
    pub instance: Uuid,
    /// The number of this process's claim to the vault, 0 where only one process can have it.
    pub fence: u64,
    /// Raises it.
    pub raise: Raise,
    /// Asks for it; `None` where only one process can have it.
    pub claim: Option<AskClaim>,
    pub probe: Arc<dyn Probe>,
}

/// The escrow, and how its agents are remembered.
#[derive(Clone)]
pub(super) struct Held {
    pub escrow: Arc<Escrowed>,
    key_state: Arc<dyn Medium>,
    dealt: Dealt,
}

/// Puts the configured agents beside the register, but for those of `leaving`; `None` without agents. They are noted in the
/// key state before anything is put to them, and when they are other ones than before, that too. Asks nothing of them yet.
/// Blocks.
pub(super) fn beside(config: &Config, leaving: &[String], ground: Ground) -> Result<Option<Held>, OpenError> {
    let Some(place) = config.escrow_place()? else { return Ok(None) };
    let Some(place) = place.without(|name| leaving.iter().any(|left| left == name))? else { return Ok(None) };
    let Ground { register, key_state, mirrored, instance, fence, raise, claim, probe } = ground;
    let agents = place.agents.iter().map(|(name, _)| name.clone()).collect();
    let dealt = Dealt::As(Arrangement { restore: place.quorum.restore(), agents });
    let epoch = keyforest::newest_epoch(&*register)?;
    let (before, noted) = note_before(&key_state, mirrored.as_deref(), &dealt, epoch)?;
    let EscrowPlace { key, agents, quorum, files } = place;
    let link = |(name, url): (String, String)| {
        let link = HttpsAgent::new(&url, &files);
        let link = link.map_err(|source| OpenError::Agent { name: name.clone(), source })?;
        Ok::<_, OpenError>((name, Box::new(link) as Box<dyn AgentLink>))
    };
    let agents = agents.into_iter().map(link).collect::<Result<_, _>>()?;
    // Two requests to one agent may follow each other before its answer is missed.
    let patience = files.timeout * 2;
    let instance = instance.into_bytes();
    let note = note_register(&key_state);
    let settle = settle_notes(&key_state, mirrored.as_ref(), epoch.is_none());
    let options = EscrowOptions {
        instance,
        fence,
        raise,
        claim,
        key,
        quorum,
        agents,
        before,
        noted,
        note,
        settle,
        patience,
        probe,
    };
    let escrow = Escrowed::new(register, options).map_err(|error| OpenError::Escrow(io::Error::other(error)))?;
    Ok(Some(Held { escrow: Arc::new(escrow), key_state, dealt }))
}

/// Notes who is about to be given roots, and how, durably and before it happens. From now on none of them leaves without a
/// word. What they confirmed to earlier processes comes back.
fn note_before(
    key_state: &Arc<dyn Medium>,
    mirrored: Option<&Mirrored>,
    dealt: &Dealt,
    epoch: Option<u64>,
) -> Result<(Before, Vec<(String, Noted)>), OpenError> {
    let Dealt::As(Arrangement { agents, .. }) = dealt else { return Ok((Before::Other, Vec::new())) };
    let state = || mirrored.map_or_else(|| Uuid::new_v4().into_bytes(), Mirrored::state);
    let (mut before, mut known) = (Before::Same, Vec::new());
    let written = Parties::change(key_state, state, |parties| {
        let mut news = false;
        for agent in agents {
            news |= parties.join(PartyKind::Agent, agent, epoch.unwrap_or_default());
        }
        if *parties.dealt() == Dealt::Nothing {
            news |= parties.deal(dealt.clone());
        } else if parties.dealt() != dealt {
            before = Before::Other;
            news |= parties.deal(Dealt::Mixed);
        }
        let due = parties.is_dealt_due();
        let of = |agent: &String| {
            let noted = Noted::from(parties.get(PartyKind::Agent, agent)?);
            Some((agent.clone(), Noted { due: noted.due || due, ..noted }))
        };
        known.extend(agents.iter().filter_map(of));
        news
    });
    written.map_err(OpenError::KeyPages)?;
    Ok((before, known))
}

/// Notes in which register an agent's envelopes lie, beside the agent. The threads of agents that hang may outlive the vault:
/// they keep nothing of it.
fn note_register(key_state: &Arc<dyn Medium>) -> Note {
    let key_state = Arc::downgrade(key_state);
    Arc::new(move |agent, lies_in| {
        let key_state = key_state.upgrade().ok_or_else(|| io::Error::other("the vault is closed"))?;
        let mut known = true;
        let change = |parties: &mut Parties| {
            let news = parties.lie(agent, lies_in);
            known = news.is_some();
            news == Some(true)
        };
        Parties::change(&key_state, || [0; 16], change)?;
        if known { Ok(()) } else { Err(io::Error::other("the key state does not know the agent")) }
    })
}

/// Gives agents the root in force that were not given it while the mirrors were not written yet, if all mirrors hold the key state
/// by now; else they get it in the background once those do.
pub(super) async fn give(escrow: Option<&Arc<Escrowed>>, mirrored: Option<&Arc<Mirrored>>) -> Result<(), OpenError> {
    let Some(escrow) = escrow.filter(|escrow| escrow.withholds()).map(Arc::clone) else { return Ok(()) };
    if mirrored.is_none_or(|mirrored| mirrored.all_hold()) {
        blocking(move || escrow.give()).await?;
    }
    Ok(())
}

/// Has what is noted of agents be so wherever the key state lies: nothing is put to them before. Any mirror may be what is left
/// tomorrow, with the list that it has. `fresh`: there was no root yet when the vault was opened, and so nothing at any mirror
/// before they are written.
fn settle_notes(key_state: &Arc<dyn Medium>, mirrored: Option<&Arc<Mirrored>>, fresh: bool) -> Settle {
    let key_state = Arc::downgrade(key_state);
    let mirrored = mirrored.map(Arc::downgrade);
    let closed = || io::Error::other("the vault is closed");
    Arc::new(move || {
        let key_state = key_state.upgrade().ok_or_else(closed)?;
        let mirrored = mirrored.as_ref().map(|mirrored| mirrored.upgrade().ok_or_else(closed)).transpose()?;
        Parties::settle(&key_state, |parties, list| {
            let followed: Vec<String> =
                mirrored.iter().flat_map(|mirrored| mirrored.status()).map(|mirror| mirror.name).collect();
            let mut takes_part = parties.known().iter().filter(|party| party.kind == PartyKind::Mirror);
            match (&mirrored, takes_part.find(|party| !followed.contains(&party.name))) {
                // It is being let go, and that is not recorded yet.
                (_, Some(party)) => Err(not_done(format!("the mirror {} takes part and is not here", party.name))),
                (Some(mirrored), None) if fresh && !mirrored.has_begun() => Ok(()),
                (Some(mirrored), None) => mirrored.flush_everywhere(list),
                (None, None) => Ok(()),
            }
        })
    })
}

impl Held {
    /// Notes what the agents confirmed, and that all of them hold what was dealt in one way. Blocks.
    pub fn note(&self) -> io::Result<()> {
        let confirmed: Vec<(String, u64)> = self
            .escrow
            .agents()
            .into_iter()
            .filter_map(|agent| Some((agent.name, agent.state.confirmed?.root.epoch)))
            .collect();
        let one_way = !self.escrow.is_mixed();
        let noted = Parties::change(
            &self.key_state,
            || [0; 16],
            |parties| {
                let mut news = one_way && parties.deal(self.dealt.clone());
                for (name, epoch) in &confirmed {
                    news |= parties.confirm(PartyKind::Agent, name, *epoch);
                }
                news
            },
        );
        noted.map(drop)
    }

    /// Notes what the agents confirm, for as long as there are any.
    pub fn keep_noted(&self) -> impl Future<Output = ()> + Send + use<> {
        let (escrow, key_state) = (Arc::downgrade(&self.escrow), Arc::downgrade(&self.key_state));
        keep_noted(escrow, key_state, self.dealt.clone())
    }
}

async fn keep_noted(escrow: Weak<Escrowed>, key_state: Weak<dyn Medium>, dealt: Dealt) {
    let mut mixed = true;
    for look in 1_u32.. {
        tokio::time::sleep(NOTE_EVERY).await;
        let (Some(escrow), Some(key_state)) = (escrow.upgrade(), key_state.upgrade()) else { return };
        let became_one = mixed && !escrow.is_mixed();
        if !became_one && !look.is_multiple_of(CONFIRMED_AFTER) {
            continue;
        }
        let held = Held { escrow, key_state, dealt: dealt.clone() };
        match tokio::task::spawn_blocking(move || held.note()).await {
            Ok(Ok(())) => mixed &= !became_one,
            // With a mirror away nothing is durable: the next look notes it.
            Ok(Err(error)) => tracing::debug!(%error, "what the escrow agents confirmed could not be noted"),
            Err(_) => return,
        }
    }
}

/// Agents that are not as they should be, in sentences for the operator.
pub fn troubles(escrow: &Escrowed) -> Vec<String> {
    let mut texts = Vec::new();
    for agent in escrow.agents() {
        let name = &agent.name;
        if let Some(trouble) = &agent.state.trouble {
            texts.push(format!("escrow agent {name}: {trouble}"));
        } else if agent.lags {
            texts.push(format!(
                "escrow agent {name} has not confirmed yet that it holds the root in force and no other"
            ));
        }
        if agent.state.went_back > 0 {
            texts.push(format!(
                "escrow agent {name} came back with a root that it had destroyed: a copy of its register exists; find and \
                 destroy it"
            ));
        }
    }
    texts
}
