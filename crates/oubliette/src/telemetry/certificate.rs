//! When a certificate ends, read from its bytes. No chain is judged here: that is rustls' work.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

const SEQUENCE: u8 = 0x30;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// `notAfter` of a certificate in DER; `None` for what is none.
pub fn expires(certificate: &[u8]) -> Option<Timestamp> {
    let (outer, _) = element(certificate, SEQUENCE)?;
    let (mut body, _) = element(outer, SEQUENCE)?;
    if body.first() == Some(&0xa0) {
        // The version, which the oldest certificates lack.
        body = skip(body)?;
    }
    // Serial number, algorithm, issuer.
    for _ in 0..3 {
        body = skip(body)?;
    }
    let (validity, _) = element(body, SEQUENCE)?;
    time(skip(validity)?)
}

/// The content of the element at the front, if it has this tag, and what comes behind it.
fn element(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&found, rest) = bytes.split_first()?;
    if found != tag {
        return None;
    }
    let (&short, mut rest) = rest.split_first()?;
    let mut length = usize::from(short);
    if short & 0x80 != 0 {
        let (long, behind) = rest.split_at_checked(usize::from(short & 0x7f))?;
        // A length that needs more than four bytes is none of a certificate.
        if long.is_empty() || long.len() > 4 {
            return None;
        }
        length = long.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
        rest = behind;
    }
    rest.split_at_checked(length)
}

fn skip(bytes: &[u8]) -> Option<&[u8]> {
    element(bytes, *bytes.first()?).map(|(_, rest)| rest)
}

fn time(bytes: &[u8]) -> Option<Timestamp> {
    let tag = *bytes.first()?;
    let (text, _) = element(bytes, tag)?;
    let text = std::str::from_utf8(text).ok()?;
    let text = match (tag, text.get(..2)?.parse::<u32>().ok()?) {
        // Two digits mean the years from 1950 to 2049 (RFC 5280).
        (UTC_TIME, year) => format!("{}{text}", if year < 50 { 20 } else { 19 }),
        (GENERALIZED_TIME, _) => text.to_owned(),
        _ => return None,
    };
    let read = DateTime::strptime("%Y%m%d%H%M%SZ", text).ok()?;
    TimeZone::UTC.to_timestamp(read).ok()
}

#[cfg(test)]
mod tests {
    use super::expires;

    fn certificate(year: i32) -> Vec<u8> {
        let mut parameters = rcgen::CertificateParams::new(vec!["vault.example".to_owned()]).unwrap();
        parameters.not_after = rcgen::date_time_ymd(year, 3, 4);
        let key = rcgen::KeyPair::generate().unwrap();
        parameters.self_signed(&key).unwrap().der().to_vec()
    }

    #[test]
    fn the_end_of_a_certificate_is_read_in_both_forms_of_time() {
        for year in [1999, 2031, 2049, 2050, 2100] {
            let read = expires(&certificate(year)).unwrap();
            assert_eq!(read.to_string(), format!("{year}-03-04T00:00:00Z"));
        }
    }

    #[test]
    fn no_bytes_whatever_make_it_panic() {
        let sound = certificate(2031);
        for length in 0..sound.len() {
            let _ = expires(&sound[..length]);
        }
        for position in 0..sound.len().min(300) {
            for byte in [0, 0x7f, 0x80, 0x84, 0xff] {
                let mut changed = sound.clone();
                changed[position] = byte;
                let _ = expires(&changed);
            }
        }
        assert!(expires(b"-----BEGIN CERTIFICATE-----").is_none());
    }
}
