//! The sample recordings of `samples/`, inside the binary.

/// One recording with what was said in it.
pub struct Sample {
    /// Its name.
    pub name: &'static str,
    /// Its category, as an analysis would find it.
    pub category: &'static str,
    /// The audio: two channels (agent left, customer right), or one for a voicemail.
    pub wav: &'static [u8],
    /// The same in another format, with its media type and file ending.
    pub other: Option<(&'static [u8], &'static str, &'static str)>,
    /// The timed transcript.
    pub transcript: &'static [u8],
}

macro_rules! file {
    ($name:literal, $ending:literal) => {
        include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../samples/", $name, $ending))
    };
}

macro_rules! sample {
    ($name:literal, $category:literal, $other:expr) => {
        Sample {
            name: $name,
            category: $category,
            wav: file!($name, ".wav"),
            other: $other,
            transcript: file!($name, ".json"),
        }
    };
}

/// Dialogues.
pub static SAMPLES: [Sample; 12] = [
    sample!("billing", "Billing", Some((file!("billing", ".mp3"), "audio/mpeg", "mp3"))),
    sample!("address", "Change of address", None),
    sample!("outage", "Outage", Some((file!("outage", ".ogg"), "audio/ogg", "ogg"))),
    sample!("cancel", "Cancellation", None),
    sample!("technician", "Appointment", None),
    sample!("password", "Online account", None),
    sample!("meter", "Meter reading", None),
    sample!("complaint", "Complaint", Some((file!("complaint", ".mp3"), "audio/mpeg", "mp3"))),
    sample!("delivery", "Delivery", None),
    sample!("upgrade", "Sales", None),
    sample!("privacy", "Data protection", None),
    sample!("survey", "Survey", None),
];

/// Messages left by callers.
pub static VOICEMAILS: [Sample; 3] = [
    sample!("voicemail-callback", "Voicemail", None),
    sample!("voicemail-appointment", "Voicemail", None),
    sample!("voicemail-quiet", "Voicemail", None),
];

/// An agent's screen, WebM.
pub static SCREEN: &[u8] = file!("screen", ".webm");
