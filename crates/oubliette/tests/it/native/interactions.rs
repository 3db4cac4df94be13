//! Interactions and contents.

use oubliette_core::model::Scope;
use serde_json::json;

use super::{Caller, answer, kind};

#[tokio::test(flavor = "multi_thread")]
async fn an_interaction_is_made_shown_and_amended_with_its_entity_tag() {
    let caller = Caller::start().await;
    let body = json!({ "kind": "call", "startedAt": "2026-01-01T00:00:00Z", "direction": "inbound",
        "externalIds": ["ext-1"], "metadata": { "a": 1, "b": { "c": 2 } }, "state": "pending" });
    let response = caller.request("POST", "/interactions").json(&body).send().await.unwrap();
    let location = response.headers()["location"].to_str().unwrap().to_owned();
    let tag = response.headers()["etag"].to_str().unwrap().to_owned();
    let (status, made) = answer(response).await;
    assert_eq!((status, &made["state"]), (201, &json!("pending")));
    let id = made["id"].as_str().unwrap();
    assert_eq!(location, format!("/api/v1/interactions/{id}"));
    let (status, by_external) = caller.get("/interactions/ext-1").await;
    assert_eq!((status, &by_external["id"]), (200, &json!(id)));

    let patch = json!({ "state": "processed", "metadata": { "a": null, "b": { "d": 3 } }, "language": "en" });
    let path = format!("/interactions/{id}");
    let first = caller.request("PATCH", &path).header("if-match", &tag).json(&patch).send().await.unwrap();
    let newer = first.headers()["etag"].to_str().unwrap().to_owned();
    assert_ne!(newer, tag);
    let (status, amended) = answer(first).await;
    assert_eq!((status, &amended["state"], &amended["language"]), (200, &json!("processed"), &json!("en")));
    assert_eq!(amended["metadata"], json!({ "b": { "c": 2, "d": 3 } }));
    let stale = caller.request("PATCH", &path).header("if-match", &tag).json(&patch).send().await.unwrap();
    let (status, problem) = answer(stale).await;
    assert_eq!((status, kind(&problem)), (412, "precondition-failed"));
    let removed = caller.send("PATCH", &path, json!({ "language": null, "metadata": null })).await.1;
    assert!(removed.get("language").is_none() && removed.get("metadata").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_id_is_unique_among_the_living() {
    let caller = Caller::start().await;
    let id = caller.call("s", "555").await;
    let body = json!({ "kind": "call", "startedAt": "2026-01-01T00:00:00Z", "sessionId": "s" });
    let (status, problem) = caller.send("POST", "/interactions", body.clone()).await;
    assert_eq!((status, kind(&problem)), (409, "conflict"));
    let deleted = caller.request("DELETE", &format!("/interactions/{id}")).send().await.unwrap();
    assert_eq!(deleted.status(), 204);
    assert_eq!(caller.send("POST", "/interactions", body).await.0, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn contents_are_put_replaced_listed_read_by_range_and_erased() {
    let caller = Caller::start().await;
    let id = caller.call("s", "555").await;
    let path = format!("/interactions/{id}/contents");
    let put = caller.request("PUT", &format!("{path}/notes?kind=attachment"));
    let put =
        put.header("content-type", "text/plain").header("content-disposition", "attachment; filename=\"/x/n.txt\"");
    let (status, made) = answer(put.body("0123456789").send().await.unwrap()).await;
    assert_eq!(status, 201);
    assert_eq!(
        (&made["fileName"], &made["length"], &made["kind"]),
        (&json!("n.txt"), &json!(10), &json!("attachment"))
    );
    let again =
        caller.request("PUT", &format!("{path}/NOTES?kind=attachment")).body("abcdefghij").send().await.unwrap();
    assert_eq!(answer(again).await.0, 200);
    let (_, list) = caller.get(&path).await;
    assert_eq!(list["items"].as_array().unwrap().len(), 2);

    let read = caller.request("GET", &format!("{path}/Notes")).header("range", "bytes=2-4").send().await.unwrap();
    assert_eq!((read.status().as_u16(), read.headers()["content-range"].to_str().unwrap()), (206, "bytes 2-4/10"));
    assert_eq!(read.text().await.unwrap(), "cde");
    let whole = caller.request("GET", &format!("{path}/callRecording")).send().await.unwrap();
    assert_eq!(whole.headers()["content-type"], "audio/wav");
    assert_eq!(whole.headers()["x-content-type-options"], "nosniff");
    assert_eq!(whole.text().await.unwrap(), "audio of s");
    let beyond = caller.request("GET", &format!("{path}/notes")).header("range", "bytes=10-").send().await.unwrap();
    assert_eq!(beyond.headers()["content-range"], "bytes */10");
    assert_eq!(kind(&answer(beyond).await.1), "range");

    let deleted = caller.request("DELETE", &format!("{path}/notes")).send().await.unwrap();
    assert_eq!(deleted.status(), 204);
    assert_eq!(caller.get(&format!("{path}/notes")).await.0, 404);
    assert_eq!(caller.vault.keys(&id).await.unwrap(), ["callRecording"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn gone_differs_from_never_existed_on_every_path() {
    let caller = Caller::start().await;
    let id = caller.call("s", "555").await;
    assert_eq!(caller.request("DELETE", &format!("/interactions/{id}")).send().await.unwrap().status(), 204);
    let unknown = uuid::Uuid::new_v4().to_string();
    for (id, status, name) in
        [(id.as_str(), 410, "gone"), (unknown.as_str(), 404, "not-found"), ("x", 404, "not-found")]
    {
        for (method, tail) in [
            ("GET", ""),
            ("PATCH", ""),
            ("DELETE", ""),
            ("GET", "/contents"),
            ("PUT", "/contents/transcript"),
            ("GET", "/contents/transcript"),
            ("DELETE", "/contents/transcript"),
        ] {
            let (given, problem) = caller.send(method, &format!("/interactions/{id}{tail}"), json!({})).await;
            assert_eq!((given, kind(&problem)), (status, name), "{method} {tail}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_goes_through_time_by_opaque_cursors() {
    let caller = Caller::start().await;
    for hour in [3, 1, 2, 5, 4] {
        let body = json!({ "kind": "chat", "startedAt": format!("2026-01-01T{hour:02}:00:00Z") });
        assert_eq!(caller.send("POST", "/interactions", body).await.0, 201);
    }
    let (mut path, mut starts) = ("/interactions?limit=2&from=2026-01-01T02:00:00Z".to_owned(), Vec::new());
    loop {
        let (status, page) = caller.get(&path).await;
        assert_eq!(status, 200);
        starts.extend(page["items"].as_array().unwrap().iter().map(|item| item["startedAt"].clone()));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/interactions?limit=2&from=2026-01-01T02:00:00Z&cursor={next}");
        let foreign = caller.vault.request("GET", &format!("/api/v1/interactions?cursor={next}"));
        let foreign = foreign.bearer_auth(&caller.vault.second.native).send().await.unwrap();
        assert_eq!(answer(foreign).await.0, 400);
    }
    let expected: Vec<_> = (2..=5).map(|hour| json!(format!("2026-01-01T{hour:02}:00:00Z"))).collect();
    assert_eq!(starts, expected);
    for bad in [
        "cursor=x",
        "limit=0",
        "limit=201",
        "limit=x",
        "from=soon",
        "unknown=1",
        "from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z",
    ] {
        let (status, problem) = caller.get(&format!("/interactions?{bad}")).await;
        assert_eq!((status, kind(&problem)), (400, "invalid-request"), "{bad}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_tenants_interaction_is_not_found() {
    let caller = Caller::start().await;
    let id = caller.call("s", "555").await;
    let other = caller.vault.request("GET", &format!("/api/v1/interactions/{id}"));
    let (status, problem) = answer(other.bearer_auth(&caller.vault.second.native).send().await.unwrap()).await;
    assert_eq!((status, kind(&problem)), (404, "not-found"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_right_to_delete_alone_is_enough_to_erase_a_content() {
    let caller = Caller::start().await;
    let id = caller.call("s", "555").await;
    let token = caller.limited(&[Scope::InteractionDelete]).await;
    let path = format!("/api/v1/interactions/{id}/contents/callRecording");
    let deleted = caller.vault.request("DELETE", &path).bearer_auth(&token).send().await.unwrap();
    assert_eq!(deleted.status(), 204);
}

/// Listings came by exact start once: a position in that order means another one in this.
#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_of_the_order_that_listings_had_before_is_refused() {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    let caller = Caller::start().await;
    let id = caller.call("one", "+15125550001").await;
    caller.call("two", "+15125550002").await;
    let cursor = |purpose: &str| {
        let tenant = caller.vault.first.actor.tenant.0;
        let at: jiff::Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let mut bytes = at.as_nanosecond().to_be_bytes().to_vec();
        bytes.extend_from_slice(uuid::Uuid::try_parse(&id).unwrap().as_bytes());
        let stamp = caller.vault.app.vault.stamp(purpose, &[tenant.to_be_bytes().as_slice(), &bytes].concat());
        bytes.extend_from_slice(&stamp[..16]);
        URL_SAFE_NO_PAD.encode(bytes)
    };
    let page = async |cursor: String| caller.get(&format!("/interactions?limit=5&cursor={cursor}")).await;
    let (status, now) = page(cursor("native.cursor.interactions.2")).await;
    assert_eq!((status, now["items"].as_array().unwrap().len()), (200, 1), "{now}");
    let (status, refused) = page(cursor("native.cursor.interactions")).await;
    assert_eq!((status, kind(&refused)), (400, "invalid-request"), "{refused}");
}
