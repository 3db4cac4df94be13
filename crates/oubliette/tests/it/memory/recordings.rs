//! Recordings of any size go through the program in bounded memory, however many of them, and whatever their clients' pace.

use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use futures::{StreamExt as _, stream};
use reqwest::{Body, Method};
use tokio::task::JoinSet;

use super::resident::{MIB, Resident};
use super::traffic::{Clients, Framing, Recording, digest_of_answer, json_of, trickle};
use crate::figures::figure;
use crate::program::{Place, Server};

/// What everything that goes through the program may take above what it takes when idle.
const ABOVE_IDLE: u64 = 200 * MIB;
/// Slow clients of either direction at once.
const SLOW: usize = 32;
/// How long they go on.
const SLOW_TIME: Duration = Duration::from_secs(5);

/// The program, with what it took when it was idle.
struct Watched {
    server: Server,
    memory: Resident,
    idle: u64,
    length: u64,
}

impl Watched {
    /// Starts it.
    async fn start(place: &Place, length: u64) -> (Self, Clients) {
        let mut server = place.serve(&[]);
        let base = server.wait_for_endpoint();
        let memory = Resident::of(server.pid());
        let idle = memory.now();
        let clients = Clients::of(place, &base).await;
        (Self { server, memory, idle, length }, clients)
    }

    /// Fails if more memory was taken since the step before than anything may take.
    fn check(&self, step: &str) {
        self.check_below(step, ABOVE_IDLE);
    }

    /// Fails if this much memory was taken since the step before.
    fn check_below(&self, step: &str, limit: u64) {
        let above = self.memory.peak().saturating_sub(self.idle);
        let (peak, now) = (above / MIB, self.memory.now().saturating_sub(self.idle) / MIB);
        let (idle, length) = (self.idle / MIB, self.length / MIB);
        let text = format!("{peak} MiB at most, {now} MiB then, above {idle} MiB idle ({length} MiB each)");
        figure(&format!("memory of {step}, {length} MiB"), &text);
        assert!(above < limit, "{step}: {text}");
        self.memory.forget_peak();
    }
}

/// Four recordings at once by every way in; gives them with their ids.
async fn upload(clients: &Clients, length: u64) -> Vec<(String, Recording)> {
    let [a, b, c, d] = [1, 2, 3, 4].map(|seed| Recording { seed, length: length + seed });
    let ids = tokio::join!(
        clients.elevateai_upload(a, Framing::Chunks),
        clients.native_upload(b, Framing::Length),
        clients.creovai_capture(false, c, Framing::Length),
        clients.creovai_capture(true, d, Framing::Chunks),
    );
    vec![(ids.0, a), (ids.1, b), (ids.2, c), (ids.3, d)]
}

/// All of them at once, whole, by both ways out in turn.
async fn download(clients: &Clients, recordings: &[(String, Recording)]) {
    let whole = recordings.iter().enumerate().map(|(number, (id, recording))| async move {
        let [native, vonage] = clients.readers(id);
        let response = if number % 2 == 0 { native } else { vonage }.send().await.unwrap();
        assert_eq!(response.status(), 200);
        let read = digest_of_answer(response).await;
        assert_eq!(read, (recording.length, recording.digest(0..recording.length)), "recording {number}");
    });
    join_all(whole).await;
}

/// Stretches of all of them at once: single bytes, across chunks, to the end, nearly all.
async fn ranges(clients: &Clients, recordings: &[(String, Recording)]) {
    let stretches = recordings.iter().map(|(id, recording)| async move {
        let (length, half) = (recording.length, recording.length / 2);
        let asked = [
            (format!("bytes=0-{}", 0), 0..1),
            (format!("bytes={}-{}", half - 7, half + 3 * MIB), half - 7..half + 3 * MIB + 1),
            ("bytes=-4096".to_owned(), length - 4096..length),
            (format!("bytes={}-", half + 1), half + 1..length),
        ];
        for (number, (header, range)) in asked.into_iter().enumerate() {
            let [native, vonage] = clients.readers(id);
            let request = if number % 2 == 0 { native } else { vonage };
            let response = request.header("range", &header).send().await.unwrap();
            assert_eq!(response.status(), 206, "{header}");
            let read = digest_of_answer(response).await;
            assert_eq!(read, (range.end - range.start, recording.digest(range)), "{header}");
        }
    });
    join_all(stretches).await;
}

/// Many that read and write as slowly as a bad line does, and go away in the middle.
async fn slow_clients(clients: &Clients, recordings: &[(String, Recording)]) {
    let made = serde_json::json!({ "kind": "call", "startedAt": "2026-01-01T00:00:00Z" });
    let made = json_of(clients.native(Method::POST, "/interactions").json(&made), 201).await;
    let id = made["id"].as_str().unwrap();
    let mut all = JoinSet::new();
    for number in 0..SLOW {
        let [native, vonage] = clients.readers(&recordings[number % recordings.len()].0);
        let read = if number % 2 == 0 { native } else { vonage };
        all.spawn(async move {
            let came = trickle(read.send().await.unwrap(), SLOW_TIME).await;
            assert!(came > 0, "a slow reader is served");
        });
        let put =
            clients.native(Method::PUT, &format!("/interactions/{id}/contents/slow-{number}?kind=screenRecording"));
        let pieces = stream::repeat_with(|| Bytes::from(vec![0x42; 16 << 10])).then(|piece| async move {
            tokio::time::sleep(Duration::from_millis(20)).await;
            Ok::<_, std::io::Error>(piece)
        });
        all.spawn(async move {
            let sending = put.body(Body::wrap_stream(pieces)).send();
            assert!(tokio::time::timeout(SLOW_TIME, sending).await.is_err(), "an endless body is not answered");
        });
    }
    while let Some(done) = all.join_next().await {
        done.unwrap();
    }
}

/// Every step with recordings of `length` bytes.
async fn in_bounded_memory(length: u64) {
    let place = Place::new();
    let (watched, clients) = Watched::start(&place, length).await;
    watched.memory.forget_peak();
    let recordings = upload(&clients, length).await;
    watched.check("four uploads at once");
    download(&clients, &recordings).await;
    watched.check("four downloads at once");
    ranges(&clients, &recordings).await;
    watched.check("ranges of four at once");
    slow_clients(&clients, &recordings).await;
    watched.check("slow readers and writers");
    watched.server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn four_recordings_at_once_go_in_and_out_in_bounded_memory() {
    in_bounded_memory(256 * MIB).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_connection_with_many_streams_takes_no_more_memory_than_many_connections() {
    let place = Place::new();
    let (watched, clients) = Watched::start(&place, 48 * MIB).await;
    watched.memory.forget_peak();
    let clients = clients.multiplexed();
    let recordings = upload(&clients, watched.length).await;
    watched.check("four uploads over HTTP 2");
    download(&clients, &recordings).await;
    watched.check("four downloads over HTTP 2");
    slow_clients(&clients, &recordings).await;
    watched.check("slow readers and writers over HTTP 2");
    watched.server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_in_single_bytes_takes_no_more_memory_than_its_bytes() {
    let place = Place::new();
    let (watched, clients) = Watched::start(&place, 0).await;
    clients.elevateai_upload_in_single_bytes(4_096).await;
    watched.memory.forget_peak();
    join_all((0..4).map(|_| clients.elevateai_upload_in_single_bytes(256 << 10))).await;
    watched.check_below("four bodies in single bytes", 24 * MIB);
    watched.server.stop();
}

mod slow {
    use super::{MIB, in_bounded_memory};

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "slow lane"]
    async fn four_recordings_of_2_gib_at_once_go_in_and_out_in_bounded_memory() {
        in_bounded_memory(2048 * MIB).await;
    }
}
