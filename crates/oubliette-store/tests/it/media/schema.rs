//! Every column of the key state's tables has a class.

use std::collections::BTreeMap;

use super::setup::{claim, database, wait};

#[test]
fn every_column_of_the_key_state_has_a_class_and_every_class_a_column() {
    let database = database();
    drop(claim(&database.url()));
    let rows = wait(async {
        let columns = "SELECT table_name || '.' || column_name FROM information_schema.columns
            WHERE table_schema = 'oubliette_keys' ORDER BY 1";
        database.plain().await.query(columns, &[]).await.unwrap()
    });
    let live: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    let text = include_str!("../../../schema/keystate.toml");
    let classes: BTreeMap<String, BTreeMap<String, BTreeMap<String, String>>> = toml::from_str(text).unwrap();
    let mut classed = Vec::new();
    for (table, columns) in &classes {
        for (column, told) in columns {
            assert!(["key", "operational"].contains(&told["class"].as_str()), "{table}.{column}");
            assert!(told["reason"].split_whitespace().count() >= 3, "{table}.{column} needs a reason");
            classed.push(format!("{table}.{column}"));
        }
    }
    classed.sort();
    assert_eq!(live, classed);
}
