//! `oubliette restore`: the real program, its answers and exit codes, killed at every step.

use oubliette_core::service::RESTORE_CRASH_POINTS;
use reqwest::{Client, RequestBuilder, Response};
use serde_json::{Value, json};

use super::checks::holds;
use super::house::{House, Tool, copy_data, copy_tree};
use super::load::Load;
use crate::program::{Place, Server};

/// Tokens of one tenant, as the program printed them.
struct Tokens {
    native: String,
    elevateai: String,
    vonage: (String, String),
    creovai: (String, String),
}

impl Tokens {
    fn make(place: &Place) -> Self {
        let data = place.data();
        let make = |kind| {
            let told = place.run(&["token", "create", "--data", data.to_str().unwrap(), "--kind", kind, "--json"]);
            let told = told.with_code(0).json();
            let text = |name: &str| told[name].as_str().unwrap().to_owned();
            (text("id"), text("secret"))
        };
        let (native, elevateai) = (make("native").1, make("elevateai").1);
        Self { native, elevateai, vonage: make("vonage"), creovai: make("creovai") }
    }
}

async fn told(response: Response) -> (u16, Value) {
    let status = response.status().as_u16();
    (status, serde_json::from_str(&response.text().await.unwrap()).unwrap_or_default())
}

async fn access(client: &Client, url: String, (id, secret): &(String, String), scope: Option<&str>) -> String {
    let mut form = vec![("grant_type", "client_credentials"), ("client_id", id), ("client_secret", secret)];
    form.extend(scope.map(|scope| ("scope", scope)));
    let (status, told) = told(client.post(url).form(&form).send().await.unwrap()).await;
    assert_eq!(status, 200, "{told}");
    told["access_token"].as_str().unwrap().to_owned()
}

fn stop(mut server: Server) {
    server.terminate();
    while server.running() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_was_put_back_is_refused_then_attached_and_read_then_committed() {
    let place = Place::new();
    let data = place.data();
    let data_text = data.to_str().unwrap();
    let client = Client::builder().no_proxy().build().unwrap();
    let mut server = place.serve(&[]);
    let url = server.wait_for_endpoint();
    let tokens = Tokens::make(&place);
    let native = |request: RequestBuilder| request.bearer_auth(&tokens.native);
    let mut ids = Vec::new();
    for number in 0..3 {
        let body = json!({"kind": "call", "startedAt": "2026-11-20T10:00:00Z", "sessionId": format!("S-{number}")});
        let (status, made) =
            told(native(client.post(format!("{url}/api/v1/interactions"))).json(&body).send().await.unwrap()).await;
        assert_eq!(status, 201, "{made}");
        ids.push(made["id"].as_str().unwrap().to_owned());
    }
    let copy = place.join("copy");
    copy_data(&data, &copy, Tool::Files);
    let one = |url: &str, id: &str| format!("{url}/api/v1/interactions/{id}");
    assert_eq!(native(client.delete(one(&url, &ids[0]))).send().await.unwrap().status(), 204);
    stop(server);

    for part in ["db", "blobs"] {
        std::fs::remove_dir_all(data.join(part)).unwrap();
        copy_tree(&copy.join(part), &data.join(part));
    }
    for refused in [&["serve", "--data", data_text, "--listen", "127.0.0.1:0"][..], &["status", "--data", data_text]] {
        let refused = place.run(refused).with_code(9);
        assert!(!refused.err.contains("internal error"), "{}", refused.err);
        assert!(refused.err.contains("oubliette restore attach"), "{}", refused.err);
    }
    place.run(&["restore", "commit", "--data", data_text]).with_code(9);

    let attached = place.run(&["restore", "attach", "--data", data_text, "--json"]).with_code(0).json();
    assert_eq!((&attached["attached"], &attached["interactions"]), (&json!(true), &json!(2)), "{attached}");
    assert_eq!(attached["erasedInteractions"], 1, "{attached}");
    let id = attached["restore"].as_str().unwrap().to_owned();
    let again = place.run(&["restore", "attach", "--data", data_text]).with_code(0);
    assert!(again.out.contains(&id), "{}", again.out);
    place.run(&["doctor", "--data", data_text]).with_code(7);

    let mut server = place.serve(&[]);
    let url = server.wait_for_endpoint();
    // The map is filled while the server answers already.
    let mut ready = json!(null);
    for _ in 0..100 {
        (_, ready) = told(client.get(format!("{url}/readyz")).send().await.unwrap()).await;
        if ready["lookups"] == true {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert_eq!((&ready["attached"], &ready["lookups"]), (&json!(true), &json!(true)), "{ready}");
    assert_eq!(native(client.get(one(&url, &ids[0]))).send().await.unwrap().status(), 410);
    assert_eq!(native(client.get(one(&url, &ids[1]))).send().await.unwrap().status(), 200);
    for (request, words) in changes(&client, &url, &tokens, &ids[1]).await {
        let response = request.send().await.unwrap();
        assert!(response.headers().contains_key("retry-after"));
        let (status, told) = told(response).await;
        assert_eq!(status, 503, "{told}");
        assert!(told.to_string().contains(words), "{told}");
    }
    place.run(&["restore", "commit", "--data", data_text, "--confirm", &id]).with_code(6);
    let status = place.run(&["status", "--data", data_text]).with_code(0);
    assert!(status.out.contains("an older copy of the database is attached"), "{}", status.out);
    stop(server);

    place.run(&["restore", "commit", "--data", data_text]).with_code(5);
    let other = uuid::Uuid::new_v4().to_string();
    place.run(&["restore", "commit", "--data", data_text, "--confirm", &other]).with_code(5);
    let committed =
        place.run(&["restore", "commit", "--data", data_text, "--confirm", &id, "--json"]).with_code(0).json();
    assert_eq!((&committed["committed"], &committed["interactions"]), (&json!(true), &json!(2)), "{committed}");
    place.run(&["restore", "commit", "--data", data_text, "--confirm", &id]).with_code(4);
    assert_eq!(place.run(&["restore", "attach", "--data", data_text, "--json"]).with_code(0).json()["attached"], false);

    let mut server = place.serve(&[]);
    let url = server.wait_for_endpoint();
    assert_eq!(native(client.get(one(&url, &ids[0]))).send().await.unwrap().status(), 410);
    assert_eq!(native(client.delete(one(&url, &ids[1]))).send().await.unwrap().status(), 204);
    assert_eq!(native(client.get(one(&url, &ids[2]))).send().await.unwrap().status(), 200);
    stop(server);
}

/// A change in each dialect, and what its refusal says.
async fn changes(client: &Client, url: &str, tokens: &Tokens, id: &str) -> Vec<(RequestBuilder, &'static str)> {
    let scope = Some("interaction-content:read interaction-content:delete");
    let vonage = access(client, format!("{url}/Auth/connect/token"), &tokens.vonage, scope).await;
    let creovai = access(client, format!("{url}/Token"), &tokens.creovai, None).await;
    let vonage = |request: RequestBuilder| {
        request.bearer_auth(&vonage).header("accept", "application/vnd.newvoicemedia.v3+json")
    };
    let chat = json!({
        "type": "chat", "languageTag": "en-us", "vertical": "default",
        "chat": {"participants": [{"participant_id": "p1", "name": "Ada", "role": "customer"}],
            "messages": [{"participant_id": "p1", "timestamp": "2026-11-20T10:00:00Z", "content": "hello"}]},
    });
    vec![
        (client.delete(format!("{url}/api/v1/interactions/{id}")).bearer_auth(&tokens.native), "Restored, read-only"),
        (
            client
                .post(format!("{url}/api/v1/interactions"))
                .bearer_auth(&tokens.native)
                .json(&json!({"kind": "call", "startedAt": "2026-11-20T10:00:00Z"})),
            "Restored, read-only",
        ),
        (
            client.delete(format!("{url}/v1/interactions/{id}")).header("x-api-token", &tokens.elevateai),
            "being restored",
        ),
        (
            client.post(format!("{url}/v1/interactions")).header("x-api-token", &tokens.elevateai).json(&chat),
            "being restored",
        ),
        (vonage(client.delete(format!("{url}/interaction-content/interactions/{id}"))), "being restored"),
        (
            client.post(format!("{url}/purge/v1/calls/sessions")).bearer_auth(&creovai).json(&json!({"ids": ["S-1"]})),
            "being restored",
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_killed_anywhere_leaves_the_copy_attached_or_committed() {
    let house = House::new();
    let opened = house.open().await.unwrap();
    let mut load = Load::begin(&opened.vault, 11).await;
    for _ in 0..40 {
        load.step(&opened.vault).await;
    }
    let held = load.known.clone();
    let copy = house.path().join("copy");
    copy_data(&house.data(), &copy, Tool::Files);
    for _ in 0..30 {
        load.step(&opened.vault).await;
    }
    load.purge(&opened.vault).await;
    opened.close().await;

    let commands = Place::new();
    // The first seal of a commit adds leaves, the second is the one.
    let before = ["keyforest.seal.begun:2", "keyforest.seal.verified:2", "metadata.before_commit"];
    let after = ["keyforest.seal.new_root_durable:2", "keyforest.seal.old_root_destroyed:2", "sealer.after_seal:2"];
    let committed = |point: &str| {
        after.contains(&point) || ["restore.sealed", "restore.marked", "restore.done", "restore.told"].contains(&point)
    };
    for point in RESTORE_CRASH_POINTS.iter().copied().chain(before).chain(after) {
        let place = house.with_copy(&copy);
        let data = place.data();
        let data = data.to_str().unwrap();
        let attached = commands.run(&["restore", "attach", "--data", data, "--json"]).with_code(0).json();
        let id = attached["restore"].as_str().unwrap();
        let commit = ["restore", "commit", "--data", data, "--confirm", id, "--json"];
        let killed = commands.run_with(&commit, &[("OUBLIETTE_CRASH_AT", point)]);
        assert_eq!(killed.code, -1, "{point} was not reached: {}{}", killed.out, killed.err);
        let found = commands.run(&["restore", "attach", "--data", data, "--json"]).with_code(0).json();
        assert_eq!(found["attached"], !committed(point), "{point}");
        if found["attached"] == true {
            assert_eq!(found["restore"].as_str(), Some(id), "{point}: another restore");
            let attached = place.open().await.unwrap();
            holds(&attached.vault, &load.actor, &held, &load.known).await;
            attached.close().await;
            commands.run(&commit).with_code(0);
        }
        let restored = place.open().await.unwrap();
        assert!(!restored.vault.attached(), "{point}");
        holds(&restored.vault, &load.actor, &held, &load.known).await;
        restored.close().await;
    }
}
