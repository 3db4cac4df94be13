//! The smallest HTTP/1.1 client that keeps a connection alive: the load generator must not cost more than the server.

use std::net::SocketAddr;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Largest answer's head.
const MAX_HEAD: usize = 16 << 10;

/// A kept connection.
pub struct Client {
    stream: TcpStream,
    host: String,
    /// Bytes read ahead.
    buffer: Vec<u8>,
}

/// An answer; its body was read wholly.
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// The body, unless it was only counted.
    pub body: Vec<u8>,
    /// Bytes of the body.
    pub length: u64,
}

impl Client {
    /// Connects.
    pub async fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await.context("the bench's server cannot be reached")?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, host: address.to_string(), buffer: Vec::with_capacity(256 << 10) })
    }

    /// Sends a request with a small body and reads the answer.
    pub async fn send(&mut self, method: &str, path: &str, headers: &str, body: &[u8]) -> Result<Answer> {
        let mut request = self.head(method, path, headers, Some(body.len() as u64));
        request.extend_from_slice(body);
        self.stream.write_all(&request).await?;
        self.answer(true).await
    }

    /// Sends a request whose body is `pieces`, repeated to `length` bytes.
    pub async fn upload(
        &mut self,
        method: &str,
        path: &str,
        headers: &str,
        piece: &[u8],
        length: u64,
    ) -> Result<Answer> {
        let head = self.head(method, path, headers, Some(length));
        self.stream.write_all(&head).await?;
        let mut left = length;
        while left > 0 {
            let part = usize::try_from(left).unwrap_or(usize::MAX).min(piece.len());
            self.stream.write_all(&piece[..part]).await?;
            left -= part as u64;
        }
        self.answer(true).await
    }

    /// Fetches and only counts the body.
    pub async fn download(&mut self, path: &str, headers: &str) -> Result<Answer> {
        let head = self.head("GET", path, headers, None);
        self.stream.write_all(&head).await?;
        self.answer(false).await
    }

    fn head(&self, method: &str, path: &str, headers: &str, length: Option<u64>) -> Vec<u8> {
        let length = length.map(|length| format!("content-length: {length}\r\n")).unwrap_or_default();
        format!("{method} {path} HTTP/1.1\r\nhost: {}\r\n{headers}{length}\r\n", self.host).into_bytes()
    }

    async fn answer(&mut self, keep: bool) -> Result<Answer> {
        let end = loop {
            if let Some(end) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break end + 4;
            }
            if self.buffer.len() > MAX_HEAD || self.stream.read_buf(&mut self.buffer).await? == 0 {
                bail!("the bench's server ended the connection");
            }
        };
        let head = String::from_utf8_lossy(&self.buffer[..end]).to_ascii_lowercase();
        let status = head.get(9..12).and_then(|code| code.parse().ok()).context("no status code")?;
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<u64>().ok());
        let chunked = head.contains("transfer-encoding: chunked");
        self.buffer.drain(..end);
        if chunked {
            bail!("the bench's client reads only answers of a known length");
        }
        let length = length.unwrap_or(0);
        let mut body = Vec::new();
        let mut left = length;
        loop {
            let part = usize::try_from(left).unwrap_or(usize::MAX).min(self.buffer.len());
            if keep {
                body.extend_from_slice(&self.buffer[..part]);
            }
            self.buffer.drain(..part);
            left -= part as u64;
            if left == 0 {
                return Ok(Answer { status, body, length });
            }
            self.buffer.clear();
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                bail!("the bench's server broke off an answer");
            }
        }
    }
}
