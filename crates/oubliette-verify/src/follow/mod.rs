//! A log over time: what it is now against what was seen the last time.

mod evidence;
mod kept;
mod look;
mod state;
mod unchecked;

use std::path::Path;

use oubliette_proof::audit::Succession;
use oubliette_proof::note::{Checkpoint, SignedNote, UnknownKeys};
use oubliette_proof::tree::TreeHead;
use serde_json::{Value, json};

use self::evidence::{Contradiction, DAMAGED, Files};
use self::look::Look;
use self::state::{Remembered, State};
use crate::log::{self, Log, Place};
use crate::report::{Outcome, Verdict, plain};
use crate::trust::{self, Bundles, Known};

/// Looks at a log and compares it with what the state folder remembers; moves the folder on when the log has only grown.
pub fn run(place: &Place, key: &Path, folder: &Path) -> Outcome {
    let mut outcome = follow(place, key, folder).unwrap_or_else(Outcome::from);
    if outcome.facts["state"] == Value::Null {
        let unreadable = outcome.verdict == Verdict::BadInput;
        outcome.facts["state"] = if unreadable { "unreadable" } else { DAMAGED }.into();
        if unreadable {
            outcome.summary = format!("nothing new is known of the log: {}", outcome.summary);
        }
    }
    outcome
}

fn follow(place: &Place, key: &Path, folder: &Path) -> Result<Outcome, Outcome> {
    let given = log::keys(key)?;
    let state = State::open(folder, place)?;
    let remembered = state.remembered(&given)?;
    let log = Log::open(place)?;
    if !log.has_tiles() {
        return Err(Outcome::unusable(place, "the log's address, or a folder with its files, is needed"));
    }
    let text = log.checkpoint()?;
    let mut known = Known::given(given);
    if let Some(before) = &remembered {
        before.keys.iter().for_each(|key| known.trusted.add(key.clone()));
        known.given_up = before.keys[1..].to_vec();
        same_log(&state, before, &text, &known, &log)?;
    }
    let old = remembered.as_ref().map_or_else(TreeHead::empty, |before| before.verified.checkpoint.head);
    let followed = remembered.as_ref().and_then(|before| Succession::after(&before.keys));
    let lines = followed.map_or_else(|| known.lines(), |followed| vec![followed]);
    let trusted = known.trusted.clone();
    let served = trust::newest(&text, format!("the checkpoint of {log}"), &log, &mut known, lines, old.size);
    let served = served.map_err(|outcome| match outcome.verdict {
        Verdict::Invalid => kept(&state, DAMAGED, 0, remembered.as_ref(), &text, &known.handed, outcome),
        _ => outcome,
    })?;
    let mut look = Look { state, log: &log, known, remembered, text, served };
    look.recall(&trusted)?;
    let new = look.served.checkpoint.head;
    match &look.remembered {
        Some(before) if new == old => look.unchanged(before),
        _ if new.size < old.size => Err(look.shrunk(&old)),
        _ => look.grown(&old),
    }
}

/// Whether the checkpoint is of the log that is followed at all.
fn same_log(state: &State, remembered: &Remembered, text: &str, known: &Known, log: &Log) -> Result<(), Outcome> {
    let before = &remembered.verified.checkpoint;
    let said = SignedNote::parse(text).and_then(|note| Checkpoint::parse(note.text()));
    let said = said.map_err(|error| Outcome::unusable(format!("the checkpoint of {log}"), error))?;
    if said.origin == before.origin {
        return Ok(());
    }
    let signed = known.trusted.checkpoint(text, UnknownKeys::Ignore).is_ok();
    let verdict = if signed { Verdict::Invalid } else { Verdict::BadInput };
    let summary = format!(
        "{log} shows ANOTHER LOG: {}. Followed so far was {}, with {} entries. When an operator had to begin another log, \
         a note that says so is signed by the key of the one before: ask for it, and follow the new one with a state \
         folder of its own.",
        plain(&said.origin),
        before.origin,
        before.head.size
    );
    let mut outcome = Outcome::new(verdict, summary);
    outcome.facts = json!({"state": "another-log", "origin": before.origin, "served": plain(&said.origin)});
    Err(if signed {
        kept(state, "another-log", said.head.size, Some(remembered), text, &Bundles::new(), outcome)
    } else {
        outcome
    })
}

/// Keeps what was served, where no file of the log was looked at.
fn kept(
    state: &State,
    what: &str,
    size: u64,
    remembered: Option<&Remembered>,
    served: &str,
    handed: &Bundles,
    outcome: Outcome,
) -> Outcome {
    let remembered = remembered.map(|before| before.text.as_str());
    Contradiction { what, size, remembered, earlier: None, served, files: &Files::new(), handed }
        .kept(state.path(), outcome)
}
