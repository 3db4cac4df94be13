//! The printable page: what stands on it, that values are inert, and that no byte of it can be changed.

use std::collections::BTreeSet;

use oubliette_proof::certificate::*;

use crate::fixture::*;

fn pages() -> Vec<(Certificate, String)> {
    let Scene { item, content, order, keys, .. } = scene();
    [item, content, order]
        .into_iter()
        .map(|certificate| {
            let page = write_page(&certificate, &certificate.verify(&keys).unwrap());
            (certificate, page)
        })
        .collect()
}

/// Everything between `<` and `>`, in order; the certificate in the link left out.
fn tags(page: &str) -> Vec<&str> {
    let pieces = page.split('<').skip(1);
    pieces.map(|piece| piece.split('>').next().unwrap()).map(|tag| tag.split("base64,").next().unwrap()).collect()
}

#[test]
fn a_page_tells_everything_of_its_certificate_in_words() {
    let all = pages();
    let (item, page) = &all[0];
    for said in [
        "One interaction, wholly",
        &item.subject.id.to_string(),
        "<td>call recording</td><td>1</td><td>4 MiB or more, less than 8 MiB</td>",
        "GDPR Article 17(1)(b), consent withdrawn (gdpr:17-1-b)",
        "Request 17/2026 – &quot;Mü\\ller&quot;",
        "privacy officer",
        "Its deletion was ordered (vcon_deleted)",
        "2026-03-01 12:00:00 UTC",
        "yes, sealed at 2026-03-01 12:00:01 UTC",
        "overwritten in place",
        "LOWERED",
        "moved blocks; thin pool",
        "2 of 3 confirmed that they destroyed their part",
        "1, which held the new key state before",
        "at 2026-03-01 13:00:00 UTC, in entry 9 of the log, that 4 objects of the order were removed",
        "Sealed copies may lie in backups until</th><td><bdi>2026-06-01 00:00:00 UTC",
        "vault.example/log",
        "witness.example/w1 at 2026-03-01 13:00:07 UTC",
        "<h2>What is not proven</h2>",
        "oubliette-verify FILE --log-key KEYS",
    ] {
        assert!(page.contains(said), "{said}\n{page}");
    }
    let content = &all[1].1;
    for said in
        ["Part of the interaction", "not stated in this certificate", "none was stated", "no receipt of arrival"]
    {
        assert!(content.contains(said), "{said}\n{content}");
    }
    let order = &all[2].1;
    for said in ["2 items, because of: legal hold", "not told in this certificate", "receipt of their own"] {
        assert!(order.contains(said), "{said}\n{order}");
    }
    for (certificate, page) in &all {
        // Every statement of the verifier, too.
        let verified = certificate.verify(&scene().keys).unwrap();
        let words = explain(certificate, &verified);
        for said in words.proven.iter().chain(&words.stated).chain(&words.not_proven) {
            assert!(page.contains(&said.text.replace('\'', "&#39;")), "{}", said.text);
        }
    }
}

#[test]
fn a_page_needs_nothing_from_elsewhere_and_runs_nothing() {
    for (_, page) in pages() {
        let tags = tags(&page);
        let names: BTreeSet<_> = tags.iter().map(|tag| tag.split([' ', '\n']).next().unwrap()).collect();
        for name in ["script", "link", "img", "iframe", "object", "embed", "form", "base", "svg", "video", "audio"] {
            assert!(!names.contains(name), "{name}");
        }
        let attributes: Vec<_> = tags.iter().filter(|tag| tag.contains("href") || tag.contains("src")).collect();
        assert_eq!(attributes, [&"a download=\"certificate.json\" href=\"data:application/json;"]);
        assert!(!page.contains("@import") && !page.contains("url(") && !tags.iter().any(|tag| tag.contains(" on")));
        // What is opened is closed: all but the doctype and the void ones.
        let open = tags.iter().filter(|tag| !tag.starts_with(['/', '!']) && !tag.starts_with("meta")).count();
        assert_eq!(open, tags.iter().filter(|tag| tag.starts_with('/')).count());
    }
}

#[test]
fn markup_in_values_is_text() {
    let Scene { item, keys, .. } = scene();
    let verified = item.verify(&keys).unwrap();
    let benign = write_page(&item, &verified);
    for bad in [
        "<script>alert(1)</script>",
        "\"><img src=x onerror=alert(1)>",
        "</bdi></td></table></main><h1>Valid</h1>",
        "'&lt;b&gt;&#60;i&#62;",
        "<!-- ",
        "]]></style></title></pre><a download=\"certificate.json\" href=\"data:application/json;base64,AAAA\">",
    ] {
        let (mut certificate, mut verified) = (item.clone(), verified.clone());
        certificate.reference = Some(bad.to_owned());
        certificate.seal.origin = bad.to_owned();
        certificate.receipt.proof = certificate.receipt.proof.replace("vault.example/log", bad);
        verified.checkpoint.checkpoint.origin = bad.to_owned();
        verified.checkpoint.cosignatures[0].name = bad.to_owned();
        let page = write_page(&certificate, &verified);
        assert_eq!(tags(&page), tags(&benign), "{bad}");
        assert!(
            page.contains(
                &bad.replace('&', "&amp;")
                    .replace('<', "&lt;")
                    .replace('>', "&gt;")
                    .replace('"', "&quot;")
                    .replace('\'', "&#39;")
            )
        );
        assert!(certificate_in(page.as_bytes()).unwrap() == certificate.to_json());
    }
}

#[test]
fn the_certificate_is_taken_out_of_its_page_as_it_was() {
    for (certificate, page) in pages() {
        assert!(is_page(page.as_bytes()) && !is_page(&certificate.to_json()));
        assert!(certificate_in(page.as_bytes()).unwrap() == certificate.to_json());
    }
    assert!(certificate_in(b"<!DOCTYPE html>").is_none() && certificate_in(&[0xff; 9]).is_none());
}

#[test]
fn every_changed_byte_of_a_page_is_refused() {
    let keys = scene().keys;
    let mut refused = 0;
    for (certificate, page) in pages() {
        let page = page.into_bytes();
        assert!(check_page(&page, &keys).is_ok_and(|(checked, _)| checked == certificate));
        for place in 0..page.len() {
            let mut changed = page.clone();
            changed[place] ^= if place % 2 == 0 { 1 } else { 0x20 };
            let program = is_page(&changed) && check_page(&changed, &keys).is_ok();
            assert!(!program, "a change at {place}");
            refused += 1;
        }
        for other in [&page[..page.len() - 1], &[&page[..], b"\n"].concat(), &[&page[..], &page[..]].concat()] {
            assert!(check_page(other, &keys).is_err());
        }
    }
    assert!(refused >= 50_000, "{refused}");
}

#[test]
fn a_page_around_another_certificate_is_refused() {
    let keys = scene().keys;
    let all = pages();
    let link = |page: &str| page.split_once("base64,").unwrap().1.split_once('"').unwrap().0.to_owned();
    let swapped = all[0].1.replace(&link(&all[0].1), &link(&all[2].1));
    assert!(swapped != all[0].1 && Certificate::parse(&certificate_in(swapped.as_bytes()).unwrap()).is_ok());
    let error = check_page(swapped.as_bytes(), &keys).err().unwrap().to_string();
    assert!(error.contains("the words of the page"), "{error}");
}
