//! Asks witnesses to sign the log's checkpoints: C2SP tlog-witness, the log's side of `add-checkpoint`.
//!
//! One task for each witness, so that none waits for another. It runs when the log has grown; what grew meanwhile goes with the
//! next request. Nothing here holds up a seal, an answer or an entry: a witness that does not answer, or refuses, is told in
//! the log and in the figures, and asked again later.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use oubliette_core::service::{LogError, TransparencyLog};
use oubliette_proof::note::{AddCheckpoint, Checkpoint, NoteError, SignedNote, TrustedKeys};
use reqwest::{Client, Response, redirect};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::config::Witness;

/// One request, with its answer.
const WHOLE: Duration = Duration::from_secs(15);
/// Entries that come within this time go to a witness together.
const GATHER: Duration = Duration::from_millis(200);
/// Pauses after failures: the first, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(300));
/// Longest answer that is read.
const ANSWER: usize = 64 << 10;

/// Why a witness has not signed.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("the witness cannot be reached")]
    Unreachable(#[source] reqwest::Error),
    #[error("the witness answered with status {0}")]
    Status(u16),
    #[error("the witness knows nothing of this log")]
    UnknownLog,
    #[error("the witness does not take the log's key for one of this log")]
    UnknownKey,
    #[error("the witness does not see that the log only grew: was it another log that it saw before?")]
    Inconsistent,
    #[error(
        "the witness has seen {seen} entries of this log, and there are {there}: did it see what a crash took back?"
    )]
    SawMore { seen: u64, there: u64 },
    #[error("the witness has seen another log of this name and size")]
    Forked,
    #[error(
        "the witness says ever other sizes of what it has seen: does somebody else bring it checkpoints of this log?"
    )]
    Unsettled,
    #[error("the answer of the witness is none")]
    Malformed,
    #[error("the signature of the witness does not hold")]
    Signature(#[source] NoteError),
    #[error("the log cannot say what the witness needs to know")]
    Log(#[source] LogError),
}

/// Asks all of them whenever the log has grown, until `stop`.
pub async fn run(log: Arc<TransparencyLog>, witnesses: Vec<Witness>, stop: CancellationToken) {
    if witnesses.is_empty() {
        return;
    }
    let client = match client() {
        Ok(client) => client,
        Err(error) => {
            tracing::error!(%error, "witnesses cannot be asked: no HTTP client");
            return;
        }
    };
    let mut asking = JoinSet::new();
    for witness in witnesses {
        let (following, stop) = (follow(Arc::clone(&log), witness, client.clone()), stop.clone());
        asking.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = following => {}
            }
        });
    }
    while asking.join_next().await.is_some() {}
}

fn client() -> Result<Client, reqwest::Error> {
    Client::builder()
        .redirect(redirect::Policy::none())
        .no_proxy()
        .timeout(WHOLE)
        .user_agent(concat!("oubliette/", env!("CARGO_PKG_VERSION")))
        .build()
}

/// Keeps one witness up to date.
async fn follow(log: Arc<TransparencyLog>, witness: Witness, client: Client) {
    let name = witness.key.name().to_owned();
    let mut sizes = log.sizes();
    metrics::gauge!("oubliette_log_witness_reachable", "witness" => name.clone()).set(0.0);
    // What it has seen is asked by asking it: it tells when this is wrong.
    let (mut seen, mut signed, mut pause) = (0, 0, PAUSES.0);
    loop {
        let size = *sizes.borrow_and_update();
        metrics::gauge!("oubliette_log_witness_lag_entries", "witness" => name.clone())
            .set(size.saturating_sub(signed) as f64);
        let next = if signed < size {
            match ask(&log, &witness, &client, &mut seen).await {
                Ok(now) => {
                    metrics::gauge!("oubliette_log_witness_reachable", "witness" => name.clone()).set(1.0);
                    (signed, pause) = (now, PAUSES.0);
                    None
                }
                Err(error) => {
                    metrics::gauge!("oubliette_log_witness_reachable", "witness" => name.clone()).set(0.0);
                    tracing::warn!(
                        witness = name,
                        error = &error as &dyn std::error::Error,
                        "a witness has not signed the log's checkpoint; it is asked again"
                    );
                    let wait = pause;
                    pause = (pause * 2).min(PAUSES.1);
                    Some(wait)
                }
            }
        } else {
            None
        };
        match next {
            Some(wait) => tokio::time::sleep(wait).await,
            None => {
                if signed >= *sizes.borrow() {
                    // The sender lives as long as the log.
                    let _ = sizes.changed().await;
                }
                tokio::time::sleep(GATHER).await;
            }
        }
    }
}

/// Asks for a signature over the newest checkpoint; the size that is signed now. `seen` is the size that the witness is
/// known to have seen.
async fn ask(log: &Arc<TransparencyLog>, witness: &Witness, client: &Client, seen: &mut u64) -> Result<u64, Refusal> {
    let mut corrected = false;
    loop {
        let (request, size) = request(log, *seen).await?;
        let url = witness.url.join("add-checkpoint").map_err(|_| Refusal::Malformed)?;
        let sent = client.post(url).body(request.to_string()).send().await;
        let answer = sent.map_err(|error| Refusal::Unreachable(error.without_url()))?;
        match answer.status() {
            StatusCode::OK => {
                let answer = text(answer).await?;
                let (log, keys) = (Arc::clone(log), TrustedKeys::new(vec![witness.key.clone()]));
                let added = log.add_cosignatures(&request.checkpoint, &answer, &keys);
                return match added {
                    Ok(0) => Err(Refusal::Malformed),
                    Ok(_) => {
                        *seen = size;
                        Ok(size)
                    }
                    Err(LogError::Note(error)) => Err(Refusal::Signature(error)),
                    Err(error) => Err(Refusal::Log(error)),
                };
            }
            StatusCode::CONFLICT => {
                if *seen == size {
                    // There was nothing to add to what it has seen: it has seen another tree of this size.
                    return Err(Refusal::Forked);
                }
                let there = text(answer).await?;
                let there: u64 =
                    there.strip_suffix('\n').and_then(|size| size.parse().ok()).ok_or(Refusal::Malformed)?;
                if there > size {
                    return Err(Refusal::SawMore { seen: there, there: size });
                }
                if there == *seen {
                    // That is what it was told.
                    return Err(Refusal::Malformed);
                }
                *seen = there;
                if std::mem::replace(&mut corrected, true) {
                    return Err(Refusal::Unsettled);
                }
            }
            StatusCode::NOT_FOUND => return Err(Refusal::UnknownLog),
            StatusCode::FORBIDDEN => return Err(Refusal::UnknownKey),
            StatusCode::UNPROCESSABLE_ENTITY => return Err(Refusal::Inconsistent),
            other => return Err(Refusal::Status(other.as_u16())),
        }
    }
}

/// The newest checkpoint with the proof that it continues what the witness has seen.
async fn request(log: &Arc<TransparencyLog>, old: u64) -> Result<(AddCheckpoint, u64), Refusal> {
    let log = Arc::clone(log);
    let made = tokio::task::spawn_blocking(move || {
        let checkpoint = log.checkpoint();
        let note = SignedNote::parse(&checkpoint)?;
        let size = Checkpoint::parse(note.text())?.head.size;
        let proof = if old == 0 || old >= size { Vec::new() } else { log.consistency(old, size)? };
        Ok::<_, LogError>((AddCheckpoint { old: old.min(size), proof, checkpoint }, size))
    });
    made.await.map_err(|_| Refusal::Malformed)?.map_err(Refusal::Log)
}

/// The body, if it is short and text.
async fn text(mut answer: Response) -> Result<String, Refusal> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|error| Refusal::Unreachable(error.without_url()))? {
        if body.len() + chunk.len() > ANSWER {
            return Err(Refusal::Malformed);
        }
        body.extend_from_slice(&chunk);
    }
    String::from_utf8(body).map_err(|_| Refusal::Malformed)
}
