//! Contract §3: status and exclusion.

use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use keyforest::Probe;
use oubliette_core::model::State;
use reqwest::RequestBuilder;
use serde_json::json;

use super::{User, answer, nothing};
use crate::support::{TestVault, json as answered};

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

/// Keeps seals from being made while it is shut.
#[derive(Default)]
struct Gate {
    shut: Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    fn set(&self, shut: bool) {
        *self.shut.lock().unwrap() = shut;
        self.opened.notify_all();
    }
}

impl Probe for Gate {
    fn reached(&self, point: &'static str) {
        if point == "sealer.before_seal" {
            let shut = self.shut.lock().unwrap();
            drop(self.opened.wait_while(shut, |shut| *shut).unwrap());
        }
    }
}

/// Every way to order the erasure of an interaction, whatever the dialect.
async fn every_way(user: &User) -> Vec<(&'static str, Box<dyn Fn(&str, &str) -> RequestBuilder>)> {
    let vault = &user.vault;
    let client = vault.first.vonage.clone();
    let form = [("grant_type", "client_credentials"), ("scope", "interaction-content:delete")];
    let request = vault.request("POST", "/Auth/connect/token").basic_auth(&client.id, Some(&client.secret)).form(&form);
    let vonage = answered(request.send().await.unwrap()).await.1["access_token"].as_str().unwrap().to_owned();
    let (elevateai, native, creovai) = (vault.first.elevateai.clone(), vault.first.native.clone(), user.token.clone());
    let root = vault.base.clone();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let version = "application/vnd.newvoicemedia.v3+json";
    macro_rules! way {
        ($name:literal, |$id:ident, $session:ident, $http:ident, $url:ident| $make:expr) => {{
            let (root, $http) = (root.clone(), http.clone());
            let make = move |$id: &str, $session: &str| {
                let $url = |path: &str| format!("{root}{path}");
                let _ = ($id, $session);
                $make
            };
            ($name, Box::new(make) as Box<dyn Fn(&str, &str) -> RequestBuilder>)
        }};
    }
    let (vonage_too, native_too) = (vonage.clone(), native.clone());
    vec![
        way!("ElevateAI's delete", |id, session, http, url| http
            .delete(url(&format!("/v1/interactions/{id}")))
            .header("X-API-Token", &elevateai)),
        way!("Vonage's delete", |id, session, http, url| http
            .delete(url(&format!("/interaction-content/interactions/{id}")))
            .bearer_auth(&vonage)
            .header("Accept", version)),
        way!("Vonage's batch", |id, session, http, url| http
            .post(url("/interaction-content/interactions/delete-batch"))
            .bearer_auth(&vonage_too)
            .header("Accept", version)
            .json(&json!({ "guids": [id] }))),
        way!("the native delete", |id, session, http, url| http
            .delete(url(&format!("/api/v1/interactions/{id}")))
            .bearer_auth(&native)),
        way!("a native order", |id, session, http, url| http
            .post(url("/api/v1/erasures"))
            .bearer_auth(&native_too)
            .json(&json!({ "selector": { "sessions": [session] } }))),
        way!("a purge", |id, session, http, url| http
            .post(url("/purge/v1/calls/sessions"))
            .bearer_auth(&creovai)
            .json(&json!({ "ids": [session] }))),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_keeps_its_status_until_the_seal_whoever_ordered_its_erasure() {
    let gate = Arc::new(Gate::default());
    let user = User::on(TestVault::probed(Arc::clone(&gate) as Arc<dyn Probe>).await).await;
    for (name, order) in every_way(&user).await {
        let session = format!("S of {name}");
        let id = user.call(&session, "555").await;
        let before = user.status(&session).await;
        assert_eq!((&before["status"], &before["callId"]), (&json!("Complete"), &json!(id)));
        gate.set(true);
        let erasing = tokio::spawn(order(&id, &session).send());
        while user.get(&format!("/interactions/v2/{id}")).await.status() != 404 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        for _ in 0..5 {
            assert_eq!(user.status(&session).await, before, "{name}: hidden is not sealed");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let other = super::token(&user.vault, &user.vault.second.creovai).await;
        let asked = user.post_as(&other, "/callCapture/v1/status", json!({ "callSessionIds": [session] })).await;
        assert_eq!(answer(asked).await.1["callSessions"][0]["status"], "NotFound", "{name}: another tenant's");
        gate.set(false);
        assert!(erasing.await.unwrap().unwrap().status().is_success(), "{name}");
        user.until_not_found(&session).await;
    }
}
