//! Choices of a run, repeatable from a seed that a failing test prints.

/// SplitMix64.
#[derive(Clone)]
pub struct Random(u64);

impl Random {
    /// From `OUBLIETTE_SEED`, else from the clock; printed so that a failure can be repeated.
    pub fn new(test: &str) -> Self {
        let given = std::env::var("OUBLIETTE_SEED").ok().and_then(|text| text.parse().ok());
        let seed = given.unwrap_or_else(|| {
            let since = std::time::UNIX_EPOCH.elapsed().expect("the clock is past 1970");
            since.as_nanos() as u64 % 1_000_000
        });
        eprintln!("{test}: OUBLIETTE_SEED={seed}");
        Self(seed)
    }

    /// An independent sequence.
    pub fn fork(&mut self) -> Self {
        Self(self.next())
    }

    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }

    /// True once in `times`.
    pub fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// Bytes that do not compress.
    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes: Vec<u8> =
            std::iter::repeat_with(|| self.next().to_le_bytes()).take(length / 8 + 1).flatten().collect();
        bytes.truncate(length);
        bytes
    }

    /// A recording: a WAV header and noise.
    pub fn wav(&mut self, length: usize) -> Vec<u8> {
        let samples = self.bytes(length.max(2) & !1);
        let mut wav = Vec::with_capacity(samples.len() + 44);
        let size = samples.len() as u32;
        wav.extend_from_slice(b"RIFF");
        wav.extend_from_slice(&(size + 36).to_le_bytes());
        wav.extend_from_slice(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
        wav.extend_from_slice(&8000_u32.to_le_bytes());
        wav.extend_from_slice(&16000_u32.to_le_bytes());
        wav.extend_from_slice(b"\x02\0\x10\0data");
        wav.extend_from_slice(&size.to_le_bytes());
        wav.extend_from_slice(&samples);
        wav
    }
}
