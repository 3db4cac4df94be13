//! Who spoke how long, from a timed transcript.

use oubliette_core::transcript::Transcript;

/// Talk and silence in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Talk {
    /// Of internal participants.
    pub internal: u64,
    /// Of external participants.
    pub external: u64,
    /// Nobody speaking, in all.
    pub silence: u64,
    /// Before the first word.
    pub silence_at_start: u64,
    /// After the last word.
    pub silence_at_end: u64,
}

impl Talk {
    /// Reckons a transcript of an interaction that is `length` milliseconds long.
    pub fn of(transcript: &Transcript, length: u64, internal: &dyn Fn(usize) -> bool) -> Self {
        let mut talk = Self::default();
        let mut stretches: Vec<(u64, u64)> = Vec::new();
        for segment in &transcript.segments {
            let (start, end) = (segment.start_ms.min(length), segment.end_ms.min(length));
            if end <= start {
                continue;
            }
            *(if internal(segment.participant) { &mut talk.internal } else { &mut talk.external }) += end - start;
            stretches.push((start, end));
        }
        stretches.sort_unstable();
        let (mut spoken, mut heard_until) = (0, 0);
        for (start, end) in &stretches {
            spoken += end.saturating_sub((*start).max(heard_until));
            heard_until = heard_until.max(*end);
        }
        if let Some((first, _)) = stretches.first() {
            talk.silence = length - spoken.min(length);
            talk.silence_at_start = *first;
            talk.silence_at_end = length - heard_until;
        }
        talk
    }
}

/// A part of a whole, from 0 to 1.
pub fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use oubliette_core::transcript::Segment;

    use super::*;

    #[test]
    fn talk_over_each_other_counts_once_for_silence() {
        let segment = |participant, start_ms, end_ms| Segment {
            participant,
            start_ms,
            end_ms,
            text: String::new(),
            confidence: None,
            words: Vec::new(),
        };
        let segments = vec![segment(0, 1_000, 3_000), segment(1, 2_000, 5_000), segment(0, 8_000, 20_000)];
        let transcript = Transcript { segments, ..Transcript::default() };
        let talk = Talk::of(&transcript, 10_000, &|participant| participant == 0);
        let expected =
            Talk { internal: 4_000, external: 3_000, silence: 4_000, silence_at_start: 1_000, silence_at_end: 0 };
        assert_eq!(talk, expected);
        assert_eq!(Talk::of(&Transcript::default(), 10_000, &|_| true), Talk::default());
        assert_eq!(share(1, 0), 0.0);
    }
}
