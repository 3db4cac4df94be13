//! A proxy that misbehaves on demand: it stands between the store and the real server.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// What becomes of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// As it should be.
    Pass,
    /// The connection breaks; the server never hears of it.
    LoseRequest,
    /// The server does it; the connection breaks before the answer.
    LoseAnswer,
    /// The server does it; half of the answer's body arrives.
    CutAnswer,
    /// The server never hears of it, and nobody answers.
    Stall,
    /// The server never hears of it; this status and S3's word for it come back.
    Answer(u16, &'static str),
    /// The server never hears of it; this comes back as a success.
    Say(&'static str),
    /// As it should be, without a condition that the request sets.
    DropCondition,
}

/// A request as a rule sees it.
pub struct Seen {
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Requests before it of the same method and target.
    pub before: usize,
}

type Rule = Box<dyn Fn(&Seen) -> Action + Send + Sync>;

/// The proxy.
pub struct Proxy {
    pub endpoint: String,
    state: Arc<State>,
}

struct State {
    server: String,
    rule: Mutex<Rule>,
    seen: Mutex<Vec<(String, String)>>,
}

impl Proxy {
    /// Starts one in front of a server; everything passes.
    pub async fn start(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let server = server.strip_prefix("http://").unwrap().to_owned();
        let state = Arc::new(State { server, rule: Mutex::new(Box::new(|_| Action::Pass)), seen: Mutex::default() });
        tokio::spawn({
            let state = Arc::clone(&state);
            async move {
                while let Ok((client, _)) = listener.accept().await {
                    let state = Arc::clone(&state);
                    tokio::spawn(async move { drop(serve(client, &state).await) });
                }
            }
        });
        Self { endpoint, state }
    }

    /// From now on this decides.
    pub fn rule(&self, rule: impl Fn(&Seen) -> Action + Send + Sync + 'static) {
        self.state.seen.lock().unwrap().clear();
        *self.state.rule.lock().unwrap() = Box::new(rule);
    }

    /// Requests since the rule was set of which this holds: method, path and query.
    pub fn count(&self, which: impl Fn(&str, &str) -> bool) -> usize {
        self.state.seen.lock().unwrap().iter().filter(|(method, target)| which(method, target)).count()
    }
}

/// A message: its head, as it came, and its body with whatever frames it.
struct Message {
    head: String,
    body: Vec<u8>,
}

async fn serve(client: TcpStream, state: &State) -> io::Result<()> {
    let mut client = BufReader::new(client);
    while let Some(request) = read_message(&mut client, false).await? {
        let mut words = request.head.split(' ');
        let (method, target) = (words.next().unwrap_or("").to_owned(), words.next().unwrap_or("").to_owned());
        let action = {
            let mut seen = state.seen.lock().unwrap();
            let before = seen.iter().filter(|earlier| **earlier == (method.clone(), target.clone())).count();
            seen.push((method.clone(), target.clone()));
            let seen = Seen { method: method.clone(), target, before };
            (state.rule.lock().unwrap())(&seen)
        };
        match action {
            Action::LoseRequest => return Ok(()),
            Action::Stall => {
                tokio::time::sleep(Duration::from_secs(600)).await;
                return Ok(());
            }
            Action::Answer(status, code) => {
                let body = format!("<Error><Code>{code}</Code><Message>by the proxy</Message></Error>");
                let head = format!("HTTP/1.1 {status} No\r\nContent-Length: {}\r\n\r\n", body.len());
                client.write_all(head.as_bytes()).await?;
                if method != "HEAD" {
                    client.write_all(body.as_bytes()).await?;
                }
                continue;
            }
            Action::Say(body) => {
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
                client.write_all(head.as_bytes()).await?;
                continue;
            }
            Action::Pass | Action::LoseAnswer | Action::CutAnswer | Action::DropCondition => {}
        }
        let mut server = BufReader::new(TcpStream::connect(&state.server).await?);
        let mut head = request.head;
        if action == Action::DropCondition {
            let kept: Vec<&str> =
                head.split("\r\n").filter(|line| !line.to_lowercase().starts_with("if-none-match")).collect();
            head = kept.join("\r\n");
        }
        server.write_all(head.as_bytes()).await?;
        server.write_all(&request.body).await?;
        let Some(mut answer) = read_message(&mut server, method == "HEAD").await? else { return Ok(()) };
        match action {
            Action::LoseAnswer => return Ok(()),
            Action::CutAnswer => {
                answer.body.truncate(answer.body.len() / 2);
                client.write_all(answer.head.as_bytes()).await?;
                client.write_all(&answer.body).await?;
                return Ok(());
            }
            _ => {
                client.write_all(answer.head.as_bytes()).await?;
                client.write_all(&answer.body).await?;
            }
        }
    }
    Ok(())
}

async fn read_message(from: &mut BufReader<TcpStream>, bodiless: bool) -> io::Result<Option<Message>> {
    let mut head = Vec::new();
    loop {
        while !head.ends_with(b"\r\n\r\n") {
            match from.read_u8().await {
                Ok(byte) => head.push(byte),
                Err(_) if head.is_empty() => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        // An interim answer.
        if !head.starts_with(b"HTTP/1.1 100") {
            break;
        }
        head.clear();
    }
    let head = String::from_utf8(head).map_err(|_| io::ErrorKind::InvalidData)?;
    let field = |name: &str| {
        let line = head.split("\r\n").find(|line| line.to_lowercase().starts_with(&format!("{name}:")))?;
        Some(line.split_once(':')?.1.trim().to_lowercase())
    };
    let mut body = Vec::new();
    if bodiless || head.starts_with("HTTP/1.1 204") || head.starts_with("HTTP/1.1 304") {
        return Ok(Some(Message { head, body }));
    }
    if field("transfer-encoding").is_some_and(|coding| coding == "chunked") {
        while !body.ends_with(b"0\r\n\r\n") {
            // Good enough here: no body of these tests ends a chunk with these bytes.
            body.push(from.read_u8().await?);
        }
    } else if let Some(length) = field("content-length") {
        body.resize(length.parse().map_err(|_| io::ErrorKind::InvalidData)?, 0);
        from.read_exact(&mut body).await?;
    }
    Ok(Some(Message { head, body }))
}
