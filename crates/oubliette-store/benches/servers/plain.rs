//! The same rows with `pgbench`, the same objects with a plain client: no keys, no seals, nothing that could be proven.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _, PutPayload};
use oubliette_store::blobs::object::{Credentials, S3Options};
use tempfile::TempDir;

use super::load::CALLERS;
use super::vault::{Vault, engine, psql};

/// Connections of a client are given numbers this far apart.
const APART: usize = 1_000_000;

/// Plain tables in the vault's database, and a plain folder in its bucket.
pub struct Plain {
    database: String,
    objects: Arc<dyn ObjectStore>,
    scripts: TempDir,
}

impl Plain {
    /// Makes tables of the vault's shape. The vault's own do not exist yet.
    pub fn make(vault: &Vault) -> Self {
        psql(
            &vault.database,
            "CREATE TABLE plain_interactions (interaction bigint PRIMARY KEY, tenant bigint, kind smallint, state smallint, \
             start_hour bigint, next_leaf smallint, extra_groups integer, directory_block bigint, version bigint, \
             sealed_meta bytea); \
             ALTER TABLE plain_interactions ALTER sealed_meta SET STORAGE EXTERNAL; \
             CREATE INDEX ON plain_interactions (tenant, start_hour, interaction); \
             CREATE TABLE plain_contents (leaf bigint, interaction bigint, kind smallint, size_class smallint, \
             blob text COLLATE \"C\", commitment bytea, sealed_meta bytea, PRIMARY KEY (interaction, leaf)); \
             ALTER TABLE plain_contents ALTER sealed_meta SET STORAGE EXTERNAL; \
             CREATE TABLE plain_blobs (blob text COLLATE \"C\" PRIMARY KEY, interaction bigint, leaf bigint)",
        );
        let scripts = TempDir::new().unwrap();
        let keys = format!(
            "[default]\naws_access_key_id = {}\naws_secret_access_key = {}\n",
            engine("OUBLIETTE_TEST_S3_KEY"),
            engine("OUBLIETTE_TEST_S3_SECRET")
        );
        std::fs::write(scripts.path().join("keys"), keys).unwrap();
        let credentials = Credentials::File { path: scripts.path().join("keys"), profile: "default".to_owned() };
        let options = S3Options {
            endpoint: Some(engine("OUBLIETTE_TEST_S3")),
            allow_http: true,
            ..S3Options::new(&vault.bucket, credentials)
        };
        Self { database: vault.database.clone(), objects: options.object_store().unwrap(), scripts }
    }

    /// An interaction with one content, a transaction each.
    pub fn inserts_per_s(&self, count: usize) -> f64 {
        self.pgbench(
            count,
            "INSERT INTO plain_interactions VALUES (:id, 1, 1, 2, 490000, 2, 0, :id / 32, 0, decode(repeat('5a', 700), 'hex'));\n\
             INSERT INTO plain_contents VALUES (:id * 8 + 1, :id, 1, 20, 'p/b/' || :id, decode(repeat('5a', 32), 'hex'), \
             decode(repeat('5a', 250), 'hex'));\n\
             INSERT INTO plain_blobs VALUES ('p/b/' || :id, :id, :id * 8 + 1);\n",
        )
    }

    /// The same rows deleted again, a transaction each.
    pub fn deletes_per_s(&self, count: usize) -> f64 {
        self.pgbench(
            count,
            "DELETE FROM plain_contents WHERE interaction = :id;\n\
             DELETE FROM plain_blobs WHERE blob = 'p/b/' || :id;\n\
             DELETE FROM plain_interactions WHERE interaction = :id;\n",
        )
    }

    fn pgbench(&self, count: usize, statements: &str) -> f64 {
        let script: PathBuf = self.scripts.path().join("script");
        let text = format!(
            "\\set n :n + 1\n\\set id :client_id * {APART} + :n\nBEGIN;\n{}END;\n",
            statements.replace("'p/b/' || :id", "'p/b/' || :id::bigint")
        );
        std::fs::write(&script, text).unwrap();
        let program = ["/usr/lib/postgresql/15/bin/pgbench", "pgbench"];
        let program = program.into_iter().find(|program| Command::new(program).arg("-V").output().is_ok()).unwrap();
        let clients = CALLERS.to_string();
        let each = (count / CALLERS).to_string();
        let ran = Command::new(program)
            .args(["-n", "-M", "prepared", "-c", &clients, "-j", "2", "-t", &each, "-D", "n=0", "-f"])
            .arg(&script)
            .arg(&self.database)
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&ran.stdout);
        assert!(ran.status.success(), "{told}{}", String::from_utf8_lossy(&ran.stderr));
        let rate = told.lines().find_map(|line| line.strip_prefix("tps = ")).unwrap();
        rate.split(' ').next().unwrap().parse().unwrap()
    }

    /// Writes objects, one request each; how many a second.
    pub async fn puts_per_s(&self, count: usize, length: usize) -> f64 {
        let payload = PutPayload::from(vec![0x42; length]);
        let begun = Instant::now();
        stream::iter(0..count)
            .for_each_concurrent(CALLERS, |number| {
                let payload = payload.clone();
                async move { drop(self.objects.put(&path(number), payload).await.unwrap()) }
            })
            .await;
        count as f64 / begun.elapsed().as_secs_f64()
    }

    /// Removes them again, one request each; how many a second.
    pub async fn single_removals_per_s(&self, count: usize) -> f64 {
        let begun = Instant::now();
        stream::iter(0..count)
            .for_each_concurrent(CALLERS, |number| async move { self.objects.delete(&path(number)).await.unwrap() })
            .await;
        count as f64 / begun.elapsed().as_secs_f64()
    }

    /// Removes whatever is there in requests of a thousand; how many a second.
    pub async fn bulk_removals_per_s(&self) -> f64 {
        let all: Vec<Path> =
            self.objects.list(Some(&Path::from("plain"))).map_ok(|object| object.location).try_collect().await.unwrap();
        let count = all.len();
        let begun = Instant::now();
        let removed = self.objects.delete_stream(stream::iter(all).map(Ok).boxed()).try_collect::<Vec<_>>().await;
        assert_eq!(removed.unwrap().len(), count);
        count as f64 / begun.elapsed().as_secs_f64()
    }
}

fn path(number: usize) -> Path {
    Path::from(format!("plain/{number}"))
}
