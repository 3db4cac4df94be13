//! Mirrors of the key state: looked at before the forest is opened, filled right after.

use std::sync::{Arc, Weak};
use std::time::Duration;

use keyforest::Forest;
use keyforest::media::SlotDevice;
use oubliette_store::media::{
    Contact, Folder, MirrorSpec, Mirrored, Objects, ObjectsOptions, Parties, PartyKind, Place, Refill, Standing, Vouch,
};
use uuid::Uuid;

use super::{Leaving, OpenError, OpenReport, loss};
use crate::config::{Config, MirrorAt, MirrorPlace};
use crate::mirrors::Remote;

/// How long a start waits for the mirrors to hold the key state before it goes on without.
const FILLED_WITHIN: Duration = Duration::from_secs(10);
/// How long an end in good order waits for the mirrors to note the epoch.
const SETTLED_WITHIN: Duration = Duration::from_secs(2);
/// How often the epoch in force is told to the mirrors, and new ones are admitted.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// The key state with its mirrors, if any are configured. Nothing is written to a mirror yet; what the primary lacks and one
/// of them has was copied. Those of `leaving` are left out: they are being dropped. Blocks.
pub(super) fn attach(
    config: &Config,
    primary: Arc<dyn Place>,
    register: &dyn SlotDevice,
    instance: Uuid,
    leaving: Option<&Leaving>,
    report: &mut OpenReport,
) -> Result<Option<Arc<Mirrored>>, OpenError> {
    let stays = |kind, name: &str| leaving.is_none_or(|leaving| !leaving.is(kind, name));
    let mut places = config.mirror_places()?;
    places.retain(|place| stays(PartyKind::Mirror, &place.name));
    for place in places.iter().filter(|place| loss::same_disk(&config.storage.data, place)) {
        report.warnings.push(format!(
            "the mirror {} lies on the same filesystem as the data folder: it is lost together with it",
            place.name
        ));
    }
    let mirrored = if places.is_empty() {
        None
    } else {
        let specs = places.into_iter().map(|place| spec(config, instance, place, &primary)).collect();
        let (mirrored, looked) =
            Mirrored::open(Arc::clone(&primary), instance.into_bytes(), specs, config.mirror_limit())?;
        if let (Some((known, mirror)), Some(found)) = (&looked.newest, keyforest::newest_epoch(register)?)
            && *known > found
        {
            return Err(OpenError::KeysCameBack { mirror: mirror.clone(), known: *known, found });
        }
        for (name, cause) in &looked.unreachable {
            tracing::error!(mirror = name, cause, "a mirror cannot be reached: nothing is sealed until it answers");
        }
        if looked.primary_lost {
            tracing::warn!("the key state is not here: it is taken over from a mirror");
        }
        let pulled = mirrored.pull()?;
        if pulled > 0 {
            tracing::warn!(bytes = pulled, "the key state lacked what a mirror had");
        }
        Some(Arc::new(mirrored))
    };
    // Before anybody is noted there: a list of parties without pages is another vault's to the mirrors that have them.
    if keyforest::newest_epoch(register)?.is_some()
        && !keyforest::holds_pages(&*primary).map_err(OpenError::KeyPages)?
    {
        return Err(OpenError::NoPages);
    }
    let configured = config.parties()?;
    let known = Parties::read_whole(&*primary).map_err(OpenError::KeyPages)?;
    for (kind, name) in leaving.iter().flat_map(|leaving| &leaving.parties) {
        if known.as_ref().and_then(|known| known.get(*kind, name.as_str())).is_none() {
            return Err(OpenError::NoSuchParty { kind: kind.name(), name: name.to_string() });
        }
    }
    for party in known.iter().flat_map(Parties::known).filter(|party| stays(party.kind, &party.name)) {
        if !configured.iter().any(|(kind, name)| (*kind, name) == (party.kind, &party.name)) {
            return Err(OpenError::PartyMissing { kind: party.kind.name(), name: party.name.clone() });
        }
    }
    Ok(mirrored)
}

/// Fills the mirrors and keeps them told. Blocks.
pub(super) fn begin(mirrored: &Arc<Mirrored>, forest: &Arc<Forest>) -> Result<(), OpenError> {
    // The forest has the mirrors, so they must not keep it alive.
    let vouching = Arc::downgrade(forest);
    let vouch: Vouch = Arc::new(move |primary, copy, name, range| {
        let forest = vouching.upgrade().ok_or_else(|| std::io::Error::other("the vault is closed"))?;
        forest.vouch(primary, copy, name, range).map_err(std::io::Error::other)
    });
    mirrored.begin(forest.epoch(), vouch, FILLED_WITHIN).map_err(OpenError::KeyPages)?;
    for mirror in mirrored.status() {
        if let Standing::Behind { cause, .. } = mirror.standing {
            let name = mirror.name;
            tracing::error!(
                mirror = name,
                cause,
                "a mirror does not hold the key state yet: nothing is sealed until it does"
            );
        }
    }
    Ok(())
}

/// Tells the mirrors of the epoch in force, for as long as there are any.
pub(super) async fn keep_told(mirrored: Weak<Mirrored>, forest: Weak<Forest>) {
    loop {
        tokio::time::sleep(TELL_EVERY).await;
        let (Some(mirrored), Some(forest)) = (mirrored.upgrade(), forest.upgrade()) else { return };
        let told = tokio::task::spawn_blocking(move || {
            let epoch = forest.epoch();
            mirrored.sealed(epoch);
            mirrored.admit(epoch)
        });
        if let Ok(Err(error)) = told.await {
            tracing::warn!(%error, "the list of mirrors could not be written");
        }
    }
}

/// Has the mirrors note the last epoch. Blocks.
pub(super) fn settle(mirrored: &Mirrored, epoch: u64) {
    mirrored.settle(epoch, SETTLED_WITHIN);
}

fn spec(config: &Config, instance: Uuid, place: MirrorPlace, primary: &Arc<dyn Place>) -> MirrorSpec {
    let (limit, primary) = (config.mirror_limit(), Arc::clone(primary));
    match place.at {
        MirrorAt::Folder(path) => MirrorSpec {
            name: place.name,
            kind: "folder",
            refill: Refill::WhenTold,
            open: Box::new(move |contact| {
                if contact == Contact::Again && !path.is_dir() {
                    return Err(std::io::Error::new(
                        std::io::ErrorKind::NotFound,
                        "its folder is not there: is its disk mounted?",
                    ));
                }
                Ok(Arc::new(Folder::open_alone(&path)?))
            }),
        },
        MirrorAt::Bucket(bucket) => MirrorSpec {
            name: place.name,
            kind: "bucket",
            refill: Refill::Freely,
            open: Box::new(move |_| {
                let options = ObjectsOptions { prefix: bucket.prefix.clone(), limit };
                let store = bucket.object_store().map_err(std::io::Error::other)?;
                // Who else writes there has another mark, or is passed over by the higher generation.
                Ok(Arc::new(Objects::open(store, &options, |newest| primary.number_above(newest))?))
            }),
        },
        MirrorAt::Host(host, files) => MirrorSpec {
            name: place.name,
            kind: "another Oubliette",
            refill: Refill::Freely,
            open: Box::new(move |_| Ok(Arc::new(Remote::open(&host, instance, &files, limit)?))),
        },
    }
}
