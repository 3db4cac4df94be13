//! The reference of all commands, made from their own help: `docs/cli.md`.

use std::fmt::Write as _;

use clap::CommandFactory as _;

use super::{Cli, exit};

/// Width of the help texts in the reference.
const WIDTH: usize = 100;

/// The reference as Markdown.
pub fn reference() -> String {
    let mut out = String::from(
        "# The command line\n\n<!-- Made by `oubliette reference`; a test keeps it current. -->\n\n\
         Commands that need the vault while a server has it open ask that server: it listens on a loopback port of its own,\n\
         and `run/endpoint.json` in the data folder (readable by its owner alone) says where and with which token.\n\n\
         ## Exit codes\n\n| Code | Meaning |\n| --- | --- |\n",
    );
    for (code, meaning) in exit::TABLE {
        let _ = writeln!(out, "| {code} | {meaning} |");
    }
    let command = Cli::command().term_width(WIDTH);
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set() && sub.get_name() != "help") {
        describe(&mut out, sub, "oubliette", 2);
    }
    out
}

fn describe(out: &mut String, command: &clap::Command, parent: &str, level: usize) {
    let name = format!("{parent} {}", command.get_name());
    let mut command = command.clone().bin_name(&name).term_width(WIDTH);
    command.build();
    let help = command.render_long_help().to_string();
    let lines: Vec<_> = help.lines().map(str::trim_end).collect();
    let _ = writeln!(out, "\n{} `{name}`\n\n```text\n{}\n```", "#".repeat(level), lines.join("\n").trim_end());
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set() && sub.get_name() != "help") {
        describe(out, sub, &name, level + 1);
    }
}
