//! Nothing personal in the log or in clear on disk, the order included.

use serde_json::json;

use super::Caller;
use crate::quiet::Log;

const MARKERS: [&str; 6] =
    ["zz-session-9917", "Hildegard-M", "+15125550199", "hm@marker.example", "zz-reference-44", "zz-reason-45"];

#[tokio::test(flavor = "multi_thread")]
async fn markers_of_interactions_and_orders_are_neither_logged_nor_stored_in_clear() {
    let log = Log::listen();
    let caller = Caller::start().await;
    let [session, name, phone, mail, reference, reason] = MARKERS;
    let body = json!({ "kind": "call", "startedAt": "2026-01-01T00:00:00Z", "sessionId": session,
        "externalIds": [format!("{session}-x")], "metadata": { "name": name },
        "participants": [{ "role": "customer", "phone": phone, "email": mail, "firstName": name }] });
    let (_, made) = caller.send("POST", "/interactions", body).await;
    let id = made["id"].as_str().unwrap();
    let put = caller.request("PUT", &format!("/interactions/{id}/contents/{session}?kind=attachment"));
    let put = put.header("content-disposition", format!("attachment; filename={name}.txt"));
    assert_eq!(put.body(name).send().await.unwrap().status(), 201);
    for bad in [
        json!({ "selector": { "phones": phone } }),
        json!({ "selector": { "phones": [phone] }, "planHash": reference }),
        json!({ "selector": { "phones": [phone] }, mail: true }),
    ] {
        let (status, problem) = caller.send("POST", "/erasures", bad).await;
        assert_eq!(status, 400);
        assert!(MARKERS.iter().all(|marker| !problem.to_string().contains(marker)), "{problem}");
    }
    let order = json!({ "selector": { "phones": [phone], "emails": [mail], "sessions": [session] },
        "reference": reference, "reason": reason });
    let (status, ordered) = caller.send("POST", "/erasures", order).await;
    assert_eq!(status, 202);
    log.and_stores_know_nothing_of(&MARKERS, &caller.vault).await;
    // A certificate is asked for with the reference in the address, also with a wrong one.
    let erasure = ordered["id"].as_str().unwrap();
    caller.until_certified(erasure).await;
    for (asked, expected) in [(reference, 200), (phone.trim_start_matches('+'), 400)] {
        let path = format!("/erasures/{erasure}/certificate?reference={asked}");
        assert_eq!(caller.request("GET", &path).send().await.unwrap().status(), expected);
    }
    caller.bytes(&format!("/interactions/{id}/certificate"), "text/html").await;
    log.and_stores_know_nothing_of(&MARKERS, &caller.vault).await;
    log.and_stores_know_nothing_of(&[&caller.token], &caller.vault).await;
}
