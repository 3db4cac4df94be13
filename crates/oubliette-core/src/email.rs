//! TEMPORARY
pub fn normalise(e: &str) -> String {
    e.trim().to_lowercase()
}
