//! A vault with very many interactions: it starts in seconds, in bounded memory, and everything in it is found.

use std::path::Path;
use std::time::{Duration, Instant};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::{SignedDuration, Timestamp};
use oubliette::config::Config;
use oubliette::control::local_actor;
use oubliette::opening::{OpenVault, Opening, RegisterPolicy};
use oubliette_core::model::{Actor, ContentKind, InteractionKind, InteractionMeta, Participant, State};
use oubliette_core::ports::Metadata as _;
use oubliette_core::service::{NewContent, NewInteraction, Vault, body_of};
use oubliette_store::metadata::sqlite::{SqliteMetadata, SqliteOptions};
use reqwest::Method;
use serde_json::{Value, json};

use super::resident::{MIB, Resident};
use super::traffic::{Clients, json_of};
use crate::figures::figure;
use crate::program::{Place, Server};

/// What a vault with 1,000,000 interactions may take.
const WHOLE: u64 = 1024 * MIB;
/// So many interactions are of one person.
const OF_ONE: u64 = 1_000;
/// That person's number.
const ONE: &str = "+1 512 555 0100";
/// Interactions stored at the same time while the vault is filled.
const AT_ONCE: usize = 512;
/// Seconds between two starts: some 500 interactions an hour.
const APART: i64 = 7;
/// Directory blocks read at once, as the program does.
const BLOCKS: usize = 256;

/// What is in the vault.
#[derive(Clone, Copy)]
struct Filled {
    count: u64,
}

impl Filled {
    fn is_of_one(&self, number: u64) -> bool {
        number.is_multiple_of(self.count / OF_ONE)
    }

    fn phone(&self, number: u64) -> String {
        if self.is_of_one(number) { ONE.to_owned() } else { format!("+1303{:07}", 2_000_000 + number) }
    }

    fn session(number: u64) -> String {
        format!("7c9e6679-7425-40de-944b-{number:012}")
    }

    fn start(number: u64) -> Timestamp {
        let begin: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        begin + SignedDuration::from_secs(APART * i64::try_from(number).unwrap())
    }

    /// A call as a recorder would capture it, with a small content.
    async fn store(&self, vault: &Vault, actor: &Actor, number: u64) -> anyhow::Result<()> {
        let mut draft = vault.draft(actor).await?;
        let text = format!("{{\"participants\":[],\"sentenceSegments\":[{{\"phrase\":\"words of call {number}\"}}]}}");
        draft.add(NewContent::fixed(ContentKind::Transcript, "application/json"), body_of(text)).await?;
        let mut meta = InteractionMeta::starting(Self::start(number));
        meta.ended_at = Some(Self::start(number) + SignedDuration::from_secs(180));
        meta.session_id = Some(Self::session(number));
        let agent = Participant {
            role: "agent".to_owned(),
            reference_id: Some(format!("agent-{}", number % 200)),
            ..Participant::default()
        };
        let customer = Participant {
            role: "customer".to_owned(),
            phone: Some(self.phone(number)),
            first_name: Some("Ann".to_owned()),
            ..Participant::default()
        };
        meta.participants = vec![agent, customer];
        let kind = InteractionKind::Call;
        draft.commit(NewInteraction { kind, state: State::Processed, meta, unique_session: false }).await?;
        Ok(())
    }
}

/// Fills a vault through its own service and closes it; everything of that is gone when it returns.
fn fill(data: &Path, count: u64) -> Filled {
    let filled = Filled { count };
    let mut config = Config::default();
    config.storage.data = data.to_owned();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let embedded = OpenVault::open_with(&config, Opening::new(RegisterPolicy::Warn)).await.unwrap();
        embedded.vault.wait_ready().await;
        let actor = local_actor(embedded.vault.create_tenant("default").await.unwrap());
        let begun = Instant::now();
        let stored = stream::iter(0..count).map(|number| filled.store(&embedded.vault, &actor, number));
        stored.buffer_unordered(AT_ONCE).try_collect::<()>().await.unwrap();
        let rate = count as f64 / begun.elapsed().as_secs_f64();
        figure(&format!("ingest of {count}"), &format!("{rate:.0} interactions/s, {AT_ONCE} at once, from within"));
        let metadata = embedded.metadata.clone();
        embedded.close().await;
        metadata.close().await;
    });
    runtime.shutdown_timeout(Duration::from_secs(60));
    filled
}

/// How long it takes to read the rows that the look-up map is made from, and nothing more.
fn raw_read(data: &Path) -> Duration {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let database = data.join("db").join("oubliette.sqlite");
        let metadata = SqliteMetadata::open(&database, SqliteOptions::default()).unwrap();
        let begun = Instant::now();
        let (mut from, mut bytes) = (0, 0);
        loop {
            let rows = metadata.directory(from, BLOCKS).await.unwrap();
            let Some(last) = rows.last() else { break };
            from = last.block + 1;
            bytes += rows.iter().map(|row| row.sealed.len()).sum::<usize>();
        }
        let took = begun.elapsed();
        assert!(bytes > 0);
        metadata.close().await;
        took
    })
}

/// The program on a vault, ready, with what that took.
struct Started {
    server: Server,
    base: String,
    ready: Duration,
    resident: u64,
    peak: u64,
    status: Value,
}

async fn start(place: &Place) -> Started {
    let begun = Instant::now();
    let mut server = place.serve(&[]);
    let base = server.wait_for_endpoint();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    while http.get(format!("{base}/readyz")).send().await.unwrap().status() != 200 {
        assert!(begun.elapsed() < Duration::from_secs(600), "never ready: {}", server.log());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let ready = begun.elapsed();
    let memory = Resident::of(server.pid());
    let (resident, peak) = (memory.now(), memory.peak());
    let status = place.run(&["status", "--data", place.data().to_str().unwrap(), "--json"]).with_code(0).json();
    Started { server, base, ready, resident, peak, status }
}

/// Look-ups by phone and session give what they should, and nothing else.
async fn look_ups(clients: &Clients, filled: Filled) {
    let find = async |selector: Value| {
        let order = json!({ "selector": selector, "dryRun": true });
        json_of(clients.native(Method::POST, "/erasures").json(&order), 200).await
    };
    for spelling in [ONE, "+15125550100"] {
        let plan = find(json!({ "phones": [spelling] })).await;
        assert_eq!((&plan["interactions"], &plan["contents"]), (&json!(OF_ONE), &json!(OF_ONE)));
        let mut sessions: Vec<_> = plan["items"].as_array().unwrap().iter().map(|item| &item["sessionId"]).collect();
        sessions.sort_by_key(|session| session.as_str());
        let expected = (0..filled.count).filter(|number| filled.is_of_one(*number)).map(Filled::session);
        assert!(sessions.into_iter().eq(expected.map(Value::from).collect::<Vec<_>>().iter()));
    }
    for number in [1, filled.count / 2 + 1, filled.count - 1] {
        for selector in [json!({ "sessions": [Filled::session(number)] }), json!({ "phones": [filled.phone(number)] })]
        {
            let plan = find(selector).await;
            assert_eq!((&plan["interactions"], &plan["missingCount"]), (&json!(1), &json!(0)));
            assert_eq!(plan["items"][0]["sessionId"], Filled::session(number));
        }
    }
    assert_eq!(find(json!({ "phones": ["+13031999999"] })).await["interactions"], 0);
    assert_eq!(find(json!({ "sessions": [Filled::session(filled.count)] })).await["missingCount"], 1);
}

/// Pages of a search over the busiest week go on to its end, each item once, in order.
async fn search(clients: &Clients, filled: Filled) {
    let week = 7 * 24 * 3_600;
    let last = Filled::start(filled.count - 1);
    let first = (last - SignedDuration::from_secs(week)).max(Filled::start(0));
    let mut continuation = String::new();
    let (mut seen, mut newest) = (0, String::new());
    loop {
        let path = format!("?start={first}&end={last}&limit=1000{continuation}");
        let page = json_of(clients.vonage(Method::GET, &path), 200).await;
        for item in page["items"].as_array().unwrap() {
            let at = item["start"].as_str().unwrap().to_owned();
            assert!(at > newest, "{at} after {newest}");
            newest = at;
            seen += 1;
        }
        // The whole week of a small vault, and enough pages of a large one.
        match page["meta"]["nextContinuationToken"].as_str() {
            Some(token) if seen < 20_000 => continuation = format!("&continuationToken={token}"),
            Some(_) => break,
            None => {
                let inside = (last.as_second() - first.as_second()) / APART + 1;
                assert_eq!(seen, inside);
                break;
            }
        }
    }
}

/// All of one person goes: sealed, nothing of it found, the rest there.
async fn purge(clients: &Clients, place: &Place, filled: Filled) {
    let order = json!({ "selector": { "phones": [ONE] } });
    let ordered = json_of(clients.native(Method::POST, "/erasures").json(&order), 202).await;
    assert_eq!(ordered["interactions"], OF_ONE);
    let path = format!("/erasures/{}", ordered["id"].as_str().unwrap());
    let begun = Instant::now();
    loop {
        let erasure = json_of(clients.native(Method::GET, &path), 200).await;
        if ["sealed", "removed"].contains(&erasure["state"].as_str().unwrap()) {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "never sealed: {erasure}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let dry = json!({ "selector": { "phones": [ONE] }, "dryRun": true });
    let plan = json_of(clients.native(Method::POST, "/erasures").json(&dry), 200).await;
    assert_eq!(plan["interactions"], 0);
    let data = place.data();
    loop {
        let status = place.run(&["status", "--data", data.to_str().unwrap(), "--json"]).with_code(0).json();
        if status["interactions"] == filled.count - OF_ONE {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(120), "never removed: {status}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// What a start took.
struct Took {
    ready: Duration,
    /// Reading the look-up rows and nothing more.
    raw: Duration,
    /// Bytes at most.
    peak: u64,
}

/// Fills a vault, starts the program on it, and uses it. `most` is what each interaction may take in memory.
fn is_loaded(count: u64, most: u64) -> Took {
    let place = Place::new();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let empty = runtime.block_on(start(&place));
    let idle = empty.resident;
    empty.server.stop();
    drop(place);

    let place = Place::new();
    let filled = fill(&place.data(), count);
    let raw = raw_read(&place.data());
    let started = runtime.block_on(start(&place));
    assert_eq!(started.status["interactions"], count);
    let map = started.status["lookupBytes"].as_u64().unwrap();
    let each = started.resident.saturating_sub(idle) / count;
    let text = format!(
        "ready after {:.2} s ({:.1} times reading the rows), {} MiB resident ({} at most), {each} bytes each, {} of them the \
         look-up map's",
        started.ready.as_secs_f64(),
        started.ready.as_secs_f64() / raw.as_secs_f64(),
        started.resident / MIB,
        started.peak / MIB,
        map / count,
    );
    figure(&format!("vault of {count}"), &text);
    assert!(each < most, "{text}");
    runtime.block_on(async {
        let begun = Instant::now();
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let figures = http.get(format!("{}/metrics", started.base)).send().await.unwrap().text().await.unwrap();
        assert!(figures.lines().any(|line| line == format!("oubliette_interactions {count}")), "{figures}");
        let took = begun.elapsed().as_secs_f64() * 1e3;
        figure(&format!("figures of a vault of {count}"), &format!("read in {took:.1} ms"));
        let clients = Clients::of(&place, &started.base).await;
        look_ups(&clients, filled).await;
        search(&clients, filled).await;
        purge(&clients, &place, filled).await;
        let memory = Resident::of(started.server.pid());
        let (now, used) = (memory.now() / MIB, begun.elapsed().as_secs_f64());
        figure(&format!("vault of {count}, used"), &format!("{now} MiB resident after {used:.1} s of use"));
        assert!(memory.peak() < WHOLE);
    });
    let Started { server, ready, peak, .. } = started;
    server.stop();
    Took { ready, raw, peak }
}

#[test]
fn a_vault_of_50_000_interactions_takes_few_bytes_for_each_and_is_used_as_an_empty_one() {
    is_loaded(50_000, 1_024);
}

mod slow {
    use super::{WHOLE, is_loaded};

    /// Starting may take this many times as long as reading the rows alone: they are opened, and every number in them is
    /// brought into its forms.
    const TIMES_READING: f64 = 60.0;

    #[test]
    #[ignore = "slow lane"]
    fn a_vault_of_1_000_000_interactions_stays_below_1_gib_and_starts_in_seconds() {
        let took = is_loaded(1_000_000, 512);
        assert!(took.peak < WHOLE);
        assert!(took.ready.as_secs_f64() < TIMES_READING * took.raw.as_secs_f64());
    }
}
