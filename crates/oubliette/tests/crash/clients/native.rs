//! The native API: create, put, get, list, delete, erase, follow.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::{Clients, Outcome, Reply};

/// What an order covers.
pub enum Erasure<'a> {
    Ids(&'a [&'a str]),
    Sessions(&'a [&'a str]),
    Phone(&'a str),
}

impl Erasure<'_> {
    fn selector(&self) -> Value {
        match self {
            Self::Ids(ids) => json!({ "ids": ids }),
            Self::Sessions(sessions) => json!({ "sessions": sessions }),
            Self::Phone(phone) => json!({ "phones": [phone] }),
        }
    }
}

impl Clients {
    fn native_request(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method, self.url(&format!("/api/v1{path}"))).bearer_auth(&self.keys.native)
    }

    async fn native_get(&self, path: &str) -> Option<Reply> {
        self.send(self.native_request(reqwest::Method::GET, path)).await
    }

    /// Makes an interaction without contents.
    pub async fn native_create(&self, session: &str, phone: &str, started: &str) -> Outcome<String> {
        let body = json!({
            "kind": "call", "startedAt": started, "sessionId": session, "direction": "inbound",
            "participants": [{"role": "customer", "phone": phone, "firstName": "Bob"}, {"role": "agent"}],
        });
        let request = self.native_request(reqwest::Method::POST, "/interactions").json(&body);
        self.change(request, &[201])
            .await
            .map(|reply| reply.json()["id"].as_str().expect("a new interaction has an id").to_owned())
    }

    /// Stores a content under a name; replaces an earlier one.
    pub async fn native_put(&self, id: &str, key: &str, media_type: &str, bytes: &[u8]) -> Outcome<()> {
        let request = self.native_request(reqwest::Method::PUT, &format!("/interactions/{id}/contents/{key}"));
        // A name that is no kind's own needs to be told its kind.
        let request = if key.contains('-') { request.query(&[("kind", "attachment")]) } else { request };
        self.change(request.header("Content-Type", media_type).body(bytes.to_vec()), &[200, 201]).await.map(drop)
    }

    /// One interaction.
    pub async fn native_interaction(&self, id: &str) -> Option<Reply> {
        self.native_get(&format!("/interactions/{id}")).await
    }

    /// One content's bytes.
    pub async fn native_content(&self, id: &str, key: &str) -> Option<Reply> {
        self.native_get(&format!("/interactions/{id}/contents/{key}")).await
    }

    /// Ids of all interactions between two times.
    pub async fn native_list(&self, from: &str, to: &str) -> Option<HashSet<String>> {
        let mut found = HashSet::new();
        let mut cursor: Option<String> = None;
        loop {
            let mut path = format!("/interactions?from={from}&to={to}&limit=100");
            if let Some(cursor) = &cursor {
                path.push_str(&format!("&cursor={cursor}"));
            }
            let reply = self.native_get(&path).await?;
            if reply.status != 200 {
                return None;
            }
            let page = reply.json();
            for item in page["items"].as_array().into_iter().flatten() {
                found.insert(item["id"].as_str().unwrap_or_default().to_owned());
            }
            match page["next"].as_str() {
                Some(next) => cursor = Some(next.to_owned()),
                None => return Some(found),
            }
        }
    }

    /// Deletes one content.
    pub async fn native_delete_content(&self, id: &str, key: &str) -> Outcome<()> {
        let request = self.native_request(reqwest::Method::DELETE, &format!("/interactions/{id}/contents/{key}"));
        self.change(request, &[204]).await.map(drop)
    }

    /// Deletes one interaction.
    pub async fn native_delete(&self, id: &str) -> Outcome<()> {
        let request = self.native_request(reqwest::Method::DELETE, &format!("/interactions/{id}"));
        self.change(request, &[204]).await.map(drop)
    }

    /// Orders an erasure; its id.
    pub async fn native_erase(&self, what: &Erasure<'_>) -> Outcome<Option<String>> {
        let body = json!({"selector": what.selector(), "dryRun": false, "reference": "crash test", "reason": "test"});
        let request = self.native_request(reqwest::Method::POST, "/erasures").json(&body);
        self.change(request, &[202]).await.map(|reply| reply.json()["id"].as_str().map(str::to_owned))
    }

    /// What an erasure would cover: ids.
    pub async fn native_dry_run(&self, what: &Erasure<'_>) -> Option<HashSet<String>> {
        let body = json!({"selector": what.selector(), "dryRun": true});
        let reply = self.send(self.native_request(reqwest::Method::POST, "/erasures").json(&body)).await?;
        let plan = reply.json();
        let items = plan["items"].as_array()?;
        Some(items.iter().filter_map(|item| item["id"].as_str().map(str::to_owned)).collect())
    }

    /// Whether an erasure is sealed.
    pub async fn native_sealed(&self, id: &str) -> Option<bool> {
        let reply = self.native_get(&format!("/erasures/{id}")).await?;
        let erasure = reply.json();
        let items = erasure["items"].as_array()?;
        let sealed = matches!(erasure["state"].as_str()?, "sealed" | "removed");
        Some(sealed && items.iter().all(|item| item["state"] == "sealed"))
    }
}
