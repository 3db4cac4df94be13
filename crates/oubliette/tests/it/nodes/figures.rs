//! What each node says of itself to a monitoring system.

use super::Nodes;

#[tokio::test(flavor = "multi_thread")]
async fn a_front_gives_out_what_concerns_itself_and_nothing_of_the_vault() {
    let nodes = Nodes::start(2, "").await;
    let (_, front) = nodes.nodes[1].own("/metrics").await;
    let has = |start: &str| front.lines().any(|line| line.starts_with(start));
    for figure in [
        "oubliette_ready{part=\"lease\"} 1",
        "oubliette_node_role{node=\"b\",role=\"front\"} 1",
        "oubliette_started_seconds ",
        "oubliette_warnings ",
        "oubliette_data_free_bytes ",
    ] {
        assert!(has(figure), "{figure} is missing in\n{front}");
    }
    // What it cannot know would be taken for what is so.
    for figure in ["oubliette_deletion_lag_seconds ", "oubliette_erasures_unsealed ", "oubliette_register_verified "] {
        assert!(!has(figure), "{figure} in\n{front}");
    }
    let (_, holder) = nodes.nodes[0].own("/metrics").await;
    assert!(holder.lines().any(|line| line.starts_with("oubliette_register_verified ")), "{holder}");
}
