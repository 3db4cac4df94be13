//! `bench erase`: what a deletion costs until it is sealed.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::baseline::FourFlushes;
use super::client::Client;
use super::rig::{Background, Rig};
use super::stats::{Cores, median, percentile};
use super::{Figures, Options, log, put};

/// Bytes of a small recording.
pub(super) const SMALL: usize = 1 << 10;
/// Connections of the parallel measurement.
const CONNECTIONS: usize = 64;
/// Contents of each interaction that a purge covers.
const CONTENTS: usize = 4;
/// How often a purge is asked whether it is sealed.
const POLL: Duration = Duration::from_millis(5);

struct Numbers {
    warm: usize,
    single: usize,
    parallel: usize,
    purged: usize,
    sized: usize,
    large: u64,
}

impl Numbers {
    fn of(quick: bool) -> Self {
        if quick {
            Self { warm: 10, single: 60, parallel: 1_500, purged: 1_000, sized: 10, large: 16 << 20 }
        } else {
            Self { warm: 30, single: 300, parallel: 20_000, purged: 25_000, sized: 11, large: 1 << 30 }
        }
    }
}

/// Measures and gives the figures.
pub async fn erase(options: &Options) -> Result<Figures> {
    let numbers = Numbers::of(options.quick);
    let mut figures = Figures::new();
    // Removal of rows and blobs is paused: what is seen is the way to *sealed* alone.
    let rig = Rig::start(&options.folder, Background::Kept).await?;
    let done = match calibrate(&rig, &numbers, &mut figures).await {
        Ok(bytes) => sizes(&rig, &numbers, &mut figures).await.map(|()| bytes),
        Err(error) => Err(error),
    };
    rig.end().await?;
    let (log_bytes, pages_bytes) = done?;

    let rig = Rig::start(&options.folder, Background::All).await?;
    let done = match interactive(&rig, &numbers, log_bytes, pages_bytes, &mut figures).await {
        Ok(()) => purges(&rig, &numbers, &mut figures).await,
        Err(error) => Err(error),
    };
    rig.end().await?;
    done?;
    log::overhead(&options.folder, numbers.parallel, &mut figures).await?;
    Ok(figures)
}

/// How many bytes a delete writes to the database's log and to key pages.
async fn calibrate(rig: &Rig, numbers: &Numbers, figures: &mut Figures) -> Result<(usize, usize)> {
    let ids = rig.fill(numbers.warm, 1, SMALL, None).await?;
    let mut client = rig.client().await?;
    let written = Written::start(&rig.folder);
    for id in &ids {
        delete(&mut client, &rig.delete_headers, id).await?;
    }
    let (log_bytes, pages_bytes) = written.each(ids.len());
    put(figures, "baseline_log_bytes", log_bytes as f64);
    put(figures, "baseline_pages_bytes", pages_bytes as f64);
    Ok((log_bytes, pages_bytes))
}

async fn delete(client: &mut Client, headers: &str, id: &str) -> Result<Duration> {
    let begun = Instant::now();
    let answer = client.send("DELETE", &format!("/v1/interactions/{id}"), headers, b"").await?;
    let took = begun.elapsed();
    ensure!(answer.status == 200, "a delete was answered {}", answer.status);
    Ok(took)
}

async fn interactive(
    rig: &Rig,
    numbers: &Numbers,
    log_bytes: usize,
    pages_bytes: usize,
    figures: &mut Figures,
) -> Result<()> {
    eprintln!("filling the vault");
    let mut ids = rig.fill(numbers.warm + numbers.single + numbers.parallel, 1, SMALL, None).await?;
    let mut client = rig.client().await?;

    for id in ids.split_off(ids.len() - numbers.warm) {
        delete(&mut client, &rig.delete_headers, &id).await?;
    }
    // One delete, four flushes, in turn: what disturbs one disturbs the other.
    let mut flushes = FourFlushes::new(&rig.folder.join("baseline"), log_bytes, pages_bytes)?;
    let (mut deletes, mut bare) = (Vec::new(), Vec::new());
    for id in ids.split_off(ids.len() - numbers.single) {
        deletes.push(delete(&mut client, &rig.delete_headers, &id).await?);
        bare.push(tokio::task::block_in_place(|| flushes.once())?);
    }
    let single_rate = deletes.len() as f64 / deletes.iter().sum::<Duration>().as_secs_f64();
    let (own, base) = (median(&mut deletes), median(&mut bare));
    put(figures, "sealed_delete_p50_ms", own.as_secs_f64() * 1e3);
    put(figures, "sealed_delete_p99_ms", percentile(&mut deletes, 99).as_secs_f64() * 1e3);
    put(figures, "four_flushes_p50_ms", base.as_secs_f64() * 1e3);
    put(figures, "sealed_delete_p50_ratio", own.as_secs_f64() / base.as_secs_f64());
    put(figures, "sealed_deletes_per_s_c1", single_rate);

    let count = ids.len();
    let cores = Cores::start();
    let rate = count as f64 / parallel(rig, ids).await?.as_secs_f64();
    put(figures, "cores_busy_c64", cores.share());
    put(figures, "sealed_deletes_per_s_c64", rate);
    put(figures, "concurrency_gain", rate / single_rate);
    Ok(())
}

/// Deletes all of them over many connections; how long it took.
pub(super) async fn parallel(rig: &Rig, ids: Vec<String>) -> Result<Duration> {
    let work = Arc::new(Mutex::new(VecDeque::from(ids)));
    let begun = Instant::now();
    let mut connections = tokio::task::JoinSet::new();
    for _ in 0..CONNECTIONS {
        let (mut client, work) = (rig.client().await?, Arc::clone(&work));
        let headers = rig.delete_headers.clone();
        connections.spawn(async move {
            loop {
                let next = work.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                let Some(id) = next else { return Ok::<_, anyhow::Error>(()) };
                delete(&mut client, &headers, &id).await?;
            }
        });
    }
    while let Some(done) = connections.join_next().await {
        done??;
    }
    Ok(begun.elapsed())
}

/// Bytes written to the database's log and to key pages, seen from outside.
struct Written {
    log: std::path::PathBuf,
    log_before: u64,
    all_before: u64,
}

impl Written {
    /// What is written for a delete beside log and pages: two slots of the register, request and answer.
    const BESIDE: u64 = 2 * 4096 + 1024;

    fn start(folder: &Path) -> Self {
        let log = folder.join("vault").join("db").join("oubliette.sqlite-wal");
        Self { log_before: length(&log), all_before: all_written(), log }
    }

    /// Bytes of log and of pages that one of `count` deletes wrote.
    fn each(&self, count: usize) -> (usize, usize) {
        let count = count.max(1) as u64;
        let all = (all_written().saturating_sub(self.all_before) / count).saturating_sub(Self::BESIDE);
        // Where the log was begun anew meanwhile, a transaction of three pages is assumed.
        let log = match length(&self.log).checked_sub(self.log_before).filter(|grown| *grown > 0) {
            Some(grown) => grown / count,
            None => 3 * 4120,
        };
        let pages = all.saturating_sub(log).clamp(4096, 64 << 10);
        (usize::try_from(log).unwrap_or(12_360), usize::try_from(pages).unwrap_or(8_192))
    }
}

fn length(path: &Path) -> u64 {
    path.metadata().map_or(0, |metadata| metadata.len())
}

fn all_written() -> u64 {
    let text = std::fs::read_to_string("/proc/self/io").unwrap_or_default();
    text.lines().find_map(|line| line.strip_prefix("wchar: ")?.trim().parse().ok()).unwrap_or(0)
}

async fn purges(rig: &Rig, numbers: &Numbers, figures: &mut Figures) -> Result<()> {
    let items = (numbers.purged * CONTENTS) as f64;
    let phone = "+15125550142";
    eprintln!("filling the vault with one customer's {} interactions", numbers.purged);
    rig.fill(numbers.purged, CONTENTS, SMALL, Some(phone)).await?;
    let (_, by_phone) = purge(rig, &json!({ "phones": [phone] }), numbers.purged).await?;
    put(figures, "purge_by_phone_items_per_s", items / by_phone.as_secs_f64());
    eprintln!("filling the vault with {} interactions to purge by id", numbers.purged);
    let ids = rig.fill(numbers.purged, CONTENTS, SMALL, None).await?;
    let (_, by_ids) = purge(rig, &json!({ "ids": ids }), numbers.purged).await?;
    put(figures, "purge_by_ids_items_per_s", items / by_ids.as_secs_f64());
    put(figures, "purge_items_per_s", items / by_phone.max(by_ids).as_secs_f64());
    Ok(())
}

/// From the order to *sealed*, over HTTP; the order's id and how long it took.
pub(super) async fn purge(rig: &Rig, selector: &Value, expected: usize) -> Result<(String, Duration)> {
    let mut client = rig.client().await?;
    let headers = format!("{}content-type: application/json\r\n", rig.native_headers);
    let body = serde_json::to_vec(&json!({ "selector": selector }))?;
    let begun = Instant::now();
    let answer = client.send("POST", "/api/v1/erasures", &headers, &body).await?;
    ensure!(answer.status == 202, "an order was answered {}", answer.status);
    let answer: Value = serde_json::from_slice(&answer.body)?;
    let id = answer["id"].as_str().context("an order without an id")?.to_owned();
    loop {
        let answer = client.send("GET", &format!("/api/v1/erasures/{id}"), &rig.native_headers, b"").await?;
        ensure!(answer.status == 200, "an erasure was answered {}", answer.status);
        let erasure: Value = serde_json::from_slice(&answer.body)?;
        if matches!(erasure["state"].as_str(), Some("sealed" | "removed")) {
            let took = begun.elapsed();
            let erased = erasure["interactions"].as_u64().unwrap_or(0);
            ensure!(erased == expected as u64, "{erased} interactions were erased, not {expected}");
            return Ok((id, took));
        }
        tokio::time::sleep(POLL).await;
    }
}

async fn sizes(rig: &Rig, numbers: &Numbers, figures: &mut Figures) -> Result<()> {
    eprintln!("storing {} recordings of {} bytes and as many of {SMALL}", numbers.sized, numbers.large);
    let mut client = rig.client().await?;
    let piece = vec![0x42; 256 << 10];
    let (mut large, mut small) = (Vec::new(), Vec::new());
    for _ in 0..numbers.sized {
        large.push(recording(rig, &mut client, &piece, numbers.large).await?);
        small.push(recording(rig, &mut client, &piece, SMALL as u64).await?);
    }
    for id in rig.fill(numbers.warm, 1, SMALL, None).await? {
        delete(&mut client, &rig.delete_headers, &id).await?;
    }
    let (mut of_large, mut of_small) = (Vec::new(), Vec::new());
    for (large, small) in large.iter().zip(&small) {
        of_large.push(delete(&mut client, &rig.delete_headers, large).await?);
        of_small.push(delete(&mut client, &rig.delete_headers, small).await?);
    }
    let (of_large, of_small) = (median(&mut of_large).as_secs_f64(), median(&mut of_small).as_secs_f64());
    put(figures, "delete_large_p50_ms", of_large * 1e3);
    put(figures, "delete_small_p50_ms", of_small * 1e3);
    put(figures, "size_ratio", of_large / of_small);
    Ok(())
}

/// Declares and uploads one recording over HTTP; its id.
pub(super) async fn recording(rig: &Rig, client: &mut Client, piece: &[u8], length: u64) -> Result<String> {
    let headers = format!("{}content-type: application/json\r\n", rig.native_headers);
    let body = json!({ "kind": "call", "startedAt": rig.server.vault.now() });
    let answer = client.send("POST", "/api/v1/interactions", &headers, body.to_string().as_bytes()).await?;
    ensure!(answer.status == 201, "an interaction was answered {}", answer.status);
    let made: Value = serde_json::from_slice(&answer.body)?;
    let id = made["id"].as_str().context("an interaction without an id")?.to_owned();
    let path = format!("/api/v1/interactions/{id}/contents/callRecording");
    let headers = format!("{}content-type: audio/wav\r\n", rig.native_headers);
    let answer = client.upload("PUT", &path, &headers, piece, length).await?;
    ensure!((200..300).contains(&answer.status), "a recording was answered {}", answer.status);
    Ok(id)
}
