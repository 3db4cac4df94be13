//! Every protocol through a front, and what does not travel.

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::*;

/// A credential of another kind, made at the node that holds the vault; its id and secret.
fn credential(node: &Node, kind: &str) -> (String, String) {
    let arguments = ["token", "create", "--config", "oubliette.toml", "--kind", kind, "--json"];
    let told = node.place.run(&arguments).with_code(0).json();
    (told["id"].as_str().unwrap().to_owned(), told["secret"].as_str().unwrap().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_front_answers_every_dialect_as_the_holder_would() {
    let nodes = Nodes::start(2, "").await;
    let (holder, front) = (&nodes.nodes[0], &nodes.nodes[1]);
    let (client, base) = (&front.asker.client, &front.asker.base);

    // The native API: made, changed, found, read and erased by way of the front; the holder sees the same.
    let id = front.asker.call("s 1/2", pattern(40_000)).await;
    assert_eq!(holder.asker.read(&id).await, (StatusCode::OK, pattern(40_000)));
    assert_eq!(front.asker.read(&id).await, (StatusCode::OK, pattern(40_000)));
    let listed = client
        .get(format!("{base}/api/v1/interactions?from=2026-11-20T09%3A00%3A00Z&to=2026-11-20T11:00:00%5a"))
        .bearer_auth(&nodes.token);
    let listed: Value = listed.send().await.unwrap().json().await.unwrap();
    assert_eq!(listed["items"][0]["id"], id.as_str(), "{listed}");
    assert!(front.asker.delete(&id).await.is_success());
    assert_eq!(holder.asker.read(&id).await.0, StatusCode::GONE);
    assert_eq!(front.asker.read(&id).await.0, StatusCode::GONE);

    let (_, token) = credential(holder, "elevateai");
    let declared = client.post(format!("{base}/v1/interactions")).header("X-API-TOKEN", &token);
    let declared = declared.json(&json!({"type": "audio", "languageTag": "en-us", "vertical": "default"}));
    let declared = declared.send().await.unwrap();
    assert_eq!(declared.status(), StatusCode::CREATED);
    let declared: Value = declared.json().await.unwrap();
    let path = format!("{base}/v1/interactions/{}", declared["interactionIdentifier"].as_str().unwrap());
    // Larger than what a front takes in first: it is sent while it comes.
    let part = reqwest::multipart::Part::bytes(pattern(300_000)).file_name("a.wav");
    let form = reqwest::multipart::Form::new().part("filename.wav", part);
    let uploaded = client.post(format!("{path}/upload")).header("X-API-TOKEN", &token).multipart(form);
    let uploaded = uploaded.send().await.unwrap().status();
    assert!(uploaded.is_success(), "{uploaded}");
    let deleted = client.delete(&path).header("X-API-TOKEN", &token).send().await.unwrap();
    assert_eq!(deleted.status(), StatusCode::OK);

    let (client_id, secret) = credential(holder, "vonage");
    let form = [("grant_type", "client_credentials"), ("scope", "interaction-content:read interaction-content:delete")];
    let access = client.post(format!("{base}/Auth/connect/token")).basic_auth(&client_id, Some(&secret)).form(&form);
    let access: Value = access.send().await.unwrap().json().await.unwrap();
    let id = front.asker.call("vcc", pattern(20_000)).await;
    let path = format!("{base}/interaction-content/interactions/{id}");
    let v3 = "application/vnd.newvoicemedia.v3+json";
    let bearer = access["access_token"].as_str().unwrap();
    let got = client.get(format!("{path}/content/callRecording")).bearer_auth(bearer).header("Accept", v3);
    let got = got.header("Range", "bytes=100-199").send().await.unwrap();
    assert_eq!(got.status(), StatusCode::PARTIAL_CONTENT);
    assert_eq!(got.bytes().await.unwrap(), pattern(20_000)[100..200]);
    let gone = client.delete(&path).bearer_auth(bearer).header("Accept", v3).send().await.unwrap();
    assert!(gone.status().is_success(), "{}", gone.status());

    let (client_id, secret) = credential(holder, "creovai");
    let form = format!("grant_type=client_credentials&client_id={client_id}&client_secret={secret}");
    let form = client.post(format!("{base}/token")).body(form);
    let access = form.header("content-type", "application/x-www-form-urlencoded").send().await.unwrap();
    let access: Value = access.json().await.unwrap();
    let bearer = access["access_token"].as_str().unwrap();
    let call = front.asker.call("Tel/7 A&b", pattern(20_000)).await;
    // A path is passed on as it was spelled, and is matched in any case.
    let status = client.get(format!("{base}/Capture/V2/status/Tel/7%20A&b")).bearer_auth(bearer).send().await.unwrap();
    let status: Value = status.json().await.unwrap();
    assert_eq!(status["id"], call.as_str(), "{status}");
    let purge = client.post(format!("{base}/purge/v1/calls")).bearer_auth(bearer);
    let purge =
        purge.header("content-type", "application/json; charset=utf-8").body(json!({ "ids": [call] }).to_string());
    assert_eq!(purge.send().await.unwrap().status(), StatusCode::OK);

    // Unknown paths and refused callers, in each dialect's own words.
    for path in ["/v1/nothing", "/interaction-content/nothing", "/purge/v1/nothing", "/api/v1/nothing", "/nothing"] {
        let one = client.get(format!("{}{path}", holder.asker.base)).send().await.unwrap();
        let other = client.get(format!("{base}{path}")).send().await.unwrap();
        assert_eq!(one.status(), other.status(), "{path}");
        assert_eq!(one.headers().get("content-type"), other.headers().get("content-type"), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_through_a_front_is_exact_and_its_bytes_do_not_come_from_the_holder() {
    let nodes = Nodes::start(2, "").await;
    let front = &nodes.nodes[1];
    let whole = pattern(3_000_000);
    let id = front.asker.call("large", whole.clone()).await;
    let empty = front.asker.call("empty", Vec::new()).await;
    let before = front.figure("oubliette_node_answer_bytes_total").await;
    let answer = front.asker.client.get(front.asker.recording(&id)).bearer_auth(&nodes.token).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()["content-length"], "3000000");
    assert_eq!(answer.headers()["content-type"], "audio/wav");
    assert!(answer.headers().keys().all(|name| !name.as_str().starts_with("oubliette-")), "{:?}", answer.headers());
    assert_eq!(answer.bytes().await.unwrap(), whole);
    assert_eq!(front.asker.read(&empty).await, (StatusCode::OK, Vec::new()));
    for (range, expected) in [
        ("bytes=0-0", 0..1),
        ("bytes=16383-16384", 16_383..16_385),
        ("bytes=65530-2000000", 65_530..2_000_001),
        ("bytes=2999999-", 2_999_999..3_000_000),
        ("bytes=-5", 2_999_995..3_000_000),
    ] {
        let request = front.asker.client.get(front.asker.recording(&id)).bearer_auth(&nodes.token);
        let answer = request.header("Range", range).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::PARTIAL_CONTENT, "{range}");
        let said = format!("bytes {}-{}/3000000", expected.start, expected.end - 1);
        assert_eq!(answer.headers()["content-range"], said.as_str());
        assert_eq!(answer.bytes().await.unwrap(), whole[expected], "{range}");
    }
    let request = front.asker.client.get(front.asker.recording(&id)).bearer_auth(&nodes.token);
    assert_eq!(
        request.header("Range", "bytes=3000000-").send().await.unwrap().status(),
        StatusCode::RANGE_NOT_SATISFIABLE
    );
    let head = front.asker.client.head(front.asker.recording(&id)).bearer_auth(&nodes.token).send().await.unwrap();
    assert_eq!((head.status(), &head.headers()["content-length"]), (StatusCode::OK, &"3000000".parse().unwrap()));

    assert_eq!(front.figure("oubliette_node_grants_total").await, 7);
    assert!(front.figure("oubliette_node_granted_bytes_total").await > 4_900_000);
    assert!(
        front.figure("oubliette_node_answer_bytes_total").await - before < 4_096,
        "only words came from the holder"
    );
    assert_eq!(nodes.nodes[0].figure("oubliette_node_lent_total").await, 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_front_says_what_it_is_and_who_holds() {
    let nodes = Nodes::start(2, "").await;
    let (holder, front) = (&nodes.nodes[0], &nodes.nodes[1]);
    assert_eq!(front.own("/healthz").await, (StatusCode::OK, "ok\n".to_owned()));
    let ready: Value = serde_json::from_str(&front.own("/readyz").await.1).unwrap();
    assert_eq!((&ready["role"], &ready["node"], &ready["holder"]), (&json!("front"), &json!("b"), &json!("a")));
    assert!(front.own("/metrics").await.1.contains("oubliette_node_role{node=\"b\",role=\"front\"} 1"));
    assert!(holder.own("/metrics").await.1.contains("oubliette_node_role{node=\"a\",role=\"holder\"} 1"));
    let status = front.place.run(&["status", "--config", "oubliette.toml", "--json"]).with_code(0).json();
    let held = holder.place.run(&["status", "--config", "oubliette.toml", "--json"]).with_code(0).json();
    assert_eq!((&held["node"], &held["fronts"]), (&json!("a"), &json!(["b"])));
    assert_eq!((&status["node"], &status["holder"], &status["leased"]), (&json!("b"), &json!("a"), &json!(true)));
    let doctor = front.place.run(&["doctor", "--config", "oubliette.toml"]);
    assert!(doctor.out.contains("b, a front; a holds the vault"), "{}", doctor.out);
    // Commands that need the vault say where it is.
    let refused = front.place.run(&["token", "create", "--config", "oubliette.toml", "--kind", "native"]);
    assert!(refused.code != 0 && refused.err.contains("node a holds the vault"), "{}", refused.err);
}
