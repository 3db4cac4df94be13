//! Another Oubliette as a mirror, over mutual TLS.

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use super::*;

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, "mirrors");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    fn write(&self, place: &Place) {
        let key = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &self.issuer).unwrap();
        fs::write(place.join("ca.pem"), &self.pem).unwrap();
        fs::write(place.join("own.pem"), certificate.pem()).unwrap();
        fs::write(place.join("own.key"), key.serialize_pem()).unwrap();
    }
}

const FILES: &str = "ca_file = \"ca.pem\"\ncertificate_file = \"own.pem\"\nkey_file = \"own.key\"\n";

fn free_port() -> u16 {
    loop {
        let port = 10_000 + u16::from_le_bytes(*uuid::Uuid::new_v4().as_bytes().first_chunk().unwrap()) % 10_000;
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// A program that keeps mirrors.
fn host(authority: &Authority) -> (Place, u16) {
    host_with(authority, "")
}

fn host_with(authority: &Authority, more: &str) -> (Place, u16) {
    let (place, port) = (Place::new(), free_port());
    authority.write(&place);
    let text = format!(
        "[storage]\ndata = \"vault\"\naccept_unverified_register = true\n\
         [mirror_host]\nlisten = \"127.0.0.1:{port}\"\nfolder = \"kept\"\n{more}{FILES}"
    );
    fs::write(place.join("oubliette.toml"), text).unwrap();
    (place, port)
}

/// A vault that is mirrored there.
fn vault(authority: &Authority, port: u16) -> Place {
    let place = Place::new();
    authority.write(&place);
    let text = format!(
        "[storage]\ndata = \"vault\"\naccept_unverified_register = true\n[erasure]\nseal_timeout_seconds = 2\n\
         [mirrors]\ntimeout_seconds = 1\nplaces = [\"far=https://localhost:{port}\"]\n{FILES}"
    );
    fs::write(place.join("oubliette.toml"), text).unwrap();
    place
}

fn kept(host: &Place) -> Vec<(String, Vec<u8>)> {
    let folder = fs::read_dir(host.join("kept")).unwrap().next().unwrap().unwrap().path();
    let mut files = packs(&folder);
    files.retain(|(name, _)| name != "owner");
    files
}

#[tokio::test(flavor = "multi_thread")]
async fn another_oubliette_holds_the_key_state_and_its_pauses_and_ends_are_waited_out() {
    let authority = Authority::new();
    let (far, port) = host(&authority);
    let mut keeper = far.serve(&["--config", "oubliette.toml"]);
    let place = vault(&authority, port);
    let mut server = place.serve(&["--config", "oubliette.toml"]);
    let client = Client::new(&place, &mut server);
    client.until_ready().await;
    let mut ids = Vec::new();
    for _ in 0..6 {
        ids.push(client.made().await);
    }
    assert!(client.delete(&ids[0]).await.status().is_success());

    keeper.pause();
    let answer = client.delete(&ids[1]).await;
    assert_eq!(answer.status(), 503, "{}", server.log());
    assert_eq!(client.get(&ids[2]).await, 200, "reads go on");
    assert_eq!(client.ready().await["mirrorsBehind"], json!(["far"]));
    keeper.resume();
    client.until_ready().await;
    assert!(client.delete(&ids[1]).await.status().is_success(), "{}", server.log());

    keeper.kill();
    assert_eq!(client.delete(&ids[2]).await.status(), 503);
    let keeper = far.serve(&["--config", "oubliette.toml"]);
    client.until_ready().await;
    assert!(client.delete(&ids[2]).await.status().is_success(), "{}", server.log());
    assert_eq!(client.get(&ids[3]).await, 200);
    server.stop();
    assert_eq!(packs(&place.join("vault/packs")), kept(&far));

    // The disk of the vault's key state is lost; the register is not.
    fs::remove_dir_all(place.join("vault/packs")).unwrap();
    let mut server = place.serve(&["--config", "oubliette.toml"]);
    let client = Client { url: server.wait_for_endpoint(), ..client };
    client.until_ready().await;
    assert_eq!((client.get(&ids[2]).await, client.get(&ids[3]).await), (410, 200));
    server.stop();
    keeper.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vaults_place_at_a_host_is_closed_to_other_certificates_and_to_none() {
    let authority = Authority::new();
    let (far, port) = host(&authority);
    let keeper = far.serve(&["--config", "oubliette.toml"]);
    let place = vault(&authority, port);
    let mut server = place.serve(&["--config", "oubliette.toml"]);
    let client = Client::new(&place, &mut server);
    client.until_ready().await;
    // It seals what was committed.
    server.stop();
    let before = kept(&far);

    let instance = fs::read_dir(far.join("kept")).unwrap().next().unwrap().unwrap().file_name();
    let other = Place::new();
    authority.write(&other);
    let stranger = Place::new();
    Authority::new().write(&stranger);
    fs::write(stranger.join("ca.pem"), &authority.pem).unwrap();
    let ask = |from: &Place, operation: &str, shown: bool| {
        let url = format!("https://localhost:{port}/mirror/v1/{}/{operation}", instance.to_str().unwrap());
        let mut command = std::process::Command::new("curl");
        command.current_dir(from.path()).args([
            "-s",
            "-m",
            "10",
            "-o",
            "/dev/null",
            "-w",
            "%{http_code}",
            "-X",
            "POST",
        ]);
        command.args(["--resolve", &format!("localhost:{port}:127.0.0.1"), "--cacert", "ca.pem"]);
        if shown {
            command.args(["--cert", "own.pem", "--key", "own.key"]);
        }
        String::from_utf8(command.arg(url).output().unwrap().stdout).unwrap()
    };
    assert_eq!(ask(&place, "open", true), "200");
    assert_eq!(ask(&place, "list", true), "410", "no session");
    for operation in ["open", "list", "read?name=mirror&len=1", "remove?name=mirror", "create?name=x"] {
        assert_eq!(ask(&other, operation, true), "403", "{operation}");
    }
    for way_out in ["open/../x", "read?name=../owner&len=1", "read?name=owner&len=1", "read?name=.owner&len=1"] {
        assert_ne!(ask(&place, way_out, true), "200", "{way_out}");
    }
    assert_eq!(ask(&stranger, "open", true), "000", "another authority's certificate");
    assert_eq!(ask(&other, "open", false), "000", "no certificate");
    keeper.stop();
    assert_eq!(kept(&far), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_takes_no_more_vaults_than_it_has_room_for() {
    let authority = Authority::new();
    let (far, port) = host_with(&authority, "max_vaults = 1\n");
    let keeper = far.serve(&["--config", "oubliette.toml"]);
    let first = vault(&authority, port);
    let mut server = first.serve(&["--config", "oubliette.toml"]);
    let client = Client::new(&first, &mut server);
    client.until_ready().await;
    let second = vault(&authority, port);
    let mut other = second.start(&["serve", "--config", "oubliette.toml", "--listen", "127.0.0.1:0"]);
    let begun = Instant::now();
    while !other.log().contains("the mirror far does not hold the key state: no storage space") {
        assert!(begun.elapsed() < PATIENCE, "{}", other.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(fs::read_dir(far.join("kept")).unwrap().count(), 1);
    assert!(keeper.log().contains("max_vaults"), "{}", keeper.log());
    // Who is there already goes on.
    let one = client.made().await;
    assert!(client.delete(&one).await.status().is_success());
    other.kill();
    server.stop();
    keeper.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_hangs_under_a_mirror_keeps_few_threads_of_the_host_and_not_its_own_vault() {
    let authority = Authority::new();
    let (far, port) = host(&authority);
    let mut keeper = far.serve(&["--config", "oubliette.toml"]);
    let own = Client::new(&far, &mut keeper);
    let place = vault(&authority, port);
    let mut server = place.serve(&["--config", "oubliette.toml"]);
    let client = Client::new(&place, &mut server);
    client.until_ready().await;
    // Whoever opens a pipe that nobody writes to waits.
    let owner = fs::read_dir(far.join("kept")).unwrap().next().unwrap().unwrap().path().join("owner");
    let key = fs::read(&owner).unwrap();
    fs::remove_file(&owner).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&owner).status().unwrap().success());
    let hanging = || {
        let threads = fs::read_dir(format!("/proc/{}/task", keeper.pid())).unwrap();
        let waits = |path: &Path| fs::read_to_string(path.join("wchan")).is_ok_and(|at| at == "wait_for_partner");
        threads.filter(|thread| waits(&thread.as_ref().unwrap().path())).count()
    };
    let one = client.made().await;
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(15) {
        assert_eq!(client.delete(&one).await.status(), 503);
        let (made, threads) = (own.made().await, hanging());
        assert!(own.delete(&made).await.status().is_success(), "the host's own vault goes on");
        assert!((1..=2).contains(&threads), "{threads} threads hang");
    }
    // The disk answers again.
    let _ = fs::remove_file(&owner);
    fs::write(&owner, key).unwrap();
    keeper.kill();
    let keeper = far.serve(&["--config", "oubliette.toml"]);
    client.until_ready().await;
    assert!(client.delete(&one).await.status().is_success());
    server.stop();
    keeper.stop();
}
