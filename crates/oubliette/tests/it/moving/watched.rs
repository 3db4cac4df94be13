//! The decorator that notes what a move has to copy again, on rows in SQLite.

use std::sync::Arc;
use std::time::Duration;

use keyforest::{Group, Leaf};
use oubliette::moving::Watched;
use oubliette_core::model::TenantId;
use oubliette_core::ports::{BlobRef, Metadata, PortErrorKind, Transaction, Write};
use oubliette_store::metadata::sqlite::{SqliteMetadata, SqliteOptions};

fn watched(home: &tempfile::TempDir) -> Watched {
    let path = home.path().join("rows.sqlite");
    Watched::new(Arc::new(SqliteMetadata::open(&path, SqliteOptions::default()).unwrap()))
}

fn of(writes: Vec<Write>) -> Transaction {
    Transaction { name: "test", checks: Vec::new(), writes }
}

fn tenant(number: u32) -> Transaction {
    of(vec![Write::InsertTenant(TenantId(number), format!("tenant {number}"))])
}

#[tokio::test]
async fn what_is_changed_is_noted_while_somebody_watches_and_only_then() {
    let home = tempfile::tempdir().unwrap();
    let rows = watched(&home);
    rows.apply(tenant(1)).await.unwrap();
    assert!(rows.take().is_empty());
    rows.watch().await;
    let deletions = vec![Write::DeleteInteractions(vec![Group(4), Group(9)]), Write::DeleteContents(vec![Leaf(80)])];
    rows.apply(of(deletions)).await.unwrap();
    let touched = rows.take();
    assert_eq!(touched.groups.iter().copied().collect::<Vec<_>>(), [4, 9]);
    assert_eq!((touched.leaves.len(), touched.blocks.len(), touched.books), (1, 0, false));
    rows.apply(of(vec![Write::PutValue("name".to_owned(), None), Write::DeleteDirectory(3)])).await.unwrap();
    assert_eq!(rows.noted(), 2);
    rows.open_gate().await;
    assert_eq!(rows.noted(), 0);
}

#[tokio::test]
async fn a_change_whose_caller_goes_away_is_noted_when_it_is_done() {
    let home = tempfile::tempdir().unwrap();
    let rows = watched(&home);
    rows.watch().await;
    let mut given_up = 0;
    for number in 1..=50 {
        let limit = Duration::from_millis(u64::from(number) % 3);
        given_up += u32::from(tokio::time::timeout(limit, rows.apply(tenant(number))).await.is_err());
        // Behind a closed gate nothing is under way any more: what was done by then was noted.
        rows.close_gate().await;
        let done = rows.tenants().await.unwrap().iter().any(|(id, _)| id.0 == number);
        assert_eq!(rows.take().books, done, "{number}");
        rows.open_gate().await;
        rows.watch().await;
    }
    assert!(given_up > 0, "no caller went away");
}

#[tokio::test]
async fn behind_a_closed_gate_nothing_changes_but_marks_of_seals() {
    let home = tempfile::tempdir().unwrap();
    let rows = watched(&home);
    rows.close_gate().await;
    assert_eq!(rows.apply(tenant(1)).await.unwrap_err().kind, PortErrorKind::Unavailable);
    let moved = rows.switch_blob(&BlobRef("a".to_owned()), &BlobRef("b".to_owned())).await;
    assert_eq!(moved.unwrap_err().kind, PortErrorKind::Unavailable);
    rows.apply(of(vec![Write::SetEpoch(7)])).await.unwrap();
    assert_eq!(rows.instance().await.unwrap().epoch, 7);
    assert!(rows.tenants().await.unwrap().is_empty());
    rows.open_gate().await;
    rows.apply(tenant(1)).await.unwrap();
}
