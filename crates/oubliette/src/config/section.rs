//! The shape every section has: fields with a default and a sentence each, read strictly, told in the reference.

use toml::{Table, Value};

use super::ConfigError;

/// One key of a section, for the generated example and reference.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Its key.
    pub key: &'static str,
    /// Its Rust type as written; decides how an environment variable is read.
    pub rust_type: &'static str,
    /// What it means, line by line.
    pub doc: &'static [&'static str],
}

impl Field {
    /// The type in words of TOML.
    pub fn kind(&self) -> &'static str {
        match self.rust_type {
            "bool" => "true or false",
            "u16" | "u32" | "u64" | "usize" => "whole number",
            "Vec<String>" => "list of strings",
            "PathBuf" => "path",
            "Option<PathBuf>" => "path, optional",
            "Option<String>" => "string, optional",
            _ => "string",
        }
    }

    /// Whether a value from the environment is taken as it stands.
    pub(super) fn takes_text(&self) -> bool {
        !matches!(self.rust_type, "bool" | "u16" | "u32" | "u64" | "usize" | "Vec<String>")
    }

    pub(super) fn names_path(&self) -> bool {
        self.rust_type.contains("PathBuf")
    }
}

/// A section of the configuration.
pub trait Section: Sized + Default {
    /// Its name in the file.
    const KEY: &'static str;
    /// What it is for, line by line.
    const DOC: &'static [&'static str];
    /// Its keys.
    const FIELDS: &'static [Field];

    /// Reads it; keys that are absent keep their default, keys that are unknown are refused.
    fn read(table: Table) -> Result<Self, ConfigError>;

    /// Its values as they would stand in a file.
    fn values(&self) -> Table;
}

/// What is known of a section without its type.
#[derive(Clone)]
pub struct SectionDoc {
    /// Its name in the file.
    pub key: &'static str,
    /// What it is for.
    pub doc: &'static [&'static str],
    /// Its keys.
    pub fields: &'static [Field],
    /// The defaults, for those keys that have one.
    pub defaults: Table,
}

impl SectionDoc {
    pub(super) fn of<S: Section>() -> Self {
        Self { key: S::KEY, doc: S::DOC, fields: S::FIELDS, defaults: S::default().values() }
    }
}

/// Puts a value into a table unless it is absent (`None`).
pub(super) fn keep<T: serde::Serialize>(table: &mut Table, key: &str, value: &T) {
    if let Ok(value) = Value::try_from(value) {
        table.insert(key.to_owned(), value);
    }
}

/// Defines a section: the struct, its defaults, how it is read and what the reference says of it.
macro_rules! section {
    (
        $(#[doc = $about:literal])*
        $name:ident, $key:literal {
            $( $(#[doc = $doc:literal])* $field:ident: $type:ty = $default:expr, )*
        }
    ) => {
        $(#[doc = $about])*
        #[derive(Clone, Debug)]
        pub struct $name { $( $(#[doc = $doc])* pub $field: $type, )* }

        impl Default for $name {
            fn default() -> Self {
                Self { $( $field: $default, )* }
            }
        }

        impl $crate::config::section::Section for $name {
            const KEY: &'static str = $key;
            const DOC: &'static [&'static str] = &[$($about),*];
            const FIELDS: &'static [$crate::config::section::Field] = &[
                $( $crate::config::section::Field {
                    key: stringify!($field),
                    rust_type: stringify!($type),
                    doc: &[$($doc),*],
                }, )*
            ];

            fn read(mut table: toml::Table) -> Result<Self, $crate::config::ConfigError> {
                let mut section = Self::default();
                $(
                    if let Some(value) = table.remove(stringify!($field)) {
                        section.$field = <$type as serde::Deserialize>::deserialize(value).map_err(|error| {
                            $crate::config::ConfigError::value($key, stringify!($field), error.message())
                        })?;
                    }
                )*
                match table.keys().next() {
                    Some(unknown) => Err($crate::config::ConfigError::unknown($key, unknown, Self::FIELDS)),
                    None => Ok(section),
                }
            }

            fn values(&self) -> toml::Table {
                let mut table = toml::Table::new();
                $( $crate::config::section::keep(&mut table, stringify!($field), &self.$field); )*
                table
            }
        }
    };
}

pub(super) use section;
