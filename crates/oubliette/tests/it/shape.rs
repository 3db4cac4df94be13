//! Nobody can be linked: what an erasure leaves behind has the same shape whoever was erased.

use std::time::Duration;

use oubliette_core::service::VaultSettings;

use crate::attacker::planting::Marks;
use crate::support::{TestVault, planter};

/// What is clear in the database and on disk of one state: shapes, never values that are random in each world.
async fn shape(vault: &TestVault) -> Vec<String> {
    let (metadata, tenant) = (&vault.metadata, vault.first.id);
    let mut shape = Vec::new();
    let mut hour = 0;
    while let Some(found) = metadata.next_hour(tenant, hour, i64::MAX / 2).await.unwrap() {
        for row in metadata.interactions_in_hour(tenant, found, None, usize::MAX).await.unwrap() {
            shape.push(format!(
                "interaction {:?} {:?} hour {} block {} next {} sealed {}",
                row.kind,
                row.state,
                row.start_hour,
                row.directory_block,
                row.next_leaf,
                row.sealed_meta.len()
            ));
            for content in metadata.contents(&[row.group]).await.unwrap() {
                shape.push(format!(
                    "content {:?} {:?} sealed {}",
                    content.kind,
                    content.size_class,
                    content.sealed_meta.len()
                ));
            }
        }
        hour = found + 1;
    }
    for row in metadata.directory(0, 1_000).await.unwrap() {
        shape.push(format!("block {} entries {} sealed {}", row.block, row.entries, row.sealed.len()));
    }
    for purge in metadata.purges(tenant, None, 100).await.unwrap() {
        shape.push(format!(
            "purge {} {} interactions {} groups {} leaves {}",
            purge.interactions,
            purge.contents,
            purge.set.interactions.len(),
            purge.set.groups.len(),
            purge.set.leaves.len()
        ));
    }
    shape
}

#[tokio::test(flavor = "multi_thread")]
async fn whether_an_erased_call_was_the_same_customers_as_a_live_one_shows_nowhere() {
    let mut vaults = Vec::new();
    for same_customer in [true, false] {
        let settings = VaultSettings { default_region: Some("US".to_owned()), ..VaultSettings::default() };
        let vault = TestVault::with(settings, Default::default()).await;
        let planter = planter(&vault).await;
        let kept = Marks { phone: "+15125550001".to_owned(), word: "zqkeptvx".to_owned() };
        let phone = if same_customer { "+15125550001" } else { "+15125550002" };
        let erased = Marks { phone: phone.to_owned(), word: "zqgonevx".to_owned() };
        let mut states = Vec::new();
        let id = planter.native_call(&erased).await;
        states.push(shape(&vault).await);
        planter.native_call(&kept).await;
        states.push(shape(&vault).await);
        planter.vonage_delete(&format!("/interactions/{id}")).await;
        // Rows go a little later; what is compared is the end.
        for _ in 0..200 {
            if vault.app.vault.status().await.unwrap().unswept == 0 && vault.count().await == 1 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        states.push(shape(&vault).await);
        vaults.push(states);
    }
    assert_eq!(vaults[0], vaults[1]);
    assert_eq!(vaults[0].len(), 3);
    assert_ne!(vaults[0][1], vaults[0][2], "control: the shapes do tell that something was erased");
}
