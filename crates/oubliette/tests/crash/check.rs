//! Holds the program to the ledger.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use reqwest::StatusCode;

use crate::clients::{Clients, Erasure, Reply};
use crate::ledger::{Fate, Item, hash};
use crate::load::World;
use crate::random::Random;

/// How long an accepted purge may take to be sealed once the program is ready again.
const SEAL_LIMIT: Duration = Duration::from_secs(60);

/// Checks every item against the program, settles what was in doubt, and waits until accepted purges are sealed.
/// Deleted items that were seen gone after an earlier crash are looked at only now and then, except when `all`.
pub async fn hold(world: &World, clients: &Clients, random: &mut Random, all: bool) {
    let check = Check { world, clients };
    for (number, mut item) in world.ledger.all() {
        if item.settled && !all && !random.once_in(10) {
            continue;
        }
        if item.id.is_some() {
            check.item(&mut item).await;
        }
        world.ledger.put(number, item);
    }
    check.listings(random).await;
}

struct Check<'a> {
    world: &'a World,
    clients: &'a Clients,
}

impl Check<'_> {
    async fn item(&self, item: &mut Item) {
        let id = item.id().to_owned();
        if item.fate == Fate::Doubt {
            item.fate = match self.patiently(async || self.clients.native_interaction(&id).await).await {
                Some(reply) if reply.status == 200 => Fate::Live,
                // Hidden at least; a delete that was not answered is still due.
                Some(reply) if gone(&reply) => Fate::Accepted,
                other => return self.complain(&id, "an item in doubt", other.as_ref()),
            };
        }
        match item.fate {
            Fate::Live => self.live(&id, item).await,
            Fate::Accepted => {
                self.hidden(&id, item).await;
                self.sealed(&id, item).await;
                item.settled = true;
            }
            Fate::Deleted => {
                self.hidden(&id, item).await;
                self.sealed(&id, item).await;
                item.settled = true;
            }
            Fate::Doubt => unreachable!("settled above"),
        }
    }

    /// Everything about a live item opens, in every dialect.
    async fn live(&self, id: &str, item: &mut Item) {
        let reply = self.patiently(async || self.clients.native_interaction(id).await).await;
        if reply.as_ref().is_none_or(|reply| reply.status != 200) {
            self.complain(id, "a live interaction", reply.as_ref());
        }
        for content in &mut item.contents {
            let native = self.patiently(async || self.clients.native_content(id, &content.key).await).await;
            let vonage = self.patiently(async || self.clients.vonage_content(id, &content.key).await).await;
            let (Some(native), Some(vonage)) = (native, vonage) else {
                self.world.complain(format!("no answer about {} of {id}", content.key));
                continue;
            };
            if content.fate == Fate::Doubt {
                content.fate = if native.status == 200 { Fate::Live } else { Fate::Accepted };
            }
            for reply in [&native, &vonage] {
                match content.fate {
                    Fate::Live if reply.status != 200 => self.complain(id, "a live content", Some(reply)),
                    Fate::Live if !content.hashes.contains(&hash(&reply.body)) => {
                        self.world.complain(format!(
                            "a live {} of {id} has other bytes ({})",
                            content.key,
                            reply.body.len()
                        ));
                    }
                    Fate::Deleted | Fate::Accepted if !gone(reply) => {
                        self.complain(id, "a deleted content", Some(reply))
                    }
                    _ => {}
                }
            }
            if content.fate == Fate::Live {
                // A replacement in doubt is settled by what was seen.
                content.hashes = vec![hash(&native.body)];
                if hash(&vonage.body) != content.hashes[0] {
                    self.world.complain(format!("two dialects show different bytes of {} of {id}", content.key));
                }
            }
        }
        if let Some(session) = &item.session {
            match self.clients.creovai_status(&[session]).await.and_then(|statuses| statuses.into_iter().next()) {
                Some((status, _)) if status != "NotFound" => {}
                other => self.world.complain(format!("the session of the live {id}: {other:?}")),
            }
        } else {
            let reply = self.clients.elevateai_status(id).await;
            if reply.as_ref().is_none_or(|reply| reply.status != 200) {
                self.complain(id, "the status of a live interaction", reply.as_ref());
            }
        }
    }

    /// Every read path answers that it is gone.
    async fn hidden(&self, id: &str, item: &Item) {
        let clients = self.clients;
        let mut replies = vec![
            ("native interaction", self.patiently(async || clients.native_interaction(id).await).await),
            ("vonage interaction", self.patiently(async || clients.vonage_interaction(id).await).await),
            ("elevateai status", self.patiently(async || clients.elevateai_status(id).await).await),
            ("elevateai parameters", self.patiently(async || clients.elevateai_parameters(id).await).await),
            ("elevateai transcript", self.patiently(async || clients.elevateai_transcript(id).await).await),
            ("creovai details", self.patiently(async || clients.creovai_details(id).await).await),
        ];
        for content in &item.contents {
            replies.push((
                "native content",
                self.patiently(async || clients.native_content(id, &content.key).await).await,
            ));
            replies.push((
                "vonage content",
                self.patiently(async || clients.vonage_content(id, &content.key).await).await,
            ));
        }
        for (path, reply) in replies {
            if reply.as_ref().is_none_or(|reply| !gone(reply)) {
                self.complain(id, &format!("{path} of an erased item"), reply.as_ref());
            }
        }
    }

    /// A purge becomes sealed without help: its session turns to NotFound, its order to sealed.
    async fn sealed(&self, id: &str, item: &mut Item) {
        let begun = Instant::now();
        loop {
            let session = match &item.session {
                Some(session) => self
                    .clients
                    .creovai_status(&[session])
                    .await
                    .is_some_and(|statuses| statuses.first().is_some_and(|(status, _)| status == "NotFound")),
                None => true,
            };
            let order = match &item.erasure {
                Some(erasure) => self.clients.native_sealed(erasure).await.unwrap_or(false),
                None => true,
            };
            if session && order {
                break;
            }
            // What was answered as deleted was sealed then.
            if item.fate == Fate::Deleted || begun.elapsed() > SEAL_LIMIT {
                self.world.complain(format!("{id} is not sealed: session {session}, order {order}, {:?}", item.fate));
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        item.fate = Fate::Deleted;
    }

    /// Searches and look-ups name every live item and nothing that was erased.
    async fn listings(&self, random: &mut Random) {
        let items: Vec<_> = self.world.ledger.all().into_iter().map(|(_, item)| item).collect();
        let (from, to) = window();
        let search = self.clients.vonage_search(&from, &to).await;
        let list = self.clients.native_list(&from, &to).await;
        let (Some(search), Some(list)) = (search, list) else {
            return self.world.complain("a search was not answered".to_owned());
        };
        for item in items.iter().filter(|item| item.id.is_some()) {
            let id = item.id();
            let shown = item.contents.iter().any(|content| content.fate == Fate::Live);
            match item.fate {
                Fate::Live if !list.contains(id) => self.world.complain(format!("the list lacks the live {id}")),
                Fate::Live if shown && !search.contains(id) => {
                    self.world.complain(format!("the search lacks the live {id}"));
                }
                Fate::Deleted if list.contains(id) || search.contains(id) => {
                    self.world.complain(format!("a listing names the erased {id}"));
                }
                _ => {}
            }
        }
        let phones = self.world.ledger.phones();
        for _ in 0..10.min(phones.len()) {
            let phone = &phones[random.below(phones.len() as u64) as usize];
            let Some(found) = self.clients.native_dry_run(&Erasure::Phone(phone)).await else {
                self.world.complain("a dry run was not answered".to_owned());
                continue;
            };
            let of_phone = |item: &&Item| item.phone.as_deref() == Some(phone) && item.id.is_some();
            let (live, gone): (Vec<_>, Vec<_>) =
                items.iter().filter(of_phone).partition(|item| item.fate == Fate::Live);
            let ids = |items: &[&Item]| items.iter().map(|item| item.id().to_owned()).collect::<HashSet<_>>();
            if !ids(&live).is_subset(&found) || !ids(&gone).is_disjoint(&found) {
                self.world.complain(format!(
                    "a customer's number finds {} items; {} are live, {} erased",
                    found.len(),
                    live.len(),
                    gone.len()
                ));
            }
        }
    }

    /// Asks again for a while when the answer is 5xx: it must not be for ever.
    async fn patiently(&self, ask: impl AsyncFn() -> Option<Reply>) -> Option<Reply> {
        let begun = Instant::now();
        loop {
            match ask().await {
                Some(reply) if reply.status.is_server_error() && begun.elapsed() < Duration::from_secs(20) => {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                other => return other,
            }
        }
    }

    fn complain(&self, id: &str, what: &str, reply: Option<&Reply>) {
        let answer = reply.map_or_else(
            || "no answer".to_owned(),
            |reply| format!("{} {}", reply.status, String::from_utf8_lossy(&reply.body[..reply.body.len().min(200)])),
        );
        self.world.complain(format!("{what} ({id}): {answer}"));
    }
}

fn gone(reply: &Reply) -> bool {
    reply.status == StatusCode::NOT_FOUND || reply.status == StatusCode::GONE
}

/// The window that holds everything of a run.
fn window() -> (String, String) {
    let now = jiff::Timestamp::now().round(jiff::Unit::Second).expect("seconds are a unit of time");
    let hours = |hours: i64| jiff::SignedDuration::from_hours(hours);
    ((now - hours(100)).to_string(), (now + hours(1)).to_string())
}
