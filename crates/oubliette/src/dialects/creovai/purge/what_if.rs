//! The `whatIf` switch of the query, honoured by every purge. A client that asks *what if* must never lose data, so
//! anything that cannot be read is refused.

use percent_encoding::percent_decode_str;

use super::super::error::Failure;

/// Whether the query asks for a trial. Name and value in any case; `true`, `false`, `1` or `0`.
pub fn what_if(query: Option<&str>) -> Result<bool, Failure> {
    let mut asked = None;
    for pair in query.unwrap_or_default().split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let text = |encoded: &str| percent_decode_str(encoded).decode_utf8_lossy().trim().to_ascii_lowercase();
        if text(name) != "whatif" {
            continue;
        }
        let value = match text(value).as_str() {
            "true" | "1" => true,
            "false" | "0" => false,
            _ => return Err(Failure::bad("'whatIf' must be true or false")),
        };
        if asked.replace(value).is_some_and(|before| before != value) {
            return Err(Failure::bad("'whatIf' must be given once"));
        }
    }
    Ok(asked.unwrap_or(false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_and_value_are_read_in_any_case_and_anything_unreadable_is_refused() {
        let cases = [
            (None, Some(false)),
            (Some(""), Some(false)),
            (Some("x=1"), Some(false)),
            (Some("whatIf=true"), Some(true)),
            (Some("WHATIF=True"), Some(true)),
            (Some("a=b&whatif=1"), Some(true)),
            (Some("whatIf=0"), Some(false)),
            (Some("what%49f=tru%65"), Some(true)),
            (Some("whatIf"), None),
            (Some("whatIf="), None),
            (Some("whatIf=yes"), None),
            (Some("whatIf=true&whatIf=false"), None),
            (Some("whatIf=true&WhatIf=1"), Some(true)),
        ];
        for (query, expected) in cases {
            assert_eq!(what_if(query).ok(), expected, "{query:?}");
        }
    }
}
