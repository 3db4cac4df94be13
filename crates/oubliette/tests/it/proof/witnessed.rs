//! The program with a witness that is another program: its line in certificates, and certificates while it is away.

use oubliette_proof::Seconds;
use serde_json::json;

use super::*;
use crate::witness::WitnessProgram;

const WITNESS: &str = "witness.example/w1";

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_bears_the_line_of_a_witness_that_runs_and_comes_without_one_while_none_does() {
    let home = TempDir::new().unwrap();
    let mut witness = WitnessProgram::start(home.path(), WITNESS, "");
    witness.kill();
    let house = House::start(Some(witness.setting()));
    let log_keys = house.log_keys().await;
    let with_witness = format!("{log_keys}{}\n", witness.key());
    let unseen = house.erased("unseen").await;
    let plain = house.certificate(&unseen, &[ORIGIN]).await;
    let told = checked(&plain, &log_keys).unwrap();
    assert_eq!(told["facts"]["cosignatures"], json!([]));
    assert!(told["not_proven"].as_array().unwrap().iter().any(|said| said["code"] == "one-view"), "{told}");

    // The witness is told the log's key, and comes.
    witness.knows(&log_keys);
    witness.run();
    let seen = house.erased("seen").await;
    let cosigned = house.certificate(&seen, &[ORIGIN, WITNESS]).await;
    let told = checked(&cosigned, &with_witness).unwrap();
    let by = &told["facts"]["cosignatures"][0];
    let sealed = Seconds::parse(told["facts"]["sealed_at"].as_str().unwrap()).unwrap().get();
    assert!(by["name"] == WITNESS && (sealed..sealed + 300).contains(&by["time"].as_u64().unwrap()), "{told}");
    assert!(told["proven"].as_array().unwrap().iter().any(|said| said["code"] == "witnessed"), "{told}");
    assert!(witness.seen(ORIGIN).size >= told["facts"]["log"]["size"].as_u64().unwrap());
    // The page of it as well; and what came before the witness did has its line now.
    let page = house.given(&seen, "text/html").await.unwrap();
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("c.html"), page).unwrap();
    fs::write(folder.path().join("both.key"), &with_witness).unwrap();
    let (code, words) = stranger::verify(&folder, &["c.html", "--log-key", "both.key", "--id", &seen]);
    assert!(code == 0 && words.contains(&format!("The witness {WITNESS} saw")), "{words}");
    assert!(checked(&house.certificate(&unseen, &[ORIGIN, WITNESS]).await, &with_witness).is_ok());
    assert!(good_by_hand(&cosigned, &with_witness) && !good_by_hand(&cosigned, &log_keys));
    // With the log's key alone, or another one under the witness's name, nobody can check that line.
    let words = checked(&cosigned, &log_keys).unwrap_err();
    assert!(words.contains(&format!("If {WITNESS} is a witness you know, add its key")), "{words}");
    let impostor = WitnessProgram::start(&home.path().join("impostor"), WITNESS, "");
    assert!(checked(&cosigned, &format!("{log_keys}{}\n", impostor.key())).is_err());

    // It is gone again: nothing waits for it, and what it signed stays.
    witness.kill();
    let late = house.erased("late").await;
    let plain = house.certificate(&late, &[ORIGIN]).await;
    assert_eq!(checked(&plain, &log_keys).unwrap()["facts"]["cosignatures"], json!([]));
    assert!(checked(&house.certificate(&seen, &[ORIGIN, WITNESS]).await, &with_witness).is_ok());
    // Back, it goes on from what it remembers.
    let before = witness.seen(ORIGIN).size;
    witness.run();
    assert!(checked(&house.certificate(&late, &[ORIGIN, WITNESS]).await, &with_witness).is_ok());
    assert!(witness.seen(ORIGIN).size > before);
    house.server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_witness_does_not_follow_a_change_of_the_logs_key_before_it_is_told_of_it() {
    let home = TempDir::new().unwrap();
    let witness = WitnessProgram::start(home.path(), WITNESS, "");
    let house = House::start(Some(witness.setting()));
    witness.knows(&house.log_keys().await);
    let first = house.erased("first").await;
    let before = house.certificate(&first, &[ORIGIN, WITNESS]).await;

    house.rotate_key();
    let second = house.erased("second").await;
    house.certificate(&second, &[ORIGIN]).await;
    let begun = Instant::now();
    while !house.server.log().contains("does not take the log's key") {
        assert!(begun.elapsed() < PATIENCE, "{}", house.server.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(lines(&house.given(&second, "application/json").await.unwrap()), [ORIGIN]);

    let keys = house.log_keys().await;
    witness.knows(&keys);
    let after = house.certificate(&second, &[ORIGIN, WITNESS]).await;
    let all = format!("{}\n{keys}", witness.key());
    for certificate in [before, after] {
        assert_eq!(checked(&certificate, &all).unwrap()["facts"]["cosignatures"][0]["name"], WITNESS);
    }
    house.server.stop();
}
