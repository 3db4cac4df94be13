//! Nodes speak only with nodes.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use super::*;

/// An authority of nodes.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, "nodes");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// Writes authority, certificate and key for loopback.
    fn write(&self, place: &Place) {
        let key = KeyPair::generate().unwrap();
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &self.issuer).unwrap();
        std::fs::write(place.join("ca.pem"), &self.pem).unwrap();
        std::fs::write(place.join("node.pem"), certificate.pem()).unwrap();
        std::fs::write(place.join("node.key"), key.serialize_pem()).unwrap();
    }
}

/// A port that is free now.
fn free_port() -> u16 {
    loop {
        let port = 10_000 + u16::from_le_bytes(*uuid::Uuid::new_v4().as_bytes().first_chunk().unwrap()) % 10_000;
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// Starts a node with certificates; gives it and its port for nodes.
fn node(vault: &Vault, authority: &Authority, name: &str) -> (Place, Server, u16) {
    let place = vault.place("class = \"openbao\"");
    authority.write(&place);
    let port = free_port();
    let file = place.join("oubliette.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let node = format!(
        "[node]\nlisten = \"127.0.0.1:{port}\"\nadvertise = \"localhost:{port}\"\nname = \"{name}\"\n\
         ca_file = \"ca.pem\"\ncertificate_file = \"node.pem\"\nkey_file = \"node.key\"\nwait_seconds = 2\n"
    );
    std::fs::write(&file, text + &node).unwrap();
    let server = serve(&place);
    (place, server, port)
}

/// Asks the node listener over TLS with curl; gives its exit code and what it got.
fn ask(place: &Place, port: u16, more: &[&str]) -> (Option<i32>, String) {
    let url = format!("https://localhost:{port}/");
    let resolve = format!("localhost:{port}:127.0.0.1");
    let mut command = Command::new("curl");
    command.current_dir(place.path()).args(["-s", "-m", "10", "--resolve", &resolve, "--cacert", "ca.pem"]);
    let ran = command.args(more).arg(&url).stderr(Stdio::null()).output().unwrap();
    (ran.status.code(), String::from_utf8_lossy(&ran.stdout).into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_with_certificates_of_one_authority_speak_with_each_other_and_with_nobody_else() {
    let vault = Vault::new();
    let (authority, stranger) = (Authority::new(), Authority::new());
    let (place, mut first, port) = node(&vault, &authority, "a");
    let base = first.wait_for_endpoint();
    let token = token(&place);
    let (front_place, server, _) = node(&vault, &authority, "b");
    let mut front = Node { place: front_place, server, asker: Asker::new("", &token) };
    front.asker = Asker::new(&front.server.wait_for_endpoint(), &token);
    front.until_ready().await;
    let id = Asker::new(&base, &token).call("s", pattern(40_000)).await;
    assert_eq!(front.asker.read(&id).await, (StatusCode::OK, pattern(40_000)));

    place.run(&["config", "check", "--config", "oubliette.toml"]).with_code(0);
    // A node, a client without a certificate, one with a stranger's, and one without TLS.
    let answer =
        ask(&place, port, &["--cert", "node.pem", "--key", "node.key", "-o", "/dev/null", "-w", "%{http_code}"]);
    assert_eq!(answer, (Some(0), "503".to_owned()), "who holds is meant by name");
    assert_ne!(ask(&place, port, &[]).0, Some(0));
    let other = Place::new();
    stranger.write(&other);
    std::fs::write(other.join("ca.pem"), &authority.pem).unwrap();
    assert_ne!(ask(&other, port, &["--cert", "node.pem", "--key", "node.key"]).0, Some(0));
    let mut plain = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port))).unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP"), "{}", String::from_utf8_lossy(&answer));

    // A process of another authority over the same places is no front of this holder: its clients are told 503.
    let (strange_place, mut strange, _) = node(&vault, &stranger, "x");
    let asker = Asker::new(&strange.wait_for_endpoint(), &token);
    let strange = Node { place: strange_place, server: strange, asker };
    assert_eq!(strange.own("/readyz").await.0, StatusCode::SERVICE_UNAVAILABLE);
    let answer = strange.asker.client.get(strange.asker.recording(&id)).bearer_auth(&token).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.headers().contains_key("retry-after"));
    for (path, kind) in [("/v1/interactions/x/status", "application/json"), ("/api/v1/x", "application/problem+json")] {
        let url = format!("{}{path}", strange.asker.base);
        let answer = strange.asker.client.get(url).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(answer.headers()["content-type"].to_str().unwrap().starts_with(kind), "{path}");
    }
}
