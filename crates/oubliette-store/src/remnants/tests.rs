use std::io::Cursor;

use base64::prelude::*;
use tempfile::TempDir;

use super::*;

fn text(marker: &str) -> Marker {
    Marker::Text(marker.to_owned())
}

/// Random bytes from a seed.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed | 1;
    let next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_be_bytes()
    };
    std::iter::repeat_with(next).flatten().take(length).collect()
}

fn scan(scanner: &Scanner, bytes: &[u8]) -> Vec<(u64, usize, Encoding)> {
    let mut found = Vec::new();
    let tell = |offset, marker, encoding| found.push((offset, marker, encoding));
    scanner.scan_reader(Cursor::new(bytes), &mut Vec::new(), tell, |_| ()).unwrap();
    found
}

/// Plants `bytes` into noise and expects them to be found there in this form.
fn assert_found(marker: &str, planted: &[u8], encoding: Encoding) {
    let scanner = Scanner::new(&[text(marker)]).unwrap();
    for at in [0_usize, 1, 77_777] {
        let mut bytes = noise(3, 100_000);
        bytes[at..at + planted.len()].copy_from_slice(planted);
        let found = scan(&scanner, &bytes);
        let near = |offset: u64| (at as u64..=(at + planted.len()) as u64).contains(&offset);
        assert!(
            found.iter().any(|(offset, _, form)| near(*offset) && *form == encoding),
            "{encoding} form {planted:02x?} was not found at {at}: {found:?}"
        );
    }
}

#[test]
fn text_is_found_in_utf8_and_utf16_in_any_case() {
    for written in ["Jürgen Example", "jürgen example", "JÜRGEN EXAMPLE", "JürGEN ExamPLE"] {
        assert_found("Jürgen Example", written.as_bytes(), Encoding::Plain);
        let units = || written.encode_utf16();
        assert_found("Jürgen Example", &units().flat_map(u16::to_le_bytes).collect::<Vec<_>>(), Encoding::Utf16Le);
        assert_found("Jürgen Example", &units().flat_map(u16::to_be_bytes).collect::<Vec<_>>(), Encoding::Utf16Be);
    }
}

#[test]
fn a_phone_number_is_found_packed_in_both_orders_at_both_alignments() {
    for (marker, packed) in [
        // +1 512 555 1234 is 11 digits.
        ("+1 512 555 1234", "15125551234f"),
        ("+1 512 555 1234", "015125551234"),
        ("+1 512 555 1234", "9915125551234f"),
        ("512-555-1234", "5125551234"),
        ("512-555-1234", "05125551234f"),
        ("(0512) 555-1234", "5125551234"),
        ("(0512) 555-1234", "05125551234f"),
    ] {
        let straight = hex::decode(packed).unwrap();
        let swapped: Vec<u8> = straight.iter().map(|byte| byte.rotate_left(4)).collect();
        assert_found(marker, &straight, Encoding::PackedDigits);
        assert_found(marker, &swapped, Encoding::PackedDigitsSwapped);
    }
}

#[test]
fn packed_digits_beside_other_digits_are_told_by_their_nibbles() {
    let scanner = Scanner::new(&[text("15125551234")]).unwrap();
    assert!(scan(&scanner, &hex::decode("15125551235f00").unwrap()).is_empty());
    assert!(scan(&scanner, &hex::decode("0025125551234f").unwrap()).is_empty());
    assert_eq!(scan(&scanner, &hex::decode("15125551234f").unwrap()).len(), 1);
}

#[test]
fn a_phone_number_is_found_as_its_digits_alone_and_as_an_integer() {
    assert_found("+1 (512) 555-1234", b"15125551234", Encoding::Plain);
    assert_found("+1 (512) 555-1234", &15_125_551_234_u64.to_be_bytes(), Encoding::IntegerBe);
    assert_found("+1 (512) 555-1234", &15_125_551_234_u64.to_be_bytes()[2..], Encoding::IntegerBe);
    assert_found("+1 (512) 555-1234", &15_125_551_234_u64.to_le_bytes(), Encoding::IntegerLe);
}

#[test]
fn a_number_is_found_however_its_digits_are_grouped() {
    for marker in ["15125551234", "+15125551234", "1-512-555-1234", "5125551234"] {
        for written in [
            "1 512 555 1234",
            "+1 (512) 555-1234",
            "1.512.555.12.34",
            "+1\u{a0}512\u{2011}555\u{2013}1234",
            "1/5/1/2/5/5/5/1/2/3/4",
        ] {
            assert_found(marker, written.as_bytes(), Encoding::SeparatedDigits);
            let units = || written.encode_utf16();
            let wide: Vec<u8> = units().flat_map(u16::to_le_bytes).collect();
            if !written.contains('\u{2011}') {
                assert_found(marker, &wide, Encoding::SeparatedDigits);
            }
        }
    }
}

#[test]
fn digits_of_two_numbers_are_not_drawn_together() {
    let scanner = Scanner::new(&[text("15125551234")]).unwrap();
    for other in [
        "1512555,1234",
        "151255 and 51234",
        "1512555\n1234",
        "1512555         1234",
        "1 512 555 1235",
        "x1 512 555 123",
        "a plain 1 and 512 555 1234",
    ] {
        assert_eq!(scan(&scanner, other.as_bytes()), [], "{other}");
    }
    // Without separators it is the plain form alone.
    let found = scan(&scanner, b"call 15125551234 now");
    assert_eq!(found, [(5, 0, Encoding::Plain)]);
    // What is no number is not taken apart: these digits are of an id.
    let scanner = Scanner::new(&[text("session-15125551234")]).unwrap();
    assert_eq!(scan(&scanner, b"1 512 555 1234"), []);
}

#[test]
fn a_grouped_number_on_the_border_of_two_pieces_is_seen_once() {
    let scanner = Scanner::new(&[text("15125551234")]).unwrap();
    let border = scanner.overlap + PIECE;
    let written = b"1 (512)  555 - 1234";
    let mut bytes = vec![b'.'; 3 * PIECE];
    for at in border - 40..border + 40 {
        bytes[at - 1] = b'x';
        bytes[at..at + written.len()].copy_from_slice(written);
        assert_eq!(scan(&scanner, &bytes), [(at as u64, 0, Encoding::SeparatedDigits)], "at {at}");
        bytes[at - 1..at + written.len()].fill(b'.');
    }
}

#[test]
fn text_is_found_in_hex_of_either_case() {
    let marker = "ann@example.com";
    assert_found(marker, hex::encode(marker).as_bytes(), Encoding::Hex);
    assert_found(marker, hex::encode_upper(marker).as_bytes(), Encoding::Hex);
    assert_found(marker, hex::encode("ANN@EXAMPLE.COM").as_bytes(), Encoding::Hex);
}

#[test]
fn text_is_found_in_base64_at_every_alignment_in_both_alphabets() {
    // Bytes that use the characters by which the alphabets differ.
    let marker = "zürich>>>??~ÿÿ";
    for before in ["", "a", "ab", "abc"] {
        for after in ["", "x", "xy"] {
            let whole = format!("{before}{marker}{after}");
            assert_found(marker, BASE64_STANDARD.encode(&whole).as_bytes(), Encoding::Base64);
            assert_found(marker, BASE64_URL_SAFE_NO_PAD.encode(&whole).as_bytes(), Encoding::Base64);
        }
    }
}

#[test]
fn text_is_found_percent_encoded_and_json_escaped() {
    assert_found("ann b@example.com", b"ann%20b%40example.com", Encoding::Percent);
    assert_found("ann b@example.com", b"ann+b%40example.com", Encoding::Percent);
    assert_found("J\u{fc}rgen", b"j%c3%bcrgen", Encoding::Percent);
    assert_found("+15125551234", b"%2B15125551234", Encoding::Percent);
    let every = "anna".bytes().map(|byte| format!("%{byte:02x}")).collect::<String>();
    assert_found("anna", every.as_bytes(), Encoding::Percent);
    assert_found("J\u{fc}rgen", b"J\\u00FCrgen", Encoding::JsonEscaped);
}

#[test]
fn bytes_are_found_plain_in_hex_and_in_base64() {
    let marker = noise(9, 40);
    let scanner = Scanner::new(&[Marker::Bytes(marker.clone())]).unwrap();
    let hexed = hex::encode(&marker).into_bytes();
    let based = BASE64_STANDARD.encode([b"zz", &marker[..]].concat()).into_bytes();
    for (planted, encoding) in [(marker, Encoding::Plain), (hexed, Encoding::Hex), (based, Encoding::Base64)] {
        let found = scan(&scanner, &[noise(4, 1_000), planted, noise(5, 1_000)].concat());
        assert!(found.iter().any(|(.., form)| *form == encoding), "{encoding}");
    }
}

#[test]
fn every_place_around_the_border_of_two_pieces_is_seen_once() {
    let scanner = Scanner::new(&[text("border marker")]).unwrap();
    let border = scanner.overlap + PIECE;
    let mut bytes = vec![0; 3 * PIECE];
    for at in border - 40..border + 40 {
        bytes[at..at + 13].copy_from_slice(b"border marker");
        let found = scan(&scanner, &bytes);
        assert_eq!(found, [(at as u64, 0, Encoding::Plain)], "at {at}");
        bytes[at..at + 13].fill(0);
    }
    // Packed digits whose last nibble lies in the next piece.
    let scanner = Scanner::new(&[text("15125551234")]).unwrap();
    let packed = hex::decode("15125551234f").unwrap();
    for at in scanner.overlap + PIECE - 10..scanner.overlap + PIECE + 3 {
        bytes[at..at + packed.len()].copy_from_slice(&packed);
        assert_eq!(scan(&scanner, &bytes), [(at as u64, 0, Encoding::PackedDigits)], "at {at}");
        bytes[at..at + packed.len()].fill(0);
    }
}

#[test]
fn nothing_is_found_in_random_data() {
    let markers =
        ["+1 512 555 1234", "+49 30 901820", "Jürgen Example", "ann@example.com", "session-4711-abc"].map(text);
    let scanner = Scanner::new(&markers).unwrap();
    for seed in 1..9 {
        assert_eq!(scan(&scanner, &noise(seed, 4 << 20)), []);
    }
}

#[test]
fn short_and_long_markers_are_refused() {
    assert!(matches!(Scanner::new(&[text("good enough"), text("ab")]), Err(ScannerError::TooShort(1))));
    assert!(matches!(Scanner::new(&[text(&"x".repeat(5_000))]), Err(ScannerError::TooLong(0))));
    assert!(matches!(Scanner::new(&vec![text("good enough"); 2_001]), Err(ScannerError::TooMany)));
    assert!(Scanner::new(&[]).is_ok_and(|scanner| scan(&scanner, b"anything").is_empty()));
}

#[test]
fn a_folder_is_scanned_wholly_and_findings_hold_no_content() {
    let home = TempDir::new().unwrap();
    let below = home.path().join("a/b");
    fs::create_dir_all(&below).unwrap();
    fs::write(home.path().join("clean"), noise(1, 10_000)).unwrap();
    fs::write(below.join("log"), b"caller was Ann Example today").unwrap();
    fs::write(below.join("ann example.wav"), b"").unwrap();
    std::os::unix::fs::symlink("/dev/zero", below.join("link")).unwrap();
    let scanner = Scanner::new(&[text("unfindable"), text("Ann Example")]).unwrap();
    let mut seen = 0;
    let mut report = scanner.scan_folder(home.path(), &mut |bytes| seen = bytes);
    report.findings.sort_by_key(|finding| finding.offset);
    assert_eq!((report.files, report.bytes, seen), (3, 10_028, 10_028));
    assert!(report.unreadable.is_empty());
    assert_eq!(
        report.findings,
        [
            Finding { file: below.join("ann example.wav"), offset: None, encoding: Encoding::Plain, marker: 1 },
            Finding { file: below.join("log"), offset: Some(11), encoding: Encoding::Plain, marker: 1 },
        ]
    );
}
