//! Agents that were let go and are to forget what they hold: the vault seals without them, and one that is told keeps nothing that
//! somebody could copy. What each owes is noted with the decision, so a crash in between loses nothing; every process that has the
//! vault open asks again, until they have confirmed it. What is not confirmed the operator is told.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use keyforest::media::Medium;
use oubliette_store::escrow::{AgentFiles, Escrowed, HttpsAgent, LiesIn, LinkError, Noted, Raise, dismiss};
use oubliette_store::media::{Owed, Parties};
use tokio_util::sync::CancellationToken;

/// How often they are asked again.
const AGAIN: Duration = Duration::from_secs(30);

/// Who owes it, as far as this process knows.
#[derive(Default)]
pub struct Dismissals(Mutex<Vec<Owing>>);

struct Owing {
    owed: Owed,
    /// Why it has not confirmed; `None` before it was asked.
    why: Option<String>,
}

impl Dismissals {
    /// What the operator has to know of each.
    pub fn sentences(&self) -> Vec<String> {
        self.lock().iter().map(Owing::sentence).collect()
    }

    /// Why the one that was let go by this entry of the log has not confirmed; `None` once it has.
    pub(super) fn why(&self, entry: u64) -> Option<String> {
        let all = self.lock();
        let owing = all.iter().find(|owing| owing.owed.entry == entry)?;
        Some(owing.why.clone().unwrap_or_else(|| "it was not asked yet".to_owned()))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Owing>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes over what is noted by now.
    fn become_these(&self, noted: &[Owed]) {
        let mut all = self.lock();
        let mut before = std::mem::take(&mut *all);
        *all = noted
            .iter()
            .map(|owed| {
                let known = before.iter_mut().find(|owing| owing.owed.entry == owed.entry);
                Owing { owed: owed.clone(), why: known.and_then(|owing| owing.why.take()) }
            })
            .collect();
    }
}

impl Owing {
    fn sentence(&self) -> String {
        let Owed { agent, entry, epoch, lies_in, .. } = &self.owed;
        let register = match lies_in {
            LiesIn::Register(register) => format!(" {register}"),
            _ => String::new(),
        };
        let why = self.why.as_ref().map_or_else(String::new, |why| format!(" ({why})"));
        format!(
            "escrow agent {agent} was let go (entry {entry} of the log) and has not confirmed that it forgot{why}: its register{register} \
             may still hold the root of epoch {epoch} or of a later one. It is asked again and again; if the register is destroyed, \
             say so: `oubliette party forget {entry}`"
        )
    }
}

/// What it takes to ask them.
pub(super) struct Asking {
    pub dismissals: Arc<Dismissals>,
    pub key_state: Weak<dyn Medium>,
    /// The agents that take part, where there are any: who is left has to have the root first.
    pub escrow: Option<Weak<Escrowed>>,
    /// Their names and addresses.
    pub takes_part: Vec<(String, String)>,
    /// The certificates for agents, where the configuration still has any.
    pub files: Option<AgentFiles>,
    pub instance: [u8; 16],
    pub fence: u64,
    pub raise: Raise,
    /// Nobody is asked any more once it is cancelled.
    pub stop: CancellationToken,
}

impl Asking {
    /// Reads who owes it. Blocks.
    pub fn look(&self) -> std::io::Result<()> {
        let Some(key_state) = self.key_state.upgrade() else { return Ok(()) };
        let parties = Parties::read_settled(&key_state)?;
        self.dismissals.become_these(parties.as_ref().map_or(&[][..], Parties::owed));
        Ok(())
    }

    /// Asks each once, and notes who confirmed it. Blocks.
    pub fn ask(&self) -> std::io::Result<()> {
        self.look()?;
        let owed: Vec<Owed> = self.dismissals.lock().iter().map(|owing| owing.owed.clone()).collect();
        let answers: Vec<(u64, Result<(), String>)> = std::thread::scope(|scope| {
            let asked: Vec<_> = owed.iter().map(|owed| (owed.entry, scope.spawn(|| self.dismiss(owed)))).collect();
            let answer = |thread: std::thread::ScopedJoinHandle<'_, Result<(), String>>| {
                thread.join().unwrap_or_else(|_| Err("asking it was cut short".to_owned()))
            };
            asked.into_iter().map(|(entry, thread)| (entry, answer(thread))).collect()
        });
        for (entry, answer) in answers {
            let answer = answer.and_then(|()| self.forgotten(entry));
            let mut all = self.dismissals.lock();
            match answer {
                Ok(()) => all.retain(|owing| owing.owed.entry != entry),
                Err(why) => all
                    .iter_mut()
                    .filter(|owing| owing.owed.entry == entry)
                    .for_each(|owing| owing.why = Some(why.clone())),
            }
        }
        Ok(())
    }

    /// Notes that one has confirmed it.
    fn forgotten(&self, entry: u64) -> Result<(), String> {
        let Some(key_state) = self.key_state.upgrade() else { return Err("the vault is closed".to_owned()) };
        let forgive = |parties: &mut Parties| parties.forgive(entry).is_some();
        let noted = Parties::change(&key_state, || [0; 16], forgive);
        noted.map(drop).map_err(|error| format!("it has, and that cannot be noted: {error}"))
    }

    fn dismiss(&self, owed: &Owed) -> Result<(), String> {
        let escrow = self.escrow.as_ref().map(|escrow| escrow.upgrade().ok_or("the vault is closed")).transpose()?;
        let goes_on = || !self.stop.is_cancelled() && self.key_state.strong_count() > 0;
        if escrow.as_ref().is_some_and(|escrow| !escrow.has_root()) {
            return Err("it is asked once enough of the agents that take part are known to hold the root".to_owned());
        }
        if escrow.is_some_and(|escrow| !escrow.shows_root(&goes_on)) {
            return Err(
                "it is asked once enough of the agents that take part say that they still hold the root".to_owned()
            );
        }
        let url = owed.url.as_deref().ok_or("where it is was not in the configuration")?;
        // It may be the same register, or the one that has its place: neither is to forget what it was given since.
        let same = |(name, other): &(String, String)| {
            name.eq_ignore_ascii_case(&owed.agent) || other.trim_end_matches('/') == url.trim_end_matches('/')
        };
        if self.takes_part.iter().any(same) {
            return Err("an agent of its name, or at its address, takes part, and so it is not asked".to_owned());
        }
        let files = self.files.as_ref().ok_or("the configuration has no certificates for agents any more")?;
        let link = HttpsAgent::new(url, files).map_err(|error| error.to_string())?;
        if !goes_on() {
            return Err("the vault is closed".to_owned());
        }
        let told = dismiss(&owed.agent, Noted::from(owed), &link, self.instance, self.fence, &self.raise, &goes_on);
        told.map_err(|error| match error {
            LinkError::Unproven { .. } => "what answers under its name holds nothing that it could be known by: it is another \
                 register, or it is its own, of an older version, and forgot when it was asked before, and its answer was lost"
                .to_owned(),
            error if error.is_another() => "another register answers under its name".to_owned(),
            error => error.to_string(),
        })
    }

    /// Asks again and again, at once for the first time, until nobody owes anything or it is stopped. Whoever stops it waits for
    /// its end before letting go of the vault: a request that is under way is of this process.
    pub async fn keep_asking(self) {
        let asking = Arc::new(self);
        while !asking.stop.is_cancelled() && asking.key_state.strong_count() > 0 {
            let round = Arc::clone(&asking);
            match tokio::task::spawn_blocking(move || round.ask()).await {
                Ok(Ok(())) if asking.dismissals.lock().is_empty() => return,
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::debug!(%error, "who was let go and owes it to forget could not be read"),
                Err(_) => return,
            }
            tokio::select! {
                () = asking.stop.cancelled() => {}
                () = tokio::time::sleep(AGAIN) => {}
            }
        }
    }
}
