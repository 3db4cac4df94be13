//! Erasures: plans, orders, lines, keys, progress.

use serde_json::{Value, json};

use super::{Caller, answer, kind};

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_is_a_plan_and_the_order_takes_the_same() {
    let caller = Caller::start().await;
    let (a, b) = (caller.call("a", "+15125551234").await, caller.call("b", "+15125559999").await);
    let mut order = json!({ "selector": { "ids": [a, "nobody"], "sessions": ["b", "no session"],
        "phones": ["+1 512 555 1234"], "emails": ["B@example.com"] }, "dryRun": true });
    let (status, plan) = caller.send("POST", "/erasures", order.clone()).await;
    assert_eq!(status, 200);
    assert_eq!((&plan["interactions"], &plan["contents"], &plan["dryRun"]), (&json!(2), &json!(2), &json!(true)));
    let missing = plan["missing"].as_array().unwrap();
    assert!(missing.len() == 2 && missing.contains(&json!("nobody")) && missing.contains(&json!("no session")));
    assert_eq!(plan["items"].as_array().unwrap().len(), 2);
    assert_eq!(plan["items"][0]["contents"], 1);
    assert_eq!(caller.vault.count().await, 2);

    order["dryRun"] = false.into();
    order["planHash"] = plan["planHash"].clone();
    order["reference"] = "REQ-7".into();
    let response = caller.request("POST", "/erasures").json(&order).send().await.unwrap();
    let location = response.headers()["location"].to_str().unwrap().to_owned();
    let (status, ordered) = answer(response).await;
    assert_eq!((status, &ordered["planHash"]), (202, &plan["planHash"]));
    let id = ordered["id"].as_str().unwrap();
    assert_eq!(location, format!("/api/v1/erasures/{id}"));
    // Hidden when the answer came.
    for gone in [&a, &b] {
        assert_eq!(caller.get(&format!("/interactions/{gone}")).await.0, 410);
    }
    // What was erased differs from what never was, also in a plan.
    let again = json!({ "selector": { "ids": [a, "nobody", uuid::Uuid::new_v4()] }, "dryRun": true });
    let (_, plan) = caller.send("POST", "/erasures", again).await;
    assert_eq!((&plan["missingCount"], &plan["gone"]), (&json!(3), &json!([a])));
    let sealed = caller.until_sealed(id).await;
    assert!(sealed["sealedAt"].is_string() && sealed["sealedEpoch"].is_u64());
    assert!(sealed.get("reference").is_none(), "the reference died with the seal");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_drifted_is_refused_and_nothing_is_erased() {
    let caller = Caller::start().await;
    caller.call("a", "+15125551234").await;
    let selector = json!({ "phones": ["+15125551234"] });
    let (_, plan) = caller.send("POST", "/erasures", json!({ "selector": selector, "dryRun": true })).await;
    caller.call("b", "+15125551234").await;
    for dry_run in [true, false] {
        let order = json!({ "selector": selector, "planHash": plan["planHash"], "dryRun": dry_run });
        let (status, problem) = caller.send("POST", "/erasures", order).await;
        assert_eq!((status, kind(&problem)), (409, "conflict"));
    }
    assert_eq!(caller.vault.count().await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_names_nothing_live_is_answered_without_an_erasure() {
    let caller = Caller::start().await;
    let order = json!({ "selector": { "sessions": ["nobody"], "phones": ["+15125551234"] } });
    let (status, body) = caller.send("POST", "/erasures", order).await;
    assert_eq!(status, 200);
    assert!(body.get("id").is_none());
    assert_eq!((&body["interactions"], &body["missing"]), (&json!(0), &json!(["nobody"])));
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_are_an_order_too() {
    let caller = Caller::start().await;
    let a = caller.call("a", "1").await;
    for (session, phone) in [("b", "2"), ("c", "+15125551234"), ("d", "4"), ("kept", "5")] {
        caller.call(session, phone).await;
    }
    let lines = format!(
        "{{\"id\":\"{a}\"}}\n{{\"session\":\"b\"}}\n\n{{\"phone\":\"+1 512 555 1234\"}}\r\n{{\"email\":\"d@example.com\"}}\n\
         {{\"reason\":\"asked\"}}"
    );
    let send = |query: &str| {
        let request = caller.request("POST", &format!("/erasures{query}"));
        request.header("content-type", "application/x-ndjson").body(lines.clone()).send()
    };
    let (status, plan) = answer(send("?dryRun=true").await.unwrap()).await;
    assert_eq!((status, &plan["interactions"]), (200, &json!(4)));
    let hash = plan["planHash"].as_str().unwrap();
    let (status, ordered) = answer(send(&format!("?planHash={hash}")).await.unwrap()).await;
    assert_eq!((status, &ordered["interactions"]), (202, &json!(4)));
    caller.until_sealed(ordered["id"].as_str().unwrap()).await;
    assert_eq!(caller.get("/interactions").await.1["items"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_thousand_lines_are_taken_at_once() {
    let caller = Caller::start().await;
    caller.call("real", "1").await;
    let mut lines = "{\"session\":\"no such session\"}\n".repeat(100_000);
    lines.push_str("{\"session\":\"real\"}\n");
    let request = caller.request("POST", "/erasures").header("content-type", "application/x-ndjson").body(lines);
    let (status, body) = answer(request.send().await.unwrap()).await;
    assert_eq!((status, &body["interactions"]), (202, &json!(1)));
    assert!(body["missing"].as_array().unwrap().len() <= 1_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_key_is_answered_with_the_same_erasure() {
    let caller = Caller::start().await;
    caller.call("a", "1").await;
    let order = |session: &str, key: &'static str| {
        let body = json!({ "selector": { "sessions": [session] } });
        caller.request("POST", "/erasures").header("idempotency-key", key).json(&body).send()
    };
    let (status, first) = answer(order("a", "k1").await.unwrap()).await;
    assert_eq!(status, 202);
    let again = order("a", "k1").await.unwrap();
    assert_eq!(again.headers()["idempotency-replayed"], "true");
    let (status, second) = answer(again).await;
    assert_eq!((status, &second["id"], &second["planHash"]), (202, &first["id"], &first["planHash"]));
    let (status, problem) = answer(order("b", "k1").await.unwrap()).await;
    assert_eq!((status, kind(&problem)), (422, "idempotency-key"));
    assert_eq!(answer(order("a", "k2").await.unwrap()).await.0, 200);
    assert_eq!(answer(order("a", "").await.unwrap()).await.0, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn items_are_paged_and_erasures_listed_newest_first() {
    let caller = Caller::start().await;
    let mut ids = Vec::new();
    for session in ["a", "b", "c"] {
        ids.push(caller.call(session, "1").await);
    }
    let (_, one) = caller.send("POST", "/erasures", json!({ "selector": { "ids": [ids[0], ids[1]] } })).await;
    let (_, two) = caller.send("POST", "/erasures", json!({ "selector": { "ids": [ids[2]] } })).await;
    caller.until_sealed(two["id"].as_str().unwrap()).await;
    let erasure = format!("/erasures/{}", one["id"].as_str().unwrap());
    caller.until_sealed(one["id"].as_str().unwrap()).await;
    let (mut seen, mut from) = (Vec::new(), 0);
    loop {
        let (_, page) = caller.get(&format!("{erasure}?limit=1&fromItem={from}")).await;
        assert_eq!(page["interactions"], 2);
        for item in page["items"].as_array().unwrap() {
            assert_eq!(item["state"], "sealed");
            seen.push(item["id"].as_str().unwrap().to_owned());
        }
        let Some(next) = page["nextItem"].as_u64() else { break };
        from = next;
    }
    seen.sort();
    ids.truncate(2);
    ids.sort();
    assert_eq!(seen, ids);
    let (_, page) = caller.get("/erasures?limit=1").await;
    assert_eq!(page["items"][0]["id"], two["id"]);
    let (_, page) = caller.get(&format!("/erasures?limit=1&cursor={}", page["next"].as_str().unwrap())).await;
    assert_eq!(page["items"][0]["id"], one["id"]);
    let (status, problem) = caller.get(&format!("/erasures/{}", uuid::Uuid::new_v4())).await;
    assert_eq!((status, kind(&problem)), (404, "not-found"));
}

#[tokio::test(flavor = "multi_thread")]
async fn events_tell_progress_until_everything_is_removed() {
    let caller = Caller::start().await;
    caller.call("a", "1").await;
    let (_, ordered) = caller.send("POST", "/erasures", json!({ "selector": { "sessions": ["a"] } })).await;
    let path = format!("/erasures/{}/events", ordered["id"].as_str().unwrap());
    let stream = caller.request("GET", &path).send().await.unwrap();
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    let text = tokio::time::timeout(std::time::Duration::from_secs(60), stream.text()).await.unwrap().unwrap();
    let events: Vec<Value> = text
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .map(|data| serde_json::from_str(data).unwrap())
        .collect();
    assert!(text.contains("event: progress"));
    assert_eq!(events.last().unwrap()["state"], "removed");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_tenants_erasure_is_not_found() {
    let caller = Caller::start().await;
    caller.call("a", "1").await;
    let (_, ordered) = caller.send("POST", "/erasures", json!({ "selector": { "sessions": ["a"] } })).await;
    for tail in ["", "/events"] {
        let path = format!("/api/v1/erasures/{}{tail}", ordered["id"].as_str().unwrap());
        let foreign = caller.vault.request("GET", &path).bearer_auth(&caller.vault.second.native);
        assert_eq!(answer(foreign.send().await.unwrap()).await.0, 404);
    }
    let list = caller.vault.request("GET", "/api/v1/erasures").bearer_auth(&caller.vault.second.native);
    assert_eq!(answer(list.send().await.unwrap()).await.1["items"], json!([]));
}
