//! A log over time: what it is now against what was seen the last time.

mod evidence;
mod keys;
mod state;

use std::io;
use std::path::Path;

use oubliette_proof::audit::{self, AuditError, AuditReport};
use oubliette_proof::entry::Body;
use oubliette_proof::note::{Checkpoint, SignedNote, TrustedKeys, UnknownKeys, VerifiedCheckpoint, VerifierKey};
use oubliette_proof::tree::{Ranges as _, TileError, TileTree, TreeHead};
use serde_json::{Value, json};

use self::evidence::{Contradiction, Recorded};
use self::keys::Succession;
use self::state::{Remembered, State};
use crate::audit::{holdings, refused};
use crate::log::{self, Log, Place};
use crate::report::{Outcome, Verdict};
use crate::trust;

/// Looks at a log and compares it with what the state folder remembers; moves the folder on when the log has only grown.
pub fn run(place: &Place, key: &Path, folder: &Path) -> Outcome {
    let mut outcome = follow(place, key, folder).unwrap_or_else(Outcome::from);
    if outcome.facts.is_null() {
        let unreadable = outcome.verdict == Verdict::BadInput;
        outcome.facts = json!({"state": if unreadable { "unreadable" } else { "damaged" }});
        if unreadable {
            outcome.summary = format!("nothing new is known of the log: {}", outcome.summary);
        }
    }
    outcome
}

fn follow(place: &Place, key: &Path, folder: &Path) -> Result<Outcome, Outcome> {
    let mut keys = log::keys(key)?;
    let state = State::open(folder, place)?;
    let known = state.keys()?;
    known.iter().for_each(|key| keys.add(key.clone()));
    let remembered = state.remembered(&keys)?;
    let log = Log::open(place)?;
    if !log.has_tiles() {
        return Err(Outcome::unusable(place, "the log's address, or a folder with its files, is needed"));
    }
    let text = log.checkpoint()?;
    if let Some(remembered) = &remembered {
        same_log(remembered, &text, &keys, &log)?;
    }
    let old = remembered.as_ref().map_or_else(TreeHead::empty, |before| before.verified.checkpoint.head);
    let served = trust::newest(&text, format!("the checkpoint of {log}"), &log, &mut keys, old.size)?;
    let recorded = Recorded::new(&log);
    let mut look = Look { state, log: &log, recorded: &recorded, keys, known, remembered, text, served };
    let new = look.served.checkpoint.head;
    if look.remembered.is_some() && new == old {
        look.unchanged()
    } else if new.size < old.size {
        Err(look.shrunk(&old))
    } else {
        look.grown(&old)
    }
}

/// Whether the checkpoint is of the log that is followed at all.
fn same_log(remembered: &Remembered, text: &str, keys: &TrustedKeys, log: &Log) -> Result<(), Outcome> {
    let before = &remembered.verified.checkpoint;
    let said = SignedNote::parse(text).and_then(|note| Checkpoint::parse(note.text()));
    let said = said.map_err(|error| Outcome::unusable(format!("the checkpoint of {log}"), error))?;
    if said.origin == before.origin {
        return Ok(());
    }
    let signed = keys.checkpoint(text, UnknownKeys::Ignore).is_ok();
    let verdict = if signed { Verdict::Invalid } else { Verdict::BadInput };
    let summary = format!(
        "{log} shows ANOTHER LOG: {}. Followed so far was {}, with {} entries. When an operator had to begin another log, \
         a note that says so is signed by the key of the one before: ask for it, and follow the new one with a state \
         folder of its own.",
        said.origin, before.origin, before.head.size
    );
    let mut outcome = Outcome::new(verdict, summary);
    outcome.facts = json!({"state": "another-log", "origin": before.origin, "served": said.origin});
    Err(outcome)
}

/// One look at a log.
struct Look<'a> {
    state: State,
    log: &'a Log,
    recorded: &'a Recorded<'a>,
    /// Keys that were given, and those that the log was handed to since.
    keys: TrustedKeys,
    /// The log's keys as the state knows them.
    known: Vec<VerifierKey>,
    remembered: Option<Remembered>,
    /// The checkpoint served, word for word.
    text: String,
    served: VerifiedCheckpoint,
}

impl Look<'_> {
    fn unchanged(&self) -> Result<Outcome, Outcome> {
        let Checkpoint { origin, head, .. } = &self.served.checkpoint;
        let before = self.remembered.as_ref().map_or(0, |before| before.verified.cosignatures.len());
        if self.served.cosignatures.len() > before {
            // More witnesses have signed the same tree.
            self.state.advance(&self.text, &self.known)?;
        }
        let words = format!("the log {origin} is UNCHANGED: it has {} entries, as the last time.", head.size);
        Ok(self.valid("unchanged", words, head))
    }

    fn grown(&mut self, old: &TreeHead) -> Result<Outcome, Outcome> {
        let Checkpoint { origin, head: new, .. } = self.served.checkpoint.clone();
        audit::continues(self.recorded, old, &new).map_err(|error| self.contradicted(old, error))?;
        let (mut report, mut handed) = (AuditReport::default(), Succession::new(&origin));
        let copied = audit::bring_up_to(self.log, &self.state, old.size, &new, |_, entry| {
            if let Some(Body::KeyRotation(rotation)) = report.count(entry).map(|entry| entry.body) {
                handed.add(&rotation, &mut self.keys);
            }
        });
        copied.map_err(refused)?;
        // Also by keys that were learned just now.
        self.served = trust::checkpoint(&self.text, format!("the checkpoint of {}", self.log), &self.keys)?;
        if let Some(key) = handed.in_force(&self.known).filter(|key| !self.served.signed_by.contains(key)) {
            let words = format!("the log {origin} is signed with a key that it has given up: it was handed to {key}");
            let outcome = Outcome::new(Verdict::Invalid, words);
            return Err(self.kept("retired-key", outcome, old));
        }
        let keys = handed.keys(&self.known, &self.served.signed_by, &self.keys);
        self.state.advance(&self.text, &keys)?;
        self.state.tidy(old, &new);
        let begun = self.remembered.is_none();
        let mut words = if begun {
            format!("the log {origin} is followed from now on. Its {} entries lead to the signed root", new.size)
        } else {
            format!("the log {origin} GREW from {} to {} entries and changed none of them", old.size, new.size)
        };
        words.push_str(&format!(". {}: {}", if begun { "It holds" } else { "New" }, holdings(&report)));
        if let Some(key) = handed.last().filter(|_| !begun) {
            words.push_str(&format!(" It was handed to another key, as the one before agreed: {key}."));
        }
        let mut outcome = self.valid(if begun { "begun" } else { "grown" }, words, old);
        outcome.facts["kinds"] = json!(report.kinds);
        outcome.facts["unknown"] = json!(report.unknown);
        outcome.facts["keys"] = keys.iter().map(|key| Value::from(key.to_string())).collect();
        Ok(outcome)
    }

    /// The log has fewer entries than it had.
    fn shrunk(&self, old: &TreeHead) -> Outcome {
        let new = self.served.checkpoint.head;
        // How it was when it had so many entries: the copy knows.
        let then = TileTree::new(self.state.copy(), old.size).root_at(new.size);
        let (what, more) = match then {
            Ok(then) if then != new.root => ("forked", "It was FORKED as well: these are not its first entries."),
            _ => ("shrunk", "It was set back, or an older copy of it is served."),
        };
        let words = format!(
            "the log {} SHRANK: it had {} entries, and {} shows {}. {more}",
            self.served.checkpoint.origin, old.size, self.log, new.size
        );
        self.kept(what, Outcome::new(Verdict::Invalid, words), old)
    }

    /// The log was not shown to continue what was seen. A file that could not be read shows nothing.
    fn contradicted(&self, old: &TreeHead, error: AuditError<io::Error>) -> Outcome {
        let what = match &error {
            AuditError::Tile(TileError::Read(..)) | AuditError::Copy(..) => return refused(error),
            AuditError::Forked(_) => "forked",
            _ => "damaged",
        };
        self.kept(what, refused(error), old)
    }

    /// Keeps what contradicts what.
    fn kept(&self, what: &str, mut outcome: Outcome, old: &TreeHead) -> Outcome {
        let new = self.served.checkpoint.head;
        outcome.facts = self.facts(what, old);
        let Some(remembered) = &self.remembered else { return outcome };
        let found = Contradiction {
            what,
            size: new.size,
            remembered: &remembered.text,
            served: &self.text,
            recorded: self.recorded,
        };
        match evidence::keep(self.state.path(), &found) {
            Ok(folder) => {
                let end = if outcome.summary.ends_with('.') { "" } else { "." };
                outcome.summary.push_str(&format!("{end} Both signed checkpoints are kept in {}.", folder.display()));
                outcome.facts["evidence"] = folder.display().to_string().into();
            }
            Err(error) => outcome.summary.push_str(&format!(" The evidence could not be kept: {error}.")),
        }
        outcome
    }

    fn valid(&self, what: &str, mut words: String, old: &TreeHead) -> Outcome {
        let names: Vec<_> = self.served.cosignatures.iter().map(|seen| seen.name.as_str()).collect();
        if !names.is_empty() {
            words.push_str(&format!(" Witnesses who saw it: {}.", names.join(", ")));
        }
        let earlier = evidence::count(self.state.path());
        if earlier > 0 {
            let folder = self.state.path().join("evidence");
            words.push_str(&format!(" Evidence of {earlier} earlier contradictions lies in {}.", folder.display()));
        }
        let mut outcome = Outcome::new(Verdict::Valid, words);
        outcome.facts = self.facts(what, old);
        outcome.facts["earlier_evidence"] = earlier.into();
        outcome
    }

    fn facts(&self, what: &str, old: &TreeHead) -> Value {
        let Checkpoint { origin, head: new, .. } = &self.served.checkpoint;
        let seen = self.served.cosignatures.iter().map(|seen| json!({"name": seen.name, "time": seen.time}));
        json!({
            "state": what,
            "origin": origin,
            "old": {"size": old.size, "root": old.root},
            "new": {"size": new.size, "root": new.root},
            "cosignatures": seen.collect::<Vec<_>>(),
        })
    }
}
