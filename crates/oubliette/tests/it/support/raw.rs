//! Requests byte by byte, for what no client library would send.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A connection on which anything can be written.
pub struct Raw(TcpStream);

/// What came back.
#[derive(Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Header lines, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body as sent (not unchunked).
    pub body: String,
}

impl Answer {
    /// The first header of that name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|header| header.0 == name).map(|header| header.1.as_str())
    }
}

impl Raw {
    /// Connects.
    pub async fn connect(address: SocketAddr) -> Self {
        Self(TcpStream::connect(address).await.unwrap())
    }

    /// Writes bytes; a connection that the other side closed is not an error here, its answer tells.
    pub async fn write(&mut self, bytes: &[u8]) {
        let _ = self.0.write_all(bytes).await;
        let _ = self.0.flush().await;
    }

    /// Writes one chunk of a chunked body.
    pub async fn chunk(&mut self, bytes: &[u8]) {
        self.write(&[format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat()).await;
    }

    /// Says that nothing more is coming.
    pub async fn end(&mut self) {
        let _ = self.0.shutdown().await;
    }

    /// Reads until the connection ends or the answer is complete.
    pub async fn answer(&mut self) -> Answer {
        self.answer_within(Duration::from_secs(20)).await
    }

    /// The same, for as long as this.
    pub async fn answer_within(&mut self, time: Duration) -> Answer {
        let read = async {
            let mut bytes = Vec::new();
            loop {
                if let Some(answer) = parse(&bytes) {
                    return answer;
                }
                let mut buffer = [0; 4096];
                match self.0.read(&mut buffer).await {
                    Ok(0) | Err(_) => panic!("no answer, only {:?}", String::from_utf8_lossy(&bytes)),
                    Ok(count) => bytes.extend_from_slice(&buffer[..count]),
                }
            }
        };
        tokio::time::timeout(time, read).await.expect("an answer in time")
    }
}

fn parse(bytes: &[u8]) -> Option<Answer> {
    let text = String::from_utf8_lossy(bytes);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    if status == 100 {
        return parse(&bytes[head.len() + 4..]);
    }
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length = headers.iter().find(|header| header.0 == "content-length").and_then(|header| header.1.parse().ok());
    let chunked = headers.iter().any(|header| header.0 == "transfer-encoding");
    let complete = if chunked { body.ends_with("0\r\n\r\n") } else { body.len() >= length.unwrap_or(0) };
    complete.then(|| Answer { status, headers, body: body.to_owned() })
}

/// Sends one request with a body of known length and reads the answer.
pub async fn send(address: SocketAddr, head: &str, body: &[u8]) -> Answer {
    let mut raw = Raw::connect(address).await;
    let head = head.trim_end().replace('\n', "\r\n").replace("\r\r", "\r");
    let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    raw.write(&[format!("{head}\r\nHost: test\r\n{length}\r\n").as_bytes(), body].concat()).await;
    raw.answer().await
}
