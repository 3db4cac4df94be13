//! Contract §2.5: metadata after the fact.

use serde_json::{Value, json};

use super::{User, answer, nothing, wav};

async fn metadata(user: &User, id: &str) -> Value {
    answer(user.get(&format!("/interactions/v2/{id}")).await).await.1["metadata"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn events_merge_in_the_order_of_their_times_and_later_wins() {
    let user = User::start().await;
    let id = user.call("s", "555").await;
    let event = |second: u32, value: u32| {
        json!({ "sessionId": "s", "eventTime": format!("2026-01-01T00:00:{second:02}Z"),
            "metadata": { "v": value, format!("k{value}"): value } })
    };
    nothing(user.post("/callEvent/v1/outofband/event", event(20, 2)).await).await;
    nothing(user.post("/callevent/v1/outofband/Event", event(10, 1)).await).await;
    nothing(user.post("/capture/v2/outofband/interaction", event(15, 3)).await).await;
    assert_eq!(metadata(&user, &id).await, json!({ "v": 2, "k1": 1, "k2": 2, "k3": 3 }));
    // No event time, or .NET's unset one: the arrival counts, which is later than all of these.
    let unset = json!({ "SessionId": "s", "EventTime": "0001-01-01T00:00:00", "Metadata": { "v": 4 } });
    nothing(user.post("/callEvent/v1/outofband/event", unset).await).await;
    assert_eq!(metadata(&user, &id).await["v"], 4);
    nothing(user.post("/callEvent/v1/outofband/event", json!({ "sessionId": "s", "metadata": { "v": 5 } })).await)
        .await;
    assert_eq!(metadata(&user, &id).await["v"], 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn master_case_and_collection_reach_every_member_and_nobody_else() {
    let user = User::start().await;
    let mut ids = Vec::new();
    for (session, group) in [("a", "g"), ("b", "g"), ("c", "other")] {
        let info = json!({ "sessionId": session, "masterId": group, "caseReferenceId": group, "collectionId": group,
            "utcStart": "2026-01-01T00:00:00Z", "participants": [{ "type": "agent", "channel": 0 }] });
        let (_, body) = answer(user.upload("/capture/v2/call", &info, &wav(100, 1), "audio/wav").await).await;
        ids.push(body["id"].as_str().unwrap().to_owned());
    }
    for (path, key) in [
        ("/callEvent/v1/outofband/mastercall", "masterCallId"),
        ("/callEvent/v1/outofband/case", "caseReferenceId"),
        ("/capture/v2/outofband/master", "masterId"),
        ("/capture/v2/outofband/case", "caseReferenceId"),
        ("/capture/v2/outofband/collection", "collectionId"),
    ] {
        nothing(user.post(path, json!({ key: "g", "metadata": { path: true } })).await).await;
        for (id, reached) in ids.iter().zip([true, true, false]) {
            assert_eq!(metadata(&user, id).await.get(path).is_some(), reached, "{path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_of_an_unknown_or_purged_session_is_dropped() {
    let user = User::start().await;
    let id = user.call("s", "555").await;
    let event = json!({ "sessionId": "s", "metadata": { "secret": 1 } });
    user.post("/purge/v1/calls", json!({ "ids": [id] })).await;
    nothing(user.post("/callEvent/v1/outofband/event", event.clone()).await).await;
    user.until_not_found("s").await;
    nothing(user.post("/callEvent/v1/outofband/event", event).await).await;
    let again = user.call("s", "555").await;
    assert_eq!(metadata(&user, &again).await, json!({}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_key_or_missing_metadata_is_400() {
    let user = User::start().await;
    for bad in [
        json!({ "metadata": {} }),
        json!({ "sessionId": "s" }),
        json!({ "sessionId": "s", "metadata": 1 }),
        json!({ "sessionId": 1, "metadata": {} }),
        json!({ "sessionId": "s", "metadata": {}, "eventTime": "soon" }),
    ] {
        let (status, body) = answer(user.post("/callEvent/v1/outofband/event", bad).await).await;
        assert_eq!(status, 400);
        assert!(body["message"].is_string());
    }
}
