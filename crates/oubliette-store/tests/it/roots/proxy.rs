//! A proxy in front of an HTTP server that does at chosen requests what networks do. One request a connection.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It never arrives.
    RequestLost,
    /// It is answered, and nobody hears of it.
    AnswerLost,
    /// It is answered later than anybody waits.
    Stalls,
    /// It arrives after everybody has given up.
    ArrivesLate,
}

#[derive(Default)]
struct Plan {
    seen: u64,
    troubles: Vec<(u64, Trouble)>,
    log: Vec<String>,
}

/// Listens until dropped.
pub struct Proxy {
    address: SocketAddr,
    plan: Arc<Mutex<Plan>>,
    down: Arc<AtomicBool>,
    ended: Arc<AtomicBool>,
}

/// Longer than the client's timeout in these tests.
const LATE: Duration = Duration::from_millis(900);

impl Proxy {
    /// In front of `upstream` (`host:port`).
    pub fn start(upstream: &str) -> Self {
        let listener = free_listener();
        let address = listener.local_addr().unwrap();
        let proxy = Self { address, plan: Arc::default(), down: Arc::default(), ended: Arc::default() };
        let (plan, down, ended) = (Arc::clone(&proxy.plan), Arc::clone(&proxy.down), Arc::clone(&proxy.ended));
        let upstream = upstream.to_owned();
        std::thread::spawn(move || {
            for client in listener.incoming() {
                if ended.load(Ordering::SeqCst) {
                    return;
                }
                let (Ok(client), false) = (client, down.load(Ordering::SeqCst)) else { continue };
                let (plan, upstream) = (Arc::clone(&plan), upstream.clone());
                std::thread::spawn(move || pass(client, &upstream, &plan));
            }
        });
        proxy
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on every connection is dropped, or none.
    pub fn set_down(&self, down: bool) {
        self.down.store(down, Ordering::SeqCst);
    }

    /// Counts anew, with trouble at these requests.
    pub fn plan(&self, troubles: &[(u64, Trouble)]) {
        *self.plan.lock().unwrap() = Plan { troubles: troubles.to_vec(), ..Plan::default() };
    }

    pub fn seen(&self) -> u64 {
        self.plan.lock().unwrap().seen
    }

    /// Methods and paths of the requests counted.
    pub fn log(&self) -> Vec<String> {
        self.plan.lock().unwrap().log.clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

/// On a port outside of those that the system gives out.
pub fn free_listener() -> TcpListener {
    for _ in 0..500 {
        let mut bytes = [0; 2];
        aws_lc_rs::rand::fill(&mut bytes).unwrap();
        let port = 10_000 + u16::from_le_bytes(bytes) % 10_000;
        if let Ok(listener) = TcpListener::bind(("127.0.0.1", port)) {
            return listener;
        }
    }
    panic!("no free port");
}

fn pass(mut client: TcpStream, upstream: &str, plan: &Mutex<Plan>) {
    let Some(request) = read_request(&mut client) else { return };
    let trouble = {
        let mut plan = plan.lock().unwrap();
        plan.seen += 1;
        let line = request[..request.iter().position(|byte| *byte == b'\r').unwrap()].to_vec();
        plan.log.push(String::from_utf8(line).unwrap());
        plan.troubles.iter().find(|(at, _)| *at == plan.seen).map(|(_, trouble)| *trouble)
    };
    match trouble {
        Some(Trouble::RequestLost) => return,
        Some(Trouble::ArrivesLate) => {
            // The client is told nothing until it has given up.
            std::thread::sleep(LATE);
        }
        _ => {}
    }
    let Ok(mut server) = TcpStream::connect(upstream) else { return };
    if server.write_all(&request).is_err() {
        return;
    }
    let mut answer = Vec::new();
    if server.read_to_end(&mut answer).is_err() {
        return;
    }
    match trouble {
        Some(Trouble::AnswerLost) => {}
        Some(Trouble::Stalls) => {
            std::thread::sleep(LATE);
            let _ = client.write_all(&answer);
        }
        _ => {
            let _ = client.write_all(&answer);
        }
    }
}

/// A whole request, asking for the connection to end after it.
fn read_request(client: &mut TcpStream) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut piece = [0; 8192];
    loop {
        let read = client.read(&mut piece).ok().filter(|read| *read > 0)?;
        bytes.extend_from_slice(&piece[..read]);
        let Some(head) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let text = String::from_utf8(bytes[..head].to_vec()).ok()?;
        let length = text
            .lines()
            .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:").map(|n| n.trim().to_owned()))
            .map_or(0, |length| length.parse::<usize>().unwrap());
        if bytes.len() < head + 4 + length {
            continue;
        }
        let mut request = Vec::new();
        for line in text.lines().filter(|line| !line.to_ascii_lowercase().starts_with("connection:")) {
            request.extend_from_slice(line.as_bytes());
            request.extend_from_slice(b"\r\n");
        }
        request.extend_from_slice(b"Connection: close\r\n\r\n");
        request.extend_from_slice(&bytes[head + 4..]);
        return Some(request);
    }
}
