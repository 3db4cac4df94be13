//! A log over time, and a certificate beside a log.

use std::io;
use std::path::Path;

use oubliette_proof::audit::{self, AuditError};
use oubliette_proof::note::{Checkpoint, TrustedKeys};
use oubliette_proof::tree::TileError;
use serde_json::json;

use crate::folder::{self, Folder};
use crate::report::{Outcome, Verdict};

/// Whether a log has only grown between two checkpoints.
pub fn audit(old: &Path, new: &Path, log: &Path, key: &Path) -> Result<Outcome, Outcome> {
    let keys = folder::keys(key)?;
    let (old, new) = (folder::checkpoint(old, &keys)?.checkpoint, folder::checkpoint(new, &keys)?.checkpoint);
    same_origin(&old, &new)?;
    let report = audit::audit(&Folder(log.to_owned()), &old.head, &new.head).map_err(refused)?;
    let kinds: Vec<_> = report.kinds.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    let mut summary = format!(
        "the log {} grew from {} to {} entries and changed none of them. It holds: {}.",
        new.origin,
        old.head.size,
        new.head.size,
        if kinds.is_empty() { "nothing".to_owned() } else { kinds.join(", ") }
    );
    if report.unknown > 0 {
        summary.push_str(&format!(" {} entries are of no kind that is known here.", report.unknown));
    }
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

/// Whether the log in a folder, or a checkpoint, agrees with the checkpoint of a certificate.
pub fn compare(log: &Path, keys: &TrustedKeys, certificate: &Checkpoint) -> Result<(), Outcome> {
    let folder = log.is_dir();
    let now = folder::checkpoint(&if folder { log.join("checkpoint") } else { log.to_owned() }, keys)?.checkpoint;
    same_origin(certificate, &now)?;
    if certificate.head == now.head {
        return Ok(());
    }
    if now.head.size < certificate.head.size {
        let why = format!(
            "the certificate is of a log of {} entries, the log given has {}: it is an older copy, or the log SHRANK",
            certificate.head.size, now.head.size
        );
        return Err(Outcome::new(Verdict::Invalid, why));
    }
    if !folder && now.head.size != certificate.head.size {
        return Err(Outcome::unusable(
            log,
            format!(
                "a checkpoint of {} entries alone cannot be compared with one of {}: give the log's folder",
                now.head.size, certificate.head.size
            ),
        ));
    }
    audit::continues(&Folder(log.to_owned()), &certificate.head, &now.head).map_err(refused)
}

fn same_origin(one: &Checkpoint, other: &Checkpoint) -> Result<(), Outcome> {
    if one.origin == other.origin {
        return Ok(());
    }
    Err(Outcome::new(Verdict::Invalid, format!("these are two logs: {} and {}", one.origin, other.origin)))
}

fn refused(error: AuditError<io::Error>) -> Outcome {
    let verdict = match &error {
        AuditError::Tile(TileError::Read(..)) => Verdict::BadInput,
        _ => Verdict::Invalid,
    };
    let cause = match &error {
        AuditError::Tile(TileError::Read(_, cause)) => format!(": {cause}"),
        _ => String::new(),
    };
    Outcome::new(verdict, format!("{error}{cause}"))
}
