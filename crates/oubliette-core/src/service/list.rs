//! Listing by time.
//!
//! Only the hour of a start is clear, so a listing walks hours, opens what is in one, and sorts it by the exact start.

use jiff::Timestamp;

use super::read::ROWS;
use super::vault::Vault;
use super::{Content, Interaction, ListQuery, Page, PublicId, VaultError};
use crate::model::{Actor, Scope};

/// Items of one page at most.
pub const MAX_PAGE: usize = 1_000;

impl Vault {
    /// A page in (start, id) order of those that `filter` lets through, with their contents.
    pub async fn list(
        &self,
        actor: &Actor,
        query: &ListQuery,
        filter: &(dyn Fn(&Interaction, &[Content]) -> bool + Send + Sync),
    ) -> Result<(Page, Vec<Vec<Content>>), VaultError> {
        let inner = &self.inner;
        inner.allow(actor, &[Scope::InteractionRead])?;
        if query.limit == 0 || query.limit > MAX_PAGE {
            return Err(VaultError::Invalid("a page has 1 to 1,000 items"));
        }
        let hour = |at: Timestamp| at.as_second().div_euclid(3_600);
        let from = query.after.map_or(query.from, |(at, _)| at.max(query.from));
        let (mut next_hour, last_hour) = (hour(from), hour(query.to));
        let mut items = Vec::new();
        let mut contents = Vec::new();
        while let Some(found) =
            inner.metadata.next_hour(actor.tenant, next_hour, last_hour).await.map_err(|error| inner.port(error))?
        {
            for interaction in self.hour(actor, query, found).await?.chunks(ROWS) {
                let groups: Vec<_> = interaction.iter().map(|interaction| interaction.group).collect();
                let rows = inner.live_contents(&groups).await?;
                let mut opened = inner.open_contents(actor.tenant, &rows)?;
                for interaction in interaction {
                    let own: Vec<Content> = opened.extract_if(.., |c| c.interaction == interaction.group).collect();
                    if !filter(interaction, &own) {
                        continue;
                    }
                    if items.len() == query.limit {
                        let next = items.last().map(position);
                        return Ok((Page { items, next }, contents));
                    }
                    items.push(interaction.clone());
                    contents.push(own);
                }
                tokio::task::yield_now().await;
            }
            next_hour = found + 1;
        }
        Ok((Page { items, next: None }, contents))
    }

    /// The live interactions of one hour inside the query, in order.
    async fn hour(&self, actor: &Actor, query: &ListQuery, hour: i64) -> Result<Vec<Interaction>, VaultError> {
        let inner = &self.inner;
        let rows = inner.metadata.interactions_in_hour(actor.tenant, hour).await.map_err(|error| inner.port(error))?;
        let mut inside = Vec::new();
        for (count, row) in rows.iter().enumerate() {
            if inner.shared.hidden.covering(row.group.leaf(0)).is_some() {
                continue;
            }
            let interaction = match inner.open_interaction(row) {
                Ok(interaction) => interaction,
                Err(VaultError::Gone | VaultError::NotFound) => continue,
                Err(error) => return Err(error),
            };
            let at = interaction.meta.started_at;
            let after = query.after.is_none_or(|after| position(&interaction) > after);
            if at >= query.from && at <= query.to && after {
                inside.push(interaction);
            }
            if count % ROWS == ROWS - 1 {
                tokio::task::yield_now().await;
            }
        }
        inside.sort_by_key(position);
        Ok(inside)
    }
}

fn position(interaction: &Interaction) -> (Timestamp, PublicId) {
    (interaction.meta.started_at, interaction.id)
}
