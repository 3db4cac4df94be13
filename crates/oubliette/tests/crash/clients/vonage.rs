//! Vonage Contact Center: token, search, reads, three deletes.

use std::collections::HashSet;

use super::{Clients, Outcome, Reply};

impl Clients {
    async fn vonage_request(&self, method: reqwest::Method, path: &str) -> Option<reqwest::RequestBuilder> {
        let ask = self.http.post(self.url("/Auth/connect/token"));
        let ask = ask.basic_auth(&self.keys.vonage.0, Some(&self.keys.vonage.1)).form(&[
            ("grant_type", "client_credentials"),
            ("scope", "interaction-content:read interaction-content:delete"),
        ]);
        let token = self.vonage.get(self.send(ask)).await?;
        let url = self.url(&format!("/interaction-content/interactions{path}"));
        let request = self.http.request(method, url).bearer_auth(token);
        Some(request.header("Accept", "application/vnd.newvoicemedia.v3+json"))
    }

    async fn vonage_get(&self, path: &str) -> Option<Reply> {
        self.send(self.vonage_request(reqwest::Method::GET, path).await?).await
    }

    async fn vonage_delete(&self, path: &str, done: u16) -> Outcome<()> {
        match self.vonage_request(reqwest::Method::DELETE, path).await {
            Some(request) => self.change(request, &[done]).await.map(drop),
            None => Outcome::Doubt(None),
        }
    }

    /// One interaction.
    pub async fn vonage_interaction(&self, guid: &str) -> Option<Reply> {
        self.vonage_get(&format!("/{guid}")).await
    }

    /// One content's bytes.
    pub async fn vonage_content(&self, guid: &str, key: &str) -> Option<Reply> {
        self.vonage_get(&format!("/{guid}/content/{key}")).await
    }

    /// Part of one content: `first..=last`.
    pub async fn vonage_range(&self, guid: &str, key: &str, first: usize, last: usize) -> Option<Reply> {
        let request = self.vonage_request(reqwest::Method::GET, &format!("/{guid}/content/{key}")).await?;
        self.send(request.header("Range", format!("bytes={first}-{last}"))).await
    }

    /// Every interaction that the search tells between two times (at most seven days).
    pub async fn vonage_search(&self, start: &str, end: &str) -> Option<HashSet<String>> {
        let mut found = HashSet::new();
        let mut token: Option<String> = None;
        loop {
            let mut path = format!("?start={start}&end={end}&limit=500");
            if let Some(token) = &token {
                path.push_str(&format!("&continuationToken={token}"));
            }
            let reply = self.vonage_get(&path).await?;
            let page = reply.json();
            if reply.status != 200 {
                return None;
            }
            for item in page["items"].as_array().into_iter().flatten() {
                found.insert(item["guid"].as_str().unwrap_or_default().to_owned());
            }
            match page["meta"]["nextContinuationToken"].as_str() {
                Some(next) => token = Some(next.to_owned()),
                None => return Some(found),
            }
        }
    }

    /// Deletes one content.
    pub async fn vonage_delete_content(&self, guid: &str, key: &str) -> Outcome<()> {
        self.vonage_delete(&format!("/{guid}/content/{key}"), 204).await
    }

    /// Deletes one interaction.
    pub async fn vonage_delete_interaction(&self, guid: &str) -> Outcome<()> {
        self.vonage_delete(&format!("/{guid}"), 200).await
    }

    /// Deletes a batch. Done means: no failures were told.
    pub async fn vonage_delete_batch(&self, guids: &[&str]) -> Outcome<()> {
        let Some(request) = self.vonage_request(reqwest::Method::POST, "/delete-batch").await else {
            return Outcome::Doubt(None);
        };
        match self.change(request.json(&serde_json::json!({ "guids": guids })), &[200]).await {
            Outcome::Done(reply) => match reply.json()["failures"].as_array() {
                Some(failures) if failures.is_empty() => Outcome::Done(()),
                _ => Outcome::Doubt(Some(reply.status)),
            },
            other => other.map(drop),
        }
    }
}
