//! Listing by time.
//!
//! Only the hour of a start is clear. So a listing in the order of starts walks hours, opens what is in one, and sorts it by the
//! exact start: a page of it costs what its hours hold. One in the order of hours, and within an hour of arrival, costs what
//! the page holds.

use std::collections::HashMap;

use jiff::Timestamp;
use keyforest::Group;

use super::read::ROWS;
use super::vault::Vault;
use super::{Content, Interaction, ListQuery, Page, PublicId, VaultError};
use crate::model::{Actor, Scope, TenantId};
use crate::ports::InteractionRow;

/// Items of one page at most.
pub const MAX_PAGE: usize = 1_000;
/// Rows that are read for a page at least: some of them may be hidden, or lie outside of what is asked for.
const FEW: usize = 32;

impl Vault {
    /// A page in (start, id) order of those that `filter` lets through, with their contents.
    pub async fn list(
        &self,
        actor: &Actor,
        query: &ListQuery,
        filter: &(dyn Fn(&Interaction, &[Content]) -> bool + Send + Sync),
    ) -> Result<(Page, Vec<Vec<Content>>), VaultError> {
        let inner = &self.inner;
        self.may_list(actor, query)?;
        let from = query.after.map_or(query.from, |(at, _)| at.max(query.from));
        let (mut next_hour, last_hour) = (hour_of(from), hour_of(query.to));
        let mut items = Vec::new();
        let mut contents = Vec::new();
        while let Some(found) =
            inner.metadata.next_hour(actor.tenant, next_hour, last_hour).await.map_err(|error| inner.port(error))?
        {
            for some in self.hour(actor, query, found).await?.chunks(ROWS) {
                for (interaction, own) in some.iter().zip(self.contents_of(actor.tenant, some).await?) {
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

    /// A page in the order of the hours of starts, and within an hour of arrival, with contents. It costs what it holds, however
    /// many start in one hour. `after` is the position of the last item of the page before.
    ///
    /// # Errors
    /// `Invalid` for a position of no interaction of the tenant.
    pub async fn list_by_hour(
        &self,
        actor: &Actor,
        query: &ListQuery,
    ) -> Result<(Page, Vec<Vec<Content>>), VaultError> {
        let inner = &self.inner;
        self.may_list(actor, query)?;
        let (mut hour, last_hour) = (hour_of(query.from), hour_of(query.to));
        let mut after = None;
        if let Some((at, id)) = query.after {
            let group = inner.cipher_of(actor.tenant)?.decode(id);
            let group = group.ok_or(VaultError::Invalid("the position is not one of this listing"))?;
            if hour_of(at) >= hour {
                (hour, after) = (hour_of(at), Some(group));
            }
        }
        let mut items: Vec<Interaction> = Vec::new();
        let mut contents = Vec::new();
        let port = |error| inner.port(error);
        while let Some(found) = inner.metadata.next_hour(actor.tenant, hour, last_hour).await.map_err(port)? {
            after = after.filter(|_| found == hour);
            loop {
                // One more than wanted tells whether there is another page.
                let left = query.limit - items.len();
                let wanted = (left + 1).clamp(FEW, ROWS);
                let page = inner.metadata.interactions_in_hour(actor.tenant, found, after, wanted);
                let rows = page.await.map_err(port)?;
                let mut some = self.inside(query, &rows)?;
                let more = some.len() > left;
                some.truncate(left);
                contents.append(&mut self.contents_of(actor.tenant, &some).await?);
                items.append(&mut some);
                if more {
                    let next = items.last().map(position);
                    return Ok((Page { items, next }, contents));
                }
                after = rows.last().map(|row| row.group);
                if rows.len() < wanted {
                    break;
                }
            }
            (hour, after) = (found + 1, None);
        }
        Ok((Page { items, next: None }, contents))
    }

    fn may_list(&self, actor: &Actor, query: &ListQuery) -> Result<(), VaultError> {
        self.inner.allow(actor, &[Scope::InteractionRead])?;
        let fits = (1..=MAX_PAGE).contains(&query.limit);
        if fits { Ok(()) } else { Err(VaultError::Invalid("a page has 1 to 1,000 items")) }
    }

    /// The live interactions of one hour inside the query and behind its position, in the order of their start.
    async fn hour(&self, actor: &Actor, query: &ListQuery, hour: i64) -> Result<Vec<Interaction>, VaultError> {
        let inner = &self.inner;
        let (mut inside, mut after) = (Vec::new(), None);
        loop {
            let page = inner.metadata.interactions_in_hour(actor.tenant, hour, after, ROWS);
            let rows = page.await.map_err(|error| inner.port(error))?;
            let mut some = self.inside(query, &rows)?;
            some.retain(|interaction| query.after.is_none_or(|after| position(interaction) > after));
            inside.append(&mut some);
            match rows.last() {
                Some(last) if rows.len() == ROWS => after = Some(last.group),
                _ => break,
            }
            tokio::task::yield_now().await;
        }
        inside.sort_by_key(position);
        Ok(inside)
    }

    /// Those of some rows that live and started within the query's time.
    fn inside(&self, query: &ListQuery, rows: &[InteractionRow]) -> Result<Vec<Interaction>, VaultError> {
        let mut inside = Vec::with_capacity(rows.len());
        for row in rows {
            if self.inner.shared.hidden.covering(row.group.leaf(0)).is_some() {
                continue;
            }
            match self.inner.open_interaction(row) {
                Ok(interaction) if (query.from..=query.to).contains(&interaction.meta.started_at) => {
                    inside.push(interaction);
                }
                Ok(_) | Err(VaultError::Gone | VaultError::NotFound) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(inside)
    }

    /// The contents of each of these interactions.
    async fn contents_of(&self, tenant: TenantId, some: &[Interaction]) -> Result<Vec<Vec<Content>>, VaultError> {
        let groups: Vec<Group> = some.iter().map(|interaction| interaction.group).collect();
        let mut of: HashMap<Group, Vec<Content>> = HashMap::with_capacity(groups.len());
        for content in self.inner.contents_of(tenant, &groups).await? {
            of.entry(content.interaction).or_default().push(content);
        }
        Ok(groups.iter().map(|group| of.remove(group).unwrap_or_default()).collect())
    }
}

/// The hour in which a time lies, as rows have it.
fn hour_of(at: Timestamp) -> i64 {
    at.as_second().div_euclid(3_600)
}

fn position(interaction: &Interaction) -> (Timestamp, PublicId) {
    (interaction.meta.started_at, interaction.id)
}
