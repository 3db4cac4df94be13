//! Making a copy: in the background of a vault that is served, or of one that is not.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use oubliette_core::service::Vault;
use oubliette_store::backup::{Source, take};
use serde::{Deserialize, Serialize};

use super::{Made, MakeError, may_copy, place};
use crate::cli::chain;
use crate::config::Config;
use crate::opening::lock_data;

/// How the copy that was asked for last stands.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "state")]
pub enum BackupView {
    /// None was asked for since the program began.
    #[default]
    None,
    /// It is being made.
    UnderWay,
    /// It is made.
    Done {
        /// The copy.
        made: Box<Made>,
    },
    /// It was not.
    Failed {
        /// Why.
        message: String,
    },
}

/// Makes copies of a vault that is open, one at a time.
#[derive(Clone)]
pub struct Backups {
    vault: Vault,
    config: Arc<Config>,
    view: Arc<Mutex<BackupView>>,
}

impl Backups {
    /// For this vault.
    pub fn new(vault: Vault, config: Config) -> Self {
        Self { vault, config: Arc::new(config), view: Arc::default() }
    }

    /// Begins a copy.
    ///
    /// # Errors
    /// One is being made, or this vault is not copied so.
    pub fn start(&self, to: String) -> Result<(), MakeError> {
        may_copy(&self.config, &to)?;
        {
            let mut view = self.view();
            if matches!(*view, BackupView::UnderWay) {
                return Err(MakeError::UnderWay);
            }
            *view = BackupView::UnderWay;
        }
        let backups = self.clone();
        tokio::spawn(async move {
            let held = backups.vault.hold_places().await;
            let (config, now) = (Arc::clone(&backups.config), backups.vault.now());
            let made = tokio::task::spawn_blocking(move || copy(&config, &to, now)).await;
            drop(held);
            let made = made.unwrap_or(Err(MakeError::CutShort));
            *backups.view() = match made {
                Ok(made) => {
                    let (contents, new_bytes) = (made.manifest.contents, made.new_bytes);
                    tracing::info!(copy = made.manifest.id, contents, new_bytes, "a copy of the data was made");
                    BackupView::Done { made: Box::new(made) }
                }
                Err(error) => {
                    let message = chain(&error);
                    tracing::error!(message, "a copy of the data was not made");
                    BackupView::Failed { message }
                }
            };
        });
        Ok(())
    }

    /// How it stands.
    pub fn now(&self) -> BackupView {
        self.view().clone()
    }

    fn view(&self) -> std::sync::MutexGuard<'_, BackupView> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes a copy of a vault that nobody has open, and keeps it so meanwhile. Blocks.
///
/// # Errors
/// It is open, or the copy fails.
pub fn make(config: &Config, to: &str) -> Result<Made, MakeError> {
    may_copy(config, to)?;
    let data = &config.storage.data;
    if !data.join("db").join("oubliette.sqlite").exists() {
        return Err(crate::opening::OpenError::Absent(data.clone()).into());
    }
    let _lock = lock_data(config)?;
    copy(config, to, Timestamp::now())
}

fn copy(config: &Config, to: &str, now: Timestamp) -> Result<Made, MakeError> {
    let data = &config.storage.data;
    let (database, blobs, scratch): (PathBuf, _, _) =
        (data.join("db").join("oubliette.sqlite"), data.join("blobs"), data.join("run"));
    let source =
        Source { database: &database, blobs: &blobs, scratch: &scratch, program: env!("CARGO_PKG_VERSION"), now };
    let taken = take(&source, &place(config, to)?)?;
    let (manifest, new_files, new_bytes, damaged) = (taken.manifest, taken.new_files, taken.new_bytes, taken.damaged);
    Ok(Made { manifest, new_files, new_bytes, damaged })
}
