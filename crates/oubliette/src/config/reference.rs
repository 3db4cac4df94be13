//! The generated example and reference.

use std::fmt::Write;

use toml::Value;

use super::Config;

/// `oubliette.example.toml`: every key with its default, commented out.
pub fn example() -> String {
    let mut out = String::from(
        "# Oubliette: every setting with its default. Made by `oubliette config example`.\n\
         # Uncomment what you change. OUBLIETTE__SECTION__KEY in the environment overrides a value.\n",
    );
    for section in Config::sections() {
        let _ = writeln!(out);
        for line in section.doc {
            let _ = writeln!(out, "#{line}");
        }
        let _ = writeln!(out, "[{}]", section.key);
        for field in section.fields {
            let _ = writeln!(out);
            for line in field.doc {
                let _ = writeln!(out, "#{line}");
            }
            let _ = writeln!(out, "#{} = {}", field.key, shown(section.defaults.get(field.key)));
        }
    }
    out
}

/// `docs/configuration.md`: the same as prose and tables.
pub fn reference() -> String {
    let mut out = String::from(
        "# Configuration\n\n\
         <!-- Made by `oubliette config reference`; a test keeps it current. -->\n\n\
         One TOML file, named by `--config` or `OUBLIETTE_CONFIG`; without either `oubliette.toml` in the current folder is\n\
         read if there is one. Everything has a default. Unknown keys are refused. Relative paths in the file are relative to\n\
         the file.\n\n\
         A variable `OUBLIETTE__SECTION__KEY` in the environment overrides `key` of `[section]`: strings and paths as they\n\
         stand, everything else as it would stand in the file (`OUBLIETTE__CORS__ORIGINS='[\"https://desk.example.org\"]'`).\n\
         Secrets are never values: they lie in files, named by keys that end in `_file`.\n\n\
         `oubliette config check` reads and checks it all, `oubliette config show` prints what is in force.\n",
    );
    for section in Config::sections() {
        let _ = writeln!(out, "\n## `[{}]`\n", section.key);
        for line in section.doc {
            let _ = writeln!(out, "{}", line.trim());
        }
        let _ = writeln!(out, "\n| Key | Kind | Default | Meaning |\n| --- | --- | --- | --- |");
        for field in section.fields {
            let default = section.defaults.get(field.key);
            let default = default.map_or_else(|| "none".to_owned(), |value| format!("`{}`", shown(Some(value))));
            let meaning: Vec<_> = field.doc.iter().map(|line| line.trim()).collect();
            let _ = writeln!(out, "| `{}` | {} | {default} | {} |", field.key, field.kind(), meaning.join(" "));
        }
    }
    out
}

fn shown(value: Option<&Value>) -> String {
    value.map_or_else(|| "\"\"".to_owned(), ToString::to_string)
}
