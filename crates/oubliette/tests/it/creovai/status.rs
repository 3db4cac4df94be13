//! Contract §3: status and exclusion.

use oubliette_core::model::State;
use serde_json::json;

use super::{User, answer, nothing};

#[tokio::test(flavor = "multi_thread")]
async fn each_requested_session_has_one_entry_in_order_and_unknown_members_are_left_out() {
    let user = User::start().await;
    let id = user.call("s1", "555").await;
    let expected = json!({ "callSessions": [
        { "status": "NotFound", "sessionId": "s2" },
        { "status": "Complete", "callId": id, "sessionId": "s1", "durationSec": 1 },
        { "status": "NotFound", "sessionId": "s2" },
    ] });
    for name in ["callSessionIds", "CallSessionIds"] {
        let response = user.post("/callCapture/v1/status", json!({ name: ["s2", "s1", "s2"] })).await;
        assert_eq!(answer(response).await, (200, expected.clone()));
    }
    let response = user.post("/capture/v2/status", json!({ "sessionIds": ["s1", "x"] })).await;
    let expected = json!({ "sessions": [
        { "status": "Complete", "id": id, "sessionId": "s1", "durationSec": 1 },
        { "status": "NotFound", "sessionId": "x" },
    ] });
    assert_eq!(answer(response).await, (200, expected));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_session_can_be_asked_for_in_the_path_even_with_slashes_and_unknown_is_200() {
    let user = User::start().await;
    let id = user.call("Tel/7 A&b", "555").await;
    for (path, name) in [("/callCapture/v1/status/", "callId"), ("/Capture/V2/status/", "id")] {
        let (status, entry) = answer(user.get(&format!("{path}Tel/7%20A&b")).await).await;
        assert_eq!((status, &entry[name], &entry["sessionId"]), (200, &json!(id), &json!("Tel/7 A&b")));
        let (status, entry) = answer(user.get(&format!("{path}nobody")).await).await;
        assert_eq!((status, entry), (200, json!({ "status": "NotFound", "sessionId": "nobody" })));
        for taken in ["monitor", "Exclude", "exclude/x"] {
            let (status, entry) = answer(user.get(&format!("{path}{taken}")).await).await;
            assert_eq!((status, &entry["sessionId"]), (200, &json!(taken)));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn states_have_the_words_the_clients_know() {
    let user = User::with_processor().await;
    let id = user.call("s", "555").await;
    assert_eq!(user.status("s").await["status"], "Concluded");
    for (state, word) in [
        (State::Processing, "Concluded"),
        (State::AwaitingUpload, "InProgress"),
        (State::Processed, "Complete"),
        (State::ProcessingFailed, "Complete"),
        (State::Excluded, "Excluded"),
    ] {
        user.vault.app.vault.amend(&user.vault.first.actor, &id, Some(state), &|_| ()).await.unwrap();
        assert_eq!(user.status("s").await["status"], word);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_excluded_by_list_or_path_and_unknown_ones_are_passed_over() {
    let user = User::start().await;
    for session in ["a", "b", "c"] {
        user.call(session, "555").await;
    }
    nothing(user.post("/callCapture/v1/status/exclude", json!({ "CallSessionIds": ["a", "nobody"] })).await).await;
    nothing(user.post("/capture/v2/status/exclude", json!({ "sessionIds": ["b"] })).await).await;
    let one = user.vault.request("POST", "/capture/v2/status/exclude/c").bearer_auth(&user.token);
    nothing(one.send().await.unwrap()).await;
    for session in ["a", "b", "c"] {
        assert_eq!(user.status(session).await["status"], "Excluded");
    }
    assert_eq!(user.status("nobody").await["status"], "NotFound");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_tenants_session_is_not_found() {
    let user = User::start().await;
    user.call("mine", "555").await;
    let other = super::token(&user.vault, &user.vault.second.creovai).await;
    let response = user.post_as(&other, "/callCapture/v1/status", json!({ "callSessionIds": ["mine"] })).await;
    assert_eq!(answer(response).await.1["callSessions"][0]["status"], "NotFound");
}
