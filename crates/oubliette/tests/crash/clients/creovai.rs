//! Creovai: capture, status and purge in both generations.

use serde_json::{Value, json};

use super::{Clients, Outcome, Reply, multipart};

/// Which generation of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Generation {
    V1,
    V2,
}

impl Clients {
    async fn creovai_request(&self, method: reqwest::Method, path: &str) -> Option<reqwest::RequestBuilder> {
        let ask = self.http.post(self.url("/Token")).form(&[
            ("grant_type", "client_credentials"),
            ("client_id", self.keys.creovai.0.as_str()),
            ("client_secret", self.keys.creovai.1.as_str()),
        ]);
        let token = self.creovai.get(self.send(ask)).await?;
        Some(self.http.request(method, self.url(path)).bearer_auth(token))
    }

    async fn creovai_post(&self, path: &str, body: &Value) -> Outcome<Reply> {
        match self.creovai_request(reqwest::Method::POST, path).await {
            Some(request) => self.change(request.json(body), &[200]).await,
            None => Outcome::Doubt(None),
        }
    }

    /// Captures a call with its recording.
    pub async fn creovai_call(
        &self,
        generation: Generation,
        session: &str,
        phone: &str,
        started: &str,
        wav: &[u8],
    ) -> Outcome<String> {
        let people = json!([
            {"type": "agent", "channel": 0, "phoneNumber": "1007", "firstName": "Ann"},
            {"type": "customer", "channel": 1, "phoneNumber": phone, "firstName": "Bob"},
        ]);
        let (path, answer, info) = match generation {
            Generation::V1 => (
                "/callCapture/v1/archive",
                "callId",
                json!({"sessionId": session, "masterCallId": "", "startTime": started, "direction": "Inbound",
                       "contacts": people, "audio": {"format": "wav"}, "metadata": {}}),
            ),
            Generation::V2 => (
                "/capture/v2/call",
                "id",
                json!({"sessionId": session, "utcStart": started, "direction": "Inbound", "participants": people,
                       "audio": {"format": "wav"}}),
            ),
        };
        let (content_type, body) = multipart(&[
            (
                "Content-Disposition: form-data; name=info\r\nContent-Type: application/json",
                info.to_string().as_bytes(),
            ),
            ("Content-Disposition: form-data; name=data\r\nContent-Type: audio/wav", wav),
        ]);
        let Some(request) = self.creovai_request(reqwest::Method::POST, path).await else {
            return Outcome::Doubt(None);
        };
        self.change(request.header("Content-Type", content_type).body(body), &[200]).await.map(|reply| {
            reply.json()[answer].as_str().unwrap_or_else(|| panic!("{path} answers with {answer}")).to_owned()
        })
    }

    /// The status of sessions: (status, id) of each, in order.
    pub async fn creovai_status(&self, sessions: &[&str]) -> Option<Vec<(String, Option<String>)>> {
        let request = self.creovai_request(reqwest::Method::POST, "/callCapture/v1/status").await?;
        let reply = self.send(request.json(&json!({ "callSessionIds": sessions }))).await?;
        if reply.status != 200 {
            return None;
        }
        let word = |item: &Value, name: &str| item[name].as_str().map(str::to_owned);
        let items = reply.json()["callSessions"].as_array()?.clone();
        Some(items.iter().map(|item| (word(item, "status").unwrap_or_default(), word(item, "callId"))).collect())
    }

    /// The details of an interaction.
    pub async fn creovai_details(&self, id: &str) -> Option<Reply> {
        let request = self.creovai_request(reqwest::Method::GET, &format!("/interactions/v2/{id}")).await?;
        self.send(request).await
    }

    /// Purges by ids. Answers the status of each item.
    pub async fn creovai_purge_ids(&self, generation: Generation, ids: &[&str]) -> Outcome<Vec<String>> {
        let (path, body) = match generation {
            Generation::V1 => ("/purge/v1/calls", json!({ "ids": ids })),
            Generation::V2 => ("/interactions/v2/purge", json!({"ids": ids, "allowIncompleteInteraction": true})),
        };
        self.creovai_post(path, &body).await.map(|reply| statuses(&reply))
    }

    /// Purges by session ids. Answers the status of each item.
    pub async fn creovai_purge_sessions(&self, generation: Generation, sessions: &[&str]) -> Outcome<Vec<String>> {
        let (path, body) = match generation {
            Generation::V1 => ("/purge/v1/calls/sessions", json!({ "ids": sessions })),
            Generation::V2 => {
                ("/interactions/v2/purge/sessions", json!({"ids": sessions, "allowIncompleteInteraction": true}))
            }
        };
        self.creovai_post(path, &body).await.map(|reply| statuses(&reply))
    }

    /// Purges everything of a customer. Answers the status of each item.
    pub async fn creovai_purge_customer(&self, generation: Generation, phone: &str) -> Outcome<Vec<String>> {
        let (path, body) = match generation {
            Generation::V1 => ("/purge/v1/calls/customer", json!({ "phoneNumber": phone })),
            Generation::V2 => (
                "/interactions/v2/purge/customer",
                json!({"phoneNumbers": [phone], "allowIncompleteInteraction": true}),
            ),
        };
        self.creovai_post(path, &body).await.map(|reply| statuses(&reply))
    }
}

fn statuses(reply: &Reply) -> Vec<String> {
    let items = reply.json()["items"].as_array().cloned().unwrap_or_default();
    items.iter().map(|item| item["status"].as_str().unwrap_or_default().to_owned()).collect()
}
