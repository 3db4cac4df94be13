//! A log between two checkpoints, and a certificate beside a log.

use std::io;
use std::path::Path;
use std::time::Instant;

use oubliette_proof::audit::{self, AuditError, AuditReport, Succession};
use oubliette_proof::entry::{Body, Entry};
use oubliette_proof::note::{Checkpoint, TrustedKeys, VerifiedCheckpoint, VerifierKey};
use oubliette_proof::tree::{TileError, TreeHead};
use serde_json::json;

use crate::log::{self, Limited, Log, Place};
use crate::report::{Outcome, Verdict};
use crate::trust::{self, Known};

/// Whether a log has only grown between two checkpoints.
pub fn audit(old: &Path, new: &Path, place: &Place, key: &Path) -> Result<Outcome, Outcome> {
    let mut known = Known::given(log::keys(key)?);
    let log = Log::open(place)?;
    let texts = [log::text(old)?, log::text(new)?];
    let before = known.checkpoint(&texts[0], old.display())?;
    let (lines, size) = (known.lines(), before.checkpoint.head.size);
    let now = trust::newest(&texts[1], new.display(), &log, &mut known, lines, size)?;
    same_origin(&before.checkpoint, &now.checkpoint)?;
    let name = "the older checkpoint";
    let two = Two {
        log: &log,
        known: &known,
        before: (&before, Some(&texts[0])),
        name,
        now: (&now, &texts[1]),
        until: log::latest(),
    };
    let report = two.read()?;
    let (old, new) = (before.checkpoint, now.checkpoint);
    let summary = format!(
        "the log {} grew from {} to {} entries and changed none of them. It holds: {}",
        new.origin,
        old.head.size,
        new.head.size,
        holdings(&report)
    );
    let mut outcome = Outcome::new(Verdict::Valid, summary);
    outcome.facts = json!({
        "origin": new.origin,
        "old": {"size": old.head.size, "root": old.head.root},
        "new": {"size": new.head.size, "root": new.head.root},
        "kinds": report.kinds,
        "unknown": report.unknown,
    });
    Ok(outcome)
}

/// Entries by kind, in words.
pub fn holdings(report: &AuditReport) -> String {
    let kinds: Vec<_> = report.kinds.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    let mut text = format!("{}.", if kinds.is_empty() { "nothing".to_owned() } else { kinds.join(", ") });
    if report.unknown > 0 {
        text.push_str(&format!(" {} entries are of no kind that is known here.", report.unknown));
    }
    text
}

/// Whether a log, or a checkpoint of it, agrees with the checkpoint of a certificate.
pub fn compare(place: &Place, keys: &TrustedKeys, certificate: &VerifiedCheckpoint) -> Result<(), Outcome> {
    let (log, mut known) = (Log::open(place)?, Known::given(keys.clone()));
    let (text, before, lines) = (log.checkpoint()?, &certificate.checkpoint, known.lines());
    let now = trust::newest(&text, &log, &log, &mut known, lines, before.head.size)?;
    same_origin(before, &now.checkpoint)?;
    let (old, new) = (before.head, now.checkpoint.head);
    // In whatever order they signed: two have where the log was handed over.
    let same = certificate.signed_by.len() == now.signed_by.len()
        && certificate.signed_by.iter().all(|key| now.signed_by.contains(key));
    if old == new && same {
        return Ok(());
    }
    if new.size < old.size {
        let why = format!(
            "the certificate is of a log of {} entries, the log given has {}: it is an older copy, or the log SHRANK",
            old.size, new.size
        );
        return Err(Outcome::new(Verdict::Invalid, why));
    }
    let name = "the certificate";
    let two =
        Two { log: &log, known: &known, before: (certificate, None), name, now: (&now, &text), until: log::latest() };
    if log.has_tiles() {
        // As a rule a look at what came after the certificate is enough.
        if two.continues()? { Ok(()) } else { two.read().map(|_| ()) }
    } else if new.size != old.size {
        Err(Outcome::unusable(
            place,
            format!(
                "a checkpoint of {} entries alone cannot be compared with one of {}: give the log's folder or address",
                new.size, old.size
            ),
        ))
    } else if new == old {
        let why = "the checkpoint is signed with other keys than the certificate: give the log's folder or address";
        Err(Outcome::unusable(place, why))
    } else {
        two.read().map(|_| ())
    }
}

/// Two checkpoints of one log, and its files.
struct Two<'a> {
    log: &'a Log,
    known: &'a Known,
    /// The older one; and word for word where it may bear lines of keys that were not given.
    before: (&'a VerifiedCheckpoint, Option<&'a str>),
    /// What the older one is called.
    name: &'a str,
    /// The newer one, and word for word.
    now: (&'a VerifiedCheckpoint, &'a str),
    /// When reading ends at the latest.
    until: Instant,
}

impl<'a> Two<'a> {
    fn heads(&self) -> (TreeHead, TreeHead) {
        (self.before.0.checkpoint.head, self.now.0.checkpoint.head)
    }

    /// The log, when so many entries of it are to be read.
    fn limited(&self, entries: u64) -> Limited<'a, Log> {
        Limited { log: self.log, entries, until: self.until }
    }

    /// Whether the newer checkpoint continues the older one and is signed with the key that the older one's has become, by the
    /// entries between them. When not, [`Two::read`] tells why. Files that cannot be read, or are not those of the newer one,
    /// are told at once: more of them would tell nothing else.
    fn continues(&self) -> Result<bool, Outcome> {
        let (old, new) = self.heads();
        let before = &self.before.0.signed_by;
        let mut lines: Vec<_> = before.iter().cloned().map(Succession::since).collect();
        let log = self.limited(new.size.saturating_sub(old.size));
        let read = audit::read_on(&log, &old, &new, |number, entry| {
            if let Ok(Entry { body: Body::KeyRotation(rotation), .. }) = Entry::decode(entry) {
                lines.iter_mut().for_each(|line| _ = line.add(number, &rotation));
            }
        });
        match read {
            Err(AuditError::Forked(_)) => return Ok(false),
            other => other.map_err(refused)?,
        }
        let Some(line) = lines.first() else { return Ok(false) };
        // Both keys sign over the entry that hands the log over, and then there is but one that it can have been handed to.
        let one = line
            .at(old.size)
            .is_some_and(|key| before.contains(key) && lines.iter().all(|line| line.at(old.size) == Some(key)));
        Ok(one && line.in_force().is_some_and(|key| self.signed_now(line).contains(key)))
    }

    /// Reads all of the log: whether the newer checkpoint continues the older one, and whether each is signed with the key that
    /// the log had at its size. A log of which that is not so is not called forked.
    fn read(&self) -> Result<AuditReport, Outcome> {
        let (old, new) = self.heads();
        let origin = &self.now.0.checkpoint.origin;
        let mut keys = Succession::new(origin);
        let read = self.entries(&old, &mut keys);
        match &read {
            Err(AuditError::Forked(_)) if old.size == new.size => {
                // Told by the heads alone. When the entries cannot be had the signatures have to do.
                keys = Succession::new(origin);
                if let Err(unread) = self.entries(&TreeHead::empty(), &mut keys) {
                    keys = Succession::new(origin);
                    if !self.one_key(&keys) {
                        return Err(self.two_stories(&refused(unread)));
                    }
                }
            }
            Err(AuditError::Forked(_)) | Ok(_) => {}
            Err(AuditError::Shrunk { .. }) if !self.one_key(&keys) => {
                let more = "; it is signed with another key, which may be one that it has given up";
                return read.map_err(refused).map_err(|shrunk| shrunk.and(more));
            }
            Err(_) => return read.map_err(refused),
        }
        self.lines_hold(&keys)?;
        self.signed(&keys)?;
        let since = keys.in_force().is_some_and(|key| !self.signed_before(&keys).contains(key));
        let more = "is signed with a key that the log has given up since: whoever has that key can have made it";
        let more = if since { format!(". But {} {more}", self.name) } else { String::new() };
        read.map_err(refused).map_err(|forked| forked.and(&more))
    }

    /// Reads all of the log's entries once.
    fn entries(&self, old: &TreeHead, keys: &mut Succession) -> Result<AuditReport, AuditError<io::Error>> {
        let new = &self.now.0.checkpoint.head;
        audit::audit_with(&self.limited(new.size), old, new, |number, entry| {
            if let Body::KeyRotation(rotation) = &entry.body {
                keys.add(number, rotation);
            }
        })
    }

    /// Two keys have signed two trees of one size, and the entries do not tell which key was the log's.
    fn two_stories(&self, unread: &Outcome) -> Outcome {
        let (origin, size) = (&self.now.0.checkpoint.origin, self.heads().0.size);
        let words = format!(
            "{} and the checkpoint of the log {origin} are of {size} entries with different roots, signed with different keys; which \
             key was the log's then the entries do not tell: {}",
            self.name, unread.summary
        );
        Outcome::new(Verdict::Invalid, words)
    }

    /// Whether also the lines hold whose keys were learned from the entries: a damaged one would look like none.
    fn lines_hold(&self, keys: &Succession) -> Result<(), Outcome> {
        let mut known = self.known.clone();
        trust::agreed_to(keys, &self.known.trusted).into_iter().for_each(|key| known.trusted.add(key));
        known.checkpoint(self.now.1, format!("the checkpoint of the log {}", self.now.0.checkpoint.origin))?;
        self.before.1.map_or(Ok(()), |text| known.checkpoint(text, self.name).map(|_| ()))
    }

    /// Whether the keys that signed are those that the entries tell of.
    fn signed(&self, keys: &Succession) -> Result<(), Outcome> {
        let (origin, size) = (&self.now.0.checkpoint.origin, self.heads().0.size);
        let (before, now) = (self.signed_before(keys), self.signed_now(keys));
        if keys.in_force().is_some_and(|key| !now.contains(key)) {
            return Err(Outcome::new(Verdict::Invalid, trust::not_in_force(origin, &now, keys, self.known)));
        }
        let words = match keys.at(size) {
            Some(key) if before.contains(key) => return Ok(()),
            None if self.one_key(keys) => return Ok(()),
            None => format!(
                "{} is signed with another key than the log {origin}, and no entry says that one was handed over to the other",
                self.name
            ),
            Some(_) if before.iter().any(|key| keys.had_before(key, size)) => format!(
                "{} is signed with a key of the log {origin} which the log had given up before it had {size} entries",
                self.name
            ),
            Some(_) => format!(
                "{} is signed with a key that was not that of the log {origin} when it had {size} entries",
                self.name
            ),
        };
        Err(Outcome::new(Verdict::Invalid, words))
    }

    fn signed_before(&self, keys: &Succession) -> Vec<VerifierKey> {
        let (before, text) = self.before;
        text.map_or_else(|| before.signed_by.clone(), |text| self.known.signers(text, keys))
    }

    fn signed_now(&self, keys: &Succession) -> Vec<VerifierKey> {
        self.known.signers(self.now.1, keys)
    }

    fn one_key(&self, keys: &Succession) -> bool {
        let now = self.signed_now(keys);
        self.signed_before(keys).iter().any(|key| now.contains(key))
    }
}

fn same_origin(one: &Checkpoint, other: &Checkpoint) -> Result<(), Outcome> {
    if one.origin == other.origin {
        return Ok(());
    }
    Err(Outcome::new(Verdict::Invalid, format!("these are two logs: {} and {}", one.origin, other.origin)))
}

/// What an audit's error means: files that are not there or cannot be read say nothing about the log.
pub fn refused(error: AuditError<io::Error>) -> Outcome {
    let (verdict, cause) = match &error {
        AuditError::Tile(TileError::Read(_, cause)) | AuditError::Copy(_, cause) => {
            (Verdict::BadInput, format!(": {cause}"))
        }
        _ => (Verdict::Invalid, String::new()),
    };
    Outcome::new(verdict, format!("{error}{cause}"))
}
