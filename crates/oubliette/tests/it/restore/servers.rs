//! On PostgreSQL and a bucket: an older dump of the database beside the living bucket and key state.
//!
//! `scripts/engines.sh` starts the servers; without them these tests fail.

use std::path::Path;
use std::process::Command;

use reqwest::StatusCode;

use crate::program::{Place, Server};
use crate::scaled::{Asker, Vault, serve, token};

/// What the rows are just now.
pub fn dump(url: &str, to: &Path) {
    let mut tool = Command::new("pg_dump");
    tool.args(["--schema=oubliette", "--no-owner", "--file", to.to_str().unwrap(), url]);
    let done = tool.output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

/// Has the database do something.
pub fn sql(url: &str, arguments: &[&str]) {
    let done = Command::new("psql").args([url, "-q", "-v", "ON_ERROR_STOP=1"]).args(arguments).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

/// Ends a server in good order.
pub fn stop(mut server: Server) {
    server.terminate();
    while server.running() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

/// Serves, and waits until it is ready.
pub async fn asker(place: &Place, token: &str) -> (Server, Asker) {
    let mut server = serve(place);
    let base = server.wait_for_endpoint();
    let ready = format!("{base}/readyz");
    let asker = Asker::new(&base, token);
    while asker.client.get(&ready).send().await.unwrap().status() != StatusCode::OK {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    (server, asker)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_dump_of_the_rows_gives_back_what_is_live_from_the_living_bucket() {
    let vault = Vault::new();
    let place = vault.place("class = \"file\"");
    let url = &vault.database.url;
    let run = |more: &[&str]| {
        let mut arguments = vec!["restore"];
        arguments.extend(more);
        arguments.extend(["--config", "oubliette.toml"]);
        place.run(&arguments)
    };
    let mut server = serve(&place);
    server.wait_for_endpoint();
    let token = token(&place);
    stop(server);
    let (server, clients) = asker(&place, &token).await;
    let large: Vec<u8> = (0..3_000_000_u32).map(|byte| (byte % 251) as u8).collect();
    let small = b"RIFF small".to_vec();
    let (kept, packed) = (clients.call("kept", large.clone()).await, clients.call("packed", small.clone()).await);
    let doomed = clients.call("doomed", b"RIFF doomed".to_vec()).await;
    let file = place.join("dump.sql");
    dump(url, &file);
    assert!(clients.delete(&doomed).await.is_success());
    let late = clients.call("late", b"RIFF late".to_vec()).await;
    stop(server);

    sql(url, &["-c", "DROP SCHEMA oubliette CASCADE"]);
    sql(url, &["-f", file.to_str().unwrap()]);
    place.run(&["serve", "--config", "oubliette.toml", "--listen", "127.0.0.1:0"]).with_code(9);
    let attached = run(&["attach", "--json"]).with_code(0).json();
    assert_eq!((&attached["interactions"], &attached["erasedInteractions"]), (&2.into(), &1.into()), "{attached}");
    assert_eq!(attached["missingContents"], 0, "{attached}");
    let (server, clients) = asker(&place, &token).await;
    assert_eq!(clients.read(&kept).await, (StatusCode::OK, large.clone()));
    assert_eq!(clients.read(&packed).await, (StatusCode::OK, small.clone()));
    assert_eq!(clients.read(&doomed).await.0, StatusCode::GONE);
    assert_eq!(clients.read(&late).await.0, StatusCode::NOT_FOUND);
    assert_eq!(clients.delete(&kept).await, StatusCode::SERVICE_UNAVAILABLE);
    stop(server);

    run(&["commit", "--confirm", attached["restore"].as_str().unwrap()]).with_code(0);
    let (server, clients) = asker(&place, &token).await;
    assert_eq!(clients.read(&kept).await, (StatusCode::OK, large));
    assert_eq!(clients.read(&packed).await, (StatusCode::OK, small));
    for gone in [&doomed, &late] {
        assert_eq!(clients.read(gone).await.0, StatusCode::GONE);
    }
    let new = clients.call("new", b"RIFF new".to_vec()).await;
    assert_eq!(clients.read(&new).await.0, StatusCode::OK);
    assert!(clients.delete(&kept).await.is_success());
    stop(server);
}
