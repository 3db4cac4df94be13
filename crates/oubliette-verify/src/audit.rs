//! A log between two checkpoints, and a certificate beside a log.

use std::io;
use std::path::Path;

use oubliette_proof::audit::{self, AuditError, AuditReport};
use oubliette_proof::note::{Checkpoint, TrustedKeys};
use oubliette_proof::tree::TileError;
use serde_json::json;

use crate::log::{self, Log, Place};
use crate::report::{Outcome, Verdict};
use crate::trust;

/// Whether a log has only grown between two checkpoints.
pub fn audit(old: &Path, new: &Path, place: &Place, key: &Path) -> Result<Outcome, Outcome> {
    let mut keys = log::keys(key)?;
    let log = Log::open(place)?;
    let old = trust::checkpoint(&log::text(old)?, old.display(), &keys)?.checkpoint;
    let new = trust::newest(&log::text(new)?, new.display(), &log, &mut keys, old.head.size)?.checkpoint;
    same_origin(&old, &new)?;
    let report = audit::audit(&log, &old.head, &new.head).map_err(refused)?;
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
pub fn compare(place: &Place, keys: &TrustedKeys, certificate: &Checkpoint) -> Result<(), Outcome> {
    let (log, mut keys) = (Log::open(place)?, keys.clone());
    let now = trust::newest(&log.checkpoint()?, &log, &log, &mut keys, certificate.head.size)?.checkpoint;
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
    if !log.has_tiles() && now.head.size != certificate.head.size {
        return Err(Outcome::unusable(
            place,
            format!(
                "a checkpoint of {} entries alone cannot be compared with one of {}: give the log's folder or address",
                now.head.size, certificate.head.size
            ),
        ));
    }
    audit::continues(&log, &certificate.head, &now.head).map_err(refused)
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
