//! The vault that is measured.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use oubliette_core::model::{
    Actor, ContentKind, CredentialKind, InteractionKind, InteractionMeta, Participant, State, TenantId,
};
use oubliette_core::service::{NewContent, NewCredential, NewInteraction, body_of};
use uuid::Uuid;

use super::client::Client;
use crate::cli::usual_scopes;
use crate::config::Config;
use crate::control::local_actor;
use crate::opening::{OpenVault, Opening, RegisterPolicy};
use crate::running::{self, Running};

/// Interactions stored at the same time while the vault is filled.
const FILL: usize = 256;

/// What a measured vault does beside what it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Background {
    /// Everything, as a served vault does.
    All,
    /// Rows and blobs of sealed erasures stay.
    Kept,
    /// They stay, and the log is told nothing.
    Silent,
}

/// A served temporary vault. [`Rig::end`] removes it.
pub struct Rig {
    /// The server.
    pub server: Running,
    /// All of it is below this.
    pub folder: PathBuf,
    /// Whom it is filled as.
    pub actor: Actor,
    /// Header lines with the token of the dialect whose delete is measured.
    pub delete_headers: String,
    /// Header lines of the native API.
    pub native_headers: String,
    /// Header lines of the dialect whose capture is measured.
    pub capture_headers: String,
}

impl Rig {
    /// Makes a vault below `folder`.
    pub async fn start(folder: &Path, background: Background) -> Result<Self> {
        let folder = folder.join(format!("bench-{}", Uuid::new_v4().simple()));
        std::fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
        let mut config = Config::default();
        config.storage.data = folder.join("vault");
        config.server.listen = "127.0.0.1:0".to_owned();
        config.vonage.deletes_per_minute = u32::MAX;
        let (sweeping, telling) = (background == Background::All, background != Background::Silent);
        let listener = running::bind(&config).await?;
        let embedded =
            OpenVault::open_with(&config, Opening { sweeping, telling, ..Opening::new(RegisterPolicy::Warn) }).await?;
        for warning in &embedded.report.warnings {
            eprintln!("warning: {warning}");
        }
        embedded.vault.wait_ready().await;
        let tenant = embedded.vault.create_tenant("bench").await?;
        let server = running::start(&config, listener, embedded, Arc::new(|| std::process::exit(74))).await?;
        let (_, token) = credential(&server, tenant, CredentialKind::ElevateAi).await?;
        let (_, native) = credential(&server, tenant, CredentialKind::Native).await?;
        let (client, secret) = credential(&server, tenant, CredentialKind::Creovai).await?;
        let mut rig = Self {
            actor: local_actor(tenant),
            delete_headers: format!("x-api-token: {token}\r\n"),
            native_headers: format!("authorization: Bearer {native}\r\n"),
            capture_headers: String::new(),
            server,
            folder,
        };
        let form = format!("grant_type=client_credentials&client_id={client}&client_secret={secret}");
        let headers = "content-type: application/x-www-form-urlencoded\r\n";
        let answer = rig.client().await?.send("POST", "/Token", headers, form.as_bytes()).await?;
        let answer: serde_json::Value = serde_json::from_slice(&answer.body).context("no access token")?;
        let token = answer["access_token"].as_str().context("no access token")?;
        rig.capture_headers = format!("authorization: Bearer {token}\r\n");
        Ok(rig)
    }

    /// A new connection.
    pub async fn client(&self) -> Result<Client> {
        Client::connect(self.server.address).await
    }

    /// Stores `count` interactions of `contents` contents each, all of one phone number if one is given; their ids.
    pub async fn fill(&self, count: usize, contents: usize, length: usize, phone: Option<&str>) -> Result<Vec<String>> {
        let body = Bytes::from(vec![0x42; length]);
        let body = &body;
        stream::iter(0..count)
            .map(|number| async move {
                let mut draft = self.server.vault.draft(&self.actor).await?;
                for content in 0..contents {
                    let new = match content {
                        0 => NewContent::fixed(ContentKind::CallRecording, "audio/wav"),
                        1 => NewContent::fixed(ContentKind::Transcript, "application/json"),
                        _ => NewContent::unique(ContentKind::AnalysisResult, "application/json"),
                    };
                    draft.add(new, body_of(body.clone())).await?;
                }
                let mut meta = InteractionMeta::starting(self.server.vault.now());
                meta.session_id = Some(Uuid::new_v4().to_string());
                let phone = phone.map_or_else(|| format!("+1512{number:07}"), str::to_owned);
                meta.participants =
                    vec![Participant { role: "customer".to_owned(), phone: Some(phone), ..Participant::default() }];
                let kind = InteractionKind::Call;
                let new = NewInteraction { kind, state: State::Processed, meta, unique_session: false };
                Ok::<_, anyhow::Error>(draft.commit(new).await?.id.to_string())
            })
            .buffer_unordered(FILL)
            .try_collect()
            .await
    }

    /// Removes everything.
    pub async fn end(self) -> Result<()> {
        self.server.stop().await;
        std::fs::remove_dir_all(&self.folder).with_context(|| format!("{} cannot be removed", self.folder.display()))
    }
}

async fn credential(server: &Running, tenant: TenantId, kind: CredentialKind) -> Result<(Uuid, String)> {
    let scopes = usual_scopes(kind).into_iter().collect();
    let new = NewCredential { tenant, kind, scopes, label: "bench".to_owned(), expires_at: None };
    let (credential, secret) = server.vault.create_credential(new).await?;
    ensure!(!secret.expose().is_empty(), "a credential without a secret");
    Ok((credential.id, secret.expose().to_owned()))
}
