//! Play time and channels of a recording, read from its head and tail as it streams by.
//!
//! Nothing is decoded and nothing is trusted: a length from a header is a claim, kept as information only.

use std::io::{Cursor, Read, Seek, SeekFrom};

use lofty::config::ParseOptions;
use lofty::file::AudioFile;
use zeroize::Zeroize;

/// Bytes kept of the head and of the tail.
const KEPT: usize = 64 * 1024;

/// What a recording's headers say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AudioProperties {
    /// Play time in milliseconds.
    pub duration_ms: u64,
    /// Channels.
    pub channels: u8,
}

/// Watches a stream of bytes. Keeps at most 128 KiB; wiped when dropped.
#[derive(Default)]
pub struct AudioProbe {
    head: Vec<u8>,
    tail: Vec<u8>,
    length: u64,
}

impl Drop for AudioProbe {
    fn drop(&mut self) {
        self.head.zeroize();
        self.tail.zeroize();
    }
}

impl AudioProbe {
    /// Sees the next bytes.
    pub fn see(&mut self, bytes: &[u8]) {
        self.length += bytes.len() as u64;
        let to_head = bytes.len().min(KEPT - self.head.len());
        self.head.extend_from_slice(&bytes[..to_head]);
        let rest = &bytes[to_head..];
        if rest.len() >= KEPT {
            self.tail.clear();
            self.tail.extend_from_slice(&rest[rest.len() - KEPT..]);
        } else {
            self.tail.extend_from_slice(rest);
            // Trimmed only now and then, so that many small pieces do not move the tail each time.
            if self.tail.len() > 4 * KEPT {
                self.tail.drain(..self.tail.len() - KEPT);
            }
        }
    }

    /// What the headers say, if they can be read.
    pub fn properties(&mut self) -> Option<AudioProperties> {
        if self.tail.len() > KEPT {
            self.tail.drain(..self.tail.len() - KEPT);
        }
        if !looks_like_audio(&self.head) {
            return None;
        }
        let sparse = Sparse { head: &self.head, tail: &self.tail, length: self.length, position: 0 };
        // A parser of foreign formats must not take the process down. Of tags it reads nothing: they may name persons.
        let read = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let headers = ParseOptions::new().read_tags(false).read_cover_art(false);
            lofty::probe::Probe::new(sparse).options(headers).guess_file_type().ok()?.read().ok()
        }));
        let file = read.ok()??;
        let properties = file.properties();
        let duration_ms = u64::try_from(properties.duration().as_millis()).ok()?;
        (duration_ms > 0).then(|| AudioProperties { duration_ms, channels: properties.channels().unwrap_or(1) })
    }
}

/// Cheap look at the magic bytes, so that JSON and video are not handed to the audio parser.
fn looks_like_audio(head: &[u8]) -> bool {
    let at = |offset: usize, magic: &[u8]| head.get(offset..offset + magic.len()) == Some(magic);
    at(0, b"RIFF")
        || at(0, b"OggS")
        || at(0, b"ID3")
        || at(0, b"fLaC")
        || at(4, b"ftyp")
        || matches!(head, [0xff, second, ..] if second & 0xe0 == 0xe0)
}

/// A file of which only head and tail are known; the middle reads as zeros.
struct Sparse<'a> {
    head: &'a [u8],
    tail: &'a [u8],
    length: u64,
    position: u64,
}

impl Read for Sparse<'_> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let tail_at = self.length - self.tail.len() as u64;
        let read = if self.position < self.head.len() as u64 {
            Cursor::new(&self.head[self.position as usize..]).read(out)?
        } else if self.position >= tail_at {
            let from = usize::try_from(self.position - tail_at).unwrap_or(usize::MAX).min(self.tail.len());
            Cursor::new(&self.tail[from..]).read(out)?
        } else {
            let gap = usize::try_from(tail_at - self.position).unwrap_or(usize::MAX).min(out.len());
            out[..gap].fill(0);
            gap
        };
        self.position += read as u64;
        Ok(read)
    }
}

impl Seek for Sparse<'_> {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        let target = match to {
            SeekFrom::Start(at) => i128::from(at),
            SeekFrom::End(by) => i128::from(self.length) + i128::from(by),
            SeekFrom::Current(by) => i128::from(self.position) + i128::from(by),
        };
        self.position = u64::try_from(target).map_err(|_| std::io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wav(seconds: u32, channels: u16) -> Vec<u8> {
        let rate = 8_000_u32 * u32::from(channels) * 2;
        let data = vec![0_u8; (rate * seconds) as usize];
        let mut out = Vec::new();
        out.extend_from_slice(b"RIFF");
        out.extend_from_slice(&(36 + data.len() as u32).to_le_bytes());
        out.extend_from_slice(b"WAVEfmt ");
        out.extend_from_slice(&16_u32.to_le_bytes());
        out.extend_from_slice(&1_u16.to_le_bytes());
        out.extend_from_slice(&channels.to_le_bytes());
        out.extend_from_slice(&8_000_u32.to_le_bytes());
        out.extend_from_slice(&rate.to_le_bytes());
        out.extend_from_slice(&(channels * 2).to_le_bytes());
        out.extend_from_slice(&16_u16.to_le_bytes());
        out.extend_from_slice(b"data");
        out.extend_from_slice(&(data.len() as u32).to_le_bytes());
        out.extend_from_slice(&data);
        out
    }

    #[test]
    fn the_play_time_of_a_long_recording_is_known_from_its_head_and_tail() {
        let bytes = wav(60, 2);
        let mut probe = AudioProbe::default();
        for piece in bytes.chunks(1_000) {
            probe.see(piece);
        }
        assert_eq!(probe.properties(), Some(AudioProperties { duration_ms: 60_000, channels: 2 }));
        assert!(probe.head.len() + probe.tail.len() <= 2 * KEPT);
    }

    #[test]
    fn other_bytes_have_no_play_time_and_do_no_harm() {
        for bytes in
            [&b"{\"a\":1}"[..], b"", b"RIFF", b"RIFF\xff\xff\xff\xffWAVEfmt ", b"OggS", b"ID3\xff\xff\xff\xff\xff"]
        {
            let mut probe = AudioProbe::default();
            probe.see(bytes);
            assert_eq!(probe.properties(), None);
        }
    }
}
