//! The new place: whether a vault may be moved there, and its stores, opened.

use std::sync::Arc;

use keyforest::{Probe, destroy_roots, holds_root};
use oubliette_store::metadata::postgres::{Survey, survey};
use oubliette_store::roots::RootOptions;
use uuid::Uuid;

use super::MoveError;
use super::marker::{self, ARRIVING, Arriving};
use crate::config::{BlobPlace, Config, MetadataPlace};
use crate::opening::{Engines, KEYS, Opening, RegisterPolicy, scaled};

/// What lies at the new place.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing; or the empty tables that a run made which could not go on, and marked nothing.
    Empty,
    /// What an earlier run of a move brought there.
    Arriving(Arriving),
    /// This vault, all of it: the move is finished.
    Arrived,
}

/// Refuses pairs of places that no vault is moved between.
pub fn check(from: &Config, to: &Config) -> Result<(), MoveError> {
    to.check()?;
    let embedded = matches!(from.metadata_place()?, MetadataPlace::Sqlite);
    if !embedded || !matches!(from.blob_place()?, BlobPlace::Local) {
        return Err(MoveError::Refused("only a vault that has rows and contents in its data folder can be moved"));
    }
    let servers = matches!(to.metadata_place()?, MetadataPlace::Postgres(_));
    if !servers || !matches!(to.blob_place()?, BlobPlace::S3(..)) {
        return Err(MoveError::Refused(
            "a vault is moved to PostgreSQL and a bucket: storage.metadata and storage.blobs of the new configuration name \
             something else",
        ));
    }
    // The new place would be sealed to without them, and they would be gone without a decision in the log.
    if !from.parties()?.is_empty() || !to.parties()?.is_empty() {
        return Err(MoveError::Refused(
            "a vault is moved without mirrors and escrow agents: let those of the old place go first (`oubliette party drop`), and name those of \
             the new place in its configuration once it serves there",
        ));
    }
    let mine = from.register_folder()?;
    let stores = match to.root_place()? {
        RootOptions::MultiShare { stores, .. } => stores,
        one => vec![one],
    };
    let same = |store: &RootOptions| matches!(store, RootOptions::File { directory } if *directory == mine);
    if stores.iter().any(same) {
        return Err(MoveError::Refused(
            "the new configuration names the register of the old vault, which is destroyed in the end: name another \
             storage.register",
        ));
    }
    Ok(())
}

/// Where to, for people: no user, no password.
pub fn name(to: &Config) -> String {
    match to.blob_place() {
        Ok(BlobPlace::S3(bucket, _)) if bucket.prefix.is_empty() => {
            format!("PostgreSQL and the bucket {}", bucket.bucket)
        }
        Ok(BlobPlace::S3(bucket, _)) => format!("PostgreSQL and the bucket {}/{}", bucket.bucket, bucket.prefix),
        _ => "PostgreSQL".to_owned(),
    }
}

/// Looks at the new place without changing anything. Refuses one that holds something else.
pub async fn look(to: &Config, instance: Uuid) -> Result<Found, MoveError> {
    let (MetadataPlace::Postgres(server), BlobPlace::S3(bucket, _)) = (to.metadata_place()?, to.blob_place()?) else {
        return Err(MoveError::Refused("a vault is moved to PostgreSQL and a bucket"));
    };
    match survey(&server, ARRIVING).await? {
        Survey::Foreign => Err(MoveError::Refused("the new database has something else under our schema's name")),
        Survey::Empty if bucket.is_empty(&[]).await? => Ok(Found::Empty),
        Survey::Empty => Err(MoveError::Refused("the new bucket is not empty: name an empty one, or an empty prefix")),
        Survey::Vault { instance: found, .. } if found != instance => {
            Err(MoveError::Refused("the new database holds another vault: name an empty one"))
        }
        Survey::Vault { value: Some(value), .. } => Ok(Found::Arriving(Arriving::decode(&value)?)),
        // Whether there are keys is looked at when it is opened.
        Survey::Vault { value: None, epoch: 0, .. } if bucket.is_empty(&[KEYS]).await? => Ok(Found::Empty),
        Survey::Vault { value: None, .. } => Ok(Found::Arrived),
    }
}

/// Opens the stores of the new place under its claim, which no other process may have.
pub async fn open(to: &Config, instance: Uuid, probe: &Arc<dyn Probe>) -> Result<Engines, MoveError> {
    let MetadataPlace::Postgres(server) = to.metadata_place()? else {
        return Err(MoveError::Refused("a vault is moved to PostgreSQL and a bucket"));
    };
    let opening = Opening { instance: Some(instance), ..Opening::new(RegisterPolicy::Warn) };
    let engines = scaled(to, *server, &opening, probe).await?;
    if engines.metadata.instance().await?.instance != instance {
        return Err(MoveError::Refused("the new database holds another vault: name an empty one"));
    }
    if !engines.assessment.verified && !to.storage.accept_unverified_register {
        return Err(MoveError::Refused(
            "the new root store's class is not verified; `doctor` with the new configuration says why. Set \
             storage.accept_unverified_register = true there to go on all the same",
        ));
    }
    Ok(engines)
}

/// Notes at a place that was empty whose it will be; refuses when key state lies there after all.
pub async fn begin(engines: &Engines, arriving: &Arriving) -> Result<(), MoveError> {
    let row = engines.metadata.instance().await?;
    let rows = row.epoch > 0 || engines.metadata.count_interactions().await? > 0;
    let (packs, register) = (Arc::clone(&engines.packs), Arc::clone(&engines.register));
    let keys = super::blocking(move || -> Result<bool, MoveError> {
        let files = packs.list().map_err(MoveError::Pages)?;
        Ok(files.iter().any(|(name, _)| name.ends_with(".kfp")) || holds_root(&*register)?)
    });
    if rows || keys.await?? {
        return Err(MoveError::Refused("key state of a vault lies at the new place: name an empty one"));
    }
    Ok(marker::set_arriving(&*engines.metadata, Some(arriving)).await?)
}

/// Throws away what an earlier run of the move left of keys. Only for a place that is marked as arriving, and only as long
/// as the old vault is the truth: a root there could otherwise open what that one erases.
pub async fn clear_keys(engines: &Engines) -> Result<(), MoveError> {
    let (packs, register) = (Arc::clone(&engines.packs), Arc::clone(&engines.register));
    super::blocking(move || -> Result<(), MoveError> {
        if holds_root(&*register)? {
            destroy_roots(&*register)
                .map_err(|error| MoveError::Root { what: "the new root store", source: error.into() })?;
        }
        for (name, _) in packs.list().map_err(MoveError::Pages)? {
            packs.remove(&name).map_err(MoveError::Pages)?;
        }
        Ok(())
    })
    .await?
}
