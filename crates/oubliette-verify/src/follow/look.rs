//! One look at a log, once its checkpoint is known to be signed.

use std::io;

use oubliette_proof::audit::{self, AuditError, AuditReport, Succession};
use oubliette_proof::entry::Body;
use oubliette_proof::note::{Checkpoint, TrustedKeys, VerifiedCheckpoint, VerifierKey};
use oubliette_proof::tree::{TILE_WIDTH, Tile, TileError, TileKind, TreeHead};
use serde_json::{Value, json};

use super::evidence::{self, Contradiction, DAMAGED, Files, Last, Recorded};
use super::state::{Remembered, State, TakenBack};
use super::unchecked;
use crate::audit::{holdings, refused};
use crate::log::Log;
use crate::report::{Outcome, Verdict};
use crate::trust::{Known, agreed_to, few_enough, not_in_force};

/// Most entries that one look goes on by.
const MOST_ENTRIES: u64 = 1 << 26;

/// Most bytes of entries in which the log was handed on that evidence has.
const MOST_SHOWN: usize = 1 << 28;

/// One look at a log.
pub struct Look<'a> {
    /// Where what was seen is remembered.
    pub state: State,
    /// The log.
    pub log: &'a Log,
    /// Keys that were given, those that the log was handed to since, and which of them it has given up.
    pub known: Known,
    /// What was seen the last time.
    pub remembered: Option<Remembered>,
    /// The checkpoint served, word for word.
    pub text: String,
    /// What it says.
    pub served: VerifiedCheckpoint,
}

impl Look<'_> {
    /// Completes the keys that the log has given up, by the copy here, where the checkpoint counts for none of those that are
    /// remembered. What is remembered begins with a key that was `trusted` at the first look: one of before that was given only
    /// later would be taken for the log's own.
    pub fn recall(&mut self, trusted: &TrustedKeys) -> Result<(), Outcome> {
        let Some(before) = &self.remembered else { return Ok(()) };
        // A key that was learned just now was agreed to by one that is remembered.
        let known = |key: &VerifierKey| before.keys.contains(key) || !trusted.keys().contains(key);
        if !self.known.counts(&self.served.signed_by) || self.served.signed_by.iter().any(known) {
            return Ok(());
        }
        let Checkpoint { origin, head, .. } = &before.verified.checkpoint;
        let keys = self.state.succession(origin, head).map_err(|error| {
            let why = "it is signed with a key that may be one that the log has given up, and the copy of the log in the state \
                       folder does not tell";
            self.unread(Outcome::unusable(self.log, format!("{why}: {}", refused(error).summary)))
        })?;
        self.known.given_up.extend(keys.keys().filter(|key| **key != before.keys[0]).cloned());
        Ok(())
    }

    /// The log has the head that it had.
    pub fn unchanged(&self, before: &Remembered) -> Result<Outcome, Outcome> {
        let Checkpoint { origin, head, .. } = &self.served.checkpoint;
        if !self.served.signed_by.contains(&before.keys[0]) {
            return Err(self.retired(None, head, &Files::new()));
        }
        let pending = self.checked(&self.succession(origin), head)?;
        // More witnesses have signed the same tree, perhaps.
        let more = self.served.cosignatures.len() > before.verified.cosignatures.len();
        if more || !before.keys_written {
            self.state.advance(if more { &self.text } else { &before.text }, &before.keys)?;
        }
        let words = format!("the log {origin} is UNCHANGED: it has {} entries, as the last time.", head.size);
        Ok(self.valid("unchanged", words, head, pending))
    }

    /// The log has more entries than it had, or another root.
    pub fn grown(&mut self, old: &TreeHead) -> Result<Outcome, Outcome> {
        let Checkpoint { origin, head: new, .. } = self.served.checkpoint.clone();
        if self.remembered.is_some() && !self.known.counts(&self.served.signed_by) {
            return Err(self.retired(None, old, &Files::new()));
        }
        if new.size - old.size > MOST_ENTRIES {
            let why = format!(
                "it has {} entries more than were seen, and one look goes on by {MOST_ENTRIES}",
                new.size - old.size
            );
            return Err(self.unread(Outcome::unusable(self.log, why)));
        }
        let recorded = Recorded::new(self.log);
        if let Err(error) = audit::continues(&recorded, old, &new) {
            return Err(self.contradicted(old, error, recorded.files()));
        }
        let (mut report, mut keys, mut changes) = (AuditReport::default(), self.succession(&origin), Vec::new());
        let last = Last::new(self.log);
        let copied = audit::bring_up_to(&last, &self.state, old.size, &new, |number, entry| {
            if let Some(Body::KeyRotation(rotation)) = report.count(entry).map(|entry| entry.body)
                && few_enough(changes.len()).is_ok()
                && keys.add(number, &rotation)
            {
                changes.push(number);
            }
        });
        if let Err(error) = copied {
            self.state.take_back(TakenBack::Partial);
            return Err(self.contradicted(old, error, last.files()));
        }
        if let Err(why) = few_enough(keys.keys().count()) {
            self.state.take_back(TakenBack::All);
            return Err(self.unread(Outcome::unusable(self.log, why)));
        }
        let handed = agreed_to(&keys, &self.known.trusted);
        handed.iter().for_each(|key| self.known.trusted.add(key.clone()));
        // Also by keys that were learned just now.
        match self.known.checkpoint(&self.text, format!("the checkpoint of {}", self.log)) {
            Ok(served) => self.served = served,
            Err(outcome) => {
                self.show(&changes, new.size);
                self.state.take_back(TakenBack::All);
                return Err(self.line_is_wrong(outcome, old));
            }
        }
        if keys.in_force().is_some_and(|key| !self.served.signed_by.contains(key)) {
            self.show(&changes, new.size);
            self.state.take_back(TakenBack::All);
            return Err(self.retired(Some(&keys), old, &Files::new()));
        }
        if unchecked::are_there(self.state.path()) {
            self.show(&changes, new.size);
        }
        let pending = self.checked(&keys, old).inspect_err(|_| self.state.take_back(TakenBack::Partial))?;
        // At the first look, and without a change of the key, who signed is all there is to know.
        let own = if handed.is_empty() { self.served.signed_by[..1].to_vec() } else { handed };
        self.state.advance(&self.text, &own)?;
        self.state.tidy(old, &new);
        let words = self.growth(old, &own, &report);
        let mut outcome = self.valid(if self.remembered.is_none() { "begun" } else { "grown" }, words, old, pending);
        outcome.facts["kinds"] = json!(report.kinds);
        outcome.facts["unknown"] = json!(report.unknown);
        outcome.facts["keys"] = own.iter().map(|key| Value::from(key.to_string())).collect();
        Ok(outcome)
    }

    fn growth(&self, old: &TreeHead, own: &[VerifierKey], report: &AuditReport) -> String {
        let Checkpoint { origin, head: new, .. } = &self.served.checkpoint;
        let Some(before) = &self.remembered else {
            let holds = holdings(report);
            return format!(
                "the log {origin} is followed from now on. Its {} entries lead to the signed root. It holds: {holds}",
                new.size
            );
        };
        let new_ones = holdings(report);
        let mut words = format!(
            "the log {origin} GREW from {} to {} entries and changed none of them. New: {new_ones}",
            old.size, new.size
        );
        if let Some(key) = own.first().filter(|key| **key != before.keys[0]) {
            words.push_str(&format!(" It was handed to another key, as the one before agreed: {key}."));
        }
        words
    }

    /// The log has fewer entries than it had.
    pub fn shrunk(&self, old: &TreeHead) -> Outcome {
        let Checkpoint { origin, head: new, .. } = &self.served.checkpoint;
        // How it was when it had so many entries the copy knows, if it is whole.
        let recorded = Recorded::new(self.state.copy());
        let same = match audit::continues(&recorded, new, old) {
            Ok(()) => Some(true),
            Err(AuditError::Forked(_)) => Some(false),
            Err(_) => None,
        };
        let files = if same == Some(false) { recorded.files() } else { Files::new() };
        if !self.known.counts(&self.served.signed_by) {
            // It may have been the log's key at that time, and this be a copy of then.
            let keys = self.state.succession(origin, old).ok().filter(|_| same == Some(true));
            let then = keys.as_ref().and_then(|keys| keys.at(new.size));
            if then.is_none_or(|key| !self.served.signed_by.contains(key)) {
                return self.retired(None, old, &files);
            }
        }
        let (what, more) = match same {
            Some(false) => ("forked", "It was FORKED as well: these are not its first entries."),
            Some(true) => ("shrunk", "It was set back, or an older copy of it is served."),
            None => {
                ("shrunk", "Whether these are its first entries is not known: the copy in the state folder is damaged.")
            }
        };
        let words = format!(
            "the log {origin} SHRANK: it had {} entries, and {} shows {}. {more}",
            old.size, self.log, new.size
        );
        self.kept(what, Outcome::new(Verdict::Invalid, words), old, &files)
    }

    /// The log was not shown to continue what was seen. A file that could not be read shows nothing.
    fn contradicted(&self, old: &TreeHead, error: AuditError<io::Error>, files: Files) -> Outcome {
        let what = match &error {
            AuditError::Tile(TileError::Read(..)) | AuditError::Copy(..) => return self.unread(refused(error)),
            AuditError::Forked(_) => "forked",
            _ => DAMAGED,
        };
        self.kept(what, refused(error), old, &files)
    }

    /// A line of a key that was learned in this look does not hold.
    fn line_is_wrong(&self, mut outcome: Outcome, old: &TreeHead) -> Outcome {
        outcome.facts = self.facts(DAMAGED, old);
        let files = Files::new();
        let found = self.contradiction(DAMAGED, None, &files);
        Contradiction { size: 0, ..found }.kept(self.state.path(), outcome)
    }

    /// The log is signed with keys of which none is in force.
    fn retired(&self, keys: Option<&Succession>, old: &TreeHead, files: &Files) -> Outcome {
        let Checkpoint { origin, .. } = &self.served.checkpoint;
        let remembered = self.succession(origin);
        let words = not_in_force(origin, &self.served.signed_by, keys.unwrap_or(&remembered), &self.known);
        self.kept("retired-key", Outcome::new(Verdict::Invalid, words), old, files)
    }

    /// What is known of the log's keys before its entries are read.
    fn succession(&self, origin: &str) -> Succession {
        let followed = self.remembered.as_ref().and_then(|before| Succession::after(&before.keys));
        followed.unwrap_or_else(|| Succession::new(origin))
    }

    /// Compares earlier checkpoints that could not be checked with the copy, which has the log as it is served now; how many
    /// of them have more entries than that.
    fn checked(&self, keys: &Succession, old: &TreeHead) -> Result<usize, Outcome> {
        let Checkpoint { origin, head: new, .. } = &self.served.checkpoint;
        let (found, mut pending) = unchecked::all(self.state.path(), &self.known);
        for earlier in found {
            let before = &earlier.verified.checkpoint;
            if before.origin != *origin || before.head.size > new.size {
                pending += 1;
                continue;
            }
            let recorded = Recorded::new(self.state.copy());
            match audit::continues(&recorded, &before.head, new) {
                Ok(()) => earlier.remove(),
                Err(AuditError::Forked(_)) => {
                    let given_up = keys.in_force().is_some_and(|key| !earlier.by.contains(key));
                    let (what, signed) = match given_up {
                        true => ("retired-key", "a key that it has given up since signed another story"),
                        false => ("forked", "it was FORKED"),
                    };
                    let words = format!(
                        "of the log {origin} {signed}: a checkpoint of {} entries, which was served earlier and could not be \
                         checked, is not of the log that is served now",
                        before.head.size
                    );
                    let mut outcome = Outcome::new(Verdict::Invalid, words);
                    outcome.facts = self.facts(what, old);
                    let files = recorded.files();
                    let handed = self.known.handed.iter().chain(&earlier.handed);
                    let handed = handed.map(|(tile, bytes)| (*tile, bytes.clone())).collect();
                    let found = self.contradiction(what, Some(&earlier.text), &files);
                    let outcome = Contradiction { handed: &handed, ..found }.kept(self.state.path(), outcome);
                    if outcome.facts["evidence"].is_string() {
                        earlier.remove();
                    }
                    return Err(outcome);
                }
                Err(_) => pending += 1,
            }
        }
        Ok(pending)
    }

    /// Has evidence show also the entries in which the log was handed on, which the copy has, as far as they are not too many.
    fn show(&mut self, changes: &[u64], size: u64) {
        let mut bytes = 0;
        for index in changes.iter().map(|number| number / TILE_WIDTH) {
            let Some(tile) = Tile::at(TileKind::Entries, index, size) else { continue };
            let Ok(Some(bundle)) = self.state.copy().exactly(tile) else { continue };
            bytes += bundle.len();
            if bytes > MOST_SHOWN {
                return;
            }
            self.known.handed.insert(tile, bundle);
        }
    }

    /// Files of the log could not be read. What is signed is kept until it can be checked.
    fn unread(&self, outcome: Outcome) -> Outcome {
        match unchecked::keep(self.state.path(), &self.text, &self.served, &self.known.handed) {
            Ok(path) => {
                outcome.and(&format!(". Its signed checkpoint is kept in {} until it can be checked", path.display()))
            }
            Err(error) => outcome.and(&format!(". Its signed checkpoint could not be kept: {error}")),
        }
    }

    /// Keeps what contradicts what.
    fn kept(&self, what: &str, mut outcome: Outcome, old: &TreeHead, files: &Files) -> Outcome {
        outcome.facts = self.facts(what, old);
        self.contradiction(what, None, files).kept(self.state.path(), outcome)
    }

    /// What was served against what was seen before: against an `earlier` checkpoint, or else the remembered one.
    fn contradiction<'a>(&'a self, what: &'a str, earlier: Option<&'a str>, files: &'a Files) -> Contradiction<'a> {
        let remembered = self.remembered.as_ref().map(|before| before.text.as_str());
        let size = self.served.checkpoint.head.size;
        Contradiction { what, size, remembered, earlier, served: &self.text, files, handed: &self.known.handed }
    }

    fn valid(&self, what: &str, mut words: String, old: &TreeHead, pending: usize) -> Outcome {
        let names: Vec<_> = self.served.cosignatures.iter().map(|seen| seen.name.as_str()).collect();
        if !names.is_empty() {
            words.push_str(&format!(" Witnesses who saw it: {}.", names.join(", ")));
        }
        if pending > 0 {
            let folder = self.state.path().join("unchecked");
            let more = "checkpoints that were served earlier could not be compared with it yet";
            words.push_str(&format!(" {pending} signed {more}: they lie in {}.", folder.display()));
        }
        let earlier = evidence::count(self.state.path());
        if earlier > 0 {
            let folder = self.state.path().join("evidence");
            words.push_str(&format!(" Evidence of {earlier} earlier findings lies in {}.", folder.display()));
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
