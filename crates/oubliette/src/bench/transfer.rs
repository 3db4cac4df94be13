//! `bench ingest` and `bench read`: bytes in and out against the bare cost of sealing, writing, reading and opening them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::{Result, ensure};

use super::baseline::{read_and_open, seal_and_write};
use super::erase::recording;
use super::rig::{Background, Rig};
use super::stats::Cores;
use super::{Figures, Options, put};

/// Connections of the measurement with small recordings.
const CONNECTIONS: usize = 64;
/// Bytes of a small recording.
const SMALL: usize = 1 << 10;

struct Numbers {
    files: usize,
    length: u64,
    small: usize,
    rounds: usize,
}

impl Numbers {
    fn of(quick: bool) -> Self {
        if quick {
            Self { files: 4, length: 8 << 20, small: 500, rounds: 1 }
        } else {
            Self { files: 8, length: 128 << 20, small: 10_000, rounds: 3 }
        }
    }

    fn megabytes(&self) -> f64 {
        (self.files as u64 * self.length) as f64 / 1e6
    }
}

/// Measures taking in.
pub async fn ingest(options: &Options) -> Result<Figures> {
    let rig = Rig::start(&options.folder, Background::All).await?;
    let done = measure_ingest(&rig, &Numbers::of(options.quick)).await;
    rig.end().await?;
    done
}

async fn measure_ingest(rig: &Rig, numbers: &Numbers) -> Result<Figures> {
    let mut figures = Figures::new();
    let mut client = rig.client().await?;
    let piece = vec![0x42; 256 << 10];
    let (mut own, mut bare) = (f64::MAX, f64::MAX);
    for round in 0..numbers.rounds {
        let folder = rig.folder.join(format!("baseline-{round}"));
        let took = tokio::task::block_in_place(|| seal_and_write(&folder, numbers.files, numbers.length))?;
        bare = bare.min(took.as_secs_f64());
        std::fs::remove_dir_all(&folder)?;
        let begun = Instant::now();
        for _ in 0..numbers.files {
            recording(rig, &mut client, &piece, numbers.length).await?;
        }
        own = own.min(begun.elapsed().as_secs_f64());
    }
    put(&mut figures, "ingest_mb_per_s", numbers.megabytes() / own);
    put(&mut figures, "seal_and_write_mb_per_s", numbers.megabytes() / bare);
    put(&mut figures, "ingest_ratio", own / bare);

    let left = Arc::new(AtomicUsize::new(numbers.small));
    let cores = Cores::start();
    let begun = Instant::now();
    let mut connections = tokio::task::JoinSet::new();
    for _ in 0..CONNECTIONS {
        let (mut client, left) = (rig.client().await?, Arc::clone(&left));
        let headers = format!("{}content-type: multipart/form-data; boundary=B\r\n", rig.capture_headers);
        connections.spawn(async move {
            let taken = |left: usize| left.checked_sub(1);
            while let Ok(number) = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken) {
                let answer = client.send("POST", "/callCapture/v1/archive", &headers, &capture(number)).await?;
                ensure!(answer.status == 200, "a capture was answered {}", answer.status);
            }
            Ok::<_, anyhow::Error>(())
        });
    }
    while let Some(done) = connections.join_next().await {
        done??;
    }
    put(&mut figures, "ingest_small_per_s", numbers.small as f64 / begun.elapsed().as_secs_f64());
    put(&mut figures, "cores_busy_small", cores.share());
    Ok(figures)
}

/// A call with a small recording, as a recorder sends it.
fn capture(number: usize) -> Vec<u8> {
    let info = format!(
        r#"{{"sessionId":"bench-{number}","startTime":"2026-01-01T00:00:00Z","direction":"Inbound","audio":{{"format":"wav"}},"contacts":[{{"type":"customer","channel":0,"phoneNumber":"+1512{number:07}"}}]}}"#
    );
    let mut body = format!(
        "--B\r\nContent-Disposition: form-data; name=\"info\"\r\nContent-Type: application/json\r\n\r\n{info}\r\n\
         --B\r\nContent-Disposition: form-data; name=\"data\"\r\nContent-Type: audio/wav\r\n\r\n"
    )
    .into_bytes();
    body.resize(body.len() + SMALL, 0x42);
    body.extend_from_slice(b"\r\n--B--\r\n");
    body
}

/// Measures giving out.
pub async fn read(options: &Options) -> Result<Figures> {
    let rig = Rig::start(&options.folder, Background::All).await?;
    let done = measure_read(&rig, &Numbers::of(options.quick)).await;
    rig.end().await?;
    done
}

async fn measure_read(rig: &Rig, numbers: &Numbers) -> Result<Figures> {
    let mut figures = Figures::new();
    let mut client = rig.client().await?;
    let piece = vec![0x42; 256 << 10];
    let mut ids = Vec::new();
    for _ in 0..numbers.files {
        ids.push(recording(rig, &mut client, &piece, numbers.length).await?);
    }
    let folder = rig.folder.join("baseline");
    tokio::task::block_in_place(|| seal_and_write(&folder, numbers.files, numbers.length))?;
    let (mut own, mut bare) = (f64::MAX, f64::MAX);
    for _ in 0..numbers.rounds {
        let took = tokio::task::block_in_place(|| read_and_open(&folder, numbers.files))?;
        bare = bare.min(took.as_secs_f64());
        let begun = Instant::now();
        for id in &ids {
            let path = format!("/api/v1/interactions/{id}/contents/callRecording");
            let answer = client.download(&path, &rig.native_headers).await?;
            ensure!(answer.status == 200 && answer.length == numbers.length, "a read was answered {}", answer.status);
        }
        own = own.min(begun.elapsed().as_secs_f64());
    }
    put(&mut figures, "read_mb_per_s", numbers.megabytes() / own);
    put(&mut figures, "read_and_open_mb_per_s", numbers.megabytes() / bare);
    put(&mut figures, "read_ratio", own / bare);

    // Random small ranges: only the chunks they need are opened.
    let ranges = if numbers.rounds == 1 { 200 } else { 5_000 };
    let begun = Instant::now();
    for number in 0..ranges {
        let start = (number as u64).wrapping_mul(2_654_435_761) % (numbers.length - 4096);
        let headers = format!("{}range: bytes={start}-{}\r\n", rig.native_headers, start + 4095);
        let path = format!("/api/v1/interactions/{}/contents/callRecording", ids[number % ids.len()]);
        let answer = client.download(&path, &headers).await?;
        ensure!(answer.status == 206 && answer.length == 4096, "a range was answered {}", answer.status);
    }
    put(&mut figures, "range_reads_per_s", f64::from(ranges as u32) / begun.elapsed().as_secs_f64());
    Ok(figures)
}
