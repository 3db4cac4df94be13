//! A content that is replaced while others read or delete it by its name: at no moment is there none, so nobody may hear so.

use oubliette_core::model::{ContentKind, InteractionMeta};
use oubliette_core::service::body_of;
use reqwest::RequestBuilder;

use crate::support::{Sample, TestVault, json};

/// The dialects that name contents.
#[derive(Clone, Copy, Debug)]
enum By {
    Native,
    Vonage,
}

async fn request(vault: &TestVault, by: By, method: &str, id: &str) -> RequestBuilder {
    match by {
        By::Native => vault
            .request(method, &format!("/api/v1/interactions/{id}/contents/callRecording"))
            .bearer_auth(&vault.first.native),
        By::Vonage => {
            let client = &vault.first.vonage;
            let scope = "interaction-content:read interaction-content:delete";
            let form = [("grant_type", "client_credentials"), ("scope", scope)];
            let token = vault.request("POST", "/Auth/connect/token").basic_auth(&client.id, Some(&client.secret));
            let (_, body) = json(token.form(&form).send().await.unwrap()).await;
            vault
                .request(method, &format!("/interaction-content/interactions/{id}/content/callRecording"))
                .bearer_auth(body["access_token"].as_str().unwrap())
                .header("Accept", "application/vnd.newvoicemedia.v3+json")
        }
    }
}

/// What a request is answered that meets a replacement.
async fn met(vault: &TestVault, by: By, method: &str, round: usize) -> u16 {
    let recording = Sample::fixed(ContentKind::CallRecording, "audio/wav", b"RIFF old");
    let meta = InteractionMeta::starting("2020-02-16T14:11:56Z".parse().unwrap());
    let id = vault.interaction(meta, &[recording]).await.id.to_string();
    let request = request(vault, by, method, &id).await;
    let again = request.try_clone().unwrap();
    let newer = Sample::fixed(ContentKind::CallRecording, "audio/wav", b"RIFF new").content();
    let body = body_of(b"RIFF new".to_vec());
    let replaced = vault.app.vault.put_content(&vault.first.actor, &id, newer, body);
    let asked = async {
        // The two meet at another place each time.
        tokio::time::sleep(std::time::Duration::from_micros(250 * (round as u64 % 24))).await;
        request.send().await
    };
    let (replaced, answer) = tokio::join!(replaced, asked);
    replaced.unwrap();
    match answer {
        Ok(answer) => answer.status().as_u16(),
        // A download that was running breaks off; asked again, the new bytes are there.
        Err(error) if method == "GET" && error.is_request() => again.send().await.unwrap().status().as_u16(),
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_reads_or_deletes_by_name_while_it_is_replaced_never_hears_that_there_is_none() {
    let vault = TestVault::start().await;
    for by in [By::Native, By::Vonage] {
        for round in 0..120 {
            assert_eq!(met(&vault, by, "DELETE", round).await, 204, "{by:?}, round {round}");
            assert_eq!(met(&vault, by, "GET", round).await, 200, "{by:?}, round {round}");
        }
    }
}
