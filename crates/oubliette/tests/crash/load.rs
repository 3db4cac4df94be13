//! Mixed load: clients of every dialect doing as they please, and writing into the ledger what they were answered.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use reqwest::StatusCode;

use crate::clients::{Clients, Erasure, Generation, Outcome};
use crate::ledger::{Content, Fate, Item, Ledger, Number, hash};
use crate::random::Random;

/// A working set of a run: what is shared by all clients and outlives crashes.
pub struct World {
    /// What was answered.
    pub ledger: Ledger,
    /// What must never happen and did.
    pub complaints: Mutex<Vec<String>>,
    /// Requests answered as done.
    pub answered: AtomicU64,
    /// Largest content in bytes that is usual; one in fifty is ten times as large.
    pub usual_bytes: usize,
    /// With more live items than this, clients rather delete.
    pub most_live: usize,
    /// Tells names of sessions and customers apart.
    names: AtomicU64,
    run: u64,
}

impl World {
    /// An empty world.
    pub fn new(random: &mut Random) -> Arc<Self> {
        Arc::new(Self::with(random, Ledger::default(), 40_000, 200))
    }

    /// A world with this ledger and these limits.
    pub fn with(random: &mut Random, ledger: Ledger, usual_bytes: usize, most_live: usize) -> Self {
        Self {
            ledger,
            complaints: Mutex::default(),
            answered: AtomicU64::new(0),
            usual_bytes,
            most_live,
            names: AtomicU64::new(1),
            run: random.below(1_000_000),
        }
    }

    /// Notes what must never happen.
    pub fn complain(&self, text: String) {
        let mut complaints = self.complaints.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if complaints.len() < 40 {
            complaints.push(text);
        }
    }

    /// Fails with all complaints.
    #[track_caller]
    pub fn settle(&self, moment: &str) {
        let complaints = self.complaints.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        assert!(complaints.is_empty(), "{moment}:\n  {}", complaints.join("\n  "));
    }

    fn session(&self) -> String {
        format!("crash-{}-{}", self.run, self.names.fetch_add(1, Ordering::Relaxed))
    }

    /// A customer: a new one, or one of the last few, so that some have several calls.
    fn phone(&self, random: &mut Random) -> String {
        let newest = self.names.load(Ordering::Relaxed);
        let number = if random.once_in(2) { newest } else { newest.saturating_sub(random.below(20)) };
        format!("+1512{:07}", 2_000_000 + (self.run * 97 + number) % 7_000_000)
    }
}

/// One client at work until told to stop or until the program is silent.
pub async fn work(world: Arc<World>, clients: Clients, mut random: Random, stop: Arc<AtomicBool>) {
    while !stop.load(Ordering::Relaxed) {
        let live = world.ledger.tally().live;
        let choice = random.below(100);
        let alive = if live < 20.min(world.most_live / 2) || (choice < 45 && live < world.most_live) {
            ingest(&world, &clients, &mut random).await
        } else if choice < 75 {
            look(&world, &clients, &mut random).await
        } else {
            erase(&world, &clients, &mut random).await
        };
        if !alive {
            return;
        }
    }
}

/// Makes an item in some dialect. `false` when the program is silent.
async fn ingest(world: &World, clients: &Clients, random: &mut Random) -> bool {
    match random.below(6) {
        0 | 1 => ingest_native(world, clients, random).await,
        2 => ingest_upload(world, clients, random).await,
        3 => ingest_chat(world, clients).await,
        _ => ingest_call(world, clients, random).await,
    }
}

fn length(world: &World, random: &mut Random) -> usize {
    let most = if random.once_in(50) { world.usual_bytes * 10 } else { world.usual_bytes };
    random.below(most as u64) as usize
}

/// Settles a declaration: the item becomes live, or is forgotten (nobody can know its id).
fn declared(world: &World, number: Number, mut item: Item, outcome: Outcome<String>, what: &str) -> Option<Item> {
    match outcome {
        Outcome::Done(id) => {
            world.answered.fetch_add(1, Ordering::Relaxed);
            item.id = Some(id);
            item.fate = Fate::Live;
            Some(item)
        }
        Outcome::Refused(status) => {
            world.ledger.forget(number);
            world.complain(format!("{what} was refused with {status}"));
            None
        }
        Outcome::Doubt(_) => {
            world.ledger.forget(number);
            None
        }
    }
}

async fn ingest_native(world: &World, clients: &Clients, random: &mut Random) -> bool {
    let (session, phone) = (world.session(), world.phone(random));
    let number = world.ledger.add(Item::declaring(Some(session.clone()), Some(phone.clone())));
    let item = Item::declaring(Some(session.clone()), Some(phone.clone()));
    let outcome = clients.native_create(&session, &phone, &now()).await;
    let mut silent = outcome.silent();
    if let Some(mut item) = declared(world, number, item, outcome, "native create") {
        let names = [("callRecording", "audio/wav"), ("transcript", "application/json"), ("note-1", "text/plain")];
        for (key, media_type) in names.iter().take(1 + random.below(3) as usize) {
            let size = length(world, random);
            let bytes = if *media_type == "audio/wav" { random.wav(size) } else { random.bytes(size) };
            let outcome = clients.native_put(item.id(), key, media_type, &bytes).await;
            silent |= outcome.silent();
            stored(world, &mut item, key, &bytes, &outcome, "native put");
            if silent {
                break;
            }
        }
        world.ledger.put(number, item);
    }
    !silent
}

/// Notes a stored or replaced content.
fn stored(world: &World, item: &mut Item, key: &str, bytes: &[u8], outcome: &Outcome<()>, what: &str) {
    let new = hash(bytes);
    let earlier = item.contents.iter_mut().find(|content| content.key == key);
    match (outcome, earlier) {
        (Outcome::Done(()), Some(content)) => {
            *content = Content { key: key.into(), hashes: vec![new], fate: Fate::Live }
        }
        (Outcome::Done(()), None) => {
            item.contents.push(Content { key: key.into(), hashes: vec![new], fate: Fate::Live });
        }
        (Outcome::Doubt(_), Some(content)) => content.hashes.push(new),
        (Outcome::Doubt(_), None) => {
            item.contents.push(Content { key: key.into(), hashes: vec![new], fate: Fate::Doubt });
        }
        (Outcome::Refused(status), _) => world.complain(format!("{what} was refused with {status}")),
    }
    if matches!(outcome, Outcome::Done(())) {
        world.answered.fetch_add(1, Ordering::Relaxed);
    }
}

async fn ingest_upload(world: &World, clients: &Clients, random: &mut Random) -> bool {
    let number = world.ledger.add(Item::declaring(None, None));
    let outcome = clients.elevateai_declare_audio().await;
    let mut silent = outcome.silent();
    if let Some(mut item) = declared(world, number, Item::declaring(None, None), outcome, "declare") {
        let size = length(world, random);
        let wav = random.wav(size);
        let outcome = clients.elevateai_upload(item.id(), &wav).await;
        silent |= outcome.silent();
        stored(world, &mut item, "callRecording", &wav, &outcome, "upload");
        world.ledger.put(number, item);
    }
    !silent
}

async fn ingest_chat(world: &World, clients: &Clients) -> bool {
    let number = world.ledger.add(Item::declaring(None, None));
    let outcome = clients.elevateai_declare_chat(&now(), "a message that nobody shall find").await;
    let silent = outcome.silent();
    if let Some(item) = declared(world, number, Item::declaring(None, None), outcome, "declare of a chat") {
        world.ledger.put(number, item);
    }
    !silent
}

async fn ingest_call(world: &World, clients: &Clients, random: &mut Random) -> bool {
    let (session, phone) = (world.session(), world.phone(random));
    let generation = if random.once_in(2) { Generation::V1 } else { Generation::V2 };
    let number = world.ledger.add(Item::declaring(Some(session.clone()), Some(phone.clone())));
    let item = Item::declaring(Some(session.clone()), Some(phone.clone()));
    let size = length(world, random);
    let wav = random.wav(size);
    let outcome = clients.creovai_call(generation, &session, &phone, &now(), &wav).await;
    let silent = outcome.silent();
    if let Some(mut item) = declared(world, number, item, outcome, "capture") {
        item.contents.push(Content { key: "callRecording".into(), hashes: vec![hash(&wav)], fate: Fate::Live });
        world.ledger.put(number, item);
    }
    !silent
}

/// Reads something live, or replaces a content. `false` when the program is silent.
async fn look(world: &World, clients: &Clients, random: &mut Random) -> bool {
    let Some((number, mut item)) = world.ledger.take(random.next(), |item| !item.contents.is_empty()) else {
        return true;
    };
    let index = random.below(item.contents.len() as u64) as usize;
    let content = item.contents[index].clone();
    let mut alive = true;
    if content.fate == Fate::Live && random.once_in(6) {
        let size = length(world, random);
        let bytes = random.wav(size);
        let outcome = clients.native_put(item.id(), &content.key, "audio/wav", &bytes).await;
        alive = !outcome.silent();
        stored(world, &mut item, &content.key, &bytes, &outcome, "native replacement");
    } else if content.fate == Fate::Live {
        if random.once_in(4) {
            let reply = clients.vonage_range(item.id(), &content.key, 16_000, 17_000).await;
            let right = |status: u16| matches!(status, 206 | 416);
            if let Some(reply) = reply.filter(|reply| !reply.status.is_server_error() && !right(reply.status.as_u16()))
            {
                world.complain(format!("a range of a live {} answers {}", content.key, reply.status));
            }
        }
        let reply = match random.below(2) {
            0 => clients.vonage_content(item.id(), &content.key).await,
            _ => clients.native_content(item.id(), &content.key).await,
        };
        alive = reply.is_some();
        if let Some(reply) = reply {
            let right = reply.status == 200 && content.hashes.contains(&hash(&reply.body));
            if !right && !reply.status.is_server_error() {
                world.complain(format!("a live {} answers {} with other bytes", content.key, reply.status));
            }
        }
    }
    world.ledger.put(number, item);
    alive
}

/// Erases something in some dialect. `false` when the program is silent.
async fn erase(world: &World, clients: &Clients, random: &mut Random) -> bool {
    let generation = if random.once_in(2) { Generation::V1 } else { Generation::V2 };
    match random.below(12) {
        8 => {
            erase_items(
                world,
                random,
                4,
                |item| item.session.is_some(),
                async |items| {
                    let sessions: Vec<_> = items.iter().filter_map(|item| item.session.as_deref()).collect();
                    (Fate::Accepted, clients.native_erase(&Erasure::Sessions(&sessions)).await)
                },
            )
            .await
        }
        9 => {
            let delete =
                async |items: &[Item]| (Fate::Deleted, clients.native_delete(items[0].id()).await.map(|()| None));
            erase_items(world, random, 1, |_| true, delete).await
        }
        0 => {
            erase_items(
                world,
                random,
                1,
                |_| true,
                async |items| (Fate::Deleted, clients.elevateai_delete(items[0].id()).await.map(|()| None)),
            )
            .await
        }
        1 => {
            erase_items(
                world,
                random,
                1,
                |item| !item.contents.is_empty(),
                async |items| (Fate::Deleted, clients.vonage_delete_interaction(items[0].id()).await.map(|()| None)),
            )
            .await
        }
        2 => {
            erase_items(
                world,
                random,
                8,
                |_| true,
                async |items| {
                    let ids: Vec<_> = items.iter().map(Item::id).collect();
                    (Fate::Deleted, clients.vonage_delete_batch(&ids).await.map(|()| None))
                },
            )
            .await
        }
        3 | 4 => erase_content(world, clients, random).await,
        5 => {
            erase_items(
                world,
                random,
                5,
                |_| true,
                async |items| {
                    let ids: Vec<_> = items.iter().map(Item::id).collect();
                    (Fate::Accepted, purging(world, items.len(), clients.creovai_purge_ids(generation, &ids).await))
                },
            )
            .await
        }
        6 => {
            erase_items(
                world,
                random,
                5,
                |item| item.session.is_some(),
                async |items| {
                    let sessions: Vec<_> = items.iter().filter_map(|item| item.session.as_deref()).collect();
                    (
                        Fate::Accepted,
                        purging(world, items.len(), clients.creovai_purge_sessions(generation, &sessions).await),
                    )
                },
            )
            .await
        }
        7 => {
            let phones = world.ledger.phones();
            let Some(phone) = phones.get(random.below(phones.len() as u64) as usize) else { return true };
            let taken = world.ledger.take_phone(phone);
            let expected = taken.len();
            if expected == 0 {
                return true;
            }
            let outcome = clients.creovai_purge_customer(generation, phone).await;
            // An item of that customer whose capture was never answered may be found too.
            let outcome = match outcome {
                Outcome::Done(statuses) if statuses.len() < expected => {
                    world.complain(format!("a customer's purge names {} of {expected} items", statuses.len()));
                    Outcome::Done(None)
                }
                other => other.map(|_| None),
            };
            settle(world, taken, Fate::Accepted, &outcome)
        }
        _ => {
            erase_items(
                world,
                random,
                6,
                |_| true,
                async |items| {
                    let ids: Vec<_> = items.iter().map(Item::id).collect();
                    (Fate::Accepted, clients.native_erase(&Erasure::Ids(&ids)).await)
                },
            )
            .await
        }
    }
}

/// A purge says of every live item that it is being purged.
fn purging(world: &World, expected: usize, outcome: Outcome<Vec<String>>) -> Outcome<Option<String>> {
    outcome.map(|statuses| {
        if statuses.len() != expected || statuses.iter().any(|status| status != "Purging") {
            world.complain(format!("a purge of {expected} live items answers {statuses:?}"));
        }
        None
    })
}

async fn erase_items(
    world: &World,
    random: &mut Random,
    most: usize,
    fits: impl Fn(&Item) -> bool,
    send: impl AsyncFnOnce(&[Item]) -> (Fate, Outcome<Option<String>>),
) -> bool {
    let taken = world.ledger.take_some(random.next(), 1 + random.below(most as u64) as usize, fits);
    if taken.is_empty() {
        return true;
    }
    let items: Vec<_> = taken.iter().map(|(_, item)| item.clone()).collect();
    let (fate, outcome) = send(&items).await;
    settle(world, taken, fate, &outcome)
}

/// Notes what became of an erasure of whole items. `false` when the program was silent.
fn settle(world: &World, taken: Vec<(Number, Item)>, fate: Fate, outcome: &Outcome<Option<String>>) -> bool {
    for (number, mut item) in taken {
        match outcome {
            Outcome::Done(erasure) => {
                world.answered.fetch_add(1, Ordering::Relaxed);
                item.fate = fate;
                item.erasure.clone_from(erasure);
            }
            Outcome::Doubt(_) => item.fate = Fate::Doubt,
            // Only one batch of a client at a time, and only so many deletes a minute.
            Outcome::Refused(StatusCode::TOO_MANY_REQUESTS) => {}
            Outcome::Refused(status) => world.complain(format!("an erasure of a live item was refused with {status}")),
        }
        world.ledger.put(number, item);
    }
    !outcome.silent()
}

async fn erase_content(world: &World, clients: &Clients, random: &mut Random) -> bool {
    let live = |content: &Content| content.fate == Fate::Live;
    let Some((number, mut item)) = world.ledger.take(random.next(), |item| item.contents.iter().any(live)) else {
        return true;
    };
    let index = item.contents.iter().position(live).expect("taken because it has one");
    let key = item.contents[index].key.clone();
    let outcome = if random.once_in(2) {
        clients.vonage_delete_content(item.id(), &key).await
    } else {
        clients.native_delete_content(item.id(), &key).await
    };
    match &outcome {
        Outcome::Done(()) => {
            world.answered.fetch_add(1, Ordering::Relaxed);
            item.contents[index].fate = Fate::Deleted;
        }
        Outcome::Doubt(_) => item.contents[index].fate = Fate::Doubt,
        Outcome::Refused(StatusCode::TOO_MANY_REQUESTS) => {}
        Outcome::Refused(status) => world.complain(format!("a delete of a live content was refused with {status}")),
    }
    world.ledger.put(number, item);
    !outcome.silent()
}

/// Now, to the second.
pub fn now() -> String {
    jiff::Timestamp::now().round(jiff::Unit::Second).expect("seconds are a unit of time").to_string()
}
