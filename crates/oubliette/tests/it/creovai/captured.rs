//! Contract §6: requests as the vendor's clients put them on the wire, byte for byte where the framing matters.

use serde_json::{Value, json};

use super::{User, wav};
use crate::support::raw::{Answer, Raw};

fn body(answer: &Answer) -> Value {
    serde_json::from_str(&answer.body).unwrap_or_else(|_| panic!("no JSON: {answer:?}"))
}

async fn plain(user: &User, head: &str, text: &str) -> Answer {
    let mut raw = Raw::connect(user.vault.address).await;
    let length = text.len();
    raw.write(format!("{head}Content-Length: {length}\r\n\r\n{text}").as_bytes()).await;
    raw.answer().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cpp_client_gets_a_token_on_a_closing_connection() {
    let user = User::start().await;
    let client = &user.vault.first.creovai;
    let form = format!("grant_type=client_credentials&client_id={}&client_secret={}", client.id, client.secret);
    let head = "POST /Token HTTP/1.1\r\nConnection: Close\r\nHost: vault\r\n\
                Content-Type: application/x-www-form-urlencoded\r\n";
    let answer = plain(&user, head, &form).await;
    assert_eq!(answer.status, 200);
    assert_eq!(body(&answer)["token_type"], "bearer");
    assert_eq!(answer.header("content-type"), Some("application/json; charset=utf-8"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cpp_client_sends_chunks_and_a_content_length_in_one_head() {
    let user = User::start().await;
    let audio = wav(500, 2);
    let info = r#"{"sessionId":"cpp","masterCallId":"m1","numberDialed":"1001","startTime":"2026-11-22T01:40:50.000000Z","endTime":"2026-11-22T01:40:50.000000Z","direction":"Inbound","contacts":[{"type":"agent","channel":0,"phoneNumber":"","referenceId":"","firstName":"","lastName":""}],"metadata":{},"Audio":{"Format":"wav"}}"#;
    let boundary = "MIME_boundary_1A2B3C4D5E6F7081";
    let multipart = [
        format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"info\"\r\nContent-Type: application/json\r\n\r\n\
             {info}\r\n--{boundary}\r\nContent-Disposition: form-data; name=\"data\"; filename=\"call.wav\"\r\n\
             Content-Transfer-Encoding: binary\r\nContent-Type: audio/wav\r\n\r\n"
        )
        .as_bytes(),
        &audio,
        format!("\r\n--{boundary}--\r\n").as_bytes(),
    ]
    .concat();
    let mut raw = Raw::connect(user.vault.address).await;
    let head = format!(
        "POST /callCapture/v1/archive HTTP/1.1\r\nConnection: Close\r\nHost: vault\r\n\
         Authorization: Bearer {}\r\nContent-Type: multipart/form-data; boundary=\"{boundary}\"\r\n\
         Transfer-Encoding: chunked\r\nContent-Length: {}\r\n\r\n",
        user.token,
        multipart.len()
    );
    raw.write(head.as_bytes()).await;
    for piece in multipart.chunks(1_000) {
        raw.chunk(piece).await;
    }
    raw.write(b"0\r\n\r\n").await;
    let answer = raw.answer().await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let id = body(&answer)["callId"].as_str().unwrap().to_owned();
    assert_eq!(answer.header("content-type"), Some("application/json; charset=utf-8"));
    assert!(user.vault.stored(&id, "callRecording").await.0 == audio);

    let head = format!(
        "POST /callCapture/v1/status HTTP/1.1\r\nConnection: Close\r\nHost: vault\r\nAuthorization: Bearer {}\r\n\
         Content-Type: application/json\r\n",
        user.token
    );
    let answer = plain(&user, &head, r#"{"CallSessionIds":["cpp"]}"#).await;
    let expected = json!([{ "status": "Complete", "callId": id, "sessionId": "cpp", "durationSec": 1 }]);
    assert_eq!(body(&answer)["callSessions"], expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_dotnet_client_quotes_its_boundary_and_not_its_names_and_waits_for_100() {
    let user = User::start().await;
    let audio = wav(500, 1);
    let boundary = "0b3a1c9e-4a53-4c0e-9a0c-2d2f3a0d9f77";
    let info = r#"{"SessionId":"net","MasterCallId":"m1","Direction":"Outbound","StartTime":"2026-11-22T01:40:50.1234567Z","EndTime":"2026-11-22T01:40:50.6234567Z","Contacts":[{"FirstName":"John","Channel":0,"PhoneNumber":"1007","Type":"agent"}],"NumberDialed":"1001","Audio":{"Format":"wav"},"Metadata":{"a":{"b":[1]}}}"#;
    let multipart = [
        format!(
            "--{boundary}\r\nContent-Type: application/json; charset=utf-8\r\n\
             Content-Disposition: form-data; name=info\r\n\r\n{info}\r\n--{boundary}\r\nContent-Type: audio/wav\r\n\
             Content-Disposition: form-data; name=data\r\n\r\n"
        )
        .as_bytes(),
        &audio,
        format!("\r\n--{boundary}--\r\n").as_bytes(),
    ]
    .concat();
    let mut raw = Raw::connect(user.vault.address).await;
    let head = format!(
        "POST /callCapture/v1/archive HTTP/1.1\r\nAuthorization: Bearer {}\r\nAccept: application/json\r\n\
         User-Agent: TethrAudioBroker/1.0 (Unix) DotNet-CLR/4.0\r\n\
         Content-Type: multipart/form-data; boundary=\"{boundary}\"\r\nHost: vault\r\nContent-Length: {}\r\n\
         Expect: 100-continue\r\n\r\n",
        user.token,
        multipart.len()
    );
    raw.write(head.as_bytes()).await;
    raw.write(&multipart).await;
    let answer = raw.answer().await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(user.vault.stored(body(&answer)["callId"].as_str().unwrap(), "callRecording").await.0 == audio);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expected_100_is_sent_before_the_body_and_not_before_a_refusal() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let user = User::start().await;
    let heads = [(user.token.as_str(), "HTTP/1.1 100"), ("wrong", "HTTP/1.1 401")];
    for (token, expected) in heads {
        let mut stream = tokio::net::TcpStream::connect(user.vault.address).await.unwrap();
        let head = format!(
            "POST /purge/v1/calls HTTP/1.1\r\nHost: vault\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: application/json; charset=utf-8\r\nContent-Length: 13\r\nExpect: 100-continue\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut first = [0; 12];
        stream.read_exact(&mut first).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&first), expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_generic_post_of_the_older_dotnet_client_purges() {
    let user = User::start().await;
    let id = user.call("s", "+15125551234").await;
    let head = |path: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nAuthorization: Bearer {}\r\nHost: vault\r\n\
             Content-Type: application/json; charset=utf-8\r\n",
            user.token
        )
    };
    let trial = plain(&user, &head("/purge/v1/calls/customer?whatIf=true"), r#"{"phoneNumber":"+15125551234"}"#).await;
    assert_eq!(body(&trial)["items"][0]["status"], "WhatIf");
    let answer = plain(&user, &head("/purge/v1/calls"), &json!({ "ids": [id] }).to_string()).await;
    assert_eq!(answer.status, 200);
    let expected = json!({ "callId": id, "sessionId": "s", "status": "Purging", "errorMsg": null });
    assert_eq!(body(&answer), json!({ "items": [expected] }));
}
