//! Certificates over HTTP: JSON and page, single items, receipts, and what is answered when there is none.

use oubliette_core::model::Scope;
use oubliette_proof::certificate::{BulkChecker, Certificate, check_page};
use oubliette_proof::note::TrustedKeys;
use oubliette_proof::receipt::SubjectKind;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Caller, answer, kind};

impl Caller {
    /// Orders the erasure of these sessions; its id, once its certificate can be had.
    pub async fn certified(&self, order: Value) -> String {
        let (status, ordered) = self.send("POST", "/erasures", order).await;
        assert_eq!(status, 202, "{ordered}");
        let id = ordered["id"].as_str().unwrap().to_owned();
        self.until_certified(&id).await;
        id
    }

    /// Waits until an erasure's certificate can be had; the erasure as it is shown then.
    pub async fn until_certified(&self, id: &str) -> Value {
        for _ in 0..1_000 {
            let (status, body) = self.get(&format!("/erasures/{id}")).await;
            assert_eq!(status, 200);
            if body.get("certificate").is_some() {
                return body;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        panic!("never certified");
    }

    /// The keys of the vault's log, as it serves them.
    pub async fn log_keys(&self) -> String {
        let response = self.vault.request("GET", "/log/key").send().await.unwrap();
        assert_eq!(response.status(), 200);
        response.text().await.unwrap()
    }

    /// The bytes at a path of the API, asked for in this type.
    pub async fn bytes(&self, path: &str, accept: &str) -> Vec<u8> {
        let response = self.request("GET", path).header("accept", accept).send().await.unwrap();
        let (status, bytes) = (response.status(), response.bytes().await.unwrap());
        assert_eq!(status, 200, "{path}: {}", String::from_utf8_lossy(&bytes));
        bytes.to_vec()
    }

    /// The certificate at a path, checked with the log's keys.
    pub async fn certificate(&self, path: &str) -> Certificate {
        let keys = TrustedKeys::parse(&self.log_keys().await).unwrap();
        let certificate = Certificate::parse(&self.bytes(path, "*/*").await).unwrap();
        certificate.verify(&keys).unwrap();
        certificate
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_certified_with_its_reference_and_legal_basis() {
    let caller = Caller::start().await;
    let (a, b) = (caller.call("a", "+15125551234").await, caller.call("b", "+15125559999").await);
    let order =
        json!({ "selector": { "ids": [a, b] }, "reference": "Request 7 – Müller", "legalBasis": "gdpr:17-1-b" });
    let id = caller.certified(order).await;
    let path = format!("/erasures/{id}/certificate");
    let shown = caller.until_certified(&id).await;
    assert_eq!(shown["certificate"], format!("/api/v1{path}"));

    let plain = caller.certificate(&path).await;
    assert_eq!((plain.subject.kind, plain.subject.id.to_string()), (SubjectKind::Order, id.clone()));
    let facts = &plain.erased;
    assert_eq!((facts.interactions, facts.items, facts.content_count()), (2, 2, 2));
    assert_eq!(facts.legal_basis.as_ref().map(|basis| basis.as_str()), Some("gdpr:17-1-b"));
    assert!(plain.reference.is_none() && facts.reference.is_some());
    let told = caller.certificate(&format!("{path}?reference=Request%207%20%E2%80%93%20M%C3%BCller")).await;
    assert_eq!(told.reference.as_deref(), Some("Request 7 – Müller"));
    let (status, problem) = caller.get(&format!("{path}?reference=Request%208")).await;
    assert_eq!((status, kind(&problem)), (400, "invalid-request"));

    for interaction in [&a, &b] {
        let item = caller.certificate(&format!("/interactions/{interaction}/certificate")).await;
        assert_eq!((item.subject.kind, item.subject.id.to_string()), (SubjectKind::Interaction, interaction.clone()));
        assert_eq!((item.erased.order.to_string(), item.erased.content_count()), (id.clone(), 1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_is_given_to_whoever_prefers_html_and_can_be_checked_as_it_is() {
    let caller = Caller::start().await;
    let a = caller.call("a", "+15125551234").await;
    let id = caller.certified(json!({ "selector": { "ids": [a] }, "reference": "<b>R</b>" })).await;
    let keys = TrustedKeys::parse(&caller.log_keys().await).unwrap();
    let order = format!("/erasures/{id}/certificate?reference=%3Cb%3ER%3C%2Fb%3E");
    for path in [order, format!("/interactions/{a}/certificate")] {
        let response = caller.request("GET", &path).header("accept", "text/html,*/*;q=0.8").send().await.unwrap();
        assert_eq!(response.status(), 200);
        let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(header("content-type"), "text/html; charset=utf-8");
        assert!(header("content-security-policy").starts_with("default-src 'none'; style-src 'sha256-"));
        assert_eq!(header("x-content-type-options"), "nosniff");
        let page = response.bytes().await.unwrap();
        let (certificate, _) = check_page(&page, &keys).unwrap();
        assert!([&id, &a].contains(&&certificate.subject.id.to_string()));
        assert!(!String::from_utf8_lossy(&page).contains("<b>"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unchanged_certificate_is_not_sent_again() {
    let caller = Caller::start().await;
    let a = caller.call("a", "+15125551234").await;
    let id = caller.certified(json!({ "selector": { "ids": [a] }, "reference": "R" })).await;
    let path = format!("/erasures/{id}/certificate");
    // It is asked for until two answers are the same: the log may have grown in between.
    for attempt in 0.. {
        let first = caller.request("GET", &path).send().await.unwrap();
        let tag = first.headers()["etag"].to_str().unwrap().to_owned();
        assert_eq!(first.headers()["cache-control"], "private, no-cache");
        assert_eq!(first.headers()["vary"], "accept, authorization");
        let second =
            caller.request("GET", &path).header("if-none-match", format!("\"x\", W/{tag}")).send().await.unwrap();
        if second.status() == 304 {
            assert_eq!(second.headers()["etag"].to_str().unwrap(), tag);
            assert!(second.bytes().await.unwrap().is_empty());
            break;
        }
        assert!(attempt < 20);
    }
    let told = caller.request("GET", &format!("{path}?reference=R")).send().await.unwrap();
    assert_eq!(told.headers()["cache-control"], "no-store");
}

#[tokio::test(flavor = "multi_thread")]
async fn receipts_of_all_items_come_as_lines_that_hold() {
    let caller = Caller::start().await;
    let mut ids = Vec::new();
    for number in 0..40 {
        ids.push(caller.call(&format!("s{number}"), "+15125551234").await);
    }
    let id = caller.certified(json!({ "selector": { "phones": ["+15125551234"] } })).await;
    let response = caller.request("GET", &format!("/erasures/{id}/receipts")).send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "application/x-ndjson");
    let bulk = response.bytes().await.unwrap();
    let keys = TrustedKeys::parse(&caller.log_keys().await).unwrap();
    let mut lines = bulk.split_inclusive(|byte| *byte == b'\n');
    let mut checker = BulkChecker::new(lines.next().unwrap(), &keys).unwrap();
    let mut found: Vec<_> = lines.map(|line| checker.next(line).unwrap().id.to_string()).collect();
    assert_eq!(checker.finish(), Ok(40));
    found.sort();
    ids.sort();
    assert_eq!(found, ids);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_content_erased_by_itself_has_a_certificate_of_its_own() {
    let caller = Caller::start().await;
    let a = caller.call("a", "+15125551234").await;
    let (_, listed) = caller.get(&format!("/interactions/{a}/contents")).await;
    let content = listed["items"][0]["id"].as_str().unwrap().to_owned();
    let gone = format!("/interactions/{a}/contents/{content}");
    assert_eq!(caller.get(&gone).await.0, 404, "it lives, and this is not its name");
    let (status, problem) = caller.get(&format!("/interactions/{a}/certificate?content={content}")).await;
    assert_eq!((status, kind(&problem)), (409, "conflict"));
    let erased = caller.request("DELETE", &format!("/interactions/{a}/contents/callRecording")).send().await.unwrap();
    assert_eq!(erased.status(), 204);

    // Its name went with it; by its id it is told from what never was.
    assert_eq!(caller.get(&format!("/interactions/{a}/contents/callRecording")).await.0, 404);
    let (status, problem) = caller.get(&gone).await;
    assert_eq!((status, kind(&problem)), (410, "gone"), "{problem}");
    caller.until_certified(problem["erasure"].as_str().unwrap()).await;
    let link = caller.get(&gone).await.1["certificate"].as_str().unwrap().to_owned();
    assert_eq!(link, format!("/api/v1/interactions/{a}/certificate?content={content}"));
    let certificate = caller.certificate(link.strip_prefix("/api/v1").unwrap()).await;
    assert_eq!((certificate.subject.kind, certificate.subject.id.to_string()), (SubjectKind::Content, content));
    assert_eq!(certificate.erased.part_of.map(|part| part.to_string()), Some(a.clone()));
    assert_eq!(caller.get(&format!("/interactions/{a}")).await.0, 200, "the interaction lives on");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_certificate_is_told_apart() {
    let caller = Caller::start().await;
    let (alive, never) = (caller.call("alive", "+15125551234").await, Uuid::new_v4());
    for (path, expected) in [
        (format!("/erasures/{never}/certificate"), (404, "not-found")),
        (format!("/erasures/{never}/receipts"), (404, "not-found")),
        ("/erasures/x/certificate".to_owned(), (404, "not-found")),
        (format!("/interactions/{never}/certificate"), (404, "not-found")),
        (format!("/interactions/{alive}/certificate"), (409, "conflict")),
        (format!("/interactions/{alive}/certificate?content={never}"), (404, "not-found")),
        (format!("/interactions/{alive}/certificate?content=x"), (400, "invalid-request")),
        (format!("/interactions/{alive}/certificate?other=x"), (400, "invalid-request")),
    ] {
        let (status, problem) = caller.get(&path).await;
        assert_eq!((status, kind(&problem)), expected, "{path}");
    }
    // Another tenant's.
    let id = caller.certified(json!({ "selector": { "ids": [alive] } })).await;
    for path in [
        format!("/erasures/{id}/certificate"),
        format!("/erasures/{id}/receipts"),
        format!("/interactions/{alive}/certificate"),
    ] {
        let foreign = caller.vault.request("GET", &format!("/api/v1{path}")).bearer_auth(&caller.vault.second.native);
        assert_eq!(answer(foreign.send().await.unwrap()).await.0, 404, "{path}");
    }
    // Who may not order erasures sees that it is gone, and no certificate.
    let reader = caller.limited(&[Scope::InteractionRead]).await;
    let get = async |path: &str| {
        let request = caller.vault.request("GET", &format!("/api/v1{path}")).bearer_auth(&reader);
        answer(request.send().await.unwrap()).await
    };
    let (status, problem) = get(&format!("/interactions/{alive}")).await;
    assert_eq!((status, &problem["erasure"], problem.get("certificate")), (410, &json!(id), None));
    assert_eq!(get(&format!("/interactions/{alive}/certificate")).await.0, 403);
}
