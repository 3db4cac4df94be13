//! Times: whole seconds, UTC.

use std::fmt;

/// Seconds since 1970-01-01T00:00:00Z, up to the end of the year 9999. Shown and read in the one spelling
/// `2026-03-01T12:34:56Z` of RFC 3339.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Seconds(u64);

const LAST: u64 = 253_402_300_799;
const DAY: u64 = 86_400;

impl Seconds {
    /// This many seconds; `None` after the year 9999.
    pub fn new(seconds: u64) -> Option<Self> {
        (seconds <= LAST).then_some(Self(seconds))
    }

    /// Seconds since 1970.
    pub fn get(self) -> u64 {
        self.0
    }

    /// Reads the one spelling.
    pub fn parse(text: &str) -> Option<Self> {
        let number = |from: usize, to: usize| {
            text.get(from..to).filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()))?.parse::<u64>().ok()
        };
        let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
        let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
        if year < 1970 || !(1..=12).contains(&month) {
            return None;
        }
        let days =
            days_to_year(year) + (1..month).map(|month| days_of(year, month)).sum::<u64>() + day.checked_sub(1)?;
        let time = Self::new(days * DAY + hour * 3600 + minute * 60 + second)?;
        // Whatever is no date, or is spelt otherwise, shows when it is written again.
        (time.to_string() == text).then_some(time)
    }
}

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut days, second) = (self.0 / DAY, self.0 % DAY);
        // An estimate from below, and at most one year short.
        let mut year = 1970 + days / 366;
        while days >= days_to_year(year + 1) {
            year += 1;
        }
        days -= days_to_year(year);
        let mut month = 1;
        while days >= days_of(year, month) {
            days -= days_of(year, month);
            month += 1;
        }
        let (hour, minute) = (second / 3600, second / 60 % 60);
        write!(f, "{year:04}-{month:02}-{:02}T{hour:02}:{minute:02}:{:02}Z", days + 1, second % 60)
    }
}

/// Days from 1970 to the beginning of a year.
fn days_to_year(year: u64) -> u64 {
    let leaps = |year: u64| year / 4 - year / 100 + year / 400;
    (year - 1970) * 365 + leaps(year - 1) - leaps(1969)
}

fn days_of(year: u64, month: u64) -> u64 {
    match month {
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

impl TryFrom<String> for Seconds {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or("not a time like 2026-03-01T12:34:56Z")
    }
}

impl From<Seconds> for String {
    fn from(time: Seconds) -> Self {
        time.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_the_calendar_has_them() {
        // As far as the other calendar goes.
        let last = jiff::Timestamp::MAX.as_second() as u64;
        let steps = (0..last).step_by(86_399 * 37).chain([0, 951_782_399, 951_782_400, 951_868_800, last]);
        for seconds in steps {
            let time = Seconds::new(seconds).unwrap();
            let expected = jiff::Timestamp::from_second(seconds as i64).unwrap().to_string();
            assert_eq!(time.to_string(), expected);
            assert_eq!(Seconds::parse(&expected), Some(time));
        }
        assert_eq!(Seconds::new(LAST).map(|time| time.to_string()).as_deref(), Some("9999-12-31T23:59:59Z"));
        assert_eq!(Seconds::parse("9999-12-31T23:59:59Z"), Seconds::new(LAST));
        assert_eq!(Seconds::new(LAST + 1), None);
    }

    #[test]
    fn no_other_spelling_is_a_time() {
        for text in [
            "",
            "2026-03-01",
            "2026-03-01T12:34:56",
            "2026-03-01T12:34:56z",
            "2026-03-01T12:34:56+00:00",
            "2026-03-01T12:34:56.0Z",
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "2026-01-00T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T23:59:60Z",
            "1969-12-31T23:59:59Z",
            "2026-1-01T00:00:00Z",
            "10000-01-01T00:00:00Z",
            "2026-01-01 00:00:00Z",
            "２026-01-01T00:00:00Z",
        ] {
            assert_eq!(Seconds::parse(text), None, "{text}");
        }
    }
}
