//! Transcripts: from the declared phrase shape into the vault's form, and from that into both documented shapes.

use std::collections::HashMap;

use oubliette_core::transcript::{Redaction, Segment, Transcript, Word};

use super::error::Failure;
use super::wire::{PhraseSegment, PhraseTranscript, Phrases, PunctuatedTranscript, RedactionSegment, SentenceSegment};
use crate::http::json::{MemberError, Members};

/// A pause this long between two phrases of one speaker begins a new sentence.
const PAUSE_MS: u64 = 1_000;

/// Reads a declared transcript. When neither speaker has phrases of his own, everything counts as said by the first.
pub fn parse_declared(given: Members<'_>, language: &str) -> Result<Transcript, Failure> {
    let speakers = [given.object("participantOne")?, given.object("participantTwo")?];
    let everybody = given.object("allParticipants")?;
    if everybody.is_none() && speakers.iter().all(Option::is_none) {
        return Err(Failure::bad_request("'transcript' must hold the phrases of at least one participant"));
    }
    let mut spoken = Vec::new();
    for (participant, speaker) in speakers.into_iter().enumerate() {
        spoken.extend(words(speaker)?.into_iter().map(|word| (participant, word)));
    }
    let everything = words(everybody)?;
    if spoken.is_empty() {
        spoken.extend(everything.into_iter().map(|word| (0, word)));
    }
    spoken.sort_by_key(|(_, word)| word.start_ms);
    let mut segments: Vec<Segment> = Vec::new();
    for (participant, word) in spoken {
        match segments.last_mut() {
            Some(open) if continues(open, participant, &word) => {
                open.end_ms = open.end_ms.max(word.end_ms);
                open.text.push(' ');
                open.text.push_str(&word.text);
                open.words.push(word);
            }
            _ => segments.push(Segment {
                participant,
                start_ms: word.start_ms,
                end_ms: word.end_ms,
                text: word.text.clone(),
                confidence: None,
                words: vec![word],
            }),
        }
    }
    Ok(Transcript { language: Some(language.to_owned()), segments, redactions: redactions(given)? })
}

fn continues(open: &Segment, participant: usize, word: &Word) -> bool {
    open.participant == participant
        && word.start_ms.saturating_sub(open.end_ms) < PAUSE_MS
        && !open.text.ends_with(['.', '?', '!'])
}

fn words(given: Option<Members<'_>>) -> Result<Vec<Word>, Failure> {
    let Some(given) = given else { return Ok(Vec::new()) };
    let phrases = given.strings("phrases")?.unwrap_or_default();
    let segments = given.objects("phraseSegments")?.unwrap_or_default();
    segments
        .into_iter()
        .map(|segment| {
            let index = segment.integer("phraseIndex")?.ok_or(MemberError::Missing("phraseIndex"))?;
            let text = usize::try_from(index).ok().and_then(|index| phrases.get(index));
            let text = text.ok_or_else(|| Failure::bad_request("a 'phraseIndex' points to no phrase"))?;
            let (start_ms, end_ms) = offsets(segment)?;
            Ok(Word { start_ms, end_ms, text: (*text).to_owned(), confidence: score(segment)? })
        })
        .collect()
}

fn redactions(given: Members<'_>) -> Result<Vec<Redaction>, Failure> {
    let segments = given.objects("redactionSegments")?.unwrap_or_default();
    segments
        .into_iter()
        .map(|segment| {
            let (start_ms, end_ms) = offsets(segment)?;
            let result = segment.required_string("result")?.to_owned();
            Ok(Redaction { start_ms, end_ms, result, score: score(segment)?.unwrap_or_default() })
        })
        .collect()
}

fn offsets(segment: Members<'_>) -> Result<(u64, u64), Failure> {
    let offset = |name| -> Result<u64, Failure> {
        let given = segment.integer(name)?.ok_or(MemberError::Missing(name))?;
        u64::try_from(given).map_err(|_| Failure::bad_request(format!("'{name}' must not be negative")))
    };
    let (start, end) = (offset("startTimeOffset")?, offset("endTimeOffset")?);
    if end < start {
        return Err(Failure::bad_request("an 'endTimeOffset' lies before its 'startTimeOffset'"));
    }
    Ok((start, end))
}

fn score(segment: Members<'_>) -> Result<Option<f64>, Failure> {
    match segment.number("score")? {
        Some(score) if !(0.0..=1.0).contains(&score) => Err(Failure::bad_request("a 'score' must lie between 0 and 1")),
        score => Ok(score),
    }
}

/// The phrase-by-phrase shape. A sentence whose words were not recorded is one phrase.
pub fn by_phrase(transcript: &Transcript) -> PhraseTranscript {
    let (mut everybody, mut one, mut two) = (Collector::default(), Collector::default(), Collector::default());
    for segment in &transcript.segments {
        let mut say = |start, end, text: &str, score: Option<f64>| {
            everybody.add(start, end, text, score);
            if segment.participant == 0 { &mut one } else { &mut two }.add(start, end, text, score);
        };
        if segment.words.is_empty() {
            say(segment.start_ms, segment.end_ms, &segment.text, segment.confidence);
        }
        for word in &segment.words {
            say(word.start_ms, word.end_ms, &word.text, word.confidence.or(segment.confidence));
        }
    }
    PhraseTranscript {
        all_participants: everybody.finish(),
        participant_one: one.finish(),
        participant_two: two.finish(),
        redaction_segments: transcript.redactions.iter().map(|redaction| blank(redaction, redaction.score)).collect(),
    }
}

/// The punctuated shape.
pub fn by_sentence(transcript: &Transcript) -> PunctuatedTranscript {
    let sentence = |segment: &Segment| SentenceSegment {
        participant: if segment.participant == 0 { "participantOne" } else { "participantTwo" },
        start_time_offset: offset(segment.start_ms),
        end_time_offset: offset(segment.end_ms),
        phrase: segment.text.clone(),
        score: segment.confidence.or_else(|| average(&segment.words)).unwrap_or(1.0),
    };
    let whole = |redaction: &Redaction| blank(redaction, u8::from(redaction.score >= 0.5));
    PunctuatedTranscript {
        sentence_segments: transcript.segments.iter().map(sentence).collect(),
        redaction_segments: transcript.redactions.iter().map(whole).collect(),
    }
}

fn average(words: &[Word]) -> Option<f64> {
    let scores: Vec<f64> = words.iter().filter_map(|word| word.confidence).collect();
    (!scores.is_empty()).then(|| scores.iter().sum::<f64>() / scores.len() as f64)
}

fn blank<Score>(redaction: &Redaction, score: Score) -> RedactionSegment<Score> {
    RedactionSegment {
        start_time_offset: offset(redaction.start_ms),
        end_time_offset: offset(redaction.end_ms),
        result: redaction.result.clone(),
        score,
    }
}

fn offset(milliseconds: u64) -> i32 {
    i32::try_from(milliseconds).unwrap_or(i32::MAX)
}

/// Numbers distinct phrases in order of appearance.
#[derive(Default)]
struct Collector {
    numbers: HashMap<String, usize>,
    out: Phrases,
}

impl Collector {
    fn add(&mut self, start: u64, end: u64, text: &str, score: Option<f64>) {
        let phrase_index = match self.numbers.get(text) {
            Some(number) => *number,
            None => {
                let number = self.out.phrases.len();
                self.out.phrases.push(text.to_owned());
                self.numbers.insert(text.to_owned(), number);
                number
            }
        };
        let (start_time_offset, end_time_offset) = (offset(start), offset(end));
        let score = score.unwrap_or(1.0);
        self.out.phrase_segments.push(PhraseSegment { start_time_offset, end_time_offset, phrase_index, score });
    }

    fn finish(self) -> Phrases {
        self.out
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn parse(value: &Value) -> Result<Transcript, u16> {
        parse_declared(Members::of(value).unwrap(), "en-us").map_err(|failure| failure.status().as_u16())
    }

    fn segment(start: u64, end: u64, index: u64) -> Value {
        json!({"startTimeOffset": start, "endTimeOffset": end, "phraseIndex": index, "score": 0.5})
    }

    #[test]
    fn a_declared_transcript_comes_back_phrase_by_phrase() {
        let one = json!({"phrases": ["thank", "you"],
            "phraseSegments": [segment(0, 10, 0), segment(10, 20, 1), segment(5_000, 5_010, 0)]});
        let two = json!({"phrases": ["hello"], "phraseSegments": [segment(30, 40, 0)]});
        let given = json!({"participantOne": one, "PARTICIPANTTWO": two, "allParticipants": null,
            "redactionSegments": [{"startTimeOffset": 1, "endTimeOffset": 2, "result": "CVV", "score": 0.98}]});
        let transcript = parse(&given).unwrap();
        let shape = serde_json::to_value(by_phrase(&transcript)).unwrap();
        assert_eq!(shape["participantOne"], one);
        assert_eq!(shape["participantTwo"], two);
        assert_eq!(shape["allParticipants"]["phrases"], json!(["thank", "you", "hello"]));
        assert_eq!(shape["allParticipants"]["phraseSegments"][2]["phraseIndex"], 2);
        assert_eq!(shape["redactionSegments"][0]["score"], 0.98);

        let shape = serde_json::to_value(by_sentence(&transcript)).unwrap();
        let sentences: Vec<_> = shape["sentenceSegments"].as_array().unwrap().iter().collect();
        assert_eq!(sentences.len(), 3);
        assert_eq!(sentences[0]["phrase"], "thank you");
        assert_eq!(sentences[1]["participant"], "participantTwo");
        assert_eq!(sentences[0]["score"], 0.5);
        assert_eq!(shape["redactionSegments"][0]["score"].as_u64(), Some(1));
    }

    #[test]
    fn phrases_of_nobody_in_particular_are_kept() {
        let given = json!({"allParticipants": {"phrases": ["a"], "phraseSegments": [segment(0, 1, 0)]}});
        assert_eq!(parse(&given).unwrap().segments.len(), 1);
    }

    #[test]
    fn what_is_no_transcript_is_refused() {
        let one = |segment: Value| json!({"participantOne": {"phrases": ["a"], "phraseSegments": [segment]}});
        let bad = [
            json!({}),
            json!({"participantOne": []}),
            json!({"participantOne": {"phrases": "a"}}),
            one(segment(0, 1, 1)),
            one(segment(2, 1, 0)),
            one(json!({"startTimeOffset": -1, "endTimeOffset": 1, "phraseIndex": 0})),
            one(json!({"startTimeOffset": 0, "endTimeOffset": 1})),
            one(json!({"startTimeOffset": 0.5, "endTimeOffset": 1, "phraseIndex": 0})),
            one(json!({"startTimeOffset": 0, "endTimeOffset": 1, "phraseIndex": 0, "score": 2})),
        ];
        for given in bad {
            assert_eq!(parse(&given).err(), Some(400), "{given}");
        }
    }

    #[test]
    fn offsets_and_indexes_are_written_as_integers() {
        let given = json!({"participantOne": {"phrases": ["a"], "phraseSegments":
            [{"startTimeOffset": 1410.0, "endTimeOffset": 9_999_999_999_u64, "phraseIndex": 0.0}]}});
        let text = serde_json::to_string(&by_phrase(&parse(&given).unwrap())).unwrap();
        assert!(text.contains("\"startTimeOffset\":1410,\"endTimeOffset\":2147483647,\"phraseIndex\":0,"), "{text}");
    }
}
