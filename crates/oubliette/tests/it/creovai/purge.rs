//! Contract §4: purge of both generations.

use oubliette_core::model::{InteractionMeta, Participant, Scope};
use oubliette_core::ports::PurgeState;
use serde_json::{Value, json};

use super::{User, answer};

fn entry(id: Value, session: Value, status: &str) -> Value {
    json!({ "callId": id, "sessionId": session, "status": status, "errorMsg": null })
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_are_purged_by_id_with_mixed_items_in_the_order_asked_and_each_once() {
    let user = User::start().await;
    let (one, two) = (user.call("s1", "555").await, user.call("s2", "555").await);
    let request = json!({ "ids": [two, "BadId", one, two] });
    let (status, body) = answer(user.post("/purge/v1/calls", request).await).await;
    assert_eq!(status, 200);
    let expected = [
        entry(json!(two), json!("s2"), "Purging"),
        entry(json!("BadId"), Value::Null, "NotFound"),
        entry(json!(one), json!("s1"), "Purging"),
    ];
    assert_eq!(body, json!({ "items": expected }));
    for session in ["s1", "s2"] {
        user.until_not_found(session).await;
    }
    assert_eq!(user.get(&format!("/interactions/v2/{one}")).await.status(), 404);
    assert_eq!(user.vault.count().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_are_purged_by_session_and_a_repeated_purge_is_not_found() {
    let user = User::start().await;
    let id = user.call("S-One", "555").await;
    let request = json!({ "ids": ["S-One", "s-one"] });
    let (_, body) = answer(user.post("/purge/v1/calls/sessions", request.clone()).await).await;
    let missing = entry(Value::Null, json!("s-one"), "NotFound");
    assert_eq!(body, json!({ "items": [entry(json!(id), json!("S-One"), "Purging"), missing] }));
    let (status, body) = answer(user.post("/purge/v1/calls/sessions", request).await).await;
    assert_eq!(status, 200);
    assert_eq!(body["items"][0], entry(Value::Null, json!("S-One"), "NotFound"));
    let (_, body) = answer(user.post("/purge/v1/calls", json!({ "ids": [id] })).await).await;
    assert_eq!(body, json!({ "items": [entry(json!(id), Value::Null, "NotFound")] }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_purge_takes_external_participants_only_in_any_spelling() {
    let user = User::in_region().await;
    user.call("plus", "+1 (512) 555-1234").await;
    user.call("dashes", "512-555-1234").await;
    user.call("other", "512-555-9999").await;
    // The same number as an agent's: internal, so it does not match.
    let mut meta = InteractionMeta::starting(user.vault.app.vault.now());
    meta.session_id = Some("agent".to_owned());
    let phone = Some("+15125551234".to_owned());
    meta.participants.push(Participant { role: "Agent".to_owned(), phone, ..Participant::default() });
    user.vault.interaction(meta, &[]).await;
    let trial = user.post("/purge/v1/calls/customer?whatIf=true", json!({ "phoneNumber": "+15125551234" })).await;
    let (status, trial) = answer(trial).await;
    assert_eq!(status, 200);
    let sessions = |body: &Value, word: &str| {
        let items = body["items"].as_array().unwrap();
        assert!(items.iter().all(|item| item["status"] == word && item["errorMsg"].is_null()), "{body}");
        let mut names: Vec<_> = items.iter().map(|item| item["sessionId"].as_str().unwrap().to_owned()).collect();
        names.sort();
        names
    };
    assert_eq!(sessions(&trial, "WhatIf"), ["dashes", "plus"]);
    assert_eq!(user.vault.count().await, 4);
    let (_, body) = answer(user.post("/purge/v1/calls/customer", json!({ "phoneNumber": "+15125551234" })).await).await;
    assert_eq!(sessions(&body, "Purging"), ["dashes", "plus"]);
    user.until_not_found("plus").await;
    assert_eq!(user.status("other").await["status"], "Complete");
    assert_eq!(user.status("agent").await["status"], "Complete");
    let (_, body) = answer(user.post("/purge/v1/calls/customer", json!({ "phoneNumber": "+15125551234" })).await).await;
    assert_eq!(body, json!({ "items": [] }));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_region_a_plus_stays_significant_and_nothing_is_guessed() {
    let user = User::start().await;
    user.call("bare", "(222) 111-1010").await;
    for (number, found) in [("222.111.1010", 1), ("+2221111010", 0), ("1010", 0)] {
        let body = json!({ "phoneNumber": number });
        let (_, body) = answer(user.post("/purge/v1/calls/customer?whatif=1", body).await).await;
        assert_eq!(body["items"].as_array().unwrap().len(), found, "{number}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_if_touches_nothing_on_any_purge_and_an_unreadable_one_is_refused() {
    let user = User::start().await;
    let id = user.call("s", "+15125551234").await;
    let calls = [
        ("/purge/v1/calls", json!({ "ids": [id, "x"] })),
        ("/purge/v1/calls/sessions", json!({ "ids": ["s", "x"] })),
        ("/purge/v1/calls/customer", json!({ "phoneNumber": "+15125551234" })),
        ("/interactions/v2/purge", json!({ "ids": [id, "x"], "allowIncompleteInteraction": false })),
        ("/interactions/v2/purge/sessions", json!({ "ids": ["s", "x"], "allowIncompleteInteraction": true })),
        ("/interactions/v2/purge/customer", json!({ "phoneNumbers": ["+15125551234"] })),
    ];
    for (path, body) in calls {
        for query in ["?whatIf=true", "?WHATIF=TRUE", "?whatif=1", "?a=b&WhatIf=True"] {
            let (status, body) = answer(user.post(&format!("{path}{query}"), body.clone()).await).await;
            assert_eq!(status, 200);
            assert_eq!(body["items"][0]["status"], "WhatIf", "{path}{query}");
            assert_eq!(body["items"][0]["sessionId"], "s");
            if let Some(other) = body["items"].get(1) {
                assert_eq!(other["status"], "NotFound");
            }
        }
        for query in ["?whatIf=maybe", "?whatIf", "?whatIf=", "?whatIf=true&whatIf=false"] {
            assert_eq!(user.post(&format!("{path}{query}"), body.clone()).await.status(), 400, "{path}{query}");
        }
    }
    assert_eq!(user.status("s").await["status"], "Complete");
    let (_, body) = answer(user.post("/purge/v1/calls?whatIf=false", json!({ "ids": [id] })).await).await;
    assert_eq!(body["items"][0]["status"], "Purging");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_ids_are_the_most_and_a_bad_list_purges_nothing() {
    let user = User::start().await;
    let id = user.call("s", "555").await;
    let mut ids: Vec<String> = (0..99).map(|n| format!("x{n}")).collect();
    ids.push(id.clone());
    let too_many: Vec<&str> = ids.iter().map(String::as_str).chain(["one more"]).collect();
    for path in
        ["/purge/v1/calls", "/purge/v1/calls/sessions", "/interactions/v2/purge", "/interactions/v2/purge/sessions"]
    {
        for bad in [
            json!({ "ids": too_many }),
            json!({ "ids": [] }),
            json!({}),
            json!({ "ids": null }),
            json!({ "ids": [id, 1] }),
            json!({ "ids": id }),
            json!([id]),
        ] {
            let (status, body) = answer(user.post(path, bad).await).await;
            assert_eq!(status, 400, "{path}");
            assert!(body["message"].is_string());
        }
    }
    let (status, body) = answer(user.post("/purge/v1/calls?whatIf=1", json!({ "ids": ids })).await).await;
    assert_eq!((status, body["items"].as_array().unwrap().len()), (200, 100));
    assert_eq!(user.status("s").await["status"], "Complete");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_purge_right_every_purge_is_403_and_nothing_happens() {
    let user = User::start().await;
    let id = user.call("s", "555").await;
    let scopes: Vec<Scope> = Scope::ALL.into_iter().filter(|scope| *scope != Scope::InteractionPurge).collect();
    let token = user.limited(&scopes).await;
    for (path, body) in [
        ("/purge/v1/calls", json!({ "ids": [id] })),
        ("/purge/v1/calls/sessions", json!({ "ids": ["s"] })),
        ("/purge/v1/calls/customer", json!({ "phoneNumber": "555" })),
        ("/interactions/v2/purge", json!({ "ids": [id] })),
        ("/interactions/v2/purge/sessions", json!({ "ids": ["s"] })),
        ("/interactions/v2/purge/customer", json!({ "phoneNumbers": ["555"] })),
    ] {
        let (status, body) = answer(user.post_as(&token, path, body).await).await;
        assert_eq!(status, 403, "{path}");
        assert!(body["message"].is_string());
    }
    assert_eq!(user.vault.count().await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_purge_right_alone_is_enough_to_purge() {
    let user = User::start().await;
    let id = user.call("s", "555").await;
    user.call("t", "555").await;
    let token = user.limited(&[Scope::InteractionPurge]).await;
    let (status, body) = answer(user.post_as(&token, "/interactions/v2/purge", json!({ "ids": [id] })).await).await;
    assert_eq!((status, &body["items"][0]["status"]), (200, &json!("Purging")));
    let body = json!({ "phoneNumbers": ["555"], "allowIncompleteInteraction": false });
    let (status, body) = answer(user.post_as(&token, "/interactions/v2/purge/customer", body).await).await;
    assert_eq!((status, &body["items"][0]["sessionId"]), (200, &json!("t")));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_still_processed_is_purged_by_the_first_generation_and_by_flag_in_the_second() {
    let user = User::with_processor().await;
    let id = user.call("a", "555").await;
    for (path, body) in [
        ("/interactions/v2/purge", json!({ "ids": [id], "allowIncompleteInteraction": false })),
        ("/interactions/v2/purge/sessions", json!({ "ids": ["a"] })),
        ("/interactions/v2/purge/customer", json!({ "phoneNumbers": ["555"], "allowIncompleteInteraction": false })),
    ] {
        for query in ["", "?whatIf=true"] {
            let (status, body) = answer(user.post(&format!("{path}{query}"), body.clone()).await).await;
            assert_eq!(status, 200);
            assert_eq!(body["items"][0]["status"], "Error", "{path}");
            assert!(body["items"][0]["errorMsg"].is_string());
            assert_eq!((&body["items"][0]["id"], &body["items"][0]["sessionId"]), (&json!(id), &json!("a")));
        }
    }
    assert_eq!(user.status("a").await["status"], "Concluded");
    let body = json!({ "ids": ["a"], "allowIncompleteInteraction": true });
    let (_, body) = answer(user.post("/interactions/v2/purge/sessions", body).await).await;
    let expected = json!({ "id": id, "sessionId": "a", "status": "Purging", "errorMsg": null });
    assert_eq!(body["items"][0], expected);
    let other = user.call("b", "555").await;
    let (_, body) = answer(user.post("/purge/v1/calls", json!({ "ids": [other] })).await).await;
    assert_eq!(body["items"][0]["status"], "Purging");
    user.until_not_found("b").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn phones_and_mails_of_the_second_generation_are_a_union() {
    let user = User::start().await;
    user.call("phone", "+15125551234").await;
    let chat = json!({ "sessionId": "mail", "utcStart": "2026-01-01T10:00:00Z", "utcEnd": "2026-01-01T10:05:00Z",
        "participants": [{ "type": "Customer", "email": "Eve@Example.com", "phoneNumber": "+15125551234" }] });
    assert_eq!(user.post("/capture/v2/chat", chat).await.status(), 200);
    let both = json!({ "phoneNumbers": ["+15125551234"], "emails": ["eve@example.com"] });
    let (_, body) = answer(user.post("/interactions/v2/purge/customer?whatIf=true", both.clone()).await).await;
    assert_eq!(body["items"].as_array().unwrap().len(), 2);
    let mail = json!({ "emails": ["eve@example.com"], "allowIncompleteInteraction": true });
    let (_, body) = answer(user.post("/interactions/v2/purge/customer", mail).await).await;
    assert_eq!(body["items"].as_array().unwrap().len(), 1);
    assert_eq!(body["items"][0]["sessionId"], "mail");
    let (_, body) = answer(user.post("/interactions/v2/purge/customer", both).await).await;
    assert_eq!(body["items"].as_array().unwrap().len(), 1);
    for bad in [
        json!({}),
        json!({ "phoneNumbers": [], "emails": [] }),
        json!({ "phoneNumbers": "555" }),
        json!({ "emails": [1] }),
        json!({ "emails": ["a"], "allowIncompleteInteraction": "yes" }),
    ] {
        assert_eq!(user.post("/interactions/v2/purge/customer", bad).await.status(), 400);
    }
    assert_eq!(user.post("/purge/v1/calls/customer", json!({ "phoneNumber": "" })).await.status(), 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_tenants_calls_are_not_found() {
    let user = User::start().await;
    let id = user.call("mine", "555").await;
    let other = super::token(&user.vault, &user.vault.second.creovai).await;
    let (_, body) = answer(user.post_as(&other, "/purge/v1/calls", json!({ "ids": [id] })).await).await;
    assert_eq!(body, json!({ "items": [entry(json!(id), Value::Null, "NotFound")] }));
    let (_, body) =
        answer(user.post_as(&other, "/purge/v1/calls/customer", json!({ "phoneNumber": "555" })).await).await;
    assert_eq!(body, json!({ "items": [] }));
    assert_eq!(user.status("mine").await["status"], "Complete");
}

#[tokio::test(flavor = "multi_thread")]
async fn members_of_a_master_call_are_purged_one_by_one() {
    let user = User::start().await;
    for session in ["a", "b"] {
        let info = json!({ "sessionId": session, "masterCallId": "m", "startTime": "2026-01-01T00:00:00Z",
            "contacts": [] });
        assert_eq!(user.archive(&info, &super::wav(100, 1), "audio/wav").await.status(), 200);
    }
    user.post("/purge/v1/calls/sessions", json!({ "ids": ["a"] })).await;
    user.until_not_found("a").await;
    assert_eq!(user.status("b").await["status"], "Complete");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_polls_from_before_the_purge_sees_not_found_only_once_it_is_sealed() {
    let user = std::sync::Arc::new(User::start().await);
    for round in 0..20 {
        let session = format!("s{round}");
        user.call(&session, "555").await;
        let poller = tokio::spawn({
            let (user, session) = (user.clone(), session.clone());
            async move {
                while user.status(&session).await["status"] != "NotFound" {}
                let erasures = user.vault.app.vault.erasures(&user.vault.first.actor, None, 100).await.unwrap();
                assert_eq!(erasures.len(), round + 1);
                erasures.iter().all(|erasure| erasure.state == PurgeState::Sealed)
            }
        });
        let (_, body) = answer(user.post("/purge/v1/calls/sessions", json!({ "ids": [session] })).await).await;
        assert_eq!(body["items"][0]["status"], "Purging");
        assert!(poller.await.unwrap(), "NotFound came before the seal");
    }
}
