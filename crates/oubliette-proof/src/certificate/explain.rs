//! What a verified certificate means, in plain words: for the verifier's output and the printable page.

use super::{Certificate, Facts, Verified};
use crate::id::ItemId;
use crate::receipt::SubjectKind;
use crate::time::Seconds;

/// One sentence, with a name that does not change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// For programs.
    pub code: &'static str,
    /// For people.
    pub text: String,
}

/// All there is to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// What the proofs show.
    pub proven: Vec<Statement>,
    /// What the operator states: bound into the log at the time of the seal, so that it cannot be changed, but nobody else
    /// has seen it.
    pub stated: Vec<Statement>,
    /// What they do not show.
    pub not_proven: Vec<Statement>,
}

/// Explains a certificate that [`Certificate::verify`] accepted.
pub fn explain(certificate: &Certificate, verified: &Verified) -> Explanation {
    Explanation {
        proven: proven(certificate, verified),
        stated: stated(certificate, verified),
        not_proven: not_proven(certificate, verified),
    }
}

fn say(code: &'static str, text: impl Into<String>) -> Statement {
    Statement { code, text: text.into() }
}

fn subject(certificate: &Certificate) -> String {
    let (kind, id) = (certificate.subject.kind, certificate.subject.id);
    match kind {
        SubjectKind::Interaction => format!("the interaction {id}"),
        SubjectKind::Content => format!("the content {id}"),
        SubjectKind::Order => format!("everything that the order {id} erased"),
    }
}

fn proven(certificate: &Certificate, verified: &Verified) -> Vec<Statement> {
    let head = verified.checkpoint.checkpoint.head;
    let origin = &verified.checkpoint.checkpoint.origin;
    let mut list = vec![say(
        "destruction-stated",
        format!(
            "The operator stated, in entry {} of the log {origin}, that the keys of {} were destroyed, and that the root \
             key they hung from was overwritten in a register of class {}.",
            verified.log_index,
            subject(certificate),
            certificate.seal.register_class,
        ),
    )];
    for existed in &verified.existed {
        let what = if existed.content == ItemId([0; 16]) {
            "this interaction".to_owned()
        } else {
            format!("a sealed object, {},", existed.content)
        };
        let text = format!(
            "Before that, in entry {}, the operator had committed to {what} as kept here under this id.",
            existed.log_index
        );
        list.push(say("existed", text));
    }
    if let Some(removed) = &verified.removed {
        let text = format!(
            "Later, in entry {}, the operator stated that the {} sealed objects of the order were removed from storage.",
            removed.log_index, removed.blobs,
        );
        list.push(say("removal-stated", text));
    }
    list.push(say(
        "logged",
        format!("These entries are in the log of {} entries that its key signed; none of them can be changed or taken out without breaking that signed state.", head.size),
    ));
    for cosignature in &verified.checkpoint.cosignatures {
        let time = Seconds::new(cosignature.time).map_or_else(|| cosignature.time.to_string(), |time| time.to_string());
        let text = format!(
            "The witness {} saw the log in this state, consistent with all it had seen before, at {time}.",
            cosignature.name
        );
        list.push(say("witnessed", text));
    }
    if certificate.reference.is_some() {
        list.push(say(
            "reference",
            "The reference shown is the one that the operator bound to the order at the time of the seal.",
        ));
    }
    list
}

fn stated(certificate: &Certificate, verified: &Verified) -> Vec<Statement> {
    let facts = &certificate.erased;
    let mut list = vec![
        say("sealed-at", format!("Sealed at {}, accepted at {}.", verified.sealed_at, facts.accepted_at)),
        say("erased", erased(facts)),
        say("cause", format!("Cause: {}, ordered in the role {}.", facts.event.name(), facts.actor_role)),
    ];
    if let Some(basis) = &facts.legal_basis {
        list.push(say("legal-basis", format!("Legal basis: {basis}.")));
    }
    for kept in &facts.kept {
        list.push(say("kept", format!("Not erased: {}, because of {}.", kept.count, kept.reason)));
    }
    let seal = &certificate.seal;
    let register = if seal.register_trusted {
        "nothing was found at its place that lowers its class".to_owned()
    } else {
        let findings: Vec<_> = seal.findings.iter().map(|finding| finding.as_str()).collect();
        format!("its class is LOWERED by what was found at its place: {}", findings.join(", "))
    };
    list.push(say("register", format!("Register of class {}: {register}.", seal.register_class)));
    if seal.agents > 0 || seal.mirrors > 0 {
        let text = format!(
            "{} of {} agents confirmed that they destroyed their part; {} mirrors held the new key state before.",
            seal.agents_confirmed, seal.agents, seal.mirrors
        );
        list.push(say("parties", text));
    }
    if let Some(until) = facts.backup_horizon {
        list.push(say("backups", format!("Sealed copies may lie in backups until {until}; without keys.")));
    }
    list
}

fn erased(facts: &Facts) -> String {
    let contents: Vec<_> = facts
        .contents
        .iter()
        .map(|content| format!("{} {} of less than 2^{} bytes", content.count, content.kind, content.size_class))
        .collect();
    let contents = if contents.is_empty() { "none".to_owned() } else { contents.join(", ") };
    format!("Erased: {} interactions wholly; contents: {contents}.", facts.interactions)
}

fn not_proven(certificate: &Certificate, verified: &Verified) -> Vec<Statement> {
    let mut list = vec![
        say(
            "no-copies",
            "That nobody kept a copy of the root key, of the keys or of the content. The operator's statement is signed and cannot be taken back; it is still the operator's.",
        ),
        say(
            "whose",
            "Whose conversation it was, or what was in it: nothing here is derived from content, names or numbers.",
        ),
        say("completeness", "That the order named everything it should have named."),
        say("earlier-readers", "What somebody who was allowed to read it took away before."),
    ];
    if verified.checkpoint.cosignatures.is_empty() {
        list.push(say("clock", "The times: they are the operator's clock. No witness has signed."));
        list.push(say(
            "one-view",
            "That everybody is shown the same log. No witness has signed; compare with the log as others see it.",
        ));
    } else {
        list.push(say(
            "clock",
            "The times in the entries: they are the operator's clock. Only the witnesses' times are theirs.",
        ));
    }
    if verified.existed.is_empty() && certificate.subject.kind != SubjectKind::Order {
        list.push(say("existence", "That it existed here before: the certificate has no receipt of its arrival."));
    }
    if verified.removed.is_none() {
        list.push(say(
            "removal",
            "That the sealed objects were removed from storage. They cannot be opened either way.",
        ));
    }
    list
}
