//! What a vault on servers costs in each store: the figures of `docs/scaling.md`, measured anew by the slow lane.

use std::process::Command;
use std::time::{Duration, Instant};

use futures::{StreamExt as _, stream};
use reqwest::Client;
use serde_json::{Value, json};

use crate::engines::engine;
use crate::figures::figure;
use crate::scaled::{Vault, serve, token};

/// Requests at the same time.
const AT_ONCE: usize = 64;
const RECORDING: usize = 16 << 10;
const TRANSCRIPT: usize = 2 << 10;

/// What the database answers.
fn psql(vault: &Vault, sql: &str) -> String {
    let arguments = [&vault.database.url, "-qtAX", "-F", " ", "-v", "ON_ERROR_STOP=1", "-c", sql];
    let ran = Command::new("psql").args(arguments).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8(ran.stdout).unwrap()
}

/// Bytes of the write-ahead log so far.
fn log_bytes(vault: &Vault) -> u64 {
    psql(vault, "SELECT pg_current_wal_insert_lsn() - '0/0'").trim().parse().unwrap()
}

/// Table by table: name, rows, bytes of the heap with what is stored beside it, bytes of the indices.
fn tables(vault: &Vault) -> Vec<(String, f64, f64, f64)> {
    let sql = "SELECT n.nspname || '.' || coalesce(p.relname, c.relname), sum(greatest(c.reltuples, 0)),
            sum(pg_table_size(c.oid)), sum(pg_indexes_size(c.oid))
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        LEFT JOIN pg_inherits i ON i.inhrelid = c.oid LEFT JOIN pg_class p ON p.oid = i.inhparent
        WHERE c.relkind = 'r' AND n.nspname LIKE 'oubliette%' GROUP BY 1 ORDER BY 3 DESC";
    let row = |line: &str| {
        let mut cells = line.split(' ');
        let name = cells.next().unwrap().to_owned();
        let mut number = || cells.next().unwrap().parse::<f64>().unwrap();
        (name, number(), number(), number())
    };
    psql(vault, sql).lines().map(row).collect()
}

/// Objects below a prefix of the vault's bucket, and their bytes.
fn objects(vault: &Vault, prefix: &str) -> (u64, u64) {
    let user = format!("{}:{}", engine("OUBLIETTE_TEST_S3_KEY"), engine("OUBLIETTE_TEST_S3_SECRET"));
    let (mut count, mut bytes, mut after) = (0, 0, String::new());
    loop {
        let mut url = format!(
            "{}/{}?list-type=2&max-keys=1000&prefix={}",
            engine("OUBLIETTE_TEST_S3"),
            vault.bucket,
            prefix.replace('/', "%2F")
        );
        if !after.is_empty() {
            url.push_str(&format!("&start-after={}", after.replace('/', "%2F")));
        }
        let arguments = ["-sf", "--aws-sigv4", "aws:amz:us-east-1:s3", "--user", &user, &url];
        let ran = Command::new("curl").args(arguments).output().unwrap();
        assert!(ran.status.success(), "{url}: {:?}", ran.status);
        let told = String::from_utf8(ran.stdout).unwrap();
        let inside = |tag: &str| -> Vec<String> {
            let begin = format!("<{tag}>");
            let parts = told.split(&begin).skip(1);
            parts.map(|part| part.split('<').next().unwrap().to_owned()).collect()
        };
        let sizes = inside("Size");
        count += sizes.len() as u64;
        bytes += sizes.iter().map(|size| size.parse::<u64>().unwrap()).sum::<u64>();
        match inside("Key").pop() {
            Some(last) if told.contains("<IsTruncated>true") => after = last,
            _ => return (count, bytes),
        }
    }
}

struct Caller {
    client: Client,
    base: String,
    token: String,
}

impl Caller {
    async fn store(&self, number: usize) -> String {
        let body = json!({ "kind": "call", "startedAt": "2026-11-20T10:00:00Z", "endedAt": "2026-11-20T10:04:00Z",
            "sessionId": format!("S-2026-{number:08}"), "externalIds": [format!("crm-{number:08}")], "direction": "inbound",
            "participants": [
                { "role": "customer", "phone": format!("+1512{number:07}"), "email": format!("person{number}@example.org"),
                  "firstName": "Jane", "lastName": "Sample" },
                { "role": "agent", "referenceId": "1342", "firstName": "Maya", "lastName": "Okafor" }] });
        let url = format!("{}/api/v1/interactions", self.base);
        let made = self.client.post(url).bearer_auth(&self.token).json(&body).send().await.unwrap();
        let made: Value = made.error_for_status().unwrap().json().await.unwrap();
        let id = made["id"].as_str().unwrap().to_owned();
        for (name, kind, length) in
            [("callRecording", "audio/wav", RECORDING), ("transcript", "application/octet-stream", TRANSCRIPT)]
        {
            let url = format!("{}/api/v1/interactions/{id}/contents/{name}", self.base);
            let put = self.client.put(url).bearer_auth(&self.token).header("content-type", kind);
            put.body(vec![number as u8; length]).send().await.unwrap().error_for_status().unwrap();
        }
        id
    }

    async fn delete(&self, id: &str) -> Duration {
        let begun = Instant::now();
        let url = format!("{}/api/v1/interactions/{id}", self.base);
        self.client.delete(url).bearer_auth(&self.token).send().await.unwrap().error_for_status().unwrap();
        begun.elapsed()
    }

    /// A figure of the running program.
    async fn figure(&self, name: &str) -> f64 {
        let told = self.client.get(format!("{}/metrics", self.base)).send().await.unwrap().text().await.unwrap();
        let line = told.lines().find(|line| line.split(' ').next() == Some(name)).unwrap();
        line.rsplit_once(' ').unwrap().1.parse().unwrap()
    }

    /// Erases all of these with one order; the time until it was sealed.
    async fn order(&self, ids: &[String]) -> Duration {
        let begun = Instant::now();
        let order = json!({ "selector": { "ids": ids } });
        let url = format!("{}/api/v1/erasures", self.base);
        let made = self.client.post(url).bearer_auth(&self.token).json(&order).send().await.unwrap();
        let made: Value = made.error_for_status().unwrap().json().await.unwrap();
        let url = format!("{}/api/v1/erasures/{}", self.base, made["id"].as_str().unwrap());
        loop {
            let told: Value =
                self.client.get(&url).bearer_auth(&self.token).send().await.unwrap().json().await.unwrap();
            if told["sealedAt"].is_string() {
                return begun.elapsed();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until nothing is left to remove.
    async fn swept(&self) {
        while self.figure("oubliette_erasures_unswept").await > 0.0 {
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }
}

/// Prints what lies where, for each of `interactions`.
fn tell(vault: &Vault, when: &str, interactions: usize) {
    for order in ["CHECKPOINT", "VACUUM ANALYZE"] {
        psql(vault, order);
    }
    let per = |bytes: f64| format!("{:.0}", bytes / interactions as f64);
    let mut sum = (0.0, 0.0);
    for (name, rows, table, indices) in tables(vault) {
        sum = (sum.0 + table, sum.1 + indices);
        if table + indices > 100_000.0 {
            let text = format!("{rows} rows, {} B + {} B of indices", per(table), per(indices));
            figure(&format!("bytes {when} {name}"), &text);
        }
    }
    figure(&format!("bytes {when} all tables"), &format!("{} B + {} B of indices", per(sum.0), per(sum.1)));
    for prefix in ["contents/o/", "contents/p/", "contents/keys/"] {
        let (count, bytes) = objects(vault, prefix);
        figure(
            &format!("bytes {when} {}", prefix.replace('/', "-")),
            &format!("{count} objects, {bytes} B, {} B each", per(bytes as f64)),
        );
    }
}

fn median(mut times: Vec<Duration>) -> (Duration, Duration) {
    times.sort();
    (times[times.len() / 2], times[times.len() * 95 / 100])
}

async fn measure(count: usize) {
    let vault = Vault::new();
    let place = vault.place("class = \"openbao\"");
    let mut server = serve(&place);
    let base = server.wait_for_endpoint();
    let client = Client::builder().no_proxy().timeout(Duration::from_secs(120)).build().unwrap();
    let caller = Caller { client, base, token: token(&place) };

    let (log, begun) = (log_bytes(&vault), Instant::now());
    let ids: Vec<String> = stream::iter(0..count).map(|number| caller.store(number)).buffered(AT_ONCE).collect().await;
    let (log, took) = (log_bytes(&vault) - log, begun.elapsed());
    figure(
        "bytes ingest",
        &format!("{count} interactions of two contents in {took:?}, {} B of log each", log / count as u64),
    );
    tell(&vault, "stored", count);
    let map = caller.figure("oubliette_lookup_bytes").await / count as f64;
    figure("bytes look-up map", &format!("{map:.0} B of memory each, for four keys"));

    let (single, many) = ids.split_at(count / 100);
    let (log, keys) = (log_bytes(&vault), objects(&vault, "contents/keys/").1);
    let mut times = Vec::new();
    for id in single {
        times.push(caller.delete(id).await);
    }
    let (log, keys) = (log_bytes(&vault) - log, objects(&vault, "contents/keys/").1.saturating_sub(keys));
    let (typical, slow) = median(times);
    let each = |bytes: u64| bytes / single.len() as u64;
    let text = format!(
        "{} one after another: median {typical:?}, 95% {slow:?}; {} B of log, {} B of key pages in the bucket each",
        single.len(),
        each(log),
        each(keys)
    );
    figure("bytes deletes alone", &text);

    let (abreast, rest) = many.split_at(count / 10);
    let (log, seals, begun) = (log_bytes(&vault), caller.figure("oubliette_seals_total").await, Instant::now());
    let times: Vec<Duration> = stream::iter(abreast).map(|id| caller.delete(id)).buffered(AT_ONCE).collect().await;
    let (took, seals, log) =
        (begun.elapsed(), caller.figure("oubliette_seals_total").await - seals, log_bytes(&vault) - log);
    let (typical, slow) = median(times);
    let text = format!(
        "{} on {AT_ONCE} connections in {took:?}: {:.0} a second, {:.1} seals a second, median {typical:?}, 95% {slow:?}, \
         {} B of log each",
        abreast.len(),
        abreast.len() as f64 / took.as_secs_f64(),
        seals / took.as_secs_f64(),
        log / abreast.len() as u64
    );
    figure("bytes deletes abreast", &text);

    let half = &rest[..rest.len() / 2];
    let (log, keys) = (log_bytes(&vault), objects(&vault, "contents/keys/").1);
    let took = caller.order(half).await;
    let (log, keys) = (log_bytes(&vault) - log, objects(&vault, "contents/keys/").1.saturating_sub(keys));
    let text = format!("{} interactions sealed after {took:?}; {log} B of log, {keys} B of key pages", half.len());
    figure("bytes one order", &text);
    let begun = Instant::now();
    caller.swept().await;
    figure("bytes removal", &format!("{:?} until rows and blobs were gone", begun.elapsed()));
    tell(&vault, "erased", count);
    server.terminate();
    assert_eq!(server.wait(), 0, "{}", server.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_vault_costs_in_each_store_can_be_measured() {
    measure(200).await;
}

mod slow {
    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "slow: stores 20,000 interactions on servers"]
    async fn what_twenty_thousand_interactions_cost_in_each_store() {
        super::measure(20_000).await;
    }
}
