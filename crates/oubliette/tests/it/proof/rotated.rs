//! The log's key changes, and whoever has a certificate keeps it.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn certificates_from_before_at_and_after_a_change_of_the_logs_key_hold_with_the_keys_as_served_then() {
    let house = House::start(None);
    let first = house.erased("first").await;
    let before = house.certificate(&first, &[ORIGIN]).await;
    let keys_before = house.log_keys().await;
    assert_eq!(checked(&before, &keys_before).unwrap()["result"], "valid");

    // The checkpoint that ends with the change has a line of either key, until the next entry comes; others may just do that.
    let both = [ORIGIN, ORIGIN];
    let mut at_the_change = Vec::new();
    for _ in 0..20 {
        house.rotate_key();
        at_the_change = house.given(&first, "application/json").await.unwrap();
        if lines(&at_the_change) == both {
            break;
        }
    }
    assert_eq!(lines(&at_the_change), both);
    let second = house.erased("second").await;
    let after = house.certificate(&second, &[ORIGIN]).await;
    house.rotate_key();
    let house = house.again();
    let third = house.erased("third").await;
    let later = house.certificate(&third, &[ORIGIN]).await;

    // The newest first; none is ever left out.
    let keys = house.log_keys().await;
    assert!(keys.ends_with(&keys_before) && keys.lines().count() >= 3, "{keys}");
    let told = house.place.run(&["log", "key", "--config", "oubliette.toml", "--data", "vault"]).with_code(0).out;
    assert_eq!(told, keys);
    let again = house.certificate(&first, &[ORIGIN]).await;
    for (certificate, id) in
        [(&before, &first), (&at_the_change, &first), (&after, &second), (&later, &third), (&again, &first)]
    {
        let told = checked(certificate, &keys).unwrap();
        assert_eq!(told["facts"]["subject"]["id"].as_str(), Some(&**id), "{told}");
    }
    // By hand, too; with the keys in whatever order; and by none that is not there.
    assert!([&before, &at_the_change, &later].iter().all(|certificate| good_by_hand(certificate, &keys)));
    let oldest_first: String = keys.lines().rev().map(|key| format!("{key}\n")).collect();
    assert!(checked(&before, &oldest_first).is_ok() && checked(&at_the_change, &oldest_first).is_ok());
    let newest = keys.lines().next().unwrap();
    assert!(checked(&later, newest).is_ok() && checked(&before, newest).is_err());
    assert!(checked(&before, &keys_before).is_ok() && checked(&later, &keys_before).is_err());
    house.server.stop();
}
