//! A server that is killed and comes back.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use oubliette_core::ports::{BlobRef, Blobs, PortErrorKind};
use oubliette_core::testing::live::LiveTable;
use oubliette_store::blobs::{ObjectBlobs, ObjectOptions};

use super::server::{BucketKind, Server, limits};
use super::{assert_reads, attach, put};

/// A SeaweedFS of one's own.
struct Weed {
    home: tempfile::TempDir,
    ports: [u16; 4],
    child: Child,
}

/// A port that nobody has, nor the one ten thousand above, which the server takes as well.
fn free_port(taken: &[u16]) -> u16 {
    let free = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
    let from = 10_000 + u16::try_from(std::process::id() % 10_000).unwrap();
    (from..22_000).chain(10_000..from).find(|port| !taken.contains(port) && free(*port) && free(port + 10_000)).unwrap()
}

impl Weed {
    fn start() -> Self {
        let home = tempfile::tempdir().unwrap();
        let mut file = std::fs::File::create(home.path().join("s3.json")).unwrap();
        let identity = r#"{"name":"vault","credentials":[{"accessKey":"k","secretKey":"s"}],
            "actions":["Admin","Read","Write","List","Tagging"]}"#;
        write!(file, r#"{{"identities":[{identity}]}}"#).unwrap();
        let mut ports = Vec::new();
        for _ in 0..4 {
            ports.push(free_port(&ports));
        }
        let ports: [u16; 4] = ports.try_into().unwrap();
        let child = run(home.path(), ports);
        let weed = Self { home, ports, child };
        weed.wait();
        weed.shell("fs.configure -locationPrefix=/buckets/ -fsync -apply");
        weed
    }

    fn server(&self) -> Server {
        Server::new(format!("http://127.0.0.1:{}", self.ports[0]), "k".to_owned(), "s".to_owned())
    }

    fn shell(&self, command: &str) {
        let mut shell = Command::new(program())
            .arg("shell")
            .arg(format!("-master=127.0.0.1:{}", self.ports[1]))
            .arg(format!("-filer=127.0.0.1:{}", self.ports[3]))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        writeln!(shell.stdin.take().unwrap(), "{command}").unwrap();
        assert!(shell.wait().unwrap().success());
    }

    /// Ready means that a volume can be assigned and that the S3 side answers.
    fn wait(&self) {
        for _ in 0..600 {
            let assigned = ask(self.ports[1], "/dir/assign").is_some_and(|answer| answer.contains("\"fid\""));
            if assigned && ask(self.ports[0], "/healthz").is_some_and(|answer| answer.starts_with("HTTP/1.1 200")) {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("the server did not start: {}", std::fs::read_to_string(self.home.path().join("log")).unwrap());
    }

    fn kill(&mut self) {
        // SIGKILL: nothing is written that was not.
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn restart(&mut self) {
        self.child = run(self.home.path(), self.ports);
        self.wait();
    }
}

impl Drop for Weed {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn program() -> String {
    std::env::var("OUBLIETTE_TEST_WEED").expect("OUBLIETTE_TEST_WEED is not set: see scripts/engines.sh")
}

fn run(home: &Path, ports: [u16; 4]) -> Child {
    let log = std::fs::File::create(home.join("log")).unwrap();
    let [s3, master, volume, filer] = ports;
    Command::new(program())
        .arg(format!("-logdir={}", home.display()))
        .args([
            "server",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            "-filer",
            "-s3",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
        ])
        .args(["-volume.max=50", "-volume.preStopSeconds=1", "-master.volumeSizeLimitMB=64"])
        .args(["-master.electionTimeout=1s", "-master.telemetry=false"])
        .arg(format!("-dir={}", home.display()))
        .arg(format!("-s3.config={}", home.join("s3.json").display()))
        .arg(format!("-s3.port={s3}"))
        .arg(format!("-master.port={master}"))
        .arg(format!("-volume.port={volume}"))
        .arg(format!("-filer.port={filer}"))
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap()
}

/// One plain request; the whole answer.
fn ask(port: u16, path: &str) -> Option<String> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = Vec::new();
    std::io::Read::read_to_end(&mut stream, &mut answer).ok()?;
    Some(String::from_utf8_lossy(&answer).into_owned())
}

/// For some seconds after a start the server answers reads with errors.
async fn answers_again(blobs: &ObjectBlobs, blob: &BlobRef) {
    for _ in 0..100 {
        match blobs.read(blob, 0..1).await {
            Err(error) if error.kind == PortErrorKind::Unavailable => {
                tokio::time::sleep(Duration::from_millis(200)).await
            }
            _ => return,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_killed_under_load_loses_nothing_acknowledged_and_the_store_heals() {
    let mut weed = tokio::task::spawn_blocking(Weed::start).await.unwrap();
    let bucket = weed.server().bucket(BucketKind::Versioned).await;
    let impatient = ObjectOptions { timeout: Duration::from_secs(5), retries: 2, ..limits() };
    let blobs = attach(&bucket, impatient).await;
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let writers: Vec<_> = (0..6_u8)
        .map(|writer| {
            let (blobs, stopped) = (blobs.clone(), stopped.clone());
            tokio::spawn(async move {
                let (mut kept, mut refused): (Vec<(BlobRef, u8, usize)>, usize) = (Vec::new(), 0);
                while !*stopped.borrow() {
                    let size = if writer == 0 { 6 << 20 } else { 2_000 + usize::from(writer % 2) * 300_000 };
                    let fill = (kept.len() % 251) as u8;
                    match put(&blobs, u64::from(writer), vec![fill; size]).await {
                        Ok(blob) => kept.push((blob, fill, size)),
                        Err(error) => {
                            assert_eq!(error.kind, PortErrorKind::Unavailable, "{error:?}");
                            refused += 1;
                            tokio::time::sleep(Duration::from_millis(20)).await;
                        }
                    }
                }
                (kept, refused)
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mut weed = tokio::task::spawn_blocking(move || {
        weed.kill();
        std::thread::sleep(Duration::from_secs(1));
        weed.restart();
        weed
    })
    .await
    .unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    stop.send(true).unwrap();
    let (mut kept, mut refused) = (Vec::new(), 0);
    for writer in writers {
        let (blobs, failed) = writer.await.unwrap();
        kept.extend(blobs);
        refused += failed;
    }
    assert!(kept.len() > 20, "{} written", kept.len());
    assert!(refused > 0, "the kill hit nobody");
    let weed = tokio::task::spawn_blocking(move || {
        weed.kill();
        weed.restart();
        weed
    })
    .await
    .unwrap();
    let rows = LiveTable::default();
    answers_again(&blobs, &kept[0].0).await;
    for (blob, fill, size) in &kept {
        assert_reads(&blobs, blob, &vec![*fill; *size]).await;
        rows.insert(blob);
    }
    // What was not acknowledged is swept by the next run, and nothing else is.
    let next = attach(&bucket, limits()).await;
    while next.sweep_orphans(&rows).await.unwrap().unfinished {}
    let report = next.sweep_orphans(&rows).await.unwrap();
    assert_eq!((report.orphans, report.missing), (0, 0), "{report:?}");
    for (blob, fill, size) in &kept {
        assert_reads(&next, blob, &vec![*fill; *size]).await;
    }
    drop(weed);
}
