//! Answers an [`Ask`] from a vault, the same way for both paths.

use std::sync::Arc;

use oubliette_core::model::{Actor, Credential, CredentialKind, Scope, Scopes, TenantId};
use oubliette_core::ports::PurgeState;
use oubliette_core::service::{ErasureView, NewCredential, Order, Plan, TransparencyLog, Vault, VaultError};
use oubliette_proof::Token;
use oubliette_store::escrow::Escrowed;
use oubliette_store::media::Mirrored;
use uuid::Uuid;

use super::{
    AgentView, AsNode, Ask, AskOrder, CredentialView, ErasureProgress, Failure, LogView, MirrorView, PlanLine,
    PlanView, StatusView, TenantView, Told,
};
use crate::backup::Backups;
use crate::cli::exit;
use crate::moving::Mover;
use crate::opening::{Dismissals, OpenReport, troubles};

/// Who commands on the machine itself act as: everything within one tenant.
pub fn local_actor(tenant: TenantId) -> Actor {
    Actor { tenant, credential: Uuid::nil(), scopes: Scopes::all() }
}

/// What the program knows beside the vault.
#[derive(Clone, Default)]
pub(super) struct Surroundings {
    /// The listener's address, if one is open.
    pub(super) url: Option<String>,
    /// What opening the vault found.
    pub(super) report: OpenReport,
    /// What it is among other nodes.
    pub(super) node: Option<AsNode>,
    /// Moves the vault, where it can be.
    pub(super) mover: Option<Mover>,
    /// The key state's mirrors.
    pub(super) mirrors: Option<Arc<Mirrored>>,
    /// Makes copies of the data.
    pub(super) backups: Option<Backups>,
    /// The agents that hold the root in escrow.
    pub(super) escrow: Option<Arc<Escrowed>>,
    /// Agents that were let go and have not confirmed that they forgot.
    pub(super) dismissals: Arc<Dismissals>,
}

impl Surroundings {
    /// What opening found, and what is to be said of agents at the moment.
    fn warnings(&self) -> Vec<String> {
        let troubles = self.escrow.as_deref().map(troubles).unwrap_or_default();
        self.report.warnings.iter().cloned().chain(troubles).chain(self.dismissals.sentences()).collect()
    }
}

/// Answers; a refusal is an answer too.
pub(super) async fn handle(vault: &Vault, around: &Surroundings, ask: Ask) -> Told {
    let ask = match ask {
        Ask::MovePlan { .. } | Ask::Move { .. } | Ask::MoveProgress => {
            let told = answer_of_move(around, ask).await;
            return told.unwrap_or_else(|failure| Told::Refused { failure });
        }
        Ask::Backup { .. } | Ask::BackupProgress => return answer_of_backup(around, ask),
        ask => ask,
    };
    match answer(vault, around, ask).await {
        Ok(told) => told,
        Err(error) => Told::Refused { failure: failure(&error) },
    }
}

async fn answer(vault: &Vault, around: &Surroundings, ask: Ask) -> Result<Told, VaultError> {
    Ok(match ask {
        Ask::Status => Told::Status(Box::new(status(vault, around).await?)),
        Ask::Tenants => {
            let tenants = vault.tenants().await?;
            Told::Tenants { tenants: tenants.into_iter().map(|(id, name)| TenantView { id: id.0, name }).collect() }
        }
        Ask::CreateTenant { name } => {
            if vault.tenants().await?.iter().any(|(_, known)| *known == name) {
                return Err(VaultError::Conflict("there is a tenant of that name"));
            }
            let id = vault.create_tenant(&name).await?;
            Told::Tenant(TenantView { id: id.0, name })
        }
        Ask::Credentials { tenant } => {
            let credentials = vault.credentials(TenantId(tenant)).await?;
            Told::Credentials { credentials: credentials.into_iter().map(view).collect() }
        }
        Ask::CreateCredential { tenant, kind, scopes, label, expires_at } => {
            let kind = CredentialKind::parse(&kind).ok_or(VaultError::Invalid("unknown kind of credential"))?;
            let scopes: Option<Scopes> = scopes.iter().map(|name| Scope::parse(name)).collect();
            let scopes = scopes.ok_or(VaultError::Invalid("unknown scope"))?;
            let new = NewCredential { tenant: TenantId(tenant), kind, scopes, label, expires_at };
            let (credential, secret) = vault.create_credential(new).await?;
            Told::Credential { credential: view(credential), secret: secret.expose().to_owned() }
        }
        Ask::RevokeCredential { tenant, id } => {
            vault.revoke_credential(TenantId(tenant), id).await?;
            Told::Revoked
        }
        Ask::Plan { tenant, selector, shown } => {
            vault.wait_ready().await;
            Told::Plan(view_plan(&vault.plan(&local_actor(TenantId(tenant)), &selector).await?, shown))
        }
        Ask::Order(asked) => {
            let AskOrder { tenant, selector, reference, reason, legal_basis, plan_hash } = asked;
            let mut hash = [0; 32];
            hex::decode_to_slice(plan_hash, &mut hash).map_err(|_| VaultError::Invalid("not a plan's hash"))?;
            let legal_basis =
                match legal_basis {
                    Some(code) => Some(Token::new(code).ok_or(VaultError::Invalid(
                        "a legal basis is a code of 1 to 64 letters, digits and . _ : / -",
                    ))?),
                    None => None,
                };
            let order = Order { selector, reference, reason, legal_basis, plan_hash: Some(hash) };
            let (id, plan) = vault.order(&local_actor(TenantId(tenant)), order).await?;
            Told::Ordered { id, plan: view_plan(&plan, 0) }
        }
        Ask::Certificate(asked) => {
            let actor = local_actor(TenantId(asked.tenant));
            let certificate = match asked.item {
                Some(item) => {
                    let content = asked.content.map(|content| content.to_string());
                    vault.item_certificate(&actor, &item.to_string(), content.as_deref()).await?
                }
                None => vault.certificate(&actor, asked.erasure, asked.reference.as_deref()).await?,
            };
            if asked.reference.is_some() && certificate.reference.is_none() {
                return Err(VaultError::Invalid("the order was not called that"));
            }
            let keys = vault.log().trusted();
            let keys = keys.keys().iter().map(|key| format!("{key}\n")).collect();
            let certificate = String::from_utf8(certificate.to_json()).map_err(VaultError::internal)?;
            Told::Certificate { certificate, keys }
        }
        Ask::Erasure { tenant, id } => {
            Told::Erasure(progress(&vault.erasure(&local_actor(TenantId(tenant)), id).await?))
        }
        Ask::Log => Told::Log(Box::new(view_log(&vault.log()))),
        Ask::RotateLogKey => {
            vault.rotate_log_key().await?;
            Told::Log(Box::new(view_log(&vault.log())))
        }
        Ask::MovePlan { .. } | Ask::Move { .. } | Ask::MoveProgress | Ask::Backup { .. } | Ask::BackupProgress => {
            return Err(VaultError::Invalid("a question about a move or a copy"));
        }
    })
}

/// Copies of the data.
fn answer_of_backup(around: &Surroundings, ask: Ask) -> Told {
    let refused = |message: String| Told::Refused { failure: Failure { exit: exit::FAILED, message } };
    let Some(backups) = &around.backups else {
        return refused("this program makes no copies".to_owned());
    };
    if let Ask::Backup { to } = ask
        && let Err(error) = backups.start(to)
    {
        return refused(crate::cli::chain(&error));
    }
    Told::Backup(backups.now())
}

/// Moves: the configuration of the new place is read by the process that does the work.
async fn answer_of_move(around: &Surroundings, ask: Ask) -> Result<Told, Failure> {
    let refused = |message: String| Failure { exit: exit::FAILED, message };
    let mover = around.mover.as_ref();
    let mover = mover.ok_or_else(|| refused("only a vault in its data folder can be moved".to_owned()))?;
    let read = |to: &std::path::Path| {
        // The environment is the old place's: what it says must not change the new one.
        let read = crate::config::load(Some(to), []);
        read.map(|(config, _)| config)
            .map_err(|error| Failure { exit: exit::CONFIG, message: crate::cli::chain(&error) })
    };
    match ask {
        Ask::MovePlan { to } => {
            let planned = mover.plan(&read(&to)?).await;
            planned.map(Told::MovePlan).map_err(|error| refused(crate::cli::chain(&error)))
        }
        Ask::Move { to } => {
            mover.start(read(&to)?);
            Ok(Told::MoveProgress(Box::new(mover.view())))
        }
        _ => Ok(Told::MoveProgress(Box::new(mover.view()))),
    }
}

async fn status(vault: &Vault, around: &Surroundings) -> Result<StatusView, VaultError> {
    let status = vault.status().await?;
    Ok(StatusView {
        instance: status.instance,
        serving: around.url.is_some(),
        url: around.url.clone(),
        epoch: status.epoch,
        register_class: status.register_class,
        register_verified: around.report.lowered.is_none(),
        warnings: around.warnings(),
        notes: around.report.notes.clone(),
        interactions: status.interactions,
        unsealed: status.unsealed,
        deletion_lag_seconds: status.oldest_unsealed_seconds,
        unswept: status.unswept,
        seals: status.seals,
        punctured: status.punctured,
        log_size: vault.log().head().size,
        uncertified: status.uncertified,
        lookup_bytes: status.lookup_bytes,
        lookups_ready: status.readiness.lookups,
        sealing: status.readiness.sealing,
        mirrors: MirrorView::all(around.mirrors.as_deref()),
        agents: AgentView::all(around.escrow.as_deref()),
        node: around.node.as_ref().map(|node| node.name.clone()),
        fronts: around.node.as_ref().map_or_else(Vec::new, |node| (node.fronts)()),
    })
}

fn view_log(log: &TransparencyLog) -> LogView {
    let head = log.head();
    LogView {
        origin: log.origin(),
        size: head.size,
        root: head.root.to_string(),
        keys: log.keys().iter().map(ToString::to_string).collect(),
        checkpoint: log.checkpoint(),
        earlier: log.earlier().map(|(origin, _)| origin),
    }
}

fn view(credential: Credential) -> CredentialView {
    CredentialView {
        id: credential.id,
        kind: credential.kind.name().to_owned(),
        scopes: credential.scopes.iter().map(|scope| scope.name().to_owned()).collect(),
        label: credential.label,
        created_at: credential.created_at,
        expires_at: credential.expires_at,
        revoked_at: credential.revoked_at,
    }
}

fn view_plan(plan: &Plan, shown: usize) -> PlanView {
    let first = plan.items.iter().take(shown).map(|item| PlanLine {
        id: item.id.to_string(),
        session: item.session_id.clone(),
        contents: item.contents,
    });
    PlanView {
        interactions: plan.items.len() as u64,
        contents: plan.contents,
        first: first.collect(),
        missing: plan.missing.clone(),
        hash: hex::encode(plan.hash),
    }
}

fn progress(erasure: &ErasureView) -> ErasureProgress {
    let state = match erasure.state {
        PurgeState::Accepted => "accepted",
        PurgeState::Planned => "planned",
        PurgeState::Sealed => "sealed",
    };
    ErasureProgress {
        id: erasure.id,
        state: state.to_owned(),
        interactions: erasure.interactions,
        contents: erasure.contents,
        accepted_at: erasure.accepted_at,
        sealed_at: erasure.sealed_at,
        sealed_epoch: erasure.sealed_epoch,
    }
}

/// The exit code and the words for an error of the vault.
pub(super) fn failure(error: &VaultError) -> Failure {
    let (exit, message) = match error {
        VaultError::NotFound => (exit::NOT_FOUND, "there is no such thing here".to_owned()),
        VaultError::Gone => (exit::NOT_FOUND, "it was erased".to_owned()),
        VaultError::Conflict(_) | VaultError::Invalid(_) | VaultError::Denied(_) => (exit::FAILED, error.to_string()),
        VaultError::NoReceipt => (exit::NOT_FOUND, error.to_string()),
        VaultError::NotReady
        | VaultError::StillDue
        | VaultError::Uncertified
        | VaultError::Attached
        | VaultError::Busy
        | VaultError::Unavailable(_) => (exit::UNAVAILABLE, crate::cli::chain(error)),
        VaultError::TooLarge | VaultError::Interrupted | VaultError::Range { .. } | VaultError::Internal(_) => {
            (exit::FAILED, crate::cli::chain(error))
        }
    };
    Failure { exit, message }
}
