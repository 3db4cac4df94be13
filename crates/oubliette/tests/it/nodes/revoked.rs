//! Erasures while other nodes read.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use super::*;

/// More than all buffers between a front and a client that does not read.
const LARGE: usize = 48 << 20;
/// What may leave a front that was paused: one opened piece (64 KiB), and what its connection had in hand of the one before.
const OPENED: usize = 80 << 10;

/// A client that reads as slowly as the test wants.
struct Slow(TcpStream);

impl Slow {
    fn get(asker: &Asker, id: &str) -> Self {
        let address: SocketAddr = asker.base.split_once("://").unwrap().1.parse().unwrap();
        let mut stream = TcpStream::connect(address).unwrap();
        let path = asker.recording(id).replace(&asker.base, "");
        let head = format!(
            "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {}\r\n\r\n",
            asker.token
        );
        stream.write_all(head.as_bytes()).unwrap();
        Self(stream)
    }

    /// Reads so many bytes.
    fn take(&mut self, count: usize) {
        let mut piece = vec![0; count];
        self.0.set_read_timeout(Some(PATIENCE)).unwrap();
        self.0.read_exact(&mut piece).unwrap();
        assert!(
            piece.starts_with(b"HTTP/1.1 200") || !piece.starts_with(b"HTTP"),
            "{}",
            String::from_utf8_lossy(&piece)
        );
    }

    /// Reads until nothing comes for so long; how much came, and whether the connection ended.
    fn drain(&mut self, quiet: Duration) -> (usize, bool) {
        self.0.set_read_timeout(Some(quiet)).unwrap();
        let (mut count, mut piece) = (0, vec![0; 1 << 16]);
        loop {
            match self.0.read(&mut piece) {
                Ok(0) => return (count, true),
                Ok(read) => count += read,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    return (count, false);
                }
                Err(_) => return (count, true),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_through_one_front_ends_a_download_at_another_before_it_is_answered() {
    let nodes = Nodes::start(3, "").await;
    let id = nodes.ask(0).call("read", pattern(LARGE)).await;
    let kept = nodes.ask(0).call("kept", pattern(LARGE)).await;
    let mut erased = Slow::get(nodes.ask(2), &id);
    let mut other = Slow::get(nodes.ask(2), &kept);
    let mut taken = 0;
    // On a busy machine a front may lose its lease, and asks anew only when somebody reads on.
    while nodes.nodes[2].figure("oubliette_node_keys").await < 2 {
        tokio::task::block_in_place(|| {
            erased.take(200_000);
            other.take(200_000);
        });
        taken += 200_000;
        assert!(taken < LARGE / 4, "contents are read with keys that were lent");
    }
    let begun = Instant::now();
    assert!(nodes.ask(1).delete(&id).await.is_success());
    let took = begun.elapsed();
    // The key is gone there when the answer is here; so nothing more is opened whatever the client does.
    assert!(nodes.nodes[2].figure("oubliette_node_keys").await < 2);
    assert!(took < Duration::from_secs(2), "a front that answers holds nothing up: {took:?}");
    let (rest, ended) = tokio::task::block_in_place(|| erased.drain(Duration::from_secs(10)));
    assert!(ended && rest + taken < LARGE / 2, "{rest} {ended}");
    assert_eq!(nodes.ask(2).read(&id).await.0, StatusCode::GONE);
    let (rest, _) = tokio::task::block_in_place(|| other.drain(Duration::from_secs(10)));
    assert!(rest + taken > LARGE, "another content is read on to its end: {rest}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_front_delays_an_erasure_by_its_lease_and_then_gives_out_what_it_had_opened_at_most() {
    let nodes = Nodes::start(3, "[limits]\nmax_header_bytes = 8192\n").await;
    let id = nodes.ask(0).call("read", pattern(LARGE)).await;
    let mut slow = Slow::get(nodes.ask(2), &id);
    tokio::task::block_in_place(|| slow.take(200_000));
    nodes.nodes[2].server.pause();
    // What lies in the system's buffers leaves whatever the process does.
    let (_, ended) = tokio::task::block_in_place(|| slow.drain(Duration::from_secs(1)));
    assert!(!ended);
    let begun = Instant::now();
    assert!(nodes.ask(1).delete(&id).await.is_success());
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(8), "an erasure waits for the lease at most: {took:?}");
    // Others are not held up any more.
    let other = nodes.ask(0).call("other", pattern(1_000)).await;
    let begun = Instant::now();
    assert!(nodes.ask(1).delete(&other).await.is_success());
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    nodes.nodes[2].server.resume();
    let (rest, ended) = tokio::task::block_in_place(|| slow.drain(Duration::from_secs(10)));
    assert!(ended && rest <= OPENED, "{rest} bytes left a front that had been paused, ended: {ended}");
    nodes.nodes[2].until_ready().await;
    assert_eq!(nodes.ask(2).read(&id).await.0, StatusCode::GONE);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_at_a_front_goes_on_when_the_vault_changes_hands() {
    let mut nodes = Nodes::start(2, "").await;
    let whole = pattern(LARGE);
    let id = nodes.ask(0).call("read", whole.clone()).await;
    let mut slow = Slow::get(nodes.ask(1), &id);
    tokio::task::block_in_place(|| slow.take(200_000));
    nodes.nodes[0].restart().await;
    let (rest, _) = tokio::task::block_in_place(|| slow.drain(Duration::from_secs(30)));
    assert!(rest + 200_000 > LARGE, "{rest}");
    assert_eq!(nodes.ask(1).read(&id).await, (StatusCode::OK, whole));
}
