//! All integration tests of the program in one binary.

#![expect(clippy::unwrap_used, reason = "a helper of a test that unwraps nothing fails the test where it should")]

mod creovai;
mod elevateai;
mod native;
mod quiet;
mod support;
mod tidy;
mod vonage;
