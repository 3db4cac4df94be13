//! The listener: TLS, limits, health, figures, an orderly stop.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

use crate::program::Place;

fn address(url: &str) -> SocketAddr {
    url.split_once("://").unwrap().1.parse().unwrap()
}

/// Sends bytes, reads what comes until the server closes or is silent for two seconds.
fn raw(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    let _ = stream.write_all(bytes);
    let (mut answer, mut piece) = (Vec::new(), [0; 4096]);
    while let Ok(length @ 1..) = stream.read(&mut piece) {
        answer.extend_from_slice(&piece[..length]);
    }
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn tls_is_spoken_with_the_configured_certificate_in_both_versions_of_http() {
    let place = Place::new();
    let mut authority = rcgen::CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority_key = rcgen::KeyPair::generate().unwrap();
    let authority_certificate = authority.self_signed(&authority_key).unwrap();
    let issuer = rcgen::Issuer::new(authority, authority_key);
    let key = rcgen::KeyPair::generate().unwrap();
    let leaf = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    std::fs::write(place.join("cert.pem"), leaf.pem()).unwrap();
    std::fs::write(place.join("key.pem"), key.serialize_pem()).unwrap();
    let text = "[storage]\ndata = \"vault\"\n[tls]\ncertificate_file = \"cert.pem\"\nkey_file = \"key.pem\"\n";
    std::fs::write(place.join("oubliette.toml"), text).unwrap();

    let mut server = place.serve(&["--config", "oubliette.toml"]);
    let url = server.wait_for_endpoint();
    assert!(url.starts_with("https://127.0.0.1:"), "{url}");
    let url = url.replace("127.0.0.1", "localhost");
    let root = reqwest::Certificate::from_pem(authority_certificate.pem().as_bytes()).unwrap();
    let client = || reqwest::Client::builder().tls_certs_only([root.clone()]);
    let second = client().build().unwrap().get(format!("{url}/healthz")).send().await.unwrap();
    assert_eq!((second.status().as_u16(), second.version()), (200, reqwest::Version::HTTP_2));
    let first = client().http1_only().build().unwrap().get(format!("{url}/healthz")).send().await.unwrap();
    assert_eq!((first.status().as_u16(), first.version()), (200, reqwest::Version::HTTP_11));
    // Plain HTTP on this port is no HTTP at all.
    assert!(reqwest::get(format!("{}/healthz", url.replace("https", "http"))).await.is_err());
    // Commands on the machine need no certificate.
    place.run(&["status", "--data", "vault"]).with_code(0);
    server.stop();

    std::fs::write(place.join("key.pem"), rcgen::KeyPair::generate().unwrap().serialize_pem()).unwrap();
    let ran = place.run(&["config", "check", "--config", "oubliette.toml"]).with_code(1);
    assert!(ran.err.contains("do not belong together"), "{}", ran.err);
}

#[tokio::test]
async fn health_readiness_and_figures_are_served() {
    let place = Place::new();
    std::fs::write(place.join("token"), "tell-me\n").unwrap();
    std::fs::write(place.join("oubliette.toml"), "[metrics]\ntoken_file = \"token\"\n").unwrap();
    let mut server = place.serve(&["--config", "oubliette.toml"]);
    let url = server.wait_for_endpoint();
    assert_eq!(reqwest::get(format!("{url}/healthz")).await.unwrap().status(), 200);
    let ready: Value = reqwest::get(format!("{url}/readyz")).await.unwrap().json().await.unwrap();
    assert_eq!(ready["ready"], true, "{ready}");
    let secret_path = format!("{url}/v1/interactions/very-personal-id/status");
    assert_eq!(reqwest::get(secret_path).await.unwrap().status(), 401);
    assert_eq!(reqwest::get(format!("{url}/metrics")).await.unwrap().status(), 401);
    let client = reqwest::Client::new();
    let figures = client.get(format!("{url}/metrics")).bearer_auth("tell-me").send().await.unwrap();
    let figures = figures.error_for_status().unwrap().text().await.unwrap();
    for figure in
        ["oubliette_deletion_lag_seconds", "oubliette_seals_total", "oubliette_requests_total", "oubliette_ready"]
    {
        assert!(figures.contains(figure), "{figure} is missing in\n{figures}");
    }
    // Route templates, never paths; and a request id on every answer.
    assert!(figures.contains("/v1/interactions/{id}/status") && !figures.contains("very-personal"));
    assert!(!server.log().contains("very-personal"), "{}", server.log());
    let answer = reqwest::get(format!("{url}/nowhere")).await.unwrap();
    assert_eq!(answer.status(), 404);
    assert!(answer.headers().contains_key("x-request-id"));
    server.stop();
}

#[test]
fn an_orderly_stop_lets_a_running_request_finish() {
    let place = Place::new();
    let mut server = place.serve(&[]);
    let made = place.run(&["token", "create", "--data", "vault", "--kind", "native", "--json"]).with_code(0).json();
    let token = made["secret"].as_str().unwrap();
    let mut stream = TcpStream::connect(address(&server.wait_for_endpoint())).unwrap();
    let body = r#"{"kind":"call","startedAt":"2026-11-20T09:30:00Z"}"#;
    let head = format!(
        "POST /api/v1/interactions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    server.terminate();
    std::thread::sleep(Duration::from_millis(300));
    stream.write_all(body.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    assert_eq!(server.wait(), 0, "{}", server.log());
    assert_eq!(place.run(&["status", "--data", "vault", "--json"]).json()["interactions"], 1);
}

#[test]
fn a_client_that_sends_everything_before_it_listens_is_told_no() {
    let place = Place::new();
    let mut server = place.serve(&[]);
    let address = address(&server.wait_for_endpoint());
    // Refused without a look at the body: more than any buffer between the two holds is still to come.
    let body = vec![b' '; 40 << 20];
    for more in ["", "connection: close\r\n"] {
        let mut stream = TcpStream::connect(address).unwrap();
        let head = format!(
            "POST /v1/interactions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n{more}content-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(&body).unwrap_or_else(|error| panic!("the server hung up: {error}"));
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HTTP/1.1 401", "{more}");
    }
    server.stop();
}

#[test]
fn heads_that_are_too_large_or_make_no_sense_are_refused() {
    let place = Place::new();
    let mut server = place.serve(&[]);
    let to = address(&server.wait_for_endpoint());
    let huge = format!("GET /healthz HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "a".repeat(100 << 10));
    assert!(raw(to, huge.as_bytes()).starts_with("HTTP/1.1 431"));
    let many: String = (0..500).map(|number| format!("x{number}: y\r\n")).collect();
    assert!(raw(to, format!("GET /healthz HTTP/1.1\r\nhost: x\r\n{many}\r\n").as_bytes()).starts_with("HTTP/1.1 431"));
    assert!(raw(to, b"\x16\x03\x01 nonsense\r\n\r\n").starts_with("HTTP/1.1 400"));
    for path in ["/../etc/passwd", "/v1/../../x", "//healthz", "/%2e%2e/%2e%2e/x", "/healthz/..%2f", "/healthz%00"] {
        let answer = raw(to, format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").as_bytes());
        assert!(answer.starts_with("HTTP/1.1 40"), "{path}: {answer}");
    }
    // An upgrade that nobody speaks is passed over.
    let upgrade = "GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\n\
                   http2-settings: AAEAAEAAAAIAAAAB\r\n\r\n";
    assert!(raw(to, upgrade.as_bytes()).starts_with("HTTP/1.1 200"));
    assert!(raw(to, b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").starts_with("HTTP/1.1 200"));
    server.stop();
}

#[test]
fn a_client_that_falls_silent_is_let_go() {
    let place = Place::new();
    let text = "[limits]\nheader_timeout_seconds = 1\nstall_timeout_seconds = 1\nmax_connections = 2\n";
    std::fs::write(place.join("oubliette.toml"), text).unwrap();
    let mut server = place.serve(&["--config", "oubliette.toml"]);
    let to = address(&server.wait_for_endpoint());
    // Both places are taken by heads that never end, and given back.
    let silent: Vec<_> = (0..2)
        .map(|_| {
            let mut stream = TcpStream::connect(to).unwrap();
            stream.write_all(b"GET /healthz HT").unwrap();
            stream
        })
        .collect();
    std::thread::sleep(Duration::from_millis(1_500));
    assert!(raw(to, b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").starts_with("HTTP/1.1 200"));
    drop(silent);
    // A body that never comes: the request ends, the server does not.
    let head = "POST /Token HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-www-form-urlencoded\r\ncontent-length: 99\r\n\r\n";
    let answer = raw(to, head.as_bytes());
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    assert!(raw(to, b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").starts_with("HTTP/1.1 200"));
    server.stop();
}

#[test]
fn a_port_that_is_taken_is_told_before_a_vault_is_made() {
    let place = Place::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap().to_string();
    let ran = place.run(&["serve", "--data", "vault", "--listen", &listen]).with_code(1);
    assert!(ran.err.contains("cannot be listened on"), "{}", ran.err);
    assert!(!place.data().exists());
}

#[test]
fn a_register_in_memory_stops_serve_unless_acknowledged_and_makes_the_demo_loud() {
    let memory = tempfile::TempDir::new_in("/dev/shm").unwrap();
    let register = memory.path().join("register");
    let register = register.to_str().unwrap();
    let place = Place::new();
    let serve = ["serve", "--data", "vault", "--register", register, "--listen", "127.0.0.1:0"];
    let ran = place.run(&serve).with_code(3);
    assert!(ran.err.contains("accept_unverified_register"), "{}", ran.err);
    assert!(!place.data().exists(), "a refused start leaves nothing behind");
    assert!(!memory.path().join("register").exists(), "nor where the register would be");
    std::fs::create_dir_all(place.data()).unwrap();
    std::fs::write(place.data().join("theirs"), "").unwrap();
    place.run(&serve).with_code(3);
    let left: Vec<_> = std::fs::read_dir(place.data()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["theirs"], "what was there before stays");

    let mut demo =
        place.start(&["demo", "--data", "vault", "--register", register, "--listen", "127.0.0.1:0", "--json"]);
    demo.line();
    assert!(demo.log().contains("WARNING: the register's class"), "{}", demo.log());
    let status = place.run(&["status", "--data", "vault", "--json"]).with_code(0).json();
    assert_eq!(status["registerVerified"], false, "{status}");
    demo.stop();

    std::fs::write(place.join("oubliette.toml"), "[storage]\naccept_unverified_register = true\n").unwrap();
    let server = place.serve(&["--config", "oubliette.toml", "--register", register]);
    server.stop();
}
