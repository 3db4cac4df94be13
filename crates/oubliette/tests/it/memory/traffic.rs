//! Recordings that are made as they are sent and checked as they arrive, and the clients that carry them.

use std::ops::Range;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;
use futures::{Stream, StreamExt as _, stream};
use reqwest::{Body, Client, Method, RequestBuilder, Response};
use serde_json::{Value, json};

use crate::program::Place;
use crate::support::raw::Raw;

/// Bytes made at once.
const PIECE: u64 = 64 << 10;

/// What every piece is made from.
static NOISE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let next = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..PIECE).map(next).collect()
});

/// A SHA-256.
pub type Digest = [u8; 32];

/// A WAV file of which only a piece at a time is ever in memory. No two pieces of any two recordings are alike.
#[derive(Clone, Copy)]
pub struct Recording {
    /// Tells it from others.
    pub seed: u64,
    /// Its length in bytes.
    pub length: u64,
}

impl Recording {
    fn piece(&self, index: u64) -> Vec<u8> {
        let length = usize::try_from(PIECE.min(self.length - index * PIECE)).unwrap();
        let mut piece = NOISE[..length].to_vec();
        let mark = [self.seed.to_be_bytes(), index.to_be_bytes()].concat();
        piece.iter_mut().skip(64).zip(mark).for_each(|(byte, mark)| *byte ^= mark);
        if index == 0 {
            let head = wav_head(self.length);
            piece[..head.len()].copy_from_slice(&head);
        }
        piece
    }

    /// Its bytes in order; whoever reads them to the end finds their digest in `sent`.
    fn stream(self, sent: &Arc<Mutex<Option<Digest>>>) -> impl Stream<Item = Bytes> + use<> {
        let (sent, mut context) = (Arc::clone(sent), Context::new(&SHA256));
        let pieces = self.length.div_ceil(PIECE);
        stream::iter(0..pieces).map(move |index| {
            let piece = self.piece(index);
            context.update(&piece);
            if index + 1 == pieces {
                *sent.lock().unwrap() = Some(digest_of(context.clone()));
            }
            Bytes::from(piece)
        })
    }

    /// The digest of a stretch.
    pub fn digest(&self, range: Range<u64>) -> Digest {
        let mut context = Context::new(&SHA256);
        for index in range.start / PIECE..range.end.div_ceil(PIECE) {
            let piece = self.piece(index);
            let at =
                |offset: u64| usize::try_from(offset.saturating_sub(index * PIECE).min(piece.len() as u64)).unwrap();
            context.update(&piece[at(range.start)..at(range.end)]);
        }
        digest_of(context)
    }
}

fn digest_of(context: Context) -> Digest {
    context.finish().as_ref().try_into().unwrap()
}

/// 8 kHz, 16 bits, two channels.
fn wav_head(length: u64) -> Vec<u8> {
    let length = u32::try_from(length).unwrap();
    let mut head = b"RIFF".to_vec();
    head.extend_from_slice(&(length - 8).to_le_bytes());
    head.extend_from_slice(b"WAVEfmt ");
    head.extend_from_slice(&16_u32.to_le_bytes());
    head.extend_from_slice(&[1, 0, 2, 0]);
    head.extend_from_slice(&8_000_u32.to_le_bytes());
    head.extend_from_slice(&32_000_u32.to_le_bytes());
    head.extend_from_slice(&[4, 0, 16, 0]);
    head.extend_from_slice(b"data");
    head.extend_from_slice(&(length - 44).to_le_bytes());
    head
}

/// How a body's length is told.
#[derive(Clone, Copy)]
pub enum Framing {
    /// By a header.
    Length,
    /// Not beforehand: chunk by chunk.
    Chunks,
}

/// Credentials of one tenant, and where its vault listens.
#[derive(Clone)]
pub struct Clients {
    base: String,
    http: Client,
    native: String,
    elevateai: String,
    vonage: String,
    creovai: String,
}

impl Clients {
    /// With fresh credentials of a program that is running.
    pub async fn of(place: &Place, base: &str) -> Self {
        let made = |kind: &str| {
            let data = place.data();
            let arguments = ["token", "create", "--data", data.to_str().unwrap(), "--kind", kind, "--json"];
            let json = place.run(&arguments).with_code(0).json();
            ["id", "secret"].map(|name| json[name].as_str().unwrap_or_default().to_owned())
        };
        let http = Client::builder().no_proxy().build().unwrap();
        let client = |path: &str| http.post(format!("{base}{path}"));
        let [id, secret] = made("vonage");
        let scope = "interaction-content:read interaction-content:delete";
        let form = [("grant_type", "client_credentials"), ("scope", scope)];
        let vonage = access_token(client("/Auth/connect/token").basic_auth(id, Some(secret)).form(&form)).await;
        let [id, secret] = made("creovai");
        let form = [("grant_type", "client_credentials"), ("client_id", &id), ("client_secret", &secret)];
        let creovai = access_token(client("/Token").form(&form)).await;
        let [[_, native], [_, elevateai]] = ["native", "elevateai"].map(made);
        Self { base: base.to_owned(), http, native, elevateai, vonage, creovai }
    }

    /// The same over one connection of HTTP/2.
    pub fn multiplexed(&self) -> Self {
        let http = Client::builder().no_proxy().http2_prior_knowledge().http2_adaptive_window(true).build().unwrap();
        Self { http, ..self.clone() }
    }

    /// A request of the native API.
    pub fn native(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}/api/v1{path}", self.base)).bearer_auth(&self.native)
    }

    /// A request of the Vonage dialect.
    pub fn vonage(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}/interaction-content/interactions{path}", self.base));
        request.bearer_auth(&self.vonage).header("Accept", "application/vnd.newvoicemedia.v3+json")
    }

    fn elevateai(&self, path: &str) -> RequestBuilder {
        self.http.post(format!("{}/v1/interactions{path}", self.base)).header("X-API-Token", &self.elevateai)
    }

    async fn elevateai_declare(&self) -> String {
        let declaration = json!({ "type": "audio", "languageTag": "en-us", "vertical": "default",
            "audioTranscriptionMode": "highAccuracy", "includeAiResults": false });
        let declared = json_of(self.elevateai("").json(&declaration), 201).await;
        declared["interactionIdentifier"].as_str().unwrap().to_owned()
    }

    /// Declares, and uploads behind a form field of `length` bytes, each of which is a chunk of its own.
    pub async fn elevateai_upload_in_single_bytes(&self, length: usize) {
        let id = self.elevateai_declare().await;
        let mut raw = Raw::connect(self.base.split_once("://").unwrap().1.parse().unwrap()).await;
        let head = format!(
            "POST /v1/interactions/{id}/upload HTTP/1.1\r\nHost: test\r\nX-API-Token: {}\r\n\
             Content-Type: multipart/form-data; boundary=b0\r\nTransfer-Encoding: chunked\r\n\r\n",
            self.elevateai
        );
        raw.write(head.as_bytes()).await;
        raw.chunk(b"--b0\r\nContent-Disposition: form-data; name=note\r\n\r\n").await;
        let some = b"1\r\nx\r\n".repeat(4_096);
        for _ in 0..length / 4_096 {
            raw.write(&some).await;
        }
        raw.chunk(b"\r\n--b0\r\nContent-Disposition: form-data; name=f; filename=a.wav\r\n\r\nRIFF").await;
        raw.chunk(b"\r\n--b0--\r\n").await;
        raw.chunk(b"").await;
        let answer = raw.answer_within(Duration::from_secs(120)).await;
        assert_eq!(answer.status, 201, "{}", answer.body);
    }

    /// Declares and uploads as the ElevateAI clients do; gives the id.
    pub async fn elevateai_upload(&self, recording: Recording, framing: Framing) -> String {
        let id = self.elevateai_declare().await;
        let parts = Parts { info: None, head: "name=\"a.wav\"; filename=\"a.wav\"" };
        let request = parts.body(self.elevateai(&format!("/{id}/upload")), recording, framing);
        assert_eq!(request.send().await.unwrap().status(), 201);
        id
    }

    /// Captures a call as the clients of either generation do; gives the id.
    pub async fn creovai_capture(&self, second: bool, recording: Recording, framing: Framing) -> String {
        let session = format!("large-{}-{second}", recording.seed);
        let people = json!([{ "type": "customer", "channel": 0, "phoneNumber": "+15125550101" }]);
        let (path, answer, info) = if second {
            let info = json!({ "sessionId": session, "utcStart": "2026-01-01T00:00:00Z", "participants": people });
            ("/capture/v2/call", "id", info)
        } else {
            let info = json!({ "sessionId": session, "startTime": "2026-01-01T00:00:00Z", "contacts": people });
            ("/callCapture/v1/archive", "callId", info)
        };
        let parts = Parts { info: Some(info.to_string()), head: "name=data" };
        let request = self.http.post(format!("{}{path}", self.base)).bearer_auth(&self.creovai);
        json_of(parts.body(request, recording, framing), 200).await[answer].as_str().unwrap().to_owned()
    }

    /// Makes an interaction and puts its recording through the native API; gives the id.
    pub async fn native_upload(&self, recording: Recording, framing: Framing) -> String {
        let made = json!({ "kind": "call", "startedAt": "2026-01-01T00:00:00Z" });
        let made = json_of(self.native(Method::POST, "/interactions").json(&made), 201).await;
        let id = made["id"].as_str().unwrap().to_owned();
        let request = self.native(Method::PUT, &format!("/interactions/{id}/contents/callRecording"));
        let request = request.header("content-type", "audio/wav");
        let sent = Arc::default();
        let stream = recording.stream(&sent).map(Ok::<_, std::io::Error>);
        let request = told(request, framing, recording.length).body(Body::wrap_stream(stream));
        json_of(request, 201).await;
        assert_eq!(sent.lock().unwrap().unwrap(), recording.digest(0..recording.length));
        id
    }

    /// Where the recording of an interaction is read, natively and as Vonage clients do.
    pub fn readers(&self, id: &str) -> [RequestBuilder; 2] {
        [
            self.native(Method::GET, &format!("/interactions/{id}/contents/callRecording")),
            self.vonage(Method::GET, &format!("/{id}/content/callRecording")),
        ]
    }
}

/// The parts around a recording.
struct Parts {
    info: Option<String>,
    head: &'static str,
}

impl Parts {
    fn body(&self, request: RequestBuilder, recording: Recording, framing: Framing) -> RequestBuilder {
        let mut before = String::new();
        if let Some(info) = &self.info {
            before += "--b0\r\nContent-Type: application/json\r\nContent-Disposition: form-data; name=info\r\n\r\n";
            before += info;
            before += "\r\n";
        }
        before += "--b0\r\nContent-Type: audio/wav\r\nContent-Disposition: form-data; ";
        before += self.head;
        before += "\r\n\r\n";
        let after = "\r\n--b0--\r\n";
        let length = before.len() as u64 + recording.length + after.len() as u64;
        let whole = stream::iter([Bytes::from(before)]).chain(recording.stream(&Arc::default()));
        let whole = whole.chain(stream::iter([Bytes::from(after)])).map(Ok::<_, std::io::Error>);
        let request = request.header("content-type", "multipart/form-data; boundary=b0");
        told(request, framing, length).body(Body::wrap_stream(whole))
    }
}

fn told(request: RequestBuilder, framing: Framing, length: u64) -> RequestBuilder {
    match framing {
        Framing::Length => request.header("content-length", length),
        Framing::Chunks => request,
    }
}

async fn access_token(request: RequestBuilder) -> String {
    json_of(request, 200).await["access_token"].as_str().unwrap().to_owned()
}

/// The JSON body of an answer with this status.
pub async fn json_of(request: RequestBuilder, expected: u16) -> Value {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    assert_eq!(status, expected, "{text}");
    serde_json::from_str(&text).unwrap()
}

/// Reads an answer to its end without keeping any of it; gives its length and digest.
pub async fn digest_of_answer(response: Response) -> (u64, Digest) {
    let (mut length, mut context) = (0, Context::new(&SHA256));
    let mut pieces = response.bytes_stream();
    while let Some(piece) = pieces.next().await {
        let piece = piece.unwrap();
        length += piece.len() as u64;
        context.update(&piece);
    }
    (length, digest_of(context))
}

/// Reads an answer as slowly as a bad line does, for `time`; gives how much came.
pub async fn trickle(response: Response, time: Duration) -> u64 {
    let mut came = 0;
    let mut pieces = response.bytes_stream();
    let reading = async {
        while let Some(piece) = pieces.next().await {
            came += piece.unwrap().len() as u64;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let _ = tokio::time::timeout(time, reading).await;
    came
}
