//! A server of a log, with the faults that a server can have.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::fixture::Log;

/// What is answered to a path below `/log/`.
#[derive(Clone)]
pub enum Answer {
    /// These bytes.
    File(Vec<u8>),
    /// Nothing but a status.
    Status(u16),
    /// Look elsewhere.
    Redirect(String),
    /// Bytes without end.
    Endless,
    /// Half of what was announced.
    CutShort(Vec<u8>),
    /// Nothing at all, for a long time.
    Silence,
}

/// A running server; its thread ends with the test's process.
pub struct Server {
    /// The log's address.
    pub url: String,
    files: Arc<Mutex<BTreeMap<String, Answer>>>,
    asked: Arc<Mutex<Vec<String>>>,
    most: Arc<Mutex<usize>>,
}

impl Server {
    /// One that has no file yet.
    pub fn new() -> Self {
        let listener = listener();
        let url = format!("http://{}/log/", listener.local_addr().unwrap());
        let server = Self { url, files: Arc::default(), asked: Arc::default(), most: Arc::new(Mutex::new(usize::MAX)) };
        let (files, asked, most) = (server.files.clone(), server.asked.clone(), server.most.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (files, asked, most) = (files.clone(), asked.clone(), most.clone());
                std::thread::spawn(move || serve(&stream.unwrap(), &files, &asked, &most));
            }
        });
        server
    }

    /// Serves this log from now on, and nothing else.
    pub fn show(&self, log: &Log, checkpoint: &str) {
        let mut files = self.files.lock().unwrap();
        files.clear();
        for (tile, bytes) in &log.files.0 {
            files.insert(tile.to_string(), Answer::File(bytes.clone()));
        }
        files.insert("checkpoint".to_owned(), Answer::File(checkpoint.as_bytes().to_vec()));
    }

    /// Answers so to a path.
    pub fn set(&self, path: &str, answer: Answer) {
        self.files.lock().unwrap().insert(path.to_owned(), answer);
    }

    /// After so many more answers nothing but 404.
    pub fn tire_after(&self, answers: usize) {
        *self.most.lock().unwrap() = answers;
    }

    /// What was asked for since the last time.
    pub fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }
}

/// On a port that the system gives nobody by itself.
pub fn listener() -> TcpListener {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 10_000 + (std::process::id() % 11_000) as u16;
    loop {
        let port = first + NEXT.fetch_add(1, Ordering::Relaxed) % 1_000;
        if let Ok(listener) = TcpListener::bind(("127.0.0.1", port)) {
            return listener;
        }
    }
}

fn serve(
    mut stream: &TcpStream,
    files: &Mutex<BTreeMap<String, Answer>>,
    asked: &Mutex<Vec<String>>,
    most: &Mutex<usize>,
) {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok).take_while(|line| !line.is_empty());
    let Some(first) = lines.next() else { return };
    let _headers: Vec<_> = lines.collect();
    let path = first.split(' ').nth(1).unwrap().to_owned();
    asked.lock().unwrap().push(path.clone());
    let left = {
        let mut most = most.lock().unwrap();
        let left = *most;
        *most = left.saturating_sub(1);
        left
    };
    let found = path.strip_prefix("/log/").and_then(|path| files.lock().unwrap().get(path).cloned());
    let answer = found.filter(|_| left > 0).unwrap_or(Answer::Status(404));
    let head = |status: u16, more: &str| format!("HTTP/1.1 {status} x\r\nconnection: close\r\n{more}\r\n");
    let sized = |length: usize| head(200, &format!("content-length: {length}\r\n"));
    // Whoever asked may be gone.
    let _ = match answer {
        Answer::File(bytes) => stream.write_all(&[sized(bytes.len()).as_bytes(), &bytes].concat()),
        Answer::Status(status) => stream.write_all(head(status, "content-length: 0\r\n").as_bytes()),
        Answer::Redirect(to) => stream.write_all(head(302, &format!("location: {to}\r\n")).as_bytes()),
        Answer::CutShort(bytes) => stream.write_all(&[sized(2 * bytes.len()).as_bytes(), &bytes].concat()),
        Answer::Endless => {
            let _ = stream.write_all(head(200, "").as_bytes());
            while stream.write_all(&[b'x'; 65_536]).is_ok() {}
            Ok(())
        }
        Answer::Silence => {
            std::thread::sleep(Duration::from_secs(60));
            Ok(())
        }
    };
}
