//! An access token of a client, asked for anew before it ends, as the vendors' clients do.

use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use super::Reply;

/// A token is not used any more this long before its end: a request that waits for a server to return may take that long.
const BEFORE_ITS_END: Duration = Duration::from_secs(120);

/// A place for a token.
#[derive(Default)]
pub struct AccessToken(Mutex<Option<(String, Instant)>>);

impl AccessToken {
    /// The token there is, or one from the answer to `ask`; `None` when there was none.
    pub async fn get(&self, ask: impl Future<Output = Option<Reply>>) -> Option<String> {
        let mut held = self.0.lock().await;
        if let Some((token, _)) = held.as_ref().filter(|(_, until)| Instant::now() < *until) {
            return Some(token.clone());
        }
        let answer = ask.await?.json();
        let token = answer["access_token"].as_str()?.to_owned();
        let lives = Duration::from_secs(answer["expires_in"].as_u64()?);
        *held = Some((token.clone(), Instant::now() + lives.saturating_sub(BEFORE_ITS_END)));
        Some(token)
    }
}
