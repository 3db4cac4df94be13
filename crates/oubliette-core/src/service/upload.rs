//! The upload of a recording that an interaction waits for.

use std::sync::{Arc, PoisonError};

use keyforest::Group;

use super::vault::{Inner, Vault};
use super::{BodyStream, Content, NewContent, VaultError};
use crate::model::{Actor, Scope, State};
use crate::ports::{Check, InteractionRow, Write};

impl Vault {
    /// Stores the recording an interaction waits for (`AwaitingUpload`, `UploadFailed`, and for fetches
    /// `AwaitingDownload`; else `Conflict`): state `Uploading` while it runs, then `Processed` or `Pending`.
    pub async fn upload(
        &self,
        actor: &Actor,
        id: &str,
        new: NewContent,
        body: BodyStream,
    ) -> Result<Content, VaultError> {
        let inner = &self.inner;
        inner.allow_change(actor, &[Scope::InteractionWrite])?;
        let row = inner.find_row(actor, id).await?;
        let (running, failed) = match inner.effective_state(&row) {
            State::AwaitingUpload | State::UploadFailed => (State::Uploading, State::UploadFailed),
            State::AwaitingDownload => (State::Downloading, State::DownloadFailed),
            _ => return Err(VaultError::Conflict("the interaction is not waiting for an upload")),
        };
        let group = row.group;
        let Some(run) = Running::begin(inner, group) else {
            return Err(VaultError::Conflict("another upload of the interaction is running"));
        };
        let started = inner
            .apply(
                "upload.begin",
                vec![Check::Version(group, row.version), Check::NotErased(group.leaf(0))],
                vec![Write::SetState(group, running)],
            )
            .await?;
        if started.is_err() {
            inner.readable(group.leaf(0))?;
            return Err(VaultError::Conflict("another upload of the interaction is running"));
        }
        // Whatever happens to this future, the interaction does not stay in a running state.
        let mut guard = UploadGuard { inner: Arc::clone(inner), group, running, failed, armed: true, _run: Some(run) };
        let stored = inner.store_content(actor, group, new, body, Some(running)).await;
        match stored {
            Ok(content) => {
                guard.armed = false;
                Ok(content)
            }
            Err(error) => {
                guard.armed = false;
                guard.fail().await;
                Err(error)
            }
        }
    }
}

/// An upload that an interaction waits for is running in this process.
struct Running {
    inner: Arc<Inner>,
    group: Group,
}

impl Running {
    /// `None` when one is running already.
    fn begin(inner: &Arc<Inner>, group: Group) -> Option<Self> {
        let mut running = inner.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.insert(group).then(|| Self { inner: Arc::clone(inner), group })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.inner.running.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.group);
    }
}

struct UploadGuard {
    inner: Arc<Inner>,
    group: Group,
    running: State,
    failed: State,
    armed: bool,
    _run: Option<Running>,
}

impl UploadGuard {
    async fn fail(&self) {
        let Ok(row) = self.inner.row(self.group).await else { return };
        if row.state == self.running {
            let checks = vec![Check::Version(self.group, row.version)];
            let _ = self.inner.apply("upload.fail", checks, vec![Write::SetState(self.group, self.failed)]).await;
        }
    }
}

impl Drop for UploadGuard {
    fn drop(&mut self) {
        if !self.armed {
            return;
        }
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let guard = Self {
                inner: Arc::clone(&self.inner),
                group: self.group,
                running: self.running,
                failed: self.failed,
                armed: false,
                _run: self._run.take(),
            };
            runtime.spawn(async move { guard.fail().await });
        }
    }
}

impl Inner {
    /// The state as it is: an upload that a crash ended has failed, whatever the row says.
    pub fn effective_state(&self, row: &InteractionRow) -> State {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if row.state == State::Uploading && !running.contains(&row.group) { State::UploadFailed } else { row.state }
    }
}
