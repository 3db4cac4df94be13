//! Nothing personal in answers to bad requests, in the log, or in clear on disk.

use serde_json::json;

use super::{User, answer, wav};
use crate::quiet::Log;

const MARKERS: [&str; 6] =
    ["zz-session-5512", "Wilhelmina", "+15125550188", "wq@marker.example", "queue-of-sorrows", "zz-secret-word"];

#[tokio::test(flavor = "multi_thread")]
async fn markers_are_neither_repeated_nor_logged_nor_stored_in_clear() {
    let log = Log::listen();
    let user = User::start().await;
    let [session, name, phone, mail, metadata, word] = MARKERS;
    let call = json!({ "sessionId": session, "startTime": "2026-01-01T00:00:00Z", "metadata": { "q": metadata },
        "contacts": [{ "type": "customer", "channel": 0, "phoneNumber": phone, "firstName": name }] });
    assert_eq!(user.archive(&call, &wav(100, 1), "audio/wav").await.status(), 200);
    let chat = json!({ "sessionId": format!("{session}-chat"), "utcStart": "2026-01-01T00:00:00Z",
        "utcEnd": "2026-01-01T00:00:00Z", "participants": [{ "type": "customer", "email": mail,
            "messages": [{ "content": word, "utcTimestamp": "2026-01-01T00:00:00Z" }] }] });
    assert_eq!(user.post("/capture/v2/chat", chat).await.status(), 200);
    let event = json!({ "sessionId": session, "metadata": { "late": word } });
    assert_eq!(user.post("/callEvent/v1/outofband/event", event).await.status(), 200);

    for (path, body) in [
        ("/callCapture/v1/status", json!({ "callSessionIds": session })),
        ("/purge/v1/calls/customer?whatIf=wq@marker.example", json!({ "phoneNumber": phone })),
        ("/purge/v1/calls", json!({ "ids": [session, 1] })),
        ("/capture/v2/chat", json!({ "sessionId": session, "utcStart": word, "utcEnd": word })),
        ("/callCapture/v1/monitor", json!({ "status": name })),
        ("/capture/v2/case", json!({ "sessionId": session, "utcStart": "2026-01-01T00:00:00Z" })),
        ("/interactions/v2/token", json!({ "email": mail, "interactionId": word })),
        ("/purge/v1/zz-secret-word", json!({})),
    ] {
        let (status, body) = answer(user.post(path, body).await).await;
        assert!((400..500).contains(&status), "{path}: {status}");
        assert!(MARKERS.iter().all(|marker| !body.to_string().contains(marker)), "{body}");
    }
    user.get(&format!("/capture/v2/status/{session}")).await;
    user.post("/purge/v1/calls/customer", json!({ "phoneNumber": phone })).await;
    user.until_not_found(session).await;
    log.and_stores_know_nothing_of(&MARKERS, &user.vault).await;
    log.and_stores_know_nothing_of(&[&user.vault.first.creovai.secret, &user.token], &user.vault).await;
}
