//! Calls full of markers, put into a vault and erased from it through every dialect: what the attacker looks for.

use std::time::Duration;

use aws_lc_rs::digest;
use oubliette_store::remnants::Marker;
use reqwest::multipart::{Form, Part};
use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::{Value, json};

/// Markers of one interaction: everything personal of it holds at least one.
pub struct Marks {
    /// In every text.
    pub word: String,
    /// Of its customer.
    pub phone: String,
}

impl Marks {
    /// Markers that nothing else has.
    pub fn new(word: &str, number: u32) -> Self {
        Self { word: format!("zq{word}vx"), phone: format!("+1737555{number:04}") }
    }

    /// The marker that stands for `what`.
    pub fn of(&self, what: &str) -> String {
        format!("{}-{what}", self.word)
    }

    /// Every text that must not be read once it is erased.
    pub fn all(&self) -> Vec<String> {
        let digits = self.phone.trim_start_matches('+');
        vec![self.word.clone(), self.phone.clone(), digits.to_owned(), digits[1..].to_owned()]
    }

    /// Bytes in the midst of its recordings that are no text.
    pub fn noise(&self) -> Vec<u8> {
        digest::digest(&digest::SHA256, self.word.as_bytes()).as_ref().to_vec()
    }

    /// What must be nowhere in clear. Words are looked for in every form; of the numbers, which are short enough to turn up
    /// by chance in other forms, only the digits as they are.
    pub fn markers(&self) -> [Marker; 3] {
        let digits = self.phone.trim_start_matches("+1").as_bytes().to_vec();
        [Marker::Text(self.word.clone()), Marker::Bytes(digits), Marker::Bytes(self.noise())]
    }

    fn recording(&self, times: usize) -> Vec<u8> {
        let mut bytes = self.of("audio").repeat(times / 2).into_bytes();
        bytes.extend(self.noise());
        bytes.extend(self.of("audio").repeat(times / 2).into_bytes());
        bytes
    }
}

/// Secrets of one tenant, as clients are given them.
pub struct Secrets {
    pub native: String,
    pub elevateai: String,
    /// Client id and secret.
    pub vonage: (String, String),
    /// Client id and secret.
    pub creovai: (String, String),
}

/// Clients of a vault that plant and erase.
pub struct Planter {
    http: Client,
    base: String,
    native: String,
    elevateai: String,
    vonage: String,
    creovai: String,
}

impl Planter {
    /// Signs in at the vault that listens at `base`.
    pub async fn sign_in(base: &str, secrets: &Secrets) -> Self {
        let http = Client::builder().no_proxy().timeout(Duration::from_secs(60)).build().unwrap();
        let mut planter = Self {
            http,
            base: base.to_owned(),
            native: secrets.native.clone(),
            elevateai: secrets.elevateai.clone(),
            vonage: String::new(),
            creovai: String::new(),
        };
        planter.creovai = planter.token("/Token", &secrets.creovai, None).await;
        let scope = "interaction-content:read interaction-content:delete";
        planter.vonage = planter.token("/Auth/connect/token", &secrets.vonage, Some(scope)).await;
        planter
    }

    async fn token(&self, path: &str, client: &(String, String), scope: Option<&str>) -> String {
        let mut form =
            vec![("grant_type", "client_credentials"), ("client_id", &client.0), ("client_secret", &client.1)];
        form.extend(scope.map(|scope| ("scope", scope)));
        let (_, token) = answer(self.request("POST", path).form(&form).send().await.unwrap()).await;
        token["access_token"].as_str().unwrap().to_owned()
    }

    fn request(&self, method: &str, path: &str) -> RequestBuilder {
        self.http.request(Method::from_bytes(method.as_bytes()).unwrap(), format!("{}{path}", self.base))
    }

    fn native(&self, method: &str, path: &str) -> RequestBuilder {
        self.request(method, path).bearer_auth(&self.native)
    }

    fn vonage(&self, method: &str, path: &str) -> RequestBuilder {
        let request = self.request(method, &format!("/interaction-content{path}")).bearer_auth(&self.vonage);
        request.header("accept", "application/vnd.newvoicemedia.v3+json")
    }

    /// A call through the native API with a recording and a transcript; its id.
    pub async fn native_call(&self, marks: &Marks) -> String {
        let body = json!({
            "kind": "call", "startedAt": "2026-11-20T10:00:00Z", "direction": "inbound",
            "sessionId": marks.of("session"), "externalIds": [marks.of("external")],
            "participants": [
                {"role": "customer", "phone": marks.phone, "email": format!("{}@example.com", marks.of("mail")),
                 "firstName": marks.of("first"), "lastName": marks.of("last")},
                {"role": "agent", "referenceId": marks.of("agent")}],
            "metadata": {marks.of("key"): marks.of("value"), "order": marks.of("order")},
        });
        let made = self.native("POST", "/api/v1/interactions").json(&body).send().await.unwrap();
        let (status, made) = answer(made).await;
        assert_eq!(status, 201, "{made}");
        let id = made["id"].as_str().unwrap().to_owned();
        let words = marks.of("words").repeat(2_000).into_bytes();
        for (key, kind, bytes) in
            [("callRecording", "audio/wav", marks.recording(2_000)), ("transcript", "application/json", words)]
        {
            let path = format!("/api/v1/interactions/{id}/contents/{key}");
            let put = self.native("PUT", &path).header("content-type", kind).body(bytes);
            assert_eq!(put.send().await.unwrap().status(), 201);
        }
        id
    }

    /// A chat through the ElevateAI dialect; its id.
    pub async fn elevateai_chat(&self, marks: &Marks) -> String {
        let body = json!({
            "type": "chat", "languageTag": "en-us", "vertical": "default", "externalIdentifier": marks.of("external"),
            "chat": {"participants": [{"participant_id": "p1", "name": marks.of("name"), "role": "customer"}],
                "messages": [{"participant_id": "p1", "timestamp": "2026-11-20T10:00:00Z", "content": marks.of("message")}]},
        });
        let request = self.request("POST", "/v1/interactions").header("x-api-token", &self.elevateai);
        let (status, made) = answer(request.json(&body).send().await.unwrap()).await;
        assert_eq!(status, 201, "{made}");
        made["interactionIdentifier"].as_str().unwrap().to_owned()
    }

    /// A call through the Creovai dialect; its session.
    pub async fn creovai_call(&self, marks: &Marks) -> String {
        let info = json!({
            "sessionId": marks.of("session"), "masterId": marks.of("master"), "utcStart": "2026-11-20T11:00:00Z",
            "direction": "Inbound", "metadata": {marks.of("key"): marks.of("value")},
            "participants": [{"type": "customer", "channel": 0, "phoneNumber": marks.phone, "firstName": marks.of("first")}],
        });
        let form = Form::new()
            .part("info", Part::text(info.to_string()).mime_str("application/json").unwrap())
            .part("data", Part::bytes(marks.recording(1_000)).mime_str("audio/wav").unwrap());
        let request = self.request("POST", "/capture/v2/call").bearer_auth(&self.creovai).multipart(form);
        let (status, made) = answer(request.send().await.unwrap()).await;
        assert_eq!(status, 200, "{made}");
        marks.of("session")
    }

    /// Deletes in the ElevateAI dialect; returns once that is answered as done.
    pub async fn elevateai_delete(&self, id: &str) {
        let request = self.request("DELETE", &format!("/v1/interactions/{id}"));
        let deleted = request.header("x-api-token", &self.elevateai).send().await.unwrap();
        assert_eq!((deleted.status().as_u16(), deleted.text().await.unwrap()), (200, String::new()));
    }

    /// Deletes in the Vonage dialect: an interaction or a content of one, by its path. Returns once that is answered.
    pub async fn vonage_delete(&self, path: &str) {
        let status = patiently(|| self.vonage("DELETE", path)).await.status();
        assert_eq!(status, if path.contains("/content/") { 204 } else { 200 });
    }

    /// Deletes several in the Vonage dialect; returns once that is answered as done.
    pub async fn vonage_delete_batch(&self, ids: &[String]) {
        let guids = json!({"guids": ids});
        let request = || self.vonage("POST", "/interactions/delete-batch").json(&guids);
        let (status, failures) = answer(patiently(request).await).await;
        assert_eq!((status, &failures["failures"]), (200, &json!([])));
    }

    /// Purges in the Creovai dialect; returns once these sessions are answered as not found.
    pub async fn creovai_purge(&self, path: &str, body: Value, sessions: &[&str]) {
        let purge = self.request("POST", path).bearer_auth(&self.creovai).json(&body).send().await.unwrap();
        let (status, items) = answer(purge).await;
        assert_eq!(status, 200, "{items}");
        assert!(items["items"].as_array().unwrap().iter().all(|item| item["status"] == "Purging"), "{items}");
        for _ in 0..500 {
            let body = json!({"sessionIds": sessions});
            let status = self.request("POST", "/capture/v2/status").bearer_auth(&self.creovai).json(&body);
            let (_, status) = answer(status.send().await.unwrap()).await;
            if status["sessions"].as_array().unwrap().iter().all(|session| session["status"] == "NotFound") {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("the purge was not sealed");
    }

    /// Orders an erasure by id through the native API, with a reference and a reason full of markers; returns once it is
    /// sealed.
    pub async fn native_order(&self, id: &str, marks: &Marks) {
        let order = json!({
            "selector": {"ids": [id]}, "reference": marks.of("reference"), "reason": marks.of("reason")
        });
        let (status, order) = answer(self.native("POST", "/api/v1/erasures").json(&order).send().await.unwrap()).await;
        assert_eq!(status, 202, "{order}");
        let path = format!("/api/v1/erasures/{}", order["id"].as_str().unwrap());
        for _ in 0..500 {
            if answer(self.native("GET", &path).send().await.unwrap()).await.1["state"] == "sealed" {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("the erasure was not sealed");
    }
}

/// Twelve calls, eight of which go, each in another way; and the order by which one goes, which is erased with it.
pub struct Story {
    /// Markers of what is erased. The last ones are those of the order.
    pub doomed: Vec<Marks>,
    /// Markers of what stays.
    pub live: Vec<Marks>,
    by_elevateai: String,
    by_vonage: String,
    batch: [String; 2],
    by_session: String,
    by_phone: String,
    by_order: String,
    partly: String,
}

impl Story {
    /// Calls that are erased; after these in [`Story::doomed`] come the markers of the order.
    const CALLS: usize = 7;

    /// Markers of what goes and of what stays.
    fn marks(number: u32) -> (Vec<Marks>, Vec<Marks>) {
        let first = number * 100;
        let doomed = (0..8).map(|n| Marks::new(&format!("doomed{number}n{n}"), first + n)).collect();
        let live = (0..4).map(|n| Marks::new(&format!("live{number}n{n}"), first + 50 + n)).collect();
        (doomed, live)
    }

    /// What must be nowhere in clear, of the story of this number before it is told.
    pub fn markers_of(number: u32) -> Vec<Marker> {
        let (doomed, live) = Self::marks(number);
        doomed.iter().chain(&live).flat_map(Marks::markers).collect()
    }

    /// Puts all calls in. `number` tells stories in one vault apart.
    pub async fn plant(planter: &Planter, number: u32) -> Self {
        let (doomed, live) = Self::marks(number);
        let by_elevateai = planter.elevateai_chat(&doomed[0]).await;
        let by_vonage = planter.native_call(&doomed[1]).await;
        planter.native_call(&live[0]).await;
        let batch = [planter.native_call(&doomed[2]).await, planter.native_call(&doomed[3]).await];
        planter.elevateai_chat(&live[1]).await;
        let by_session = planter.creovai_call(&doomed[4]).await;
        let by_phone = planter.creovai_call(&doomed[5]).await;
        planter.creovai_call(&live[2]).await;
        let by_order = planter.native_call(&doomed[6]).await;
        // Of this one the recording goes and the rest stays.
        let partly = planter.native_call(&live[3]).await;
        Self { doomed, live, by_elevateai, by_vonage, batch, by_session, by_phone, by_order, partly }
    }

    /// Erases what is doomed; returns once everything is sealed.
    pub async fn erase(&self, planter: &Planter) {
        planter.elevateai_delete(&self.by_elevateai).await;
        planter.vonage_delete(&format!("/interactions/{}/content/callrecording", self.partly)).await;
        planter.vonage_delete(&format!("/interactions/{}", self.by_vonage)).await;
        planter.vonage_delete_batch(&self.batch).await;
        let ids = json!({"ids": [self.by_session]});
        planter.creovai_purge("/purge/v1/calls/sessions", ids, &[&self.by_session]).await;
        let phone = &self.doomed[5].phone;
        let spelled = format!("+1 ({}) {}-{}", &phone[2..5], &phone[5..8], &phone[8..]);
        let phones = json!({"phoneNumbers": [spelled], "allowIncompleteInteraction": false});
        planter.creovai_purge("/interactions/v2/purge/customer", phones, &[&self.by_phone]).await;
        planter.native_order(&self.by_order, &self.doomed[7]).await;
    }

    /// Markers that must open before [`Story::erase`] and not afterwards.
    pub fn erased(&self) -> Vec<String> {
        let words = self.doomed[..Self::CALLS].iter().map(|marks| marks.word.clone());
        words.chain([self.live[3].of("audio")]).collect()
    }

    /// Every text that must not be read once all is erased.
    pub fn forbidden(&self) -> Vec<String> {
        self.doomed.iter().flat_map(Marks::all).chain([self.live[3].of("audio")]).collect()
    }

    /// Markers that open before and afterwards.
    pub fn kept(&self) -> Vec<String> {
        self.live.iter().map(|marks| marks.word.clone()).chain(self.kept_contents()).collect()
    }

    /// Those of [`Story::kept`] that stand in contents and nowhere else.
    pub fn kept_contents(&self) -> Vec<String> {
        vec![self.live[0].of("audio"), self.live[2].of("audio"), self.live[3].of("words")]
    }

    /// What must be nowhere in clear, live or not.
    pub fn markers(&self) -> Vec<Marker> {
        self.doomed.iter().chain(&self.live).flat_map(Marks::markers).collect()
    }
}

/// Asks again while it is told that there were too many requests: others may use the same client.
async fn patiently(request: impl Fn() -> RequestBuilder) -> Response {
    loop {
        let response = request().send().await.unwrap();
        if response.status() != 429 {
            return response;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Status and JSON body of an answer.
async fn answer(response: Response) -> (u16, Value) {
    let status = response.status().as_u16();
    let body = response.text().await.unwrap();
    (status, serde_json::from_str(&body).unwrap_or_else(|_| panic!("no JSON: {status} {body}")))
}
