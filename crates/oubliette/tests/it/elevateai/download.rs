//! Recordings that are declared with an address.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Redirect;
use axum::routing::get as route;
use bytes::Bytes;
use futures::{StreamExt as _, stream};
use oubliette::http::DialectSettings;
use oubliette_core::model::State;

use super::*;
use crate::backend::Backend;
use crate::program::Place;

/// A server that holds recordings; gives its address.
async fn source() -> std::net::SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let guarded = async |headers: HeaderMap| match headers.get("authorization").and_then(|value| value.to_str().ok()) {
        Some("Basic YW5uOnMzY3JldA==") => Ok(([("content-type", "audio/x-wav")], "RIFF guarded")),
        _ => Err(StatusCode::UNAUTHORIZED),
    };
    let elsewhere = format!("http://localhost:{}/a.wav", address.port());
    let router = Router::new()
        .route("/a.wav", route(async || "RIFF plain"))
        .route("/calls/b.mp3", route(guarded))
        .route("/moved", route(async || Redirect::temporary("/a.wav")))
        .route("/elsewhere", route(async move || Redirect::temporary(&elsewhere)))
        .route("/large", route(async || vec![7_u8; 200_000]));
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

async fn start(address: std::net::SocketAddr) -> TestVault {
    let settings = DialectSettings { download_hosts: vec![address.to_string()], ..DialectSettings::default() };
    let vault = oubliette_core::service::VaultSettings { max_content_bytes: 100_000, ..Default::default() };
    TestVault::with(vault, settings).await
}

async fn declare_download(vault: &TestVault, member: &str, uri: &str) -> String {
    let mut body = json!({"type": "audio", "languageTag": "en-us", "vertical": "default"});
    body[member] = json!(uri);
    declare(vault, &body).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_is_fetched_from_an_allowed_host() {
    let address = source().await;
    let vault = start(address).await;
    for (member, path, bytes, media_type, name) in [
        ("downloadUri", format!("http://{address}/a.wav"), "RIFF plain", "text/plain", "a.wav"),
        ("downloadUrl", format!("http://ann:s3cret@{address}/calls/b.mp3"), "RIFF guarded", "audio/wav", "b.mp3"),
        ("downloadUri", format!("http://{address}/moved"), "RIFF plain", "text/plain", "moved"),
    ] {
        let id = declare_download(&vault, member, &path).await;
        wait_for(&vault, &id, State::Processed).await;
        let (stored, meta) = vault.stored(&id, "callRecording").await;
        assert_eq!(stored, bytes.as_bytes(), "{path}");
        assert_eq!((meta.media_type.as_str(), meta.file_name.as_deref()), (media_type, Some(name)), "{path}");
        let body = status(&vault, &id).await;
        assert!(
            body["downloaded"].is_string() && body["uploaded"].is_null() && body["errorMessage"].is_null(),
            "{body}"
        );
        let (_, body) = get(&vault, &format!("/v1/interactions/{id}")).await;
        let shown = body["downloadUri"].as_str().unwrap();
        assert!(
            shown.starts_with("http://127.0.0.1") && !shown.contains("s3cret") && !shown.contains("ann"),
            "{shown}"
        );
        let kept = vault.app.vault.interaction(&vault.first.actor, &id).await.unwrap().meta.fetch_from.unwrap();
        assert!(!kept.contains("s3cret"), "a password is not kept once it was used");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_not_or_cannot_be_fetched_fails_with_a_reason_and_without_credentials() {
    let address = source().await;
    let vault = start(address).await;
    for (uri, reason) in [
        ("sftp://ann:s3cret@127.0.0.1:22/~/calls/;type=d".to_owned(), "not supported"),
        ("http://ann:s3cret@127.0.0.2/a.wav".to_owned(), "not allowed"),
        ("https://127.0.0.1/a.wav".to_owned(), "not allowed"),
        (format!("http://{address}/missing"), "status 404"),
        (format!("http://{address}/calls/b.mp3"), "status 401"),
        (format!("http://{address}/elsewhere"), "status 307"),
        (format!("http://{address}/large"), "larger"),
    ] {
        let id = declare_download(&vault, "downloadUri", &uri).await;
        wait_for(&vault, &id, State::DownloadFailed).await;
        let body = status(&vault, &id).await;
        assert_eq!(body["status"], "fileDownloadFailed", "{uri}");
        let message = body["errorMessage"].as_str().unwrap();
        assert!(message.contains(reason), "{uri}: {message}");
        let (_, declared) = get(&vault, &format!("/v1/interactions/{id}")).await;
        assert!(!format!("{body}{declared}").contains("s3cret"), "{uri}");
        assert_eq!(vault.keys(&id).await, Some(vec![]), "{uri}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fetch_whose_interaction_is_erased_leaves_nothing() {
    let vault = start("127.0.0.1:1".parse().unwrap()).await;
    // Nobody listens there: the fetch is tried for some seconds.
    let id = declare_download(&vault, "downloadUri", "http://127.0.0.1:1/a.wav").await;
    wait_for(&vault, &id, State::Downloading).await;
    let answer = call(&vault, "DELETE", &format!("/v1/interactions/{id}")).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    assert_eq!(vault.count().await, 0);
}

/// A server whose recordings stop after their first bytes until `whole` is set; `begun` counts requests.
async fn stalling_source(whole: &Arc<AtomicBool>, begun: &Arc<AtomicUsize>) -> std::net::SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (whole, begun) = (Arc::clone(whole), Arc::clone(begun));
    let recording = async move |axum::extract::Path(name): axum::extract::Path<String>| {
        begun.fetch_add(1, Ordering::SeqCst);
        let first = stream::iter([Ok::<_, std::io::Error>(Bytes::from("RIFF of "))]);
        if whole.load(Ordering::SeqCst) {
            Body::from_stream(first.chain(stream::iter([Ok(Bytes::from(name))])))
        } else {
            Body::from_stream(first.chain(stream::pending()))
        }
    };
    let router = Router::new().route("/{name}", route(recording));
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fetch_that_is_found_again_while_it_runs_is_not_done_twice() {
    let (whole, begun) = (Arc::default(), Arc::default());
    let address = stalling_source(&whole, &begun).await;
    let vault = start(address).await;
    let id = declare_download(&vault, "downloadUri", &format!("http://{address}/a")).await;
    wait_for(&vault, &id, State::Downloading).await;
    // As the look for unfinished fetches does when it comes upon it.
    vault.app.fetches.push(&vault.first.actor, &id);
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(begun.load(Ordering::SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn fetches_that_a_kill_cut_off_or_kept_waiting_are_taken_up_after_the_next_start() {
    let (whole, begun) = (Arc::default(), Arc::default());
    let address = stalling_source(&whole, &begun).await;
    let place = Place::new();
    let (storage, _kept) = Backend::of_program(&place).await;
    let config = format!("{storage}\n[ingest]\ndownload_hosts = [\"{address}\"]\n");
    std::fs::write(place.join("oubliette.toml"), config).unwrap();
    let mut server = place.serve(&["--config", "oubliette.toml"]);
    let made = |kind: &str| {
        let arguments = ["token", "create", "--config", "oubliette.toml", "--kind", kind, "--json"];
        place.run(&arguments).with_code(0).json()["secret"].as_str().unwrap().to_owned()
    };
    let (token, native) = (made("elevateai"), made("native"));
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let base = server.wait_for_endpoint();
    let mut ids = Vec::new();
    // More than are fetched at once.
    for number in 0..6 {
        let body = json!({ "type": "audio", "languageTag": "en-us", "vertical": "default",
            "downloadUri": format!("http://{address}/{number}") });
        let request = http.post(format!("{base}/v1/interactions")).header("X-API-Token", &token).json(&body);
        let (code, body) = support::json(request.send().await.unwrap()).await;
        assert_eq!(code, 201, "{body}");
        ids.push(body["interactionIdentifier"].as_str().unwrap().to_owned());
    }
    let limit = std::time::Instant::now() + Duration::from_secs(60);
    while begun.load(Ordering::SeqCst) < 4 {
        assert!(std::time::Instant::now() < limit, "the fetches do not begin");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    drop(server);

    whole.store(true, Ordering::SeqCst);
    let mut server = place.serve(&["--config", "oubliette.toml"]);
    let base = server.wait_for_endpoint();
    for (number, id) in ids.iter().enumerate() {
        let status = async || {
            let request = http.get(format!("{base}/v1/interactions/{id}/status")).header("X-API-Token", &token);
            support::json(request.send().await.unwrap()).await.1["status"].as_str().unwrap_or_default().to_owned()
        };
        while status().await != "processed" {
            assert!(std::time::Instant::now() < limit, "fetch {number} is not taken up: {}", status().await);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let content = http.get(format!("{base}/api/v1/interactions/{id}/contents/callRecording")).bearer_auth(&native);
        assert_eq!(content.send().await.unwrap().text().await.unwrap(), format!("RIFF of {number}"));
    }
    server.stop();
}
