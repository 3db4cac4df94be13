//! Carrying the logs of a vault over to another medium, file by file, as they are.

use std::io;

use keyforest::media::Medium;

use super::frame::FileId;
use super::index;

/// Copied at once.
const CHUNK: u64 = 4 << 20;

/// Copies every file of the vault's logs; durable on return. Nothing may be appended meanwhile. Blocks.
///
/// # Errors
/// What either medium says. What was copied by then stays there.
pub fn copy_log(from: &dyn Medium, to: &dyn Medium) -> io::Result<()> {
    for (name, len) in from.list()? {
        if FileId::parse(&name).is_none() && !index::is_name(&name) {
            continue;
        }
        to.create(&name, 0)?;
        let mut at = 0;
        while at < len {
            let length = (len - at).min(CHUNK);
            let bytes = from.read_at(&name, at, usize::try_from(length).map_err(io::Error::other)?)?;
            to.write_at(&name, at, &bytes)?;
            at += length;
        }
        to.flush(&name)?;
    }
    Ok(())
}
