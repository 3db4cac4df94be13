//! What every [`Metadata`] does.
//!
//! An adapter implements [`Fixture`] and writes `oubliette_core::metadata_conformance!(ItsFixture);` in a test file: that makes
//! one test of each sentence.

#![expect(clippy::unwrap_used, reason = "a sentence that does not hold panics")]

use std::sync::Arc;

use jiff::Timestamp;
use keyforest::{Group, Leaf, LeafSet};
use uuid::Uuid;

use crate::model::{ContentKind, InteractionKind, SizeClass, State, TenantId};
use crate::ports::{
    Applied, BlobRef, Check, ContentRow, DirectoryRow, InteractionRow, Metadata, PortError, PortErrorKind, PurgeKind,
    PurgeRow, PurgeSet, PurgeState, Transaction, Write,
};

mod contents;
mod directory;
mod erasures;
mod instance;
mod interactions;
mod log;
mod transactions;

pub use contents::*;
pub use directory::*;
pub use erasures::*;
pub use instance::*;
pub use interactions::*;
pub use log::*;
pub use transactions::*;

/// A store under test, with what it lies on.
pub trait Fixture: Sized + Send {
    /// An empty store.
    fn fresh() -> impl Future<Output = Self> + Send;
    /// The store.
    fn metadata(&self) -> Arc<dyn Metadata>;
    /// The same store after it was closed in order and opened again.
    fn reopen(self) -> impl Future<Output = Self> + Send;
}

/// Makes a test of each sentence of the port's contract, for a [`Fixture`].
#[macro_export]
macro_rules! metadata_conformance {
    ($fixture:ty) => {
        $crate::metadata_conformance! { @sentences (@tests $fixture) }
    };
    (@names) => {
        $crate::metadata_conformance! { @sentences (@list) }
    };
    (@tests $fixture:ty; $($name:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                $crate::testing::conformance::metadata::$name::<$fixture>().await;
            }
        )*
    };
    (@list; $($name:ident)*) => { &[$(stringify!($name)),*] };
    (@sentences ($($then:tt)*)) => {
        $crate::metadata_conformance! { $($then)*;
            a_failed_check_changes_nothing
            the_first_check_that_does_not_hold_is_named
            a_refused_write_undoes_its_whole_transaction
            neighbours_of_a_failed_transaction_happen
            what_apply_answered_done_is_read_by_everyone
            what_apply_answered_done_survives_reopening
            the_commit_counter_never_goes_back
            of_racing_transactions_on_one_version_one_happens
            checks_alone_are_answered_and_change_nothing
            a_transaction_of_thousands_of_writes_happens_at_once
            an_interaction_is_read_back_as_written
            a_second_interaction_of_a_group_is_refused
            an_update_replaces_what_may_change_and_counts
            an_update_of_what_is_not_there_is_refused
            setting_the_state_changes_only_it_and_the_version
            extra_groups_keep_their_order_and_count
            interactions_come_in_the_order_asked
            no_more_than_a_thousand_are_asked_at_once
            an_hour_holds_the_tenants_interactions_by_group
            an_hour_is_read_in_pages
            the_next_hour_is_the_first_within_its_bounds
            a_deleted_interaction_takes_all_its_rows
            a_content_is_read_back_as_written
            a_content_marks_leaves_of_the_newest_group_used
            a_content_needs_its_interaction_and_one_of_its_leaves
            contents_come_by_interaction_and_leaf
            contents_are_found_by_leaf
            contents_of_many_interactions_are_counted
            a_deleted_content_leaves_its_neighbours
            a_blob_is_live_while_a_content_refers_to_it
            a_blob_belongs_to_one_content
            a_blob_is_switched_where_it_is_referred_to
            blobs_are_found_by_the_beginning_of_their_place
            a_directory_block_is_replaced_only_while_it_is_the_one_read
            directory_blocks_come_in_order_from_a_number_on
            directory_blocks_are_found_by_number
            the_next_directory_block_follows_the_highest
            an_erasure_is_read_back_as_written
            a_leaf_counts_as_erased_from_acceptance_until_removal
            a_leaf_of_two_erasures_counts_until_both_are_removed
            an_erasure_that_failed_covers_nothing
            erasures_cover_after_reopening
            an_erasure_of_many_leaves_covers_each
            an_erasure_only_goes_forward
            sealing_drops_the_words_of_the_order
            marks_on_unknown_erasures_are_refused
            only_sealed_erasures_are_marked_removed
            unsealed_erasures_come_oldest_first
            unswept_erasures_come_oldest_first_up_to_the_limit
            a_retained_erasure_is_due_when_its_retention_ends
            an_erasure_is_due_once_it_has_its_place_in_the_log
            erasures_of_a_tenant_come_newest_first_in_pages
            seals_are_kept_by_epoch_until_forgotten
            arrivals_of_a_commit_lie_in_one_row
            arrivals_of_racing_transactions_are_all_kept
            ingest_batches_are_found_by_place_and_by_entry
            an_erasure_is_certified_once
            what_erasures_cover_comes_in_pieces_and_without_their_rows
            erasures_wait_for_the_log_from_acceptance_on
            uncertified_erasures_come_by_epoch
            removals_are_due_until_they_are_logged
            an_erasure_may_come_with_its_place_in_one_transaction
            a_new_store_says_who_it_is
            the_epoch_never_goes_back
            the_groups_in_use_are_those_of_any_row
            credentials_are_read_back_and_revoked_once
            tenants_are_read_back
            a_named_value_is_set_replaced_and_removed
        }
    };
}

/// The names of all sentences.
pub const SENTENCES: &[&str] = crate::metadata_conformance!(@names);

/// 2026-01-01T00:00:00Z and some seconds.
fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_767_225_600 + seconds).unwrap()
}

const TENANT: TenantId = TenantId(1);

fn interaction(group: u64) -> InteractionRow {
    InteractionRow {
        group: Group(group),
        tenant: TENANT,
        kind: InteractionKind::Call,
        state: State::Declared,
        start_hour: 490_896,
        next_leaf: 1,
        extra_groups: Vec::new(),
        directory_block: group / 32,
        version: 0,
        sealed_meta: vec![group as u8; 40],
    }
}

fn content(interaction: u64, leaf: Leaf) -> ContentRow {
    ContentRow {
        leaf,
        interaction: Group(interaction),
        kind: ContentKind::Transcript,
        size_class: SizeClass(14),
        sealed_meta: vec![leaf.0 as u8; 24],
        blob: BlobRef(format!("segments/7/{leaf}")),
        commitment: [leaf.0 as u8; 32],
    }
}

fn block(number: u64, leaf: u64) -> DirectoryRow {
    DirectoryRow { block: number, leaf: Leaf(leaf), entries: 32, sealed: vec![leaf as u8; 80] }
}

/// An accepted erasure of these interactions (by group) and leaves.
fn erasure(id: u128, interactions: &[u64], leaves: &[u64]) -> PurgeRow {
    let set = |numbers: &[u64]| numbers.iter().copied().map(Leaf).collect::<LeafSet>();
    PurgeRow {
        id: Uuid::from_u128(id),
        tenant: Some(TENANT),
        credential: Some(Uuid::from_u128(77)),
        kind: PurgeKind::Order,
        state: PurgeState::Accepted,
        set: PurgeSet { interactions: set(interactions), groups: LeafSet::new(), leaves: set(leaves) },
        interactions: interactions.len() as u64,
        contents: leaves.len() as u64,
        order_leaf: None,
        sealed_order: Vec::new(),
        accepted_at: at(i64::try_from(id).unwrap()),
        sealed_at: None,
        sealed_epoch: None,
        removed_at: None,
        retained_until: None,
        stated: Vec::new(),
        place: None,
        removal: None,
    }
}

async fn apply(store: &dyn Metadata, checks: Vec<Check>, writes: Vec<Write>) -> Result<Applied, PortError> {
    store.apply(Transaction { name: "conformance", checks, writes }).await
}

/// Writes that have to succeed.
async fn write(store: &dyn Metadata, writes: Vec<Write>) {
    assert!(matches!(apply(store, Vec::new(), writes).await.unwrap(), Applied::Done(_)));
}

/// Whether a check holds.
async fn holds(store: &dyn Metadata, check: Check) -> bool {
    match apply(store, vec![check], Vec::new()).await.unwrap() {
        Applied::Done(_) => true,
        Applied::Failed(position) => {
            assert_eq!(position, 0);
            false
        }
    }
}

async fn refused(store: &dyn Metadata, writes: Vec<Write>) {
    let error = apply(store, Vec::new(), writes).await.unwrap_err();
    assert_eq!(error.kind, PortErrorKind::Refused, "{error}");
}

/// Three interactions, 1 to 3, the first with contents under its leaves 1 and 2.
async fn some_rows(store: &dyn Metadata) {
    let mut writes: Vec<_> = (1..=3).map(|group| Write::InsertInteraction(interaction(group))).collect();
    writes.extend([1, 2].map(|index| Write::InsertContent(content(1, Group(1).leaf(index)))));
    write(store, writes).await;
}

fn same_interaction(found: &InteractionRow, written: &InteractionRow) {
    assert_eq!((found.group, found.tenant, found.kind), (written.group, written.tenant, written.kind));
    assert_eq!(
        (found.state, found.start_hour, found.next_leaf),
        (written.state, written.start_hour, written.next_leaf)
    );
    assert_eq!(found.extra_groups, written.extra_groups);
    assert_eq!((found.directory_block, found.version), (written.directory_block, written.version));
    assert_eq!(found.sealed_meta, written.sealed_meta);
}

#[cfg(test)]
mod tests {
    use super::SENTENCES;

    #[test]
    fn the_macro_names_every_sentence() {
        let sources = [
            include_str!("contents.rs"),
            include_str!("directory.rs"),
            include_str!("erasures.rs"),
            include_str!("instance.rs"),
            include_str!("interactions.rs"),
            include_str!("log.rs"),
            include_str!("transactions.rs"),
        ];
        let written = sources.iter().flat_map(|source| source.split("pub async fn ").skip(1));
        let mut written: Vec<_> = written.map(|text| text.split('<').next().unwrap()).collect();
        let mut named = SENTENCES.to_vec();
        written.sort_unstable();
        named.sort_unstable();
        assert_eq!(written, named);
    }
}
