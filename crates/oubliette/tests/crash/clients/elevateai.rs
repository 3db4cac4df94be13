//! ElevateAI: declare, upload, status, delete.

use serde_json::{Value, json};

use super::{Clients, Outcome, Reply, multipart};

impl Clients {
    fn elevateai_request(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        self.http
            .request(method, self.url(&format!("/v1/interactions{path}")))
            .header("X-API-Token", &self.keys.elevateai)
    }

    /// Declares a recording to be uploaded.
    pub async fn elevateai_declare_audio(&self) -> Outcome<String> {
        self.elevateai_declare(json!({
            "type": "audio", "languageTag": "en-us", "vertical": "default", "audioTranscriptionMode": "highAccuracy",
            "includeAiResults": false, "originalFilename": "crash.wav",
        }))
        .await
    }

    /// Declares a chat; its messages come with the declaration.
    pub async fn elevateai_declare_chat(&self, at: &str, text: &str) -> Outcome<String> {
        self.elevateai_declare(json!({
            "type": "chat", "languageTag": "en", "vertical": "default",
            "chat": {
                "participants": [
                    {"participant_id": "p1", "name": "Ann", "role": "agent"},
                    {"participant_id": "p2", "name": "Bob", "role": "customer"},
                ],
                "messages": [{"participant_id": "p2", "timestamp": at, "content": text}],
            },
        }))
        .await
    }

    async fn elevateai_declare(&self, body: Value) -> Outcome<String> {
        let request = self.elevateai_request(reqwest::Method::POST, "").json(&body);
        self.change(request, &[201]).await.map(|reply| {
            reply.json()["interactionIdentifier"].as_str().expect("a declaration answers with an identifier").to_owned()
        })
    }

    /// Uploads the recording.
    pub async fn elevateai_upload(&self, id: &str, wav: &[u8]) -> Outcome<()> {
        let headers = "Content-Disposition: form-data; name=\"crash.wav\"; filename=\"crash.wav\"\r\n\
                       Content-Type: application/octet-stream";
        let (content_type, body) = multipart(&[(headers, wav)]);
        let request = self.elevateai_request(reqwest::Method::POST, &format!("/{id}/upload"));
        self.change(request.header("Content-Type", content_type).body(body), &[201]).await.map(drop)
    }

    /// The status of an interaction.
    pub async fn elevateai_status(&self, id: &str) -> Option<Reply> {
        self.send(self.elevateai_request(reqwest::Method::GET, &format!("/{id}/status"))).await
    }

    /// The declared parameters of an interaction.
    pub async fn elevateai_parameters(&self, id: &str) -> Option<Reply> {
        self.send(self.elevateai_request(reqwest::Method::GET, &format!("/{id}"))).await
    }

    /// The transcript of an interaction.
    pub async fn elevateai_transcript(&self, id: &str) -> Option<Reply> {
        self.send(self.elevateai_request(reqwest::Method::GET, &format!("/{id}/transcript"))).await
    }

    /// Deletes an interaction.
    pub async fn elevateai_delete(&self, id: &str) -> Outcome<()> {
        self.change(self.elevateai_request(reqwest::Method::DELETE, &format!("/{id}")), &[200]).await.map(drop)
    }
}
