//! Made-up people. Numbers are from the ranges kept for fiction (555-01xx), addresses from example domains.

use oubliette_core::model::Participant;

const FIRST: [&str; 20] = [
    "Amelia", "Bruno", "Carla", "Dev", "Esther", "Farid", "Greta", "Hugo", "Ines", "Jonas", "Keiko", "Liam", "Mariam",
    "Nils", "Olga", "Pablo", "Quinn", "Rosa", "Samir", "Tessa",
];
const LAST: [&str; 13] = [
    "Abbott",
    "Baptiste",
    "Castillo",
    "Dahl",
    "Eriksen",
    "Fontaine",
    "Grewal",
    "Hartmann",
    "Ibrahim",
    "Jensen",
    "Kowalski",
    "Lindqvist",
    "Moreau",
];
const AREAS: [&str; 8] = ["512", "206", "312", "415", "617", "303", "713", "919"];
const AGENTS: [(&str, &str, &str); 6] = [
    ("1342", "Maya", "Okafor"),
    ("1357", "Daniel", "Weiss"),
    ("1361", "Priya", "Raman"),
    ("1378", "Tom", "Hale"),
    ("1384", "Elena", "Costa"),
    ("1399", "Yusuf", "Demir"),
];

/// Customers of the first load.
pub const CUSTOMERS: usize = 40;

/// Number `index` of the made-up customers.
pub fn customer(index: usize) -> Participant {
    let first = FIRST[index % FIRST.len()];
    let last = LAST[(index * 7 + index / FIRST.len()) % LAST.len()];
    // Area and last two digits together are unique for 800 customers.
    let area = AREAS[index % AREAS.len()];
    let phone = format!("+1{area}55501{:02}", (index / AREAS.len()) % 100);
    Participant {
        role: "customer".to_owned(),
        channel: Some(1),
        phone: Some(phone),
        email: Some(format!("{}.{}{index}@example.org", first.to_lowercase(), last.to_lowercase())),
        reference_id: Some(format!("C-{:05}", 10_000 + index)),
        first_name: Some(first.to_owned()),
        last_name: Some(last.to_owned()),
    }
}

/// Number `index` of the made-up agents.
pub fn agent(index: usize) -> Participant {
    let (id, first, last) = AGENTS[index % AGENTS.len()];
    Participant {
        role: "agent".to_owned(),
        channel: Some(0),
        phone: None,
        email: Some(format!("{}@northwind.example", first.to_lowercase())),
        reference_id: Some(id.to_owned()),
        first_name: Some(first.to_owned()),
        last_name: Some(last.to_owned()),
    }
}

/// The number customers call.
pub const DESK: &str = "+18005550199";

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    #[test]
    fn no_two_customers_share_a_number_or_an_address() {
        let phones: HashSet<_> = (0..800).map(|index| super::customer(index).phone).collect();
        let emails: HashSet<_> = (0..800).map(|index| super::customer(index).email).collect();
        assert_eq!((phones.len(), emails.len()), (800, 800));
    }
}
