//! P1: gone means gone (design §1). The attacker owns every state of the data folder that ever was, at every commit and
//! every step of every seal, and the register as it is now.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use keyforest::Probe;
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};

use oubliette_store::remnants::Marker;

use crate::attacker::{Archive, attack, copy_folder};
use crate::support::{TestVault, json as answer, text};

/// Copies the data folder at every named moment.
#[derive(Default)]
struct Archivist {
    data: Mutex<Option<PathBuf>>,
    archive: Mutex<Archive>,
}

impl Probe for Archivist {
    fn reached(&self, _point: &'static str) {
        if let Some(data) = &*self.data.lock().unwrap() {
            self.archive.lock().unwrap().take(data);
        }
    }
}

impl Archivist {
    /// All states so far.
    fn all(&self) -> Archive {
        self.archive.lock().unwrap().clone()
    }

    fn take(&self) {
        let data = self.data.lock().unwrap().clone().unwrap();
        self.archive.lock().unwrap().take(&data);
    }
}

/// Markers of one interaction: everything personal of it holds at least one.
struct Marks {
    word: String,
    phone: String,
}

impl Marks {
    fn new(word: &str, number: u32) -> Self {
        Self { word: format!("zq{word}vx"), phone: format!("+1512555{number:04}") }
    }

    fn of(&self, what: &str) -> String {
        format!("{}-{what}", self.word)
    }

    /// Every text that must not be read once it is erased.
    fn all(&self) -> Vec<String> {
        let digits = self.phone.trim_start_matches('+');
        vec![self.word.clone(), self.phone.clone(), digits.to_owned(), digits[1..].to_owned()]
    }
}

struct World {
    vault: TestVault,
    archivist: Arc<Archivist>,
    creovai: String,
    vonage: String,
}

impl World {
    async fn start() -> Self {
        let archivist = Arc::new(Archivist::default());
        let vault = TestVault::probed(Arc::clone(&archivist) as Arc<dyn Probe>).await;
        *archivist.data.lock().unwrap() = Some(vault.data());
        let secret = &vault.first.creovai;
        let form = [("grant_type", "client_credentials"), ("client_id", &secret.id), ("client_secret", &secret.secret)];
        let (_, token) = answer(vault.request("POST", "/Token").form(&form).send().await.unwrap()).await;
        let creovai = token["access_token"].as_str().unwrap().to_owned();
        let secret = &vault.first.vonage;
        let scope = "interaction-content:read interaction-content:delete";
        let form = [
            ("grant_type", "client_credentials"),
            ("scope", scope),
            ("client_id", &secret.id),
            ("client_secret", &secret.secret),
        ];
        let (_, token) = answer(vault.request("POST", "/Auth/connect/token").form(&form).send().await.unwrap()).await;
        let vonage = token["access_token"].as_str().unwrap().to_owned();
        Self { vault, archivist, creovai, vonage }
    }

    fn native(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        self.vault.request(method, path).bearer_auth(&self.vault.first.native)
    }

    /// An interaction through the native API with a recording and a transcript.
    async fn native_call(&self, marks: &Marks) -> String {
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
        for (key, kind, what) in [("callRecording", "audio/wav", "audio"), ("transcript", "application/json", "words")]
        {
            let path = format!("/api/v1/interactions/{id}/contents/{key}");
            let put = self.native("PUT", &path).header("content-type", kind).body(marks.of(what).repeat(2_000));
            assert_eq!(put.send().await.unwrap().status(), 201);
        }
        id
    }

    async fn elevateai_chat(&self, marks: &Marks) -> String {
        let body = json!({
            "type": "chat", "languageTag": "en-us", "vertical": "default", "externalIdentifier": marks.of("external"),
            "chat": {"participants": [{"participant_id": "p1", "name": marks.of("name"), "role": "customer"}],
                "messages": [{"participant_id": "p1", "timestamp": "2026-11-20T10:00:00Z", "content": marks.of("message")}]},
        });
        let request = self.vault.request("POST", "/v1/interactions").header("x-api-token", &self.vault.first.elevateai);
        let (status, made) = answer(request.json(&body).send().await.unwrap()).await;
        assert_eq!(status, 201, "{made}");
        made["interactionIdentifier"].as_str().unwrap().to_owned()
    }

    async fn creovai_call(&self, marks: &Marks) -> String {
        let info = json!({
            "sessionId": marks.of("session"), "masterId": marks.of("master"), "utcStart": "2026-11-20T11:00:00Z",
            "direction": "Inbound", "metadata": {marks.of("key"): marks.of("value")},
            "participants": [{"type": "customer", "channel": 0, "phoneNumber": marks.phone, "firstName": marks.of("first")}],
        });
        let form = Form::new()
            .part("info", Part::text(info.to_string()).mime_str("application/json").unwrap())
            .part("data", Part::text(marks.of("audio").repeat(1_000)).mime_str("audio/wav").unwrap());
        let request = self.vault.request("POST", "/capture/v2/call").bearer_auth(&self.creovai).multipart(form);
        let (status, made) = answer(request.send().await.unwrap()).await;
        assert_eq!(status, 200, "{made}");
        marks.of("session")
    }

    async fn creovai_purge(&self, path: &str, body: Value, sessions: &[String]) {
        let purge = self.vault.request("POST", path).bearer_auth(&self.creovai).json(&body).send().await.unwrap();
        let (status, items) = answer(purge).await;
        assert_eq!(status, 200, "{items}");
        assert!(items["items"].as_array().unwrap().iter().all(|item| item["status"] == "Purging"), "{items}");
        for _ in 0..200 {
            let body = json!({"sessionIds": sessions});
            let status = self.vault.request("POST", "/capture/v2/status").bearer_auth(&self.creovai).json(&body);
            let (_, status) = answer(status.send().await.unwrap()).await;
            if status["sessions"].as_array().unwrap().iter().all(|session| session["status"] == "NotFound") {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("the purge was not sealed");
    }

    async fn vonage_delete(&self, path: &str) -> u16 {
        let request = self.vault.request("DELETE", &format!("/interaction-content{path}")).bearer_auth(&self.vonage);
        let request = request.header("accept", "application/vnd.newvoicemedia.v3+json");
        text(request.send().await.unwrap()).await.0
    }
}

fn register_copy(vault: &TestVault, to: &Path) -> PathBuf {
    copy_folder(&vault.register(), to);
    to.to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn with_all_old_states_and_the_current_register_nothing_erased_opens_and_everything_live_does() {
    let world = World::start().await;
    let doomed: Vec<Marks> = (0..8).map(|n| Marks::new(&format!("doomed{n}"), 1_000 + n)).collect();
    let live: Vec<Marks> = (0..4).map(|n| Marks::new(&format!("live{n}"), 2_000 + n)).collect();

    let by_elevateai = world.elevateai_chat(&doomed[0]).await;
    let by_vonage = world.native_call(&doomed[1]).await;
    world.native_call(&live[0]).await;
    let batch = [world.native_call(&doomed[2]).await, world.native_call(&doomed[3]).await];
    world.elevateai_chat(&live[1]).await;
    let by_session = world.creovai_call(&doomed[4]).await;
    let by_phone = world.creovai_call(&doomed[5]).await;
    world.creovai_call(&live[2]).await;
    let by_order = world.native_call(&doomed[6]).await;
    // Of this one the recording goes and the rest stays.
    let partly = world.native_call(&live[3]).await;

    let room = tempfile::tempdir().unwrap();
    let old_register = register_copy(&world.vault, &room.path().join("old"));
    world.archivist.take();

    // Control: before anything is erased, the attacker opens all of it.
    let before = attack(&world.archivist.all(), &old_register).await;
    for marks in doomed[..7].iter().chain(&live) {
        assert!(before.has(&marks.word), "control: {} should open before its erasure", marks.word);
    }

    let elevateai = world.vault.request("DELETE", &format!("/v1/interactions/{by_elevateai}"));
    let deleted = elevateai.header("x-api-token", &world.vault.first.elevateai).send().await.unwrap();
    assert_eq!(text(deleted).await, (200, String::new()));
    assert_eq!(world.vonage_delete(&format!("/interactions/{partly}/content/callrecording")).await, 204);
    assert_eq!(world.vonage_delete(&format!("/interactions/{by_vonage}")).await, 200);
    let request = world.vault.request("POST", "/interaction-content/interactions/delete-batch");
    let request = request.header("accept", "application/vnd.newvoicemedia.v3+json").bearer_auth(&world.vonage);
    let (status, failures) = answer(request.json(&json!({"guids": batch})).send().await.unwrap()).await;
    assert_eq!((status, &failures["failures"]), (200, &json!([])));
    world
        .creovai_purge("/purge/v1/calls/sessions", json!({"ids": [by_session]}), std::slice::from_ref(&by_session))
        .await;
    let spelled = format!("({}) {}-{}", &doomed[5].phone[2..5], &doomed[5].phone[5..8], &doomed[5].phone[8..]);
    let phones = json!({"phoneNumbers": [format!("+1 {spelled}")], "allowIncompleteInteraction": false});
    world.creovai_purge("/interactions/v2/purge/customer", phones, &[by_phone]).await;
    let order = json!({"selector": {"ids": [by_order]}, "reference": doomed[7].of("reference"), "reason": doomed[7].of("reason")});
    let (status, order) = answer(world.native("POST", "/api/v1/erasures").json(&order).send().await.unwrap()).await;
    assert_eq!(status, 202, "{order}");
    let path = format!("/api/v1/erasures/{}", order["id"].as_str().unwrap());
    let mut sealed = Value::Null;
    for _ in 0..200 {
        sealed = answer(world.native("GET", &path).send().await.unwrap()).await.1;
        if sealed["state"] == "sealed" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(sealed["state"], "sealed", "{sealed}");
    world.archivist.take();

    let register = register_copy(&world.vault, &room.path().join("now"));
    let archive = world.archivist.all();
    assert!(archive.snapshots.len() > 100, "only {} states archived", archive.snapshots.len());
    let loot = attack(&archive, &register).await;
    for marks in &doomed {
        for marker in marks.all() {
            assert!(!loot.has(&marker), "{marker} of {} opens", marks.word);
        }
    }
    assert!(!loot.has(&live[3].of("audio")), "the recording erased by itself opens");
    for marks in &live {
        assert!(loot.has(&marks.word), "{} is live and does not open", marks.word);
    }
    assert!(loot.has(&live[3].of("words")) && loot.has(&live[0].of("audio")));
    assert!(!loot.closed.is_empty());

    // Control: with the old register too he opens what was erased. So the register is what it rests on.
    let with_old = attack(&archive, &old_register).await;
    for marks in &doomed[..7] {
        assert!(with_old.has(&marks.word), "control: {} should open with the old register", marks.word);
    }

    // Nothing personal ever reached a file in clear, live or not. Words are looked for in every form; of the numbers, which
    // are short enough to turn up by chance in other forms, only the digits as they are.
    let mut markers = Vec::new();
    for marks in doomed.iter().chain(&live) {
        markers.push(Marker::Text(marks.word.clone()));
        markers.push(Marker::Bytes(marks.phone.trim_start_matches("+1").as_bytes().to_vec()));
    }
    assert!(archive.remnants(&markers).is_empty(), "something personal stands in clear in an archived file");
    // Control: the scan does see what is there.
    let planted = tempfile::tempdir().unwrap();
    std::fs::write(planted.path().join("log"), format!("xx{}yy", live[0].word.to_uppercase())).unwrap();
    let mut control = Archive::default();
    control.take(planted.path());
    assert_eq!(control.remnants(&markers).len(), 1);
}

/// What is clear in the database and on disk of one state: shapes, never values that are random in each world.
async fn shape(world: &World) -> Vec<String> {
    use oubliette_core::ports::Metadata as _;
    let metadata = &world.vault.metadata;
    let tenant = world.vault.first.id;
    let mut shape = Vec::new();
    let mut hour = 0;
    while let Some(found) = metadata.next_hour(tenant, hour, i64::MAX / 2).await.unwrap() {
        for row in metadata.interactions_in_hour(tenant, found).await.unwrap() {
            shape.push(format!(
                "interaction {:?} {:?} hour {} block {} next {} sealed {}",
                row.kind,
                row.state,
                row.start_hour,
                row.directory_block,
                row.next_leaf,
                row.sealed_meta.len()
            ));
            for content in metadata.contents(&[row.group]).await.unwrap() {
                shape.push(format!(
                    "content {:?} {:?} sealed {}",
                    content.kind,
                    content.size_class,
                    content.sealed_meta.len()
                ));
            }
        }
        hour = found + 1;
    }
    for row in metadata.directory(0, 1_000).await.unwrap() {
        shape.push(format!("block {} entries {} sealed {}", row.block, row.entries, row.sealed.len()));
    }
    for purge in metadata.purges(tenant, None, 100).await.unwrap() {
        shape.push(format!(
            "purge {} {} interactions {} groups {} leaves {}",
            purge.interactions,
            purge.contents,
            purge.set.interactions.len(),
            purge.set.groups.len(),
            purge.set.leaves.len()
        ));
    }
    shape
}

#[tokio::test(flavor = "multi_thread")]
async fn whether_an_erased_call_was_the_same_customers_as_a_live_one_shows_nowhere() {
    let mut worlds = Vec::new();
    for same_customer in [true, false] {
        let world = World::start().await;
        let kept = Marks { phone: "+15125550001".to_owned(), word: "zqkeptvx".to_owned() };
        let phone = if same_customer { "+15125550001" } else { "+15125550002" };
        let erased = Marks { phone: phone.to_owned(), word: "zqgonevx".to_owned() };
        let mut states = Vec::new();
        let id = world.native_call(&erased).await;
        states.push(shape(&world).await);
        world.native_call(&kept).await;
        states.push(shape(&world).await);
        assert_eq!(world.vonage_delete(&format!("/interactions/{id}")).await, 200);
        // Rows go a little later; what is compared is the end.
        for _ in 0..200 {
            if world.vault.app.vault.status().await.unwrap().unswept == 0 && world.vault.count().await == 1 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        states.push(shape(&world).await);
        worlds.push(states);
    }
    assert_eq!(worlds[0], worlds[1]);
    assert_eq!(worlds[0].len(), 3);
    assert_ne!(worlds[0][1], worlds[0][2], "control: the shapes do tell that something was erased");
}
