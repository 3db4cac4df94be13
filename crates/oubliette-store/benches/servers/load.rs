//! Clients of the native API.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures::{StreamExt as _, stream};
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};
use uuid::Uuid;

/// Requests under way at the same time.
pub const CALLERS: usize = 64;
/// How often a purge is asked whether it is sealed.
const POLL: Duration = Duration::from_millis(5);

/// Callers that take the nodes in turn.
pub struct Load {
    client: Client,
    nodes: Vec<String>,
    turn: Arc<AtomicUsize>,
    token: String,
}

impl Load {
    /// For these nodes.
    pub fn new(nodes: Vec<String>, token: &str) -> Self {
        let client = Client::builder().no_proxy().timeout(Duration::from_secs(60)).build().unwrap();
        Self { client, nodes, turn: Arc::default(), token: token.to_owned() }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let node = &self.nodes[self.turn.fetch_add(1, Ordering::Relaxed) % self.nodes.len()];
        self.client.request(method, format!("{node}/api/v1{path}")).bearer_auth(&self.token)
    }

    /// Stores interactions with so many contents of this length; their ids, and how many a second.
    pub async fn ingest(
        &self,
        count: usize,
        contents: usize,
        phone: Option<&str>,
        length: usize,
    ) -> (Vec<String>, f64) {
        let body = bytes::Bytes::from(vec![0x42; length]);
        let begun = Instant::now();
        let ids: Vec<String> = stream::iter(0..count)
            .map(|number| {
                let body = body.clone();
                async move {
                    let phone = phone.map_or_else(|| format!("+1512{number:07}"), str::to_owned);
                    let new = json!({ "kind": "call", "startedAt": "2026-11-20T10:00:00Z",
                        "sessionId": Uuid::new_v4(), "participants": [{ "role": "customer", "phone": phone }] });
                    let made = self.request(Method::POST, "/interactions").json(&new).send().await.unwrap();
                    assert_eq!(made.status(), 201);
                    let made: Value = made.json().await.unwrap();
                    let id = made["id"].as_str().unwrap().to_owned();
                    for content in 0..contents {
                        let key = ["callRecording", "screenRecording", "transcript", "voicemail"][content % 4];
                        let put = self.request(Method::PUT, &format!("/interactions/{id}/contents/{key}"));
                        let put = put.header("content-type", "audio/wav").body(body.clone()).send().await.unwrap();
                        assert!(put.status().is_success(), "{}", put.status());
                    }
                    id
                }
            })
            .buffer_unordered(CALLERS)
            .collect()
            .await;
        (ids, count as f64 / begun.elapsed().as_secs_f64())
    }

    /// Reads the recording of each; bytes a second.
    pub async fn read(&self, ids: &[String], length: usize) -> f64 {
        let begun = Instant::now();
        stream::iter(ids)
            .for_each_concurrent(CALLERS, |id| async move {
                let got = self.request(Method::GET, &format!("/interactions/{id}/contents/callRecording"));
                let got = got.send().await.unwrap();
                assert_eq!(got.status(), 200);
                assert_eq!(got.bytes().await.unwrap().len(), length);
            })
            .await;
        (ids.len() * length) as f64 / begun.elapsed().as_secs_f64()
    }

    /// Deletes each in a request of its own, answered when it is sealed; how many a second.
    pub async fn delete(&self, ids: Vec<String>) -> f64 {
        let count = ids.len();
        let begun = Instant::now();
        stream::iter(ids)
            .for_each_concurrent(CALLERS, |id| async move {
                let answer = self.request(Method::DELETE, &format!("/interactions/{id}")).send().await.unwrap();
                assert!(answer.status().is_success(), "{}", answer.status());
            })
            .await;
        count as f64 / begun.elapsed().as_secs_f64()
    }

    /// Purges what a number took part in; interactions a second until sealed.
    pub async fn purge(&self, phone: &str, expected: usize) -> f64 {
        let begun = Instant::now();
        let order = json!({ "selector": { "phones": [phone] } });
        let answer = self.request(Method::POST, "/erasures").json(&order).send().await.unwrap();
        assert_eq!(answer.status(), 202);
        let answer: Value = answer.json().await.unwrap();
        let path = format!("/erasures/{}?limit=1", answer["id"].as_str().unwrap());
        loop {
            let erasure: Value = self.request(Method::GET, &path).send().await.unwrap().json().await.unwrap();
            if matches!(erasure["state"].as_str(), Some("sealed" | "removed")) {
                assert_eq!(erasure["interactions"], json!(expected));
                return expected as f64 / begun.elapsed().as_secs_f64();
            }
            tokio::time::sleep(POLL).await;
        }
    }
}
