//! TEMPORARY
pub struct PhoneKeys {
    pub as_given_normalised: String,
    pub e164: Option<String>,
}
impl PhoneKeys {
    pub fn matches(&self, o: &Self) -> bool {
        self.as_given_normalised == o.as_given_normalised || (self.e164.is_some() && self.e164 == o.e164)
    }
}
pub fn keys(n: &str, _r: Option<&str>) -> PhoneKeys {
    PhoneKeys { as_given_normalised: n.chars().filter(|c| c.is_ascii_digit() || *c == '+').collect(), e164: None }
}
