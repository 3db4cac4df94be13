//! A certificate, its page, or a bulk file.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use oubliette_proof::ItemId;
use oubliette_proof::certificate::{
    BulkChecker, Certificate, MAX_CERTIFICATE, MAX_PAGE, Verified, check_page, explain, is_page,
};
use oubliette_proof::note::TrustedKeys;
use serde_json::{Value, json};

use crate::audit;
use crate::log::{self, Place};
use crate::report::{Outcome, Verdict};

/// Checks a file.
pub fn certificate(file: &Path, key: &Path, log: Option<&Place>, id: Option<ItemId>) -> Result<Outcome, Outcome> {
    let keys = log::keys(key)?;
    let mut lines =
        Lines(BufReader::new(File::open(file).map_err(|error| Outcome::unusable(file.display(), error))?), file);
    let first = lines.next()?;
    let outcome = if is_page(&first) {
        page(first, &mut lines, &keys, id)?
    } else {
        let second = lines.next()?;
        if second.is_empty() { single(&first, &keys, id)? } else { bulk(&first, second, &mut lines, &keys, id)? }
    };
    if let Some(log) = log {
        audit::compare(log, &keys, &outcome.1.checkpoint)?;
    }
    let mut outcome = outcome.0;
    if log.is_some() {
        outcome.summary.push_str(" The log given agrees with it.");
    }
    Ok(outcome)
}

/// Lines of a file, each with its newline; empty at the end.
struct Lines<'a>(BufReader<File>, &'a Path);

impl Lines<'_> {
    fn next(&mut self) -> Result<Vec<u8>, Outcome> {
        let mut line = Vec::new();
        let mut limited = (&mut self.0).take(MAX_CERTIFICATE as u64 + 1);
        limited.read_until(b'\n', &mut line).map_err(|error| Outcome::unusable(self.1.display(), error))?;
        Ok(line)
    }
}

fn single(line: &[u8], keys: &TrustedKeys, id: Option<ItemId>) -> Result<(Outcome, Verified), Outcome> {
    let certificate = Certificate::parse(line)?;
    let verified = certificate.verify(keys)?;
    Ok((holds("certificate", &certificate, &verified, id), verified))
}

fn page(
    first: Vec<u8>,
    lines: &mut Lines<'_>,
    keys: &TrustedKeys,
    id: Option<ItemId>,
) -> Result<(Outcome, Verified), Outcome> {
    let mut page = first;
    let rest = (&mut lines.0).take(MAX_PAGE as u64).read_to_end(&mut page);
    rest.map_err(|error| Outcome::unusable(lines.1.display(), error))?;
    let (certificate, verified) = check_page(&page, keys)?;
    Ok((holds("page, and the certificate in it,", &certificate, &verified, id), verified))
}

/// What holds, and whether it is about the item asked for.
fn holds(what: &str, certificate: &Certificate, verified: &Verified, id: Option<ItemId>) -> Outcome {
    let subject = certificate.subject.id;
    let mut outcome = if id.is_some_and(|id| id != subject) {
        Outcome::new(Verdict::NotThisItem, format!("the {what} holds, but is for {subject}."))
    } else {
        Outcome::new(Verdict::Valid, format!("the {what} for {subject} holds."))
    };
    outcome.explanation = Some(Box::new(explain(certificate, verified)));
    outcome.facts = facts(certificate, verified);
    outcome
}

fn bulk(
    first: &[u8],
    second: Vec<u8>,
    lines: &mut Lines<'_>,
    keys: &TrustedKeys,
    id: Option<ItemId>,
) -> Result<(Outcome, Verified), Outcome> {
    let mut checker = BulkChecker::new(first, keys)?;
    let wanted = id.map(|id| format!("\"id\":\"{id}\""));
    let (mut line, mut number, mut found) = (second, 2_u64, false);
    while !line.is_empty() {
        let at = |error| Outcome { summary: format!("line {number}: {error}"), ..Outcome::from(error) };
        match &wanted {
            // Other lines are not looked at.
            Some(wanted) if !line.windows(wanted.len()).any(|part| part == wanted.as_bytes()) => {}
            Some(_) => found |= Some(checker.item(&line).map_err(at)?.id) == id,
            None => {
                checker.next(&line).map_err(at)?;
            }
        }
        line = lines.next()?;
        number += 1;
    }
    let (certificate, verified) = checker.order();
    let order = certificate.subject.id;
    let mut outcome = match id {
        None => {
            let count = checker.finish()?;
            Outcome::new(Verdict::Valid, format!("the order {order} and all of its {count} receipts hold."))
        }
        Some(id) if found => Outcome::new(
            Verdict::Valid,
            format!("the receipt of {id} under the order {order} holds. Other lines were not looked at."),
        ),
        Some(id) => Outcome::new(Verdict::NotThisItem, format!("the order {order} holds, but has no receipt of {id}.")),
    };
    outcome.explanation = Some(Box::new(explain(certificate, verified)));
    outcome.facts = facts(certificate, verified);
    Ok((outcome, verified.clone()))
}

fn facts(certificate: &Certificate, verified: &Verified) -> Value {
    let head = verified.checkpoint.checkpoint.head;
    json!({
        "subject": {"id": certificate.subject.id, "kind": certificate.subject.kind},
        "order": certificate.erased.order,
        "sealed_at": verified.sealed_at,
        "log": {"origin": verified.checkpoint.checkpoint.origin, "size": head.size, "root": head.root, "index": verified.log_index},
        "cosignatures": verified.checkpoint.cosignatures.iter().map(|seen| json!({"name": seen.name, "time": seen.time})).collect::<Vec<_>>(),
        "existed": verified.existed.len(),
        "removed": verified.removed.is_some(),
    })
}
