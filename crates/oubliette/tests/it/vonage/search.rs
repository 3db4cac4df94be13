//! Searching.

use super::*;

const MAY: &str = "?start=2020-05-01T00:00:00Z&end=2020-05-07T23:59:59Z";

async fn guids(vault: &TestVault, token: &str, query: &str) -> Vec<String> {
    let (status, body) = ask(vault, token, "GET", query).await;
    assert_eq!(status, 200, "{query}: {body}");
    assert!(body["meta"].get("nextContinuationToken").is_some_and(Value::is_null), "{body}");
    body["items"].as_array().unwrap().iter().map(|item| item["guid"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_search_has_no_items_and_says_that_it_is_the_last_page() {
    let vault = TestVault::start().await;
    let token = token(&vault).await;
    let (status, body) = ask(&vault, &token, "GET", MAY).await;
    assert_eq!((status, body), (200, json!({"items": [], "meta": {"nextContinuationToken": null}})));
}

#[tokio::test(flavor = "multi_thread")]
async fn both_ends_are_inclusive_and_items_come_in_order_of_start() {
    let vault = TestVault::start().await;
    let token = token(&vault).await;
    let mut expected = Vec::new();
    for at in ["2020-05-07T23:59:59.900Z", "2020-05-01T00:00:00Z", "2020-05-03T12:00:00Z"] {
        expected.push((at, recorded(&vault, meta(at)).await));
    }
    for at in ["2020-04-30T23:59:59.999Z", "2020-05-08T00:00:00Z"] {
        recorded(&vault, meta(at)).await;
    }
    expected.sort();
    let expected: Vec<_> = expected.into_iter().map(|item| item.1).collect();
    assert_eq!(guids(&vault, &token, MAY).await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_accounts_own_interactions_with_content_are_found() {
    let vault = TestVault::start().await;
    let token = token(&vault).await;
    vault.interaction(meta("2020-05-02T00:00:00Z"), &[]).await;
    let mine = recorded(&vault, meta("2020-05-02T00:00:01Z")).await;
    assert_eq!(guids(&vault, &token, MAY).await, [mine]);
    let foreign = token_of(&vault, &vault.second.vonage, BOTH).await;
    assert!(guids(&vault, &foreign, MAY).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_narrow_a_search() {
    let vault = TestVault::start().await;
    let token = token(&vault).await;
    let mut one = meta("2020-05-02T00:00:00Z");
    (one.direction, one.connect_from, one.connect_to) =
        (Direction::Inbound, Some("+14154204204".into()), Some("22222".into()));
    one.participants = vec![agent("1342"), agent("77")];
    let one = recorded(&vault, one).await;
    let mut two = meta("2020-05-03T00:00:00Z");
    two.direction = Direction::Outbound;
    let customer = Participant { role: "customer".into(), email: Some("Ann@example.com".into()), ..Default::default() };
    two.participants = vec![agent("13"), customer];
    let two = recorded(&vault, two).await;

    for (filter, expected) in [
        ("handlingAgentId=1342", vec![&one]),
        ("handlingAgentId=77", vec![&one]),
        ("handlingAgentId=13", vec![&two]),
        ("handlingAgentId=134", vec![]),
        ("direction=inbound", vec![&one]),
        ("direction=OUTBOUND", vec![&two]),
        ("connectFrom=%2B1415", vec![&one]),
        ("connectFrom=%2B14154204204", vec![&one]),
        ("connectFrom=1415", vec![]),
        ("connectTo=222", vec![&one]),
        ("connectTo=ann%40", vec![&two]),
        ("connectTo=222&direction=outbound", vec![]),
        ("somethingNew=1", vec![&one, &two]),
    ] {
        let found = guids(&vault, &token, &format!("{MAY}&{filter}")).await;
        assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{filter}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_walked_with_each_answers_token_and_deletions_between_them_skip_nobody() {
    let vault = TestVault::start().await;
    let token = token(&vault).await;
    let mut all = Vec::new();
    for number in 0..30 {
        // Some start at the same moment.
        all.push(recorded(&vault, meta(&format!("2020-05-02T0{}:00:00Z", number / 5))).await);
    }
    let (_, body) = ask(&vault, &token, "GET", MAY).await;
    assert_eq!(body["items"].as_array().unwrap().len(), 25, "the default limit");

    let mut seen = Vec::new();
    let mut query = format!("{MAY}&limit=7");
    for page in 0.. {
        let (status, body) = ask(&vault, &token, "GET", &query).await;
        assert_eq!(status, 200);
        for item in body["items"].as_array().unwrap() {
            let guid = item["guid"].as_str().unwrap().to_owned();
            // What was seen is deleted at once: the next page must not shift.
            assert_eq!(ask(&vault, &token, "DELETE", &format!("/{guid}")).await, (200, json!({})));
            seen.push(guid);
        }
        let next = &body["meta"]["nextContinuationToken"];
        if next.is_null() {
            assert_eq!(page, 4);
            break;
        }
        let next = next.as_str().unwrap();
        assert!(next.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte)), "{next}");
        query = format!("{MAY}&limit={}&continuationToken={next}", 6 + page % 2);
    }
    let mut expected = all.clone();
    expected.sort();
    seen.sort();
    assert_eq!(seen, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_continuation_token_is_bound_to_its_search_and_account() {
    let vault = TestVault::start().await;
    let token = token(&vault).await;
    for _ in 0..3 {
        recorded(&vault, meta("2020-05-02T00:00:00Z")).await;
    }
    let (_, body) = ask(&vault, &token, "GET", &format!("{MAY}&limit=1")).await;
    let next = body["meta"]["nextContinuationToken"].as_str().unwrap().to_owned();
    let good = format!("{MAY}&limit=2&continuationToken={next}");
    assert_eq!(ask(&vault, &token, "GET", &good).await.0, 200);

    let foreign = token_of(&vault, &vault.second.vonage, BOTH).await;
    assert_eq!(ask(&vault, &foreign, "GET", &good).await.0, 400);
    let mut changed = next.clone().into_bytes();
    changed[5] = if changed[5] == b'A' { b'B' } else { b'A' };
    let changed = String::from_utf8(changed).unwrap();
    for query in [
        format!("{MAY}&direction=inbound&continuationToken={next}"),
        format!("?start=2020-05-01T00:00:01Z&end=2020-05-07T23:59:59Z&continuationToken={next}"),
        format!("{MAY}&continuationToken={changed}"),
        format!("{MAY}&continuationToken=abc"),
        format!("{MAY}&continuationToken={}", "A".repeat(64)),
    ] {
        let (status, body) = ask(&vault, &token, "GET", &query).await;
        assert_eq!(status, 400, "{query}");
        assert!(body["message"].is_string());
    }
}
