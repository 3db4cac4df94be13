//! Connections: what is refused, what is checked, what is never told.

use oubliette_core::ports::PortErrorKind;
use oubliette_store::postgres::{Connector, Options, Password, PostgresError, Session};

use super::cluster::Cluster;
use super::support::Database;

async fn open(options: &Options) -> Result<Session, PostgresError> {
    Connector::new(options).unwrap().connect("oubliette").await
}

async fn refusal(options: &Options) -> PostgresError {
    open(options).await.err().unwrap()
}

async fn setting(session: &Session, name: &'static str) -> String {
    let rows = session.query("SELECT current_setting($1)", &[&name]).await.unwrap();
    rows[0].get(0)
}

#[tokio::test]
async fn a_session_has_its_limits_and_waits_for_its_commits() {
    let database = Database::fresh().await;
    let session = open(&database.options()).await.unwrap();
    for (name, value) in [
        ("statement_timeout", "30s"),
        ("lock_timeout", "10s"),
        ("idle_in_transaction_session_timeout", "30s"),
        ("synchronous_commit", "on"),
        ("application_name", "oubliette"),
        ("plan_cache_mode", "force_generic_plan"),
        ("search_path", "oubliette"),
    ] {
        assert_eq!(setting(&session, name).await, value, "{name}");
    }
    let before = session.warnings();
    session.batch("DO $$ BEGIN RAISE WARNING 'beware'; END $$").await.unwrap();
    assert_eq!(session.warnings(), before + 1);
    session.close().await;
}

#[tokio::test]
async fn servers_and_databases_that_cannot_be_relied_on_are_refused() {
    let cluster = Cluster::start("fsync = off", "");
    let options = Options { url: cluster.url(), ..Options::default() };
    assert!(matches!(refusal(&options).await, PostgresError::Unsafe { setting: "fsync", .. }));
    drop(cluster);

    let database = Database::fresh().await;
    database
        .plain()
        .await
        .batch_execute(&format!("ALTER DATABASE {} SET synchronous_commit = off", database.name()))
        .await
        .unwrap();
    let error = refusal(&database.options()).await;
    assert!(matches!(error, PostgresError::Unsafe { setting: "synchronous_commit", .. }));
    assert_eq!(error.kind(), PortErrorKind::Refused);

    let latin = Database::on(super::support::server(), "ENCODING 'LATIN1' LOCALE 'C'").await;
    let error = refusal(&latin.options()).await;
    assert!(matches!(&error, PostgresError::Encoding(encoding) if encoding == "LATIN1"), "{error}");

    let nobody = Options { url: "postgres://u@127.0.0.1:1/v".into(), ..Options::default() };
    let error = refusal(&nobody).await;
    assert_eq!(error.kind(), PortErrorKind::Unavailable);
    assert!(error.is_lost());
}

/// A CA, a certificate it gave to `localhost`, and that one's key, as PEM.
fn certificates() -> (String, String, String) {
    let ca_key = rcgen::KeyPair::generate().unwrap();
    let mut ca = rcgen::CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca_certificate = ca.self_signed(&ca_key).unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let leaf = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let leaf = leaf.signed_by(&key, &rcgen::Issuer::new(ca, ca_key)).unwrap();
    (ca_certificate.pem(), leaf.pem(), key.serialize_pem())
}

#[tokio::test]
async fn tls_checks_who_answers_and_the_password_is_told_to_nobody_else() {
    let (ca, certificate, key) = certificates();
    let access = "hostssl all secretive 127.0.0.1/32 scram-sha-256\nhost all secretive 127.0.0.1/32 reject\n";
    let cluster = Cluster::start("", access);
    cluster.put("server.crt", &certificate);
    cluster.put("server.key", &key);
    cluster.append("postgresql.conf", "ssl = on");
    cluster.stop("fast");
    cluster.run();
    let plain = super::support::plain(&cluster.url()).await;
    plain.batch_execute("CREATE ROLE secretive LOGIN PASSWORD 'pw5ecret'").await.unwrap();

    let folder = tempfile::tempdir().unwrap();
    let (ca_file, password_file) = (folder.path().join("ca.pem"), folder.path().join("password"));
    std::fs::write(&ca_file, ca).unwrap();
    std::fs::write(&password_file, "pw5ecret\n").unwrap();
    let url =
        format!("postgres://secretive@localhost:{}/postgres?sslmode=verify-full&channel_binding=require", cluster.port);
    let good = Options { url: url.clone(), ca_file: Some(ca_file.clone()), ..Options::default() };

    let by_file = Options { password_file: Some(password_file), ..good.clone() };
    let by_value = Options { password: Some(Password::new("pw5ecret")), ..good.clone() };
    let by_url = Options { url: url.replace("secretive@", "secretive:pw5ecret@"), ..good.clone() };
    for options in [&by_file, &by_value, &by_url] {
        let session = open(options).await.unwrap();
        let rows =
            session.query("SELECT ssl, version FROM pg_stat_ssl WHERE pid = pg_backend_pid()", &[]).await.unwrap();
        assert!(rows[0].get::<_, bool>(0), "{:?}", rows[0].get::<_, Option<String>>(1));
        session.close().await;
    }

    let wrong = refusal(&Options { password: Some(Password::new("wrong-pw5ecret")), ..good.clone() }).await;
    assert_eq!(wrong.code(), Some("28P01"), "{wrong}");
    assert!(!format!("{wrong} {wrong:?} {by_file:?} {by_value:?} {by_url:?}").contains("pw5ecret"));

    // Another name than the certificate's, another CA, no TLS at all.
    let other_name = Options { url: by_url.url.replace("@localhost", "@127.0.0.1"), ..good.clone() };
    let other_ca = Options { ca_file: Some(folder.path().join("other.pem")), ..by_url.clone() };
    std::fs::write(folder.path().join("other.pem"), certificates().0).unwrap();
    for options in [&other_name, &other_ca] {
        let error = refusal(options).await;
        assert!(matches!(&error, PostgresError::Lost(text) if text.contains("certificate")), "{error}");
    }
    let bare = Options {
        url: by_url.url.replace("verify-full", "disable").replace("&channel_binding=require", ""),
        ..good.clone()
    };
    assert_eq!(refusal(&bare).await.code(), Some("28000"));

    let empty = folder.path().join("empty.pem");
    std::fs::write(&empty, "").unwrap();
    let error = Connector::new(&Options { ca_file: Some(empty), ..good }).err().unwrap();
    assert_eq!(error.kind, PortErrorKind::Refused);
}
