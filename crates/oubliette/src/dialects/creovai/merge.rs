//! Metadata that came later, merged over what came first: in the order of the events, later wins.

use oubliette_core::model::{InteractionMeta, OutOfBand};
use serde_json::{Map, Value};

/// Entries kept apart; beyond this the two oldest become one.
const MAX_ENTRIES: usize = 256;

/// Adds an entry in the order of events; among equal times the later arrival comes later.
pub fn add(meta: &mut InteractionMeta, entry: OutOfBand) {
    let at = meta.out_of_band.partition_point(|other| other.at <= entry.at);
    meta.out_of_band.insert(at, entry);
    if meta.out_of_band.len() > MAX_ENTRIES {
        let oldest = meta.out_of_band.remove(0);
        let next = &mut meta.out_of_band[0];
        let mut merged = oldest.metadata;
        overlay(&mut merged, &next.metadata);
        next.metadata = merged;
    }
}

/// The metadata as a reader sees it: always an object.
pub fn merged(meta: &InteractionMeta) -> Value {
    let mut base = if meta.metadata.is_object() { meta.metadata.clone() } else { Value::Object(Map::new()) };
    for entry in &meta.out_of_band {
        overlay(&mut base, &entry.metadata);
    }
    base
}

/// Objects merge member by member; everything else is replaced.
fn overlay(base: &mut Value, over: &Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (name, value) in over {
                overlay(base.entry(name.clone()).or_insert(Value::Null), value);
            }
        }
        (base, over) => *base = over.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entry(second: i64, metadata: Value) -> OutOfBand {
        OutOfBand { at: jiff::Timestamp::from_second(second).unwrap(), metadata }
    }

    #[test]
    fn entries_merge_in_the_order_of_their_events_whatever_order_they_came_in() {
        let mut meta = InteractionMeta::starting(jiff::Timestamp::UNIX_EPOCH);
        meta.metadata = json!({ "a": 0, "deep": { "x": 0, "y": 0 } });
        add(&mut meta, entry(20, json!({ "a": 2, "deep": { "x": 2 } })));
        add(&mut meta, entry(10, json!({ "a": 1, "b": 1 })));
        assert_eq!(merged(&meta), json!({ "a": 2, "b": 1, "deep": { "x": 2, "y": 0 } }));
    }

    #[test]
    fn many_entries_stay_bounded_and_lose_nothing() {
        let mut meta = InteractionMeta::starting(jiff::Timestamp::UNIX_EPOCH);
        for number in 0..1_000 {
            add(&mut meta, entry(number, json!({ format!("k{number}"): number, "last": number })));
        }
        assert_eq!(meta.out_of_band.len(), MAX_ENTRIES);
        let merged = merged(&meta);
        assert_eq!(merged["last"], 999);
        assert_eq!(merged.as_object().unwrap().len(), 1_001);
    }
}
