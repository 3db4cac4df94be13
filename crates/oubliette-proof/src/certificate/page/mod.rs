//! A certificate as a page for people: to be read, printed and kept, and checked as it is.
//!
//! One file of HTML without scripts and outside resources. It holds the certificate's very bytes twice: to be saved by a
//! click, and to be read. Everything else on it follows from them: the page of a certificate has one spelling, so that
//! whoever has the keys can check every byte of it ([`check_page`]), not only of the certificate within.
//!
//! Like every format of version 1 it never changes; another wording is a page of version 2.

mod markup;
mod words;

use markup::Markup;

use super::{Certificate, CertificateError, MAX_CERTIFICATE, Statement, Verified, explain};
use crate::encoding::{base64, from_base64};
use crate::id::ItemId;
use crate::note::{TlogProof, TrustedKeys};
use crate::receipt::SubjectKind;
use crate::time::Seconds;

/// Longest page that is read: the certificate in two spellings, each longer than it, and the words.
pub const MAX_PAGE: usize = 10 * MAX_CERTIFICATE;
/// How every page begins.
const BEGIN: &str = "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
    <meta name=\"generator\" content=\"oubliette/page/v1\">\n\
    <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
    <meta name=\"referrer\" content=\"no-referrer\">\n";
/// The style sheet of the page, for a content security policy.
pub const PAGE_STYLE: &str = include_str!("style.css");
/// Between these two stands the certificate in base64.
const LINK: [&str; 2] = ["<a download=\"certificate.json\" href=\"data:application/json;base64,", "\">"];

/// Whether a file looks like a page rather than like a certificate.
pub fn is_page(bytes: &[u8]) -> bool {
    bytes.starts_with(b"<!DOCTYPE html>")
}

/// The page of a certificate that [`Certificate::verify`] accepted.
pub fn write_page(certificate: &Certificate, verified: &Verified) -> String {
    let mut page = Markup(BEGIN.to_owned());
    page.raw("<title>Certificate of erasure ").text(certificate.subject.id).raw("</title>\n<style>");
    page.raw(PAGE_STYLE).raw("</style>\n</head>\n<body>\n<main>\n");
    head(&mut page, certificate, verified);
    what(&mut page, certificate);
    kept(&mut page, certificate);
    order(&mut page, certificate, verified);
    keys(&mut page, certificate, verified);
    storage(&mut page, certificate, verified);
    log(&mut page, certificate, verified);
    meaning(&mut page, certificate, verified);
    check(&mut page, verified);
    source(&mut page, certificate);
    page.raw("</main>\n</body>\n</html>\n");
    page.0
}

/// The bytes of the certificate in a page; `None` when there is none. Checks nothing.
pub fn certificate_in(page: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(page).ok().filter(|page| page.len() <= MAX_PAGE)?;
    let (_, after) = text.split_once(LINK[0])?;
    from_base64(after.split_once(LINK[1])?.0)
}

/// Checks a page: the certificate in it holds, and the page is what is written for that certificate, byte for byte.
pub fn check_page(page: &[u8], keys: &TrustedKeys) -> Result<(Certificate, Verified), CertificateError> {
    let embedded = certificate_in(page).ok_or(CertificateError::Malformed("page: there is no certificate in it"))?;
    let certificate = Certificate::parse(&embedded)?;
    let verified = certificate.verify(keys)?;
    if write_page(&certificate, &verified).as_bytes() == page {
        Ok((certificate, verified))
    } else {
        Err(CertificateError::Contradiction("the words of the page, and the certificate in it"))
    }
}

fn head(page: &mut Markup, certificate: &Certificate, verified: &Verified) {
    let origin = &verified.checkpoint.checkpoint.origin;
    page.raw("<h1>Certificate of erasure</h1>\n").facts();
    page.fact("What it is about", words::subject(certificate.subject.kind));
    page.fact("Its id", certificate.subject.id);
    if let Some(interaction) = certificate.erased.part_of {
        page.fact("Part of the interaction", interaction);
    }
    page.fact("Erased for good (sealed) at", words::time(verified.sealed_at));
    page.fact("Operator's log", origin).raw("</table>\n");
    page.raw("<p class=\"notice\">").text(
        "This page is a statement of the operator, and every word of it follows from the signed certificate at its end. \
         The page alone does not show that the signature holds: that is checked with the log's public key, as the section \
         on checking says.",
    );
    page.raw("</p>\n");
}

fn what(page: &mut Markup, certificate: &Certificate) {
    let facts = &certificate.erased;
    page.section("What was erased").facts();
    page.fact("Interactions, wholly", facts.interactions);
    page.fact("Contents", facts.content_count());
    if certificate.subject.kind == SubjectKind::Order {
        page.fact("Items with a receipt of their own", facts.items);
    }
    page.raw("</table>\n");
    if !facts.contents.is_empty() {
        page.raw("<table>\n<caption>Contents by kind and size. Sizes are those of the sealed objects as stored, each; exact ");
        page.raw(
            "lengths were not kept.</caption>\n<thead><tr><th scope=\"col\">Kind</th><th scope=\"col\">Number</th>",
        );
        page.raw("<th scope=\"col\">Size of each</th></tr></thead>\n<tbody>\n");
        for content in &facts.contents {
            page.raw("<tr><td>").text(words::spaced(&content.kind)).raw("</td><td>").text(content.count);
            page.raw("</td><td>").text(words::size(content.size_class)).raw("</td></tr>\n");
        }
        page.raw("</tbody>\n</table>\n");
    }
    page.raw("</section>\n");
}

fn kept(page: &mut Markup, certificate: &Certificate) {
    page.section("What was not erased");
    if certificate.erased.kept.is_empty() {
        page.paragraph("The operator states nothing that the order named and that was left.");
    } else {
        page.list(certificate.erased.kept.iter().map(|kept| {
            format!("{}, because of: {}", words::count(kept.count, "item", "items"), words::spaced(&kept.reason))
        }));
    }
    page.raw("</section>\n");
}

fn order(page: &mut Markup, certificate: &Certificate, verified: &Verified) {
    let facts = &certificate.erased;
    page.section("On whose order").facts();
    page.fact("Order", facts.order);
    match (&certificate.reference, facts.reference) {
        (Some(reference), _) => page.fact("Reference", reference),
        (None, Some(_)) => page.fact("Reference", "bound to the order, and not told in this certificate"),
        (None, None) => page.fact("Reference", "none was given"),
    };
    page.fact("Cause", words::cause(facts.event));
    page.fact("Ordered in the role", words::spaced(&facts.actor_role));
    match &facts.legal_basis {
        Some(basis) => page.fact("Legal basis, as the operator states it", words::basis(basis)),
        None => page.fact("Legal basis", "none was stated"),
    };
    page.fact("Accepted; nothing of it could be read from then on", words::time(facts.accepted_at));
    page.fact("Sealed; nothing of it can be opened since then", words::time(verified.sealed_at));
    page.raw("</table>\n</section>\n");
}

fn keys(page: &mut Markup, certificate: &Certificate, verified: &Verified) {
    let seal = &certificate.seal;
    page.section("How the keys were destroyed").facts();
    page.fact("Keys destroyed", format!("yes, sealed at {}", words::time(verified.sealed_at)));
    page.fact("Key epochs", format!("from {} to {}", seal.epochs[0].0, seal.epochs[1].0));
    page.fact("Class of the register that held the root key", &seal.register_class);
    page.fact("What this class rests on", words::rests_on(&seal.register_class));
    let trusted = if seal.register_trusted {
        "nothing that lowers the class"
    } else {
        "LOWERED: what was found there makes the class less certain"
    };
    page.fact("Found at the register's place", trusted);
    if !seal.findings.is_empty() {
        let findings: Vec<_> = seal.findings.iter().map(words::spaced).collect();
        page.fact("Findings", findings.join("; "));
    }
    let mirrors = match seal.mirrors {
        0 => "none".to_owned(),
        mirrors => format!("{mirrors}, which held the new key state before the old one was destroyed"),
    };
    page.fact("Mirrors", mirrors);
    let agents = match seal.agents {
        0 => "none".to_owned(),
        agents => format!("{} of {agents} confirmed that they destroyed their part", seal.agents_confirmed),
    };
    page.fact("Escrow agents", agents).raw("</table>\n</section>\n");
}

fn storage(page: &mut Markup, certificate: &Certificate, verified: &Verified) {
    page.section("What became of the sealed objects in storage");
    page.paragraph(
        "This is a matter of its own: without their keys the objects cannot be opened, whether they are removed or not.",
    );
    page.facts();
    match &verified.removed {
        Some(removed) => {
            let objects = words::count(removed.blobs, "object", "objects");
            let said = format!(
                "yes: the operator stated at {}, in entry {} of the log, that {objects} of the order {} removed",
                words::time(removed.stated_at),
                removed.log_index,
                if removed.blobs == 1 { "was" } else { "were" }
            );
            page.fact("Removed from storage", said)
        }
        None => page.fact("Removed from storage", "not stated in this certificate"),
    };
    match certificate.erased.backup_horizon {
        Some(until) => page.fact("Sealed copies may lie in backups until", words::time(until)),
        None => page.fact("Sealed copies in backups", "the operator states no date"),
    };
    page.raw("</table>\n</section>\n");
}

fn log(page: &mut Markup, certificate: &Certificate, verified: &Verified) {
    let head = verified.checkpoint.checkpoint.head;
    page.section("Where it stands in the log").facts();
    page.fact("Log", &verified.checkpoint.checkpoint.origin);
    page.fact("Entry of the erasure", verified.log_index);
    page.fact("Entries in the log at the checkpoint", head.size);
    page.fact("Root of the log at the checkpoint", head.root).raw("</table>\n");
    if verified.existed.is_empty() {
        page.paragraph("The certificate has no receipt of arrival.");
    } else {
        page.raw(
            "<table>\n<caption>Committed to before, by the operator, as kept under this id</caption>\n<thead><tr>",
        );
        page.raw("<th scope=\"col\">What</th><th scope=\"col\">Arrived not after</th><th scope=\"col\">Entry</th></tr></thead>\n");
        page.raw("<tbody>\n");
        for existed in &verified.existed {
            page.raw("<tr><td>");
            if existed.content == ItemId([0; 16]) {
                page.text("the interaction itself");
            } else {
                page.text("content ").text(existed.content);
            }
            page.raw("</td><td>").text(words::time(existed.to)).raw("</td><td>").text(existed.log_index);
            page.raw("</td></tr>\n");
        }
        page.raw("</tbody>\n</table>\n");
    }
    match verified.checkpoint.cosignatures.as_slice() {
        [] => page.paragraph("No witness has signed the checkpoint."),
        witnesses => {
            page.paragraph("Witnesses that signed the checkpoint, at times by their own clocks:");
            page.list(witnesses.iter().map(|witness| {
                let time = Seconds::new(witness.time).map_or_else(|| witness.time.to_string(), words::time);
                format!("{} at {time}", witness.name)
            }))
        }
    };
    // A certificate that holds has a proof that can be read.
    if let Ok(proof) = TlogProof::parse(&certificate.receipt.proof) {
        page.paragraph("The checkpoint, as the log and its witnesses signed it:");
        page.raw("<pre>").text(proof.checkpoint).raw("</pre>\n");
    }
    page.raw("</section>\n");
}

fn meaning(page: &mut Markup, certificate: &Certificate, verified: &Verified) {
    let words = explain(certificate, verified);
    let parts: [(&'static str, &[Statement]); 3] = [
        ("What is proven, once it was checked", &words.proven),
        ("What the operator stated at that time, and cannot change any more", &words.stated),
        ("What is not proven", &words.not_proven),
    ];
    for (heading, statements) in parts {
        page.section(heading).list(statements.iter().map(|said| &said.text)).raw("</section>\n");
    }
}

fn check(page: &mut Markup, verified: &Verified) {
    page.section("How to check it");
    page.paragraph(
        "Save this page as it is, or the certificate below, and run the verifier of Oubliette, which needs no network:",
    );
    page.raw("<pre>oubliette-verify FILE --log-key KEYS</pre>\n<p>");
    page.text("KEYS is a file with the public key of the log ").raw("<bdi>");
    page.text(&verified.checkpoint.checkpoint.origin).raw("</bdi>");
    page.text(
        " and, where witnesses signed, with theirs. The operator serves the log's at /log/key. Take it from a place that \
         whoever gave you this page cannot change: what a check is worth depends on it. The program refuses this page when a \
         single byte of it was changed. A printed page is for reading; what can be checked is the file.",
    );
    page.raw("</p>\n");
    page.paragraph(
        "The formats are published with Oubliette in docs/proof.md, with all steps to check a certificate by hand with \
         common tools, and with a second verifier in Python.",
    );
    page.raw("</section>\n");
}

fn source(page: &mut Markup, certificate: &Certificate) {
    let bytes = certificate.to_json();
    page.section("The certificate itself").raw("<p class=\"screen\">").raw(LINK[0]);
    // Of the alphabet of base64 nothing has a meaning in HTML.
    page.text(base64(&bytes)).raw(LINK[1]).raw("Save the certificate (certificate.json)</a></p>\n");
    page.raw("<details class=\"screen\">\n<summary>Read it</summary>\n<pre>").text(String::from_utf8_lossy(&bytes));
    page.raw("</pre>\n</details>\n<p>SHA-256 of the file certificate.json: <code>").text(crate::sha256(&[&bytes]));
    page.raw("</code></p>\n</section>\n");
}
