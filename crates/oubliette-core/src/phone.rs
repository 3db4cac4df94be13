//! Phone numbers: when do two spellings name the same line.
//!
//! The rule (Creovai contract §4.1): two numbers match when their *stripped* forms are equal, or when both have an E.164 form
//! and these are equal. Stripping takes spaces, dots, dashes, parentheses and slashes out and keeps a leading `+`
//! significant. An E.164 form exists only for a number with a leading `+`, or when a default region was configured; without
//! either nothing is guessed. A number that is only dialable locally, too short, too long or of an unknown country has none.
//!
//! An extension is part of the identity: `+1 201 555 0123 ext. 5` is another person's line than extension 7.
//!
//! This is the only place that knows `rlibphonenumber`. Its metadata changes how numbers are read, so nothing derived from it
//! is ever stored: look-up maps are rebuilt from the forms as given.

use rlibphonenumber::{NumberLengthType, PHONE_NUMBER_UTIL, PhoneNumberFormat, Region};

/// Longest input that is looked at as a phone number, in bytes; a longer one is only stripped.
const LONGEST: usize = 250;

/// The forms of one number that are compared. Personal: no `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct PhoneKeys {
    /// The number as given, stripped.
    pub as_given_normalised: String,
    /// E.164, with `;ext=` and the extension behind it if it has one.
    pub e164: Option<String>,
}

impl PhoneKeys {
    /// Whether both name the same line. What has nothing but separators matches nothing.
    pub fn matches(&self, other: &Self) -> bool {
        let same_given = !self.as_given_normalised.is_empty() && self.as_given_normalised == other.as_given_normalised;
        same_given || (self.e164.is_some() && self.e164 == other.e164)
    }
}

/// The forms of a number. `default_region` is an ISO 3166 code of two letters, in any case; an unknown one counts as none.
pub fn keys(number: &str, default_region: Option<&str>) -> PhoneKeys {
    let as_given_normalised = strip(number);
    let e164 = e164(number, &as_given_normalised, default_region);
    PhoneKeys { as_given_normalised, e164 }
}

fn strip(number: &str) -> String {
    let number = number.trim();
    let number = match number.get(..4) {
        Some(scheme) if scheme.eq_ignore_ascii_case("tel:") => &number[4..],
        _ => number,
    };
    number.chars().filter(|c| !is_separator(*c)).map(plain).collect()
}

/// What people, forms and programs put between digits; also marks of writing direction that come with copied text.
fn is_separator(c: char) -> bool {
    c.is_whitespace()
        || matches!(c, '.' | '-' | '(' | ')' | '/')
        || matches!(c, '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{30fc}' | '\u{ff0d}')
        || matches!(c, '\u{ff08}' | '\u{ff09}' | '\u{ff0e}' | '\u{ff0f}')
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// Whether numbers are known of the region of this ISO 3166 code.
pub fn is_region(code: &str) -> bool {
    let region = code.parse::<Region>().ok();
    region.is_some_and(|region| PHONE_NUMBER_UTIL.get_country_code_for_region(region).is_some())
}

/// The ASCII form of full-width and Arabic digits and of the full-width plus.
fn plain(c: char) -> char {
    let digit = |zero: u32| char::from_digit(u32::from(c) - zero, 10).unwrap_or(c);
    match c {
        '\u{ff10}'..='\u{ff19}' => digit(0xff10),
        '\u{660}'..='\u{669}' => digit(0x660),
        '\u{6f0}'..='\u{6f9}' => digit(0x6f0),
        '\u{ff0b}' => '+',
        _ => c,
    }
}

fn e164(number: &str, stripped: &str, default_region: Option<&str>) -> Option<String> {
    let region = default_region.and_then(|code| code.to_ascii_uppercase().parse::<Region>().ok());
    if number.len() > LONGEST || (region.is_none() && !stripped.starts_with('+')) {
        return None;
    }
    // As given, because the library knows how extensions are written; but with plain digits and without marks.
    let readable: String = number.trim().chars().filter(|c| c.is_ascii() || !is_separator(*c)).map(plain).collect();
    let parsed = PHONE_NUMBER_UTIL.parse(&readable, region).ok()?;
    let possible = PHONE_NUMBER_UTIL.is_possible_number_with_reason(&parsed);
    if !matches!(possible, Ok(NumberLengthType::IsPossible)) {
        return None;
    }
    let mut text = PHONE_NUMBER_UTIL.format(&parsed, PhoneNumberFormat::E164).into_owned();
    if let Some(extension) = parsed.extension.as_deref().filter(|extension| !extension.is_empty()) {
        text.push_str(";ext=");
        text.push_str(extension);
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn golden() -> impl Iterator<Item = [&'static str; 4]> {
        let lines = include_str!("../testdata/phones.tsv").lines().filter(|line| !line.starts_with('#'));
        lines.map(|line| line.split('\t').collect::<Vec<_>>().try_into().unwrap())
    }

    fn region(code: &str) -> Option<&str> {
        (code != "-").then_some(code)
    }

    #[test]
    fn numbers_of_many_countries_and_spellings_have_their_golden_forms() {
        let mut count = 0;
        for [number, code, stripped, e164] in golden() {
            let keys = keys(number, region(code));
            assert_eq!(keys.as_given_normalised, stripped, "stripped form of {number} ({code})");
            assert_eq!(keys.e164.as_deref().unwrap_or("-"), e164, "E.164 of {number} ({code})");
            count += 1;
        }
        assert!(count >= 300, "{count} numbers");
    }

    #[test]
    fn without_plus_and_without_region_nothing_is_guessed() {
        for [number, ..] in golden() {
            let keys = keys(number, None);
            assert!(keys.as_given_normalised.starts_with('+') || keys.e164.is_none(), "{number} was guessed");
        }
    }

    #[test]
    fn the_vendors_own_spellings_match_as_the_contract_says() {
        let matches = |a: &str, b: &str, code: Option<&str>| keys(a, code).matches(&keys(b, code));
        assert!(matches("+15125551234", "512-555-1234", Some("US")));
        assert!(matches("+15125551234", "(512) 555.1234", Some("us")));
        assert!(!matches("+15125551234", "512-555-1234", None));
        assert!(matches("512-555-1234", "(512) 555 1234", None));
        assert!(!matches("15125551234", "+15125551234", None));
        assert!(matches("(222) 111-1010", "2221111010", None));
        assert!(!matches("+15125551234", "+15125551235", Some("US")));
        assert!(!matches("+1 201 555 0123 ext. 5", "+1 201 555 0123 ext. 7", None));
        assert!(matches("+1 201 555 0123 ext. 5", "+12015550123x5", None));
        assert!(matches("anonymous", "anonymous", Some("US")));
        assert!(!matches("", " - ", Some("US")));
    }

    proptest! {
        #[test]
        fn any_text_is_taken_without_a_panic_and_stripping_is_stable(text in ".{0,80}", code in "[A-Za-z]{0,3}") {
            let first = keys(&text, Some(&code));
            let again = keys(&first.as_given_normalised, Some(&code));
            prop_assert!(again.as_given_normalised == first.as_given_normalised
                || first.as_given_normalised.to_ascii_lowercase().starts_with("tel:"));
        }
    }
}
