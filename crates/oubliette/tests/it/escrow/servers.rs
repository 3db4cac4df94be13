//! Agents of a vault whose rows and keys lie in PostgreSQL, and whose contents in a bucket: other nodes take over, and an older
//! dump of the rows is put back.
//!
//! `scripts/engines.sh` starts the servers; without them these tests fail.

use std::time::{Duration, Instant};

use reqwest::StatusCode;

use super::Rig;
use super::anew::{bring_back, set_up_anew};
use crate::program::{Place, Server};
use crate::restore::servers::{asker, dump, sql, stop};
use crate::scaled::{Asker, Vault, serve, token};

const SHARES: &str = "2/3";
/// For another node to take over, and for what is done in the background.
const PATIENCE: Duration = Duration::from_secs(60);

/// A node's folder, with the agents of a rig.
fn node(vault: &Vault, rig: &Rig, root: &str) -> Place {
    let place = vault.place(root);
    let file = place.join("oubliette.toml");
    let at = |name: &str| rig.place.join(name).display().to_string();
    let agents = rig.agents.iter().map(|agent| format!("\"{}=https://localhost:{}\"", agent.name, agent.port));
    let text = format!(
        "{}[escrow]\nrecovery_key = \"{}\"\nagents = [{}]\nshares = \"{SHARES}\"\nca_file = \"{}\"\n\
         certificate_file = \"{}\"\nkey_file = \"{}\"\ntimeout_seconds = 2\n",
        std::fs::read_to_string(&file).unwrap(),
        rig.public(),
        agents.collect::<Vec<_>>().join(", "),
        at("ca.pem"),
        at("vault.pem"),
        at("vault.key"),
    );
    std::fs::write(file, text).unwrap();
    place
}

/// Waits until these agents hold one root and no other; its epoch.
fn settled(rig: &Rig, agents: &[usize], server: &Server) -> u64 {
    let end = Instant::now() + PATIENCE;
    loop {
        let held: Vec<_> = agents.iter().map(|number| rig.roots(*number)).collect();
        if held[0].len() == 1 && held.iter().all(|roots| *roots == held[0]) {
            return held[0][0].epoch;
        }
        assert!(Instant::now() < end, "{held:?}: {}", server.log());
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_node_takes_over_and_speaks_with_the_agents_that_the_first_one_had() {
    let (mut rig, vault) = (Rig::new(3, Some(SHARES)), Vault::new());
    let [first_place, second_place] = [(); 2].map(|()| node(&vault, &rig, "class = \"openbao\""));
    let mut first = serve(&first_place);
    let base = first.wait_for_endpoint();
    let token = token(&first_place);
    let clients = Asker::new(&base, &token);
    let kept = clients.call("kept", b"RIFF kept".to_vec()).await;
    let (gone, later) = (clients.call("gone", vec![1; 9]).await, clients.call("later", vec![2; 9]).await);
    assert!(clients.delete(&gone).await.is_success());
    let before = settled(&rig, &[0, 1, 2], &first);
    let mut second = serve(&second_place);
    first.kill();
    let clients = Asker::new(&second.wait_for_endpoint(), &token);
    assert_eq!(clients.read(&kept).await, (StatusCode::OK, b"RIFF kept".to_vec()));
    assert_eq!(clients.read(&gone).await.0, StatusCode::GONE);
    assert!(clients.delete(&later).await.is_success());
    assert!(settled(&rig, &[0, 1, 2], &second) > before);

    // What the first node noted of the registers is in the database: the second one is not taken in either.
    set_up_anew(&mut rig, 2);
    let doomed = clients.call("doomed", vec![3; 9]).await;
    assert!(clients.delete(&doomed).await.is_success(), "the other two suffice");
    assert!(rig.holds(2).unwrap().is_empty());
    // The first thing that is noticed is that its connection has ended.
    let end = Instant::now() + PATIENCE;
    let status = || second_place.run(&["status", "--config", "oubliette.toml"]).out;
    while !status().contains("escrow agent agent-2: another register answers under its name") {
        assert!(Instant::now() < end, "{}", status());
    }
    bring_back(&mut rig, 2);
    settled(&rig, &[0, 1, 2], &second);
    stop(second);

    // And back again to where it was.
    let (server, clients) = asker(&first_place, &token).await;
    assert_eq!(clients.read(&kept).await.0, StatusCode::OK);
    assert_eq!(clients.read(&doomed).await.0, StatusCode::GONE);
    assert!(clients.delete(&kept).await.is_success());
    settled(&rig, &[0, 1, 2], &server);
    stop(server);
}

#[tokio::test(flavor = "multi_thread")]
async fn over_an_older_dump_of_the_rows_the_agents_keep_the_root_and_get_the_next_one_when_it_is_committed() {
    let (mut rig, vault) = (Rig::new(3, Some(SHARES)), Vault::new());
    let place = node(&vault, &rig, "class = \"file\"");
    let url = &vault.database.url;
    let mut server = serve(&place);
    server.wait_for_endpoint();
    let token = token(&place);
    stop(server);
    let (server, clients) = asker(&place, &token).await;
    let (kept, doomed) = (clients.call("kept", vec![1; 9]).await, clients.call("doomed", vec![2; 9]).await);
    let file = place.join("dump.sql");
    dump(url, &file);
    assert!(clients.delete(&doomed).await.is_success());
    stop(server);
    sql(url, &["-c", "DROP SCHEMA oubliette CASCADE"]);
    sql(url, &["-f", file.to_str().unwrap()]);

    let attached = ["restore", "attach", "--config", "oubliette.toml", "--json"];
    let attached = place.run(&attached).with_code(0).json();
    rig.kill(2);
    let (server, clients) = asker(&place, &token).await;
    let epoch = settled(&rig, &[0, 1], &server);
    assert_eq!(clients.read(&kept).await, (StatusCode::OK, vec![1; 9]));
    assert_eq!(clients.read(&doomed).await.0, StatusCode::GONE);
    assert_eq!(clients.delete(&kept).await, StatusCode::SERVICE_UNAVAILABLE);
    let told = place.run(&["status", "--config", "oubliette.toml", "--json"]).json();
    assert_eq!((&told["epoch"], &told["agents"][2]["answers"]), (&epoch.into(), &false.into()), "{told}");
    stop(server);
    assert_eq!(settled_quietly(&rig), epoch, "nothing was sealed");

    let commit =
        ["restore", "commit", "--config", "oubliette.toml", "--confirm", attached["restore"].as_str().unwrap()];
    place.run(&commit).with_code(0);
    assert!(settled_quietly(&rig) > epoch);
    rig.start(2);
    let (server, clients) = asker(&place, &token).await;
    assert_eq!(clients.read(&kept).await.0, StatusCode::OK);
    assert!(clients.delete(&kept).await.is_success());
    settled(&rig, &[0, 1, 2], &server);
    stop(server);
}

/// The newest root that the two agents have which are up, while no vault is open.
fn settled_quietly(rig: &Rig) -> u64 {
    let held = [rig.roots(0), rig.roots(1)];
    assert!(held[0] == held[1] && held[0].len() == 1, "{held:?}");
    held[0][0].epoch
}
