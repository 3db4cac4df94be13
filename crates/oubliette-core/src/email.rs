//! E-mail addresses: when do two spellings name the same mailbox.
//!
//! Trimmed and lower-cased, nothing else. The part before the `@` may in theory tell cases apart (RFC 5321 §2.4), no provider
//! in use does; an erasure that misses `Ann@example.com` for `ann@example.com` would be worse. Dots and `+tags` stay: whether
//! they name the same mailbox is the provider's rule, and guessing could erase another person's data.

/// The form that is compared.
pub fn normalise(address: &str) -> String {
    let address = address.trim();
    let address = match address.get(..7) {
        Some(scheme) if scheme.eq_ignore_ascii_case("mailto:") => address[7..].trim_start(),
        _ => address,
    };
    address.to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_and_surrounding_space_do_not_matter_dots_and_tags_do() {
        assert_eq!(normalise(" Ann.Example@EXAMPLE.com\r\n"), "ann.example@example.com");
        assert_eq!(normalise("mailto:Ann@Example.com"), "ann@example.com");
        assert_eq!(normalise("JÜRGEN@exämple.de"), "jürgen@exämple.de");
        assert_ne!(normalise("annexample@example.com"), normalise("ann.example@example.com"));
        assert_ne!(normalise("ann+shop@example.com"), normalise("ann@example.com"));
        assert_eq!(normalise("  "), "");
    }
}
