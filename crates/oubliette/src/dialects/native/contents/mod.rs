//! Contents of an interaction: put, list, read, erase.

pub mod delete;
pub mod list;
pub mod put;
pub mod read;

use oubliette_core::model::Actor;
use oubliette_core::service::{Content, Interaction};

use super::auth::Caller;
use super::gone;
use super::problem::Problem;
use crate::http::App;

/// Whether the interaction has a content of that name.
async fn is_there(app: &App, actor: &Actor, id: &str, key: &str) -> Result<bool, Problem> {
    let interaction = app.vault.interaction(actor, id).await?;
    let contents = app.vault.contents(actor, &interaction).await?;
    Ok(contents.iter().any(|content| content.meta.key.matches(key)))
}

/// The interaction and its content of that name, for a caller who may see it or acts with the right to find it.
async fn find(
    app: &App,
    caller: &Caller,
    actor: &Actor,
    id: &str,
    key: &str,
) -> Result<(Interaction, Content), Problem> {
    let interaction = app.vault.interaction(actor, id).await?;
    let contents = app.vault.contents(actor, &interaction).await?;
    let content = contents.into_iter().find(|content| content.meta.key.matches(key));
    match content {
        Some(content) => Ok((interaction, content)),
        None => Err(gone::content(app, caller, id, key).await),
    }
}
