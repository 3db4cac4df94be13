//! A database of each test's own on the server that was started for the tests.

use std::time::Duration;

use oubliette_store::postgres::Options;
use tokio_postgres::{Client, NoTls};

/// The server's URL as superuser. It has to be there: a missing server is a failure, not a skip.
pub fn server() -> String {
    std::env::var("OUBLIETTE_TEST_POSTGRES")
        .expect("OUBLIETTE_TEST_POSTGRES is not set: start the servers with scripts/engines.sh, or run ./test.sh")
}

/// A connection without any of our own code.
pub async fn plain(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(async move {
        let _ = connection.await;
    });
    client
}

/// A new database, dropped at the end.
pub struct Database {
    server: String,
    name: String,
}

impl Database {
    /// On the shared server.
    pub async fn fresh() -> Self {
        Self::on(server(), "ENCODING 'UTF8'").await
    }

    /// On some server, with words of its own for CREATE DATABASE.
    pub async fn on(server: String, words: &str) -> Self {
        let name = format!("vault_{}", uuid::Uuid::new_v4().simple());
        let create = format!("CREATE DATABASE {name} TEMPLATE template0 {words}");
        let client = plain(&server).await;
        // Two at once may meet while the template is copied.
        let mut tries = 0;
        while let Err(error) = client.batch_execute(&create).await {
            tries += 1;
            assert!(tries < 20, "{error:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Self { server, name }
    }

    /// Where it is.
    pub fn url(&self) -> String {
        let (head, _) = self.server.rsplit_once('/').unwrap();
        format!("{head}/{}", self.name)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How it is reached.
    pub fn options(&self) -> Options {
        Options { url: self.url(), ..Options::default() }
    }

    /// A connection to it without any of our own code.
    pub async fn plain(&self) -> Client {
        plain(&self.url()).await
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let (server, name) = (self.server.clone(), self.name.clone());
        // A runtime of its own: the test's may be gone or busy.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let Ok((client, connection)) = tokio_postgres::connect(&server, NoTls).await else { return };
                tokio::spawn(connection);
                let _ = client.batch_execute(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await;
            });
        });
        let _ = dropping.join();
    }
}
