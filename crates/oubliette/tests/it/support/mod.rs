//! A real vault behind a real listener: on the stores of the binary's backend, two tenants with credentials of every kind.

pub mod raw;
pub mod refusals;

use std::sync::Arc;

use jiff::Timestamp;
use keyforest::{NoProbe, Probe};
use oubliette::config::Limits;
use oubliette::http::{App, DialectSettings, Ops, ServerOptions, serve, service};
use oubliette_core::model::{
    Actor, ContentKey, ContentKind, CredentialKind, InteractionKind, InteractionMeta, Scope, Scopes, State, TenantId,
};
use oubliette_core::ports::Metadata;
use oubliette_core::service::{
    Interaction, ListQuery, NewContent, NewCredential, NewInteraction, Vault, VaultParts, VaultSettings, body_of,
};
use reqwest::{Client, Method, RequestBuilder, Response, redirect};
use tokio_util::sync::CancellationToken;

use crate::attacker::planting::{Planter, Secrets};
use crate::backend::Backend;

/// A client id with its secret.
#[derive(Clone)]
pub struct ClientSecret {
    /// The client id.
    pub id: String,
    /// Its secret.
    pub secret: String,
}

/// A tenant with a credential of every kind, each with all scopes.
pub struct Tenant {
    /// Its number.
    pub id: TenantId,
    /// Its native token.
    pub native: String,
    /// Its header token of the ElevateAI dialect.
    pub elevateai: String,
    /// Its client of the Vonage dialect.
    pub vonage: ClientSecret,
    /// Its API user of the Creovai dialect.
    pub creovai: ClientSecret,
    /// Acts as the native token.
    pub actor: Actor,
}

/// The vault under test. Stops with the test.
pub struct TestVault {
    /// Where it listens, for example `http://127.0.0.1:1234`.
    pub base: String,
    /// Its host and port.
    pub address: std::net::SocketAddr,
    /// What its handlers see.
    pub app: App,
    /// The tenant whose requests are tested.
    pub first: Tenant,
    /// Somebody else.
    pub second: Tenant,
    /// Its rows, to do what a crash would have left.
    pub metadata: Arc<dyn Metadata>,
    /// Where it lies.
    pub backend: Backend,
    client: Client,
    stop: CancellationToken,
}

impl Drop for TestVault {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl TestVault {
    /// With default settings.
    pub async fn start() -> Self {
        Self::with(VaultSettings::default(), DialectSettings::default()).await
    }

    /// With other settings.
    pub async fn with(settings: VaultSettings, dialects: DialectSettings) -> Self {
        Self::begin(settings, dialects, Arc::new(NoProbe)).await
    }

    /// With default settings and a region; the probe is told every named moment.
    pub async fn probed(probe: Arc<dyn Probe>) -> Self {
        let settings = VaultSettings { default_region: Some("US".to_owned()), ..VaultSettings::default() };
        Self::begin(settings, DialectSettings::default(), probe).await
    }

    async fn begin(settings: VaultSettings, dialects: DialectSettings, probe: Arc<dyn Probe>) -> Self {
        let (backend, parts) = Backend::make(settings, probe).await;
        Self::on(backend, parts, dialects).await
    }

    /// On a backend made before.
    pub async fn on(backend: Backend, parts: VaultParts, dialects: DialectSettings) -> Self {
        let metadata = Arc::clone(&parts.metadata);
        let vault = Vault::open(parts).await.unwrap();
        vault.wait_ready().await;
        let first = tenant(&vault, "first").await;
        let second = tenant(&vault, "second").await;
        let app = App::new(vault.clone(), dialects);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = Arc::default();
        let ops = Ops { vault, log: true, metrics: false, metrics_token: None, serving, mirrors: None, escrow: None };
        let router = service(app.clone(), ops, Arc::new(|| panic!("the vault is poisoned")));
        let stop = CancellationToken::new();
        let until = stop.clone().cancelled_owned();
        tokio::spawn(serve(listener, router, ServerOptions::plain(Limits::default()), until));
        tokio::spawn(oubliette::work::fetch::run(app.clone(), stop.clone()));
        let client = Client::builder().no_proxy().redirect(redirect::Policy::none()).build().unwrap();
        Self { base: format!("http://{address}"), address, app, first, second, metadata, backend, client, stop }
    }

    /// A request to a path of it, without credentials.
    pub fn request(&self, method: &str, path: &str) -> RequestBuilder {
        self.client.request(Method::from_bytes(method.as_bytes()).unwrap(), format!("{}{path}", self.base))
    }

    /// Makes a credential of the first tenant; gives its id and secret.
    pub async fn credential(&self, kind: CredentialKind, scopes: &[Scope]) -> ClientSecret {
        let expiry = None;
        credential(&self.app.vault, self.first.id, kind, scopes.iter().copied().collect(), expiry).await
    }

    /// Makes a credential of the first tenant that expired already.
    pub async fn expired_credential(&self, kind: CredentialKind) -> ClientSecret {
        let expiry = Some("2020-01-01T00:00:00Z".parse().unwrap());
        credential(&self.app.vault, self.first.id, kind, Scopes::all(), expiry).await
    }

    /// Revokes a credential of the first tenant.
    pub async fn revoke(&self, credential: &ClientSecret) {
        self.app.vault.revoke_credential(self.first.id, credential.id.parse().unwrap()).await.unwrap();
    }

    /// A processed interaction of the first tenant with these contents; a key of `None` draws a unique id.
    pub async fn interaction(&self, meta: InteractionMeta, contents: &[Sample<'_>]) -> Interaction {
        let new = NewInteraction { kind: InteractionKind::Call, state: State::Processed, meta, unique_session: false };
        let mut draft = self.app.vault.draft(&self.first.actor).await.unwrap();
        for sample in contents {
            draft.add(sample.content(), body_of(sample.bytes.to_vec())).await.unwrap();
        }
        draft.commit(new).await.unwrap()
    }

    /// A processed call with a recording and a transcript.
    pub async fn sample(&self) -> Interaction {
        let meta = InteractionMeta::starting(self.app.vault.now());
        let recording = Sample::fixed(ContentKind::CallRecording, "audio/wav", b"RIFF sample recording");
        let transcript = Sample::fixed(ContentKind::Transcript, "application/json", br#"{"segments":[]}"#);
        self.interaction(meta, &[recording, transcript]).await
    }

    /// Keys of the live contents of an interaction, or none when it is gone.
    pub async fn keys(&self, id: &str) -> Option<Vec<String>> {
        let (vault, actor) = (&self.app.vault, &self.first.actor);
        let interaction = vault.interaction(actor, id).await.ok()?;
        let contents = vault.contents(actor, &interaction).await.ok()?;
        Some(contents.iter().map(|content| content.meta.key.as_str().to_owned()).collect())
    }

    /// Bytes and description of a content by its key.
    pub async fn stored(&self, id: &str, key: &str) -> (Vec<u8>, oubliette_core::model::ContentMeta) {
        let (vault, actor) = (&self.app.vault, &self.first.actor);
        let interaction = vault.interaction(actor, id).await.unwrap();
        let contents = vault.contents(actor, &interaction).await.unwrap();
        let content = contents.iter().find(|content| content.meta.key.matches(key)).unwrap();
        (vault.read_all(actor, content, 1 << 30).await.unwrap(), content.meta.clone())
    }

    /// The state of an interaction.
    pub async fn state(&self, id: &str) -> State {
        self.app.vault.interaction(&self.first.actor, id).await.unwrap().state
    }

    /// Live interactions of both tenants.
    pub async fn count(&self) -> usize {
        let mut count = 0;
        for tenant in [&self.first, &self.second] {
            let mut query = ListQuery { from: Timestamp::MIN, to: Timestamp::MAX, after: None, limit: 1_000 };
            loop {
                let (page, _) = self.app.vault.list(&tenant.actor, &query, &|_, _| true).await.unwrap();
                count += page.items.len();
                query.after = page.next;
                if query.after.is_none() {
                    break;
                }
            }
        }
        count
    }
}

/// A content to be made.
pub struct Sample<'a> {
    /// Its key; `None` draws a unique id.
    pub key: Option<&'a str>,
    /// Its kind.
    pub kind: ContentKind,
    /// Its media type.
    pub media_type: &'a str,
    /// Its bytes.
    pub bytes: &'a [u8],
}

impl<'a> Sample<'a> {
    /// Under its kind's own name.
    pub fn fixed(kind: ContentKind, media_type: &'a str, bytes: &'a [u8]) -> Self {
        Self { key: Some(kind.name()), kind, media_type, bytes }
    }

    /// Under another name.
    pub fn named(key: &'a str, kind: ContentKind, media_type: &'a str, bytes: &'a [u8]) -> Self {
        Self { key: Some(key), kind, media_type, bytes }
    }

    /// As the vault takes it.
    pub fn content(&self) -> NewContent {
        let mut new = NewContent::unique(self.kind, self.media_type);
        new.key = self.key.map(|key| ContentKey::new(key).unwrap());
        new
    }
}

/// Clients that plant and erase in the first tenant.
pub async fn planter(vault: &TestVault) -> Planter {
    let (vonage, creovai) = (&vault.first.vonage, &vault.first.creovai);
    let secrets = Secrets {
        native: vault.first.native.clone(),
        elevateai: vault.first.elevateai.clone(),
        vonage: (vonage.id.clone(), vonage.secret.clone()),
        creovai: (creovai.id.clone(), creovai.secret.clone()),
    };
    Planter::sign_in(&vault.base, &secrets).await
}

/// Status and body of an answer, as text.
pub async fn text(response: Response) -> (u16, String) {
    let status = response.status().as_u16();
    (status, response.text().await.unwrap())
}

/// Status and body of an answer that must be JSON.
pub async fn json(response: Response) -> (u16, serde_json::Value) {
    let status = response.status().as_u16();
    let kind = response.headers().get("content-type").map(|value| value.to_str().unwrap().to_owned());
    let body = response.text().await.unwrap();
    assert!(kind.as_deref().is_some_and(|kind| kind.starts_with("application/json")), "{status} {kind:?}: {body}");
    (status, serde_json::from_str(&body).unwrap_or_else(|_| panic!("no JSON: {status} {body}")))
}

async fn tenant(vault: &Vault, name: &str) -> Tenant {
    let id = vault.create_tenant(name).await.unwrap();
    let make = async |kind| credential(vault, id, kind, Scopes::all(), None).await;
    let native = make(CredentialKind::Native).await.secret;
    Tenant {
        id,
        actor: vault.authenticate_token(CredentialKind::Native, &native).unwrap(),
        native,
        elevateai: make(CredentialKind::ElevateAi).await.secret,
        vonage: make(CredentialKind::Vonage).await,
        creovai: make(CredentialKind::Creovai).await,
    }
}

async fn credential(
    vault: &Vault,
    tenant: TenantId,
    kind: CredentialKind,
    scopes: Scopes,
    expires_at: Option<Timestamp>,
) -> ClientSecret {
    let new = NewCredential { tenant, kind, scopes, label: "test".to_owned(), expires_at };
    let (credential, secret) = vault.create_credential(new).await.unwrap();
    ClientSecret { id: credential.id.to_string(), secret: secret.expose().to_owned() }
}
