//! Where a configuration comes from: a file, then the environment.

use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::{Config, ConfigError};

/// The file that was read, if any.
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// The file.
    pub file: Option<PathBuf>,
    /// Environment variables that took part.
    pub variables: Vec<String>,
}

/// The file that is read when none is named and it exists.
const DEFAULT_FILE: &str = "oubliette.toml";
const PREFIX: &str = "OUBLIETTE__";

/// Reads the file (`oubliette.toml` here, if none is named and there is one) and the environment, and checks everything
/// that can be checked without touching the vault. Relative paths in the file are relative to the file.
pub fn load(
    file: Option<&Path>,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<(Config, Source), ConfigError> {
    let mut source = Source::default();
    let mut table = Table::new();
    let default = Path::new(DEFAULT_FILE);
    if let Some(path) = file.or_else(|| default.exists().then_some(default)) {
        table = read_file(path)?;
        source.file = Some(path.to_owned());
    }
    let mut variables: Vec<_> = environment.into_iter().filter(|(name, _)| name.starts_with(PREFIX)).collect();
    variables.sort();
    for (name, value) in variables {
        override_with(&mut table, &name, &value)?;
        source.variables.push(name);
    }
    let config = Config::read(table)?;
    config.check()?;
    Ok((config, source))
}

fn read_file(path: &Path) -> Result<Table, ConfigError> {
    let text =
        std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
    let mut table: Table = text
        .parse()
        .map_err(|error: toml::de::Error| ConfigError::Syntax { path: path.to_owned(), message: error.to_string() })?;
    if let Some(folder) = path.parent() {
        for section in Config::sections() {
            let Some(Value::Table(values)) = table.get_mut(section.key) else { continue };
            for field in section.fields.iter().filter(|field| field.names_path()) {
                if let Some(Value::String(value)) = values.get_mut(field.key) {
                    *value = folder.join(&*value).to_string_lossy().into_owned();
                }
            }
        }
    }
    Ok(table)
}

fn override_with(table: &mut Table, name: &str, value: &str) -> Result<(), ConfigError> {
    let wrong = |message: String| ConfigError::Key { key: name.to_owned(), message };
    let path = name[PREFIX.len()..].to_ascii_lowercase();
    let (section_key, key) = path
        .split_once("__")
        .ok_or_else(|| wrong(format!("write {PREFIX}SECTION__KEY, with two underscores between")))?;
    let sections = Config::sections();
    let section = sections.iter().find(|section| section.key == section_key).ok_or_else(|| {
        let known: Vec<_> = sections.iter().map(|section| section.key).collect();
        wrong(format!("there is no such section; known are {}", known.join(", ")))
    })?;
    let field = section.fields.iter().find(|field| field.key == key).ok_or_else(|| {
        let known: Vec<_> = section.fields.iter().map(|field| field.key).collect();
        wrong(format!("there is no such key; [{section_key}] knows {}", known.join(", ")))
    })?;
    let value = if field.takes_text() {
        Value::String(value.to_owned())
    } else {
        let read = format!("value = {value}").parse::<Table>().ok().and_then(|mut table| table.remove("value"));
        read.ok_or_else(|| wrong(format!("not a value of this kind: {}", field.kind())))?
    };
    match table.entry(section_key).or_insert_with(|| Value::Table(Table::new())) {
        Value::Table(values) => {
            values.insert(key.to_owned(), value);
            Ok(())
        }
        _ => Err(ConfigError::not_a_section(section.key)),
    }
}
