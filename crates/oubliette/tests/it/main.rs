//! All integration tests of the program in one binary.

mod elevateai;
mod support;
mod tidy;
