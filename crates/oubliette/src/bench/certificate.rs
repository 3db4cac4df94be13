//! `bench certificate`: from the seal of a very large order to its certificate, all its receipts, the check of one, and many
//! who ask at once.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use futures::TryStreamExt as _;
use oubliette_proof::certificate::BulkChecker;
use oubliette_proof::sha256;
use serde_json::json;
use uuid::Uuid;

use super::erase::{SMALL, purge};
use super::rig::{Background, Rig};
use super::stats::median;
use super::{Figures, Options, put};

/// Contents of each interaction.
const CONTENTS: usize = 1;
/// How often one receipt is checked.
const CHECKS: usize = 100;
/// So many ask at once.
const AT_ONCE: usize = 64;
/// How often one who asks alone is measured.
const ALONE: usize = 3;
/// How often it is looked whether there is a certificate.
const POLL: Duration = Duration::from_millis(20);
/// How long it may take.
const PATIENCE: Duration = Duration::from_secs(600);

/// Measures and gives the figures. The items of the order are 1,000,000 interactions with a content each: as many receipts.
pub async fn certificate(options: &Options) -> Result<Figures> {
    let interactions = if options.quick { 10_000 } else { 1_000_000 };
    let rig = Rig::start(&options.folder, Background::All).await?;
    let done = measure(&rig, interactions).await;
    rig.end().await?;
    done
}

async fn measure(rig: &Rig, interactions: usize) -> Result<Figures> {
    let mut figures = Figures::new();
    let phone = "+15125550142";
    eprintln!("filling the vault with one customer's {interactions} interactions");
    let ids = rig.fill(interactions, CONTENTS, SMALL, Some(phone)).await?;
    let (id, took) = purge(rig, &json!({ "phones": [phone] }), interactions).await?;
    put(&mut figures, "sealed_s", took.as_secs_f64());
    put(&mut figures, "items", interactions as f64);

    let begun = Instant::now();
    let mut client = rig.client().await?;
    let path = format!("/api/v1/erasures/{id}/certificate");
    loop {
        let answer = client.send("GET", &path, &rig.native_headers, b"").await?;
        if answer.status == 200 {
            break;
        }
        ensure!(answer.status == 503 && begun.elapsed() < PATIENCE, "a certificate was answered {}", answer.status);
        tokio::time::sleep(POLL).await;
    }
    // From nothing: rows read, facts and receipts made, the log told.
    put(&mut figures, "certificate_after_seal_s", begun.elapsed().as_secs_f64());
    let begun = Instant::now();
    let answer = client.send("GET", &path, &rig.native_headers, b"").await?;
    ensure!(answer.status == 200, "a certificate was answered {}", answer.status);
    put(&mut figures, "certificate_again_s", begun.elapsed().as_secs_f64());
    receipts(rig, Uuid::parse_str(&id)?, interactions, &mut figures).await?;
    at_once(rig, &ids, &mut figures).await?;
    Ok(figures)
}

/// Certificates of items of the order, with nothing kept: of one, and of many at once.
async fn at_once(rig: &Rig, ids: &[String], figures: &mut Figures) -> Result<()> {
    let asked = async |number: usize| {
        let mut client = rig.client().await?;
        let path = format!("/api/v1/interactions/{}/certificate", ids[number * (ids.len() / AT_ONCE)]);
        let answer = client.send("GET", &path, &rig.native_headers, b"").await?;
        ensure!(answer.status == 200, "a certificate was answered {}", answer.status);
        Ok(())
    };
    let mut alone = Vec::with_capacity(ALONE);
    for number in 0..ALONE {
        rig.server.vault.forget_trees();
        let begun = Instant::now();
        asked(number).await?;
        alone.push(begun.elapsed());
    }
    let alone = median(&mut alone);
    rig.server.vault.forget_trees();
    let begun = Instant::now();
    futures::future::try_join_all((0..AT_ONCE).map(&asked)).await?;
    let together = begun.elapsed();
    put(figures, "item_certificate_s", alone.as_secs_f64());
    put(figures, "item_certificates_64_at_once_s", together.as_secs_f64());
    put(figures, "item_certificates_64_ratio_to_one", together.as_secs_f64() / alone.as_secs_f64());
    Ok(())
}

/// All receipts, against plain SHA-256 of their bytes, and the check of one by whoever has the file and the log's key.
async fn receipts(rig: &Rig, id: Uuid, items: usize, figures: &mut Figures) -> Result<()> {
    let begun = Instant::now();
    let mut file = rig.server.vault.receipts(&rig.actor, id).await?;
    let (mut start, mut hashed, mut bytes, mut lines) = (Vec::new(), Duration::ZERO, 0_u64, 0_usize);
    while let Some(piece) = file.try_next().await? {
        let began = Instant::now();
        std::hint::black_box(sha256(&[&piece]));
        hashed += began.elapsed();
        bytes += piece.len() as u64;
        lines += piece.iter().filter(|byte| **byte == b'\n').count();
        if start.len() < 1 << 20 {
            start.extend_from_slice(&piece);
        }
    }
    let took = begun.elapsed().saturating_sub(hashed);
    ensure!(lines == items + 1, "{lines} lines for {items} items");
    put(figures, "receipts_s", took.as_secs_f64());
    put(figures, "receipts_mb", bytes as f64 / 1e6);
    put(figures, "receipts_ratio_to_sha256", took.as_secs_f64() / hashed.as_secs_f64());

    let mut lines = start.split_inclusive(|byte| *byte == b'\n');
    let (first, line) = (lines.next().context("no certificate")?, lines.next().context("no receipt")?);
    let keys = rig.server.vault.log().trusted();
    let mut checks = Vec::with_capacity(CHECKS);
    for _ in 0..CHECKS {
        let began = Instant::now();
        let checked = BulkChecker::new(first, &keys).and_then(|checker| checker.item(line).map(|item| item.index));
        checks.push(began.elapsed());
        ensure!(checked.is_ok(), "a receipt does not hold");
    }
    put(figures, "check_one_receipt_p50_ms", median(&mut checks).as_secs_f64() * 1e3);
    Ok(())
}
