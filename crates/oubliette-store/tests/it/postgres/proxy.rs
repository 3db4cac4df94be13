//! A wire between a store and its server that can be cut at the worst moment.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::cluster::free_port;

/// What happens to the next COMMIT, and to connections made later.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Cut {
    /// Nothing.
    Never,
    /// The connection is cut before the COMMIT reaches the server.
    Before,
    /// The server gets it and answers; nobody hears the answer.
    After,
    /// As `Before`, and no connection is let through any more.
    BeforeAndStay,
    /// As `After`, and no connection is let through any more.
    AfterAndStay,
    /// No connection is let through.
    Closed,
}

const ALL: [Cut; 6] = [Cut::Never, Cut::Before, Cut::After, Cut::BeforeAndStay, Cut::AfterAndStay, Cut::Closed];

/// The proxy.
pub struct Proxy {
    pub port: u16,
    state: Arc<AtomicU8>,
}

impl Proxy {
    /// In front of a server on this machine.
    pub async fn before(server: u16) -> Self {
        let port = free_port();
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let state = Arc::new(AtomicU8::new(Cut::Never as u8));
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if shared.load(Ordering::SeqCst) != Cut::Closed as u8 {
                    tokio::spawn(carry(client, server, Arc::clone(&shared)));
                }
            }
        });
        Self { port, state }
    }

    /// Sets what happens next.
    pub fn set(&self, cut: Cut) {
        self.state.store(cut as u8, Ordering::SeqCst);
    }

    /// Whether the cut was made.
    pub fn was_cut(&self) -> bool {
        [Cut::Never as u8, Cut::Closed as u8].contains(&self.state.load(Ordering::SeqCst))
    }
}

async fn carry(client: TcpStream, server: u16, state: Arc<AtomicU8>) {
    let server = TcpStream::connect(("127.0.0.1", server)).await.unwrap();
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    // Answers are handed back by a task that ends with the connection.
    let mut answers = tokio::spawn(async move {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(read @ 1..) = from_server.read(&mut buffer).await {
            if to_client.write_all(&buffer[..read]).await.is_err() {
                break;
            }
        }
        from_server
    });
    let mut buffer = vec![0; 1 << 16];
    loop {
        let read = tokio::select! {
            _ = &mut answers => return,
            read = from_client.read(&mut buffer) => read,
        };
        let Ok(read @ 1..) = read else { break };
        let commit = buffer[..read].windows(7).any(|window| window == b"COMMIT\0");
        let cut = ALL[state.load(Ordering::SeqCst) as usize];
        if commit && !matches!(cut, Cut::Never | Cut::Closed) {
            let stay = matches!(cut, Cut::BeforeAndStay | Cut::AfterAndStay);
            state.store(if stay { Cut::Closed } else { Cut::Never } as u8, Ordering::SeqCst);
            answers.abort();
            if matches!(cut, Cut::After | Cut::AfterAndStay) {
                to_server.write_all(&buffer[..read]).await.unwrap();
                // The server is done with it well before this.
                tokio::time::sleep(std::time::Duration::from_millis(300)).await;
            }
            return;
        }
        if cut == Cut::Closed || to_server.write_all(&buffer[..read]).await.is_err() {
            break;
        }
    }
    answers.abort();
}
