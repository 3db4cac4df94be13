//! One interaction from files into the vault.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::digest;
use bytes::Bytes;
use futures::StreamExt as _;
use jiff::Timestamp;
use oubliette_core::model::{Actor, ContentKind, InteractionKind, InteractionMeta, State};
use oubliette_core::service::{BodyStream, Lookup, NewContent, NewInteraction, Vault, VaultError, body_of};
use serde_json::Value;
use tokio::io::AsyncReadExt as _;
use tokio::sync::Semaphore;
use tokio_util::io::ReaderStream;

use super::files::{Job, inside};
use super::sidecar::About;
use super::{Bad, media, transcripts, vcon};

/// Bytes read at a time.
const PIECE: usize = 128 << 10;

/// What became of a job.
#[derive(Debug)]
pub enum Outcome {
    /// Stored.
    Imported,
    /// It is there already.
    Skipped,
    /// Not stored, and why.
    Bad(Bad),
}

/// Why a job was not stored.
enum Failure {
    /// Its own fault.
    Bad(Bad),
    /// The vault's: going on makes no sense.
    Vault(VaultError),
}

impl From<Bad> for Failure {
    fn from(bad: Bad) -> Self {
        Self::Bad(bad)
    }
}

impl From<VaultError> for Failure {
    fn from(error: VaultError) -> Self {
        match error {
            VaultError::Invalid(text) | VaultError::Conflict(text) => Self::Bad(Bad::new(text)),
            VaultError::TooLarge => Self::Bad(Bad::new("larger than limits.max_content_bytes")),
            VaultError::Interrupted => Self::Bad(Bad::new("could not be read to its end")),
            other => Self::Vault(other),
        }
    }
}

/// Stores jobs as one tenant. Cheap to clone.
#[derive(Clone)]
pub struct Importer {
    vault: Vault,
    actor: Actor,
    root: Arc<PathBuf>,
    max_vcon_bytes: u64,
    /// Containers are read whole: one at a time.
    containers: Arc<Semaphore>,
}

/// Where a content's bytes come from.
pub(super) enum Source {
    File(PathBuf),
    Bytes(Bytes),
}

/// An interaction ready to be stored. Personal: no `Debug`.
pub(super) struct Ready {
    pub(super) kind: InteractionKind,
    pub(super) meta: InteractionMeta,
    pub(super) contents: Vec<(NewContent, Source)>,
}

impl Importer {
    /// Imports into a vault; nothing outside of `root` is read.
    pub fn new(vault: Vault, actor: Actor, root: PathBuf, max_vcon_bytes: u64) -> Self {
        Self { vault, actor, root: Arc::new(root), max_vcon_bytes, containers: Arc::new(Semaphore::new(1)) }
    }

    /// Stores one job. An error is the vault's and ends the import.
    pub async fn store(&self, job: Job) -> Result<(String, Outcome), VaultError> {
        let (name, stored) = match job {
            Job::Bad { name, bad } => (name, Ok(Outcome::Bad(bad))),
            Job::Recording { file, name, about } => {
                let stored = self.recording(&file, &name, about.map(|about| *about)).await;
                (name, stored)
            }
            Job::Vcon { file, name } => {
                let stored = self.container(&file).await;
                (name, stored)
            }
        };
        match stored {
            Ok(outcome) => Ok((name, outcome)),
            Err(Failure::Bad(bad)) => Ok((name, Outcome::Bad(bad))),
            Err(Failure::Vault(error)) => Err(error),
        }
    }

    async fn recording(&self, file: &Path, name: &str, about: Option<About>) -> Result<Outcome, Failure> {
        let media = media::by_ending(file).ok_or_else(|| Bad::new("not a recording"))?;
        media::check(file, media)?;
        let sidecar = About::path(file);
        let about = match about {
            Some(about) => about,
            None if sidecar.is_file() => About::read(&inside(&self.root, &self.root, &sidecar.to_string_lossy())?)?,
            None => About::default(),
        };
        let kind = content_kind(about.kind.as_deref(), media.video)?;
        let mut meta = about.meta(changed_at(file)?)?;
        // By this a second run knows it, also where nobody gave it an id.
        meta.external_ids.push(format!("import:{}", fingerprint(file, name).await?));
        if self.known(&meta).await? {
            return Ok(Outcome::Skipped);
        }
        meta.times.declared_at = Some(self.vault.now());
        let mut recording = if kind == ContentKind::CallRecording {
            NewContent::fixed(kind, media.media_type)
        } else {
            NewContent::unique(kind, media.media_type)
        };
        recording.file_name = file.file_name().map(|name| name.to_string_lossy().into_owned());
        recording.owning_agent = about.owning_agent.clone();
        let mut contents = vec![(recording, Source::File(file.to_owned()))];
        if let Some(transcript) = &about.transcript {
            let folder = file.parent().unwrap_or(&self.root);
            let bytes = self.transcript(folder, transcript)?;
            contents.push((NewContent::fixed(ContentKind::Transcript, "application/json"), Source::Bytes(bytes)));
        }
        self.commit(Ready { kind: InteractionKind::Call, meta, contents }).await
    }

    fn transcript(&self, folder: &Path, transcript: &Value) -> Result<Bytes, Bad> {
        let value = match transcript {
            Value::String(written) => {
                let path = inside(&self.root, folder, written)?;
                let bytes = std::fs::read(&path).map_err(|error| Bad::new(format!("{written}: {error}")))?;
                serde_json::from_slice(&bytes).map_err(|error| Bad::new(format!("{written}: {error}")))?
            }
            value => value.clone(),
        };
        let transcript = transcripts::canonical(&value)
            .ok_or_else(|| Bad::new("the transcript has neither of the forms that docs/import.md describes"))?;
        let bytes = serde_json::to_vec(&transcript).map_err(|error| Bad::new(error.to_string()))?;
        Ok(Bytes::from(bytes))
    }

    async fn container(&self, file: &Path) -> Result<Outcome, Failure> {
        let _one = self.containers.acquire().await.map_err(|_| VaultError::Unavailable(None))?;
        let size = file.metadata().map_err(|error| Bad::new(error.to_string()))?.len();
        if size > self.max_vcon_bytes {
            let limit = self.max_vcon_bytes;
            return Err(Bad::new(format!(
                "{size} bytes; vCon files of up to {limit} bytes are read (--max-vcon-bytes)"
            ))
            .into());
        }
        let (root, path) = (Arc::clone(&self.root), file.to_owned());
        let now = self.vault.now();
        let read = tokio::task::spawn_blocking(move || vcon::read(&root, &path, now)).await;
        let mut ready = read.map_err(|_| Bad::new("reading it was cut short"))??;
        if self.known(&ready.meta).await? {
            return Ok(Outcome::Skipped);
        }
        ready.meta.times.declared_at = Some(self.vault.now());
        self.commit(ready).await
    }

    /// Whether an id of it names a live interaction.
    async fn known(&self, meta: &InteractionMeta) -> Result<bool, Failure> {
        let session = meta.session_id.iter().cloned().map(Lookup::Session);
        for key in session.chain(meta.external_ids.iter().cloned().map(Lookup::External)) {
            if !self.vault.lookup(&self.actor, &key).await?.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn commit(&self, ready: Ready) -> Result<Outcome, Failure> {
        let Ready { kind, mut meta, contents } = ready;
        let mut draft = self.vault.draft(&self.actor).await?;
        for (content, source) in contents {
            let body = match source {
                Source::Bytes(bytes) => body_of(bytes),
                Source::File(path) => stream(&path).await?,
            };
            draft.add(content, body).await?;
        }
        let now = self.vault.now();
        if let Some((length, _)) = draft.audio() {
            meta.duration_ms = meta.duration_ms.or(Some(length));
        }
        if meta.ended_at.is_none()
            && let Some(length) = meta.duration_ms.and_then(|length| i64::try_from(length).ok())
        {
            meta.ended_at = meta.started_at.checked_add(jiff::SignedDuration::from_millis(length)).ok();
        }
        meta.times.uploaded_at = Some(now);
        meta.times.processed_at = Some(now);
        let new = NewInteraction { kind, state: State::Processed, meta, unique_session: true };
        draft.commit(new).await?;
        Ok(Outcome::Imported)
    }
}

fn content_kind(written: Option<&str>, video: bool) -> Result<ContentKind, Bad> {
    let kind = match written {
        None if video => ContentKind::ScreenRecording,
        None => ContentKind::CallRecording,
        Some(written) => ContentKind::parse(written).ok_or_else(|| Bad::new("unknown kind"))?,
    };
    match kind {
        ContentKind::CallRecording
        | ContentKind::ScreenRecording
        | ContentKind::Voicemail
        | ContentKind::IvrAudioRecording
        | ContentKind::VideoRecording => Ok(kind),
        _ => Err(Bad::new("this kind is no recording")),
    }
}

fn changed_at(file: &Path) -> Result<Timestamp, Bad> {
    let unread = |error| Bad::new(format!("cannot be read: {error}"));
    let changed = file.metadata().and_then(|metadata| metadata.modified()).map_err(unread)?;
    Timestamp::try_from(changed).map_err(|_| Bad::new("its time of change makes no sense"))
}

/// Name and bytes of a file in one hash: the same file is known again, equal recordings of two calls stay two.
async fn fingerprint(file: &Path, name: &str) -> Result<String, Bad> {
    let unread = |error: std::io::Error| Bad::new(format!("cannot be read: {error}"));
    let mut reader = tokio::fs::File::open(file).await.map_err(unread)?;
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(name.as_bytes());
    context.update(&[0]);
    let mut piece = vec![0; PIECE];
    loop {
        let length = reader.read(&mut piece).await.map_err(unread)?;
        if length == 0 {
            return Ok(hex::encode(context.finish()));
        }
        context.update(&piece[..length]);
    }
}

async fn stream(path: &Path) -> Result<BodyStream, Bad> {
    let file = tokio::fs::File::open(path).await.map_err(|error| Bad::new(format!("cannot be read: {error}")))?;
    Ok(ReaderStream::with_capacity(file, PIECE).boxed())
}
