//! A TCP proxy that cuts connections at chosen moments.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

/// What happens to the next bytes that a client sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// They arrive.
    Pass,
    /// The connection ends before they arrive.
    CutBefore,
    /// They arrive; the connection ends when the server has answered, and the answer is lost.
    CutAfter,
    /// They arrive, and the connection ends at once, while the server works.
    CutDuring,
    /// They wait until this is set to something else.
    Hold,
    /// Every connection ends, and no new one comes about, until this is set to something else.
    Down,
}

/// Listens on 127.0.0.1; ends with the test's process.
pub struct Proxy {
    pub port: u16,
    state: Arc<State>,
}

struct State {
    plan: Mutex<Plan>,
    changed: Condvar,
}

struct Plan {
    next: Next,
    /// After a cut.
    then: Next,
    streams: Vec<TcpStream>,
}

impl Plan {
    fn go_on(&mut self, next: Next) {
        self.next = next;
        if next == Next::Down {
            self.streams.drain(..).for_each(|stream| drop(stream.shutdown(Shutdown::Both)));
        }
    }
}

impl State {
    fn lock(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap()
    }

    /// Waits while clients' bytes are held; what happens to them then.
    fn judge(&self) -> Next {
        let mut plan = self.lock();
        while plan.next == Next::Hold {
            plan = self.changed.wait(plan).unwrap();
        }
        let judged = plan.next;
        if matches!(judged, Next::CutBefore | Next::CutDuring) {
            let then = std::mem::replace(&mut plan.then, Next::Pass);
            plan.go_on(then);
        }
        judged
    }
}

impl Proxy {
    /// In front of a server.
    pub fn before(server: &str) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", crate::postgres::cluster::free_port())).unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State {
            plan: Mutex::new(Plan { next: Next::Pass, then: Next::Pass, streams: Vec::new() }),
            changed: Condvar::new(),
        });
        let (shared, server) = (Arc::clone(&state), server.to_owned());
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let Ok(client) = client else { continue };
                if shared.lock().next == Next::Down {
                    continue;
                }
                let Ok(server) = TcpStream::connect(&server) else { continue };
                client.set_nodelay(true).unwrap();
                server.set_nodelay(true).unwrap();
                shared.lock().streams.extend([client.try_clone().unwrap(), server.try_clone().unwrap()]);
                let (to_client, from_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                let state = Arc::clone(&shared);
                std::thread::spawn(move || up(&state, client, server));
                let state = Arc::clone(&shared);
                std::thread::spawn(move || down(&state, from_server, to_client));
            }
        });
        Self { port, state }
    }

    /// Says what happens next; after a cut everything passes again.
    pub fn set(&self, next: Next) {
        self.set_then(next, Next::Pass);
    }

    /// Says what happens next, and what after a cut.
    pub fn set_then(&self, next: Next, then: Next) {
        let mut plan = self.state.lock();
        plan.then = then;
        plan.go_on(next);
        drop(plan);
        self.state.changed.notify_all();
    }

    /// Whether a cut that was asked for has happened.
    pub fn has_cut(&self) -> bool {
        !matches!(self.state.lock().next, Next::CutBefore | Next::CutAfter | Next::CutDuring)
    }
}

fn up(state: &State, mut client: TcpStream, mut server: TcpStream) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(read) = client.read(&mut buffer) {
        if read == 0 {
            break;
        }
        match state.judge() {
            Next::CutBefore | Next::Down => break,
            Next::CutDuring => {
                let _ = server.write_all(&buffer[..read]);
                // What the server has in its hands it may still work off.
                let _ = client.shutdown(Shutdown::Both);
                std::thread::sleep(Duration::from_millis(20));
                break;
            }
            _ => {}
        }
        if server.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    let _ = client.shutdown(Shutdown::Both);
    let _ = server.shutdown(Shutdown::Both);
}

fn down(state: &State, mut server: TcpStream, mut client: TcpStream) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(read) = server.read(&mut buffer) {
        if read == 0 {
            break;
        }
        let mut plan = state.lock();
        if plan.next == Next::CutAfter {
            let then = std::mem::replace(&mut plan.then, Next::Pass);
            plan.go_on(then);
            break;
        }
        drop(plan);
        if client.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    let _ = client.shutdown(Shutdown::Both);
    let _ = server.shutdown(Shutdown::Both);
}
