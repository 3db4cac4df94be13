//! Bad input: the documented code and a readable message, nothing changed, nothing personal repeated.

use oubliette::dialects::creovai::ROUTES;
use serde_json::json;

use super::{User, answer, two_parts, wav};
use crate::support::raw::Raw;

/// A text no answer may repeat.
const PERSONAL: &str = "+15125550000";

fn json_routes() -> impl Iterator<Item = &'static str> {
    let bodiless = ["/token", "/callcapture/v1/archive", "/capture/v2/call", "/capture/v2/status/exclude/{*session}"];
    ROUTES
        .iter()
        .filter(|route| route.method == "POST")
        .map(|route| route.path)
        .filter(move |path| !bodiless.contains(path))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_json_route_refuses_what_is_no_json_object_of_its_shape() {
    let user = User::start().await;
    user.call("kept", PERSONAL).await;
    let huge = format!("{{\"ids\":[\"{}\"]}}", "x".repeat(5 << 20));
    let deep = "[".repeat(100_000);
    let cases: [(&str, &str, u16); 9] = [
        ("application/json", "", 400),
        ("application/json", "{\"ids\":[\"+15125550000\"", 400),
        ("application/json", "[\"+15125550000\"]", 400),
        ("application/json", "\"+15125550000\"", 400),
        ("application/json", "\u{0}", 400),
        ("application/json", &deep, 400),
        ("text/plain", "{\"ids\":[\"+15125550000\"]}", 415),
        ("application/xml", "{}", 415),
        ("application/json", &huge, 413),
    ];
    for path in json_routes() {
        for (media_type, text, expected) in cases {
            let request = user.vault.request("POST", path).bearer_auth(&user.token).header("content-type", media_type);
            let (status, body) = answer(request.body(text.to_owned()).send().await.unwrap()).await;
            assert_eq!(status, expected, "{path} {media_type}");
            assert!(!body["message"].as_str().unwrap().contains(PERSONAL), "{path}");
        }
        for wrong in [json!({ "ids": [PERSONAL, 7], "sessionIds": 7, "callSessionIds": 7, "phoneNumber": 7,
            "phoneNumbers": 7, "sessionId": 7, "referenceId": 7, "masterCallId": 7, "masterId": 7,
            "caseReferenceId": 7, "collectionId": 7, "status": "sick", "callId": 7, "interactionId": 7, "email": 7 })]
        {
            let (status, body) = answer(user.post(path, wrong).await).await;
            assert_eq!(status, 400, "{path}");
            assert!(!body["message"].as_str().unwrap().contains(PERSONAL), "{path}");
        }
    }
    assert_eq!(user.status("kept").await["status"], "Complete");
    assert_eq!(user.vault.count().await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_uploads_are_refused_and_leave_nothing() {
    let user = User::start().await;
    let audio = wav(100, 1);
    let good = r#"{"sessionId":"s","startTime":"2026-01-01T00:00:00Z","contacts":[]}"#;
    let twice = String::from_utf8_lossy(&two_parts(good, b"a", "audio/wav")).replace("--b0--\r\n", "");
    let twice = format!("{twice}{}", String::from_utf8_lossy(&two_parts(good, b"a", "audio/wav")));
    let long_head = format!("--b0\r\nX: {}", "x".repeat(3 << 20));
    let cases: Vec<(&str, Vec<u8>, u16)> = vec![
        ("application/json", good.into(), 415),
        ("multipart/form-data", two_parts(good, &audio, "audio/wav"), 415),
        ("multipart/mixed; boundary=b0", two_parts(good, &audio, "audio/wav"), 415),
        ("multipart/form-data; boundary=other", two_parts(good, &audio, "audio/wav"), 400),
        ("multipart/form-data; boundary=b0", Vec::new(), 400),
        ("multipart/form-data; boundary=b0", b"--b0--\r\n".to_vec(), 400),
        ("multipart/form-data; boundary=b0", two_parts("{", &audio, "audio/wav"), 400),
        ("multipart/form-data; boundary=b0", two_parts("[]", &audio, "audio/wav"), 400),
        ("multipart/form-data; boundary=b0", two_parts(good, b"", "audio/wav"), 400),
        ("multipart/form-data; boundary=b0", two_parts(&good.replace("[]", "[{}]"), &audio, "audio/wav"), 400),
        ("multipart/form-data; boundary=b0", two_parts(&good.replace("\"s\"", "7"), &audio, "audio/wav"), 400),
        ("multipart/form-data; boundary=b0", two_parts(&good.replace("2026-", "soon"), &audio, "audio/wav"), 400),
        ("multipart/form-data; boundary=b0", two_parts(&" ".repeat(5 << 20), &audio, "audio/wav"), 413),
        ("multipart/form-data; boundary=b0", twice.into_bytes(), 400),
        ("multipart/form-data; boundary=b0", long_head.into_bytes(), 400),
    ];
    for (number, (media_type, body, expected)) in cases.into_iter().enumerate() {
        for path in ["/callCapture/v1/archive", "/capture/v2/call"] {
            let request = user.vault.request("POST", path).bearer_auth(&user.token).header("content-type", media_type);
            let (status, body) = answer(request.body(body.clone()).send().await.unwrap()).await;
            assert_eq!(status, expected, "case {number} on {path}: {body}");
        }
    }
    assert_eq!(user.vault.count().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn path_tricks_reach_nothing() {
    let user = User::start().await;
    let id = user.call("s", "555").await;
    for path in [
        format!("/interactions/v2/..%2f..%2f{id}"),
        format!("/interactions/v2/%2e%2e/{id}"),
        format!("/interactions/v2/{id}%00"),
        "/interactions/v2/%ff%fe".to_owned(),
        format!("/interactions/v2//{id}"),
        format!("//interactions/v2/{id}"),
        format!("/interactions/v2/{id}/audio.mp3/.."),
        format!("/interactions/v2/{}", "a".repeat(7_000)),
        format!("/interactions/v2/{id};x"),
    ] {
        let mut raw = Raw::connect(user.vault.address).await;
        let token = &user.token;
        raw.write(
            format!("GET {path} HTTP/1.1\r\nHost: vault\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\r\n")
                .as_bytes(),
        )
        .await;
        let answer = raw.answer().await;
        assert!([400, 404, 405].contains(&answer.status), "{path}: {}", answer.status);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn huge_headers_are_refused_before_anything_is_read() {
    let user = User::start().await;
    let mut raw = Raw::connect(user.vault.address).await;
    let padding = "x".repeat(200_000);
    raw.write(format!("GET /sources/v1/recordingSettings HTTP/1.1\r\nHost: vault\r\nX: {padding}\r\n\r\n").as_bytes())
        .await;
    assert_eq!(raw.answer().await.status, 431);
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_that_are_no_uuids_are_unknown_and_not_malformed() {
    let user = User::start().await;
    let odd = ["", " ", "x", "0f0e0d0c-0b0a-4908-8706-050403020100", "🙂", "a\u{0}b", "..", "%2e"];
    let (status, body) = answer(user.post("/purge/v1/calls", json!({ "ids": odd })).await).await;
    assert_eq!(status, 200);
    for (item, id) in body["items"].as_array().unwrap().iter().zip(odd) {
        assert_eq!((&item["callId"], &item["status"]), (&json!(id), &json!("NotFound")));
    }
}
