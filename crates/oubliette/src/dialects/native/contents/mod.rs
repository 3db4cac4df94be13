//! Contents of an interaction: put, list, read, erase.

pub mod delete;
pub mod list;
pub mod put;
pub mod read;

use oubliette_core::model::Actor;
use oubliette_core::service::{Content, Interaction};

use super::problem::{Kind, Problem};
use crate::http::App;

/// The interaction and its content of that name.
async fn find(app: &App, actor: &Actor, id: &str, key: &str) -> Result<(Interaction, Content), Problem> {
    let interaction = app.vault.interaction(actor, id).await?;
    let contents = app.vault.contents(actor, &interaction).await?;
    let content = contents.into_iter().find(|content| content.meta.key.matches(key));
    content.map(|content| (interaction, content)).ok_or(Problem::of(Kind::NotFound))
}
