//! A client of the native API that remembers what it was answered.

use std::time::Duration;

use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};

/// Speaks to one server.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    pub base: String,
    pub token: String,
}

/// An interaction that was acknowledged with everything in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    pub id: String,
    pub number: usize,
    pub recording: Vec<u8>,
    /// What was last acknowledged as its language.
    pub language: Option<String>,
    /// Content of another kind, if it has one.
    pub screen: Option<Vec<u8>>,
}

impl Item {
    fn session(number: usize) -> String {
        format!("session-{number}")
    }

    fn phone(number: usize) -> String {
        format!("+1512555{number:04}")
    }

    fn email(number: usize) -> String {
        format!("customer-{number}@example.com")
    }

    fn external(number: usize) -> String {
        format!("external-{number}")
    }
}

/// Bytes that differ from number to number.
pub fn bytes_of(number: usize, length: usize) -> Vec<u8> {
    let mut state = (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u8
    };
    (0..length).map(next).collect()
}

impl Client {
    pub fn new(base: &str, token: &str) -> Self {
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(60)).build().unwrap();
        Self { http, base: base.to_owned(), token: token.to_owned() }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}/api/v1/interactions{path}", self.base)).bearer_auth(&self.token)
    }

    /// Makes an interaction with a recording; `None` unless both were acknowledged.
    pub async fn make(&self, number: usize, length: usize) -> Option<Item> {
        // A hundred in an hour, as in a vault that was filled by calls.
        let started = jiff::Timestamp::from_second(1_763_632_800 + number as i64 * 36).unwrap();
        let body = json!({ "kind": "call", "startedAt": started.to_string(), "sessionId": Item::session(number),
            "externalIds": [Item::external(number)],
            "participants": [
                { "role": "customer", "phone": Item::phone(number), "email": Item::email(number) },
                { "role": "agent" },
            ] });
        let made = self.request(Method::POST, "").json(&body).send().await.ok()?;
        if made.status() != StatusCode::CREATED {
            assert!(made.status().is_server_error(), "{}", made.status());
            return None;
        }
        let made: Value = made.json().await.ok()?;
        let id = made["id"].as_str().unwrap().to_owned();
        let recording = bytes_of(number, length);
        let stored = self.put(&id, "callRecording", "audio/wav", &recording).await;
        stored.then_some(Item { id, number, recording, language: None, screen: None })
    }

    /// Stores a content; whether it was acknowledged.
    pub async fn put(&self, id: &str, key: &str, media_type: &str, bytes: &[u8]) -> bool {
        let request = self.request(Method::PUT, &format!("/{id}/contents/{key}")).header("content-type", media_type);
        let answer = request.body(bytes.to_vec()).send().await;
        answer.is_ok_and(|answer| answer.status().is_success())
    }

    /// Corrects the language; the answer's status.
    pub async fn speak(&self, id: &str, language: &str) -> Option<StatusCode> {
        let patch = self.request(Method::PATCH, &format!("/{id}"));
        let patch = patch.header("content-type", "application/merge-patch+json");
        Some(patch.body(json!({ "language": language }).to_string()).send().await.ok()?.status())
    }

    /// Erases; the answer's status.
    pub async fn erase(&self, id: &str) -> Option<StatusCode> {
        Some(self.request(Method::DELETE, &format!("/{id}")).send().await.ok()?.status())
    }

    /// One content.
    pub async fn read(&self, id: &str, key: &str) -> Option<(StatusCode, Vec<u8>)> {
        let answer = self.request(Method::GET, &format!("/{id}/contents/{key}")).send().await.ok()?;
        Some((answer.status(), answer.bytes().await.ok()?.to_vec()))
    }

    /// One interaction.
    pub async fn interaction(&self, id: &str) -> (StatusCode, Value) {
        let answer = self.request(Method::GET, &format!("/{id}")).send().await.unwrap();
        let status = answer.status();
        (status, answer.json().await.unwrap_or(Value::Null))
    }

    /// Ids that a selector names.
    async fn named(&self, selector: Value) -> Vec<String> {
        let body = json!({ "selector": selector, "dryRun": true });
        let url = format!("{}/api/v1/erasures", self.base);
        let mut asked = 0;
        let plan: Value = loop {
            let plan = self.http.post(&url).bearer_auth(&self.token).json(&body).send().await.unwrap();
            if plan.status().is_success() {
                break plan.json().await.unwrap();
            }
            // A server that has just begun to serve does not know yet what is found by what.
            assert!(plan.status() == StatusCode::SERVICE_UNAVAILABLE && asked < 300, "{}", plan.status());
            asked += 1;
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        let items = plan["items"].as_array().unwrap();
        items.iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
    }

    /// Everything of an acknowledged item is there, once, under every name it has.
    pub async fn assert_whole(&self, item: &Item) {
        let (status, interaction) = self.interaction(&item.id).await;
        assert_eq!(status, StatusCode::OK, "{} is lost", item.number);
        assert_eq!(interaction["sessionId"], Item::session(item.number));
        assert_eq!(interaction["language"].as_str(), item.language.as_deref(), "{interaction}");
        let read = self.read(&item.id, "callRecording").await.unwrap();
        assert!(read == (StatusCode::OK, item.recording.clone()), "{}: another recording, {}", item.number, read.0);
        if let Some(screen) = &item.screen {
            let read = self.read(&item.id, "screenRecording").await.unwrap();
            assert!(read == (StatusCode::OK, screen.clone()), "{}: another screen recording, {}", item.number, read.0);
        }
    }

    /// The item is found by each of its keys, and nothing else is.
    pub async fn assert_found(&self, item: &Item) {
        let one = vec![item.id.clone()];
        assert_eq!(self.named(json!({ "sessions": [Item::session(item.number)] })).await, one);
        assert_eq!(self.named(json!({ "phones": [Item::phone(item.number)] })).await, one);
        assert_eq!(self.named(json!({ "emails": [Item::email(item.number)] })).await, one);
        assert_eq!(self.interaction(&Item::external(item.number)).await.1["id"], item.id.as_str());
    }

    /// What was erased is gone, by its id and by its keys.
    pub async fn assert_gone(&self, item: &Item) {
        assert_eq!(self.interaction(&item.id).await.0, StatusCode::GONE, "{}", item.number);
        assert_eq!(self.read(&item.id, "callRecording").await.unwrap().0, StatusCode::GONE, "{}", item.number);
        assert!(self.named(json!({ "sessions": [Item::session(item.number)] })).await.is_empty());
    }

    /// Ids of all interactions there are.
    pub async fn all(&self) -> Vec<String> {
        let mut ids = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = self.request(Method::GET, &format!("?limit=200{cursor}")).send().await.unwrap();
            assert_eq!(page.status(), StatusCode::OK);
            let page: Value = page.json().await.unwrap();
            ids.extend(page["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()));
            match page["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return ids,
            }
        }
    }
}
