//! What came of it, for people and for programs.

use std::fmt::Display;

use oubliette_proof::certificate::{CertificateError, Explanation, Statement};
use oubliette_proof::note::NoteError;
use serde_json::{Value, json};

/// The verdict, and the exit code with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Everything holds.
    Valid,
    /// Something does not.
    Invalid,
    /// It holds, and is about something else.
    NotThisItem,
    /// A file or a log could not be read, or is no key and no checkpoint.
    BadInput,
}

impl Verdict {
    /// The exit code. 2 is wrong use.
    pub fn code(self) -> u8 {
        match self {
            Self::Valid => 0,
            Self::Invalid => 1,
            Self::NotThisItem => 3,
            Self::BadInput => 4,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Invalid => "invalid",
            Self::NotThisItem => "not-this-item",
            Self::BadInput => "bad-input",
        }
    }
}

/// A text from elsewhere, to be told: what steers a terminal or the order of letters is spelled out, and what is longer than
/// a name can be is cut.
pub fn plain(text: &str) -> String {
    let mut shown: String = text.chars().take(MAX_SHOWN).flat_map(spelled).collect();
    if text.chars().nth(MAX_SHOWN).is_some() {
        shown.push('…');
    }
    shown
}

/// Longest text from elsewhere that is told.
const MAX_SHOWN: usize = 255;

fn spelled(c: char) -> Vec<char> {
    if steers(c) { c.escape_unicode().collect() } else { vec![c] }
}

/// Control characters, and those that turn the direction of what follows.
fn steers(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Verdict and words.
pub struct Outcome {
    /// The verdict.
    pub verdict: Verdict,
    /// One sentence.
    pub summary: String,
    /// What it means, when it holds.
    pub explanation: Option<Box<Explanation>>,
    /// Further facts for programs.
    pub facts: Value,
}

impl Outcome {
    /// An outcome without more to say.
    pub fn new(verdict: Verdict, summary: impl Into<String>) -> Self {
        Self { verdict, summary: summary.into(), explanation: None, facts: Value::Null }
    }

    /// With more words.
    pub fn and(mut self, more: &str) -> Self {
        self.summary.push_str(more);
        self
    }

    /// A file or a log that cannot be used.
    pub fn unusable(what: impl Display, why: impl Display) -> Self {
        Self::new(Verdict::BadInput, format!("{what}: {why}"))
    }

    /// For programs: one line of JSON.
    pub fn to_json(&self) -> String {
        let list = |statements: &[Statement]| -> Vec<Value> {
            statements.iter().map(|said| json!({"code": said.code, "text": said.text})).collect()
        };
        let mut value = json!({"result": self.verdict.name(), "summary": self.summary, "facts": self.facts});
        if let Some(explanation) = &self.explanation {
            value["proven"] = list(&explanation.proven).into();
            value["stated"] = list(&explanation.stated).into();
            value["not_proven"] = list(&explanation.not_proven).into();
        }
        // Such characters stand in strings only, where JSON has this spelling for them.
        let spelled = |c: char| if steers(c) { format!("\\u{:04x}", c as u32) } else { c.to_string() };
        value.to_string().chars().map(spelled).collect()
    }

    /// For people.
    pub fn to_text(&self) -> String {
        let mut text = format!("{}: {}", self.verdict.name().to_uppercase().replace('-', " "), self.summary);
        if let Some(explanation) = &self.explanation {
            let parts = [
                ("Proven", &explanation.proven),
                ("Stated by the operator at that time, and unchanged since", &explanation.stated),
                ("Not proven", &explanation.not_proven),
            ];
            for (title, statements) in parts {
                text.push_str(&format!("\n\n{title}:"));
                statements.iter().for_each(|said| text.push_str(&format!("\n  - {}", said.text)));
            }
        }
        text.chars().flat_map(|c| if c == '\n' { vec![c] } else { spelled(c) }).collect()
    }
}

impl From<CertificateError> for Outcome {
    fn from(error: CertificateError) -> Self {
        let mut summary = error.to_string();
        if let CertificateError::Note(NoteError::UnknownKey(name)) = &error {
            summary.push_str(&format!(
                ". If {name} is a witness you know, add its key to the key file. If it is the name of \
                 the log, that may have changed its key: get its keys the way you got these"
            ));
        }
        Self::new(Verdict::Invalid, summary)
    }
}
