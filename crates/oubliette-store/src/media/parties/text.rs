//! The list of parties as it is written.
//!
//! ```text
//! file parties-NNNNNNNN; the highest number that is whole counts. Text:
//! oubliette parties 1
//! state HEX16                          random number of this key state; its mirrors carry it too
//! mirror NAME JOINED CONFIRMED         epochs: when it joined, and the last it is known to have confirmed
//! agent NAME JOINED CONFIRMED [IN]     the same, and where its envelopes lie: HEX16 is the number of its register, `-` is
//!                                      nowhere yet; without it, in a register that had no number
//! agent NAME JOINED CONFIRMED IN due   they are to lie there, and that is not known to be noted wherever the key state lies:
//!                                      `-` is a register without a number then
//! left NAME ENTRY CONFIRMED IN [URL]   an agent that was let go by that entry of the log, and has not confirmed that it forgot
//!                                      what it held; IN as of an agent, `-` is a register without a number
//! escrow RESTORE NAME…                 how the root lies with the agents; the line is missing where it never did
//! escrow mixed [due]                   the agents were changed, and not all of them have confirmed a seal since; with `due`
//!                                      that is not known to be noted wherever the key state lies
//! sum HEX32                            SHA-256 of everything before
//! ```

use std::fmt::Write as _;

use aws_lc_rs::digest::{SHA256, digest};

use super::{Arrangement, Dealt, Owed, Parties, Party, PartyKind};
use crate::escrow::{LiesIn, RegisterId};

const HEAD: &str = "oubliette parties 1\n";

impl Parties {
    /// As it is written.
    pub(super) fn text(&self) -> String {
        let mut out = format!("{HEAD}state {}\n", hex::encode(self.state));
        for Party { kind, name, joined, confirmed, lies_in, due } in &self.list {
            // Versions before read only the first word of it.
            let lies_in = match (kind, lies_in, due) {
                (PartyKind::Mirror, ..) | (_, LiesIn::Unnamed, false) => String::new(),
                (_, LiesIn::Nowhere, _) => " -".to_owned(),
                (_, LiesIn::Unnamed, true) => " - due".to_owned(),
                (_, LiesIn::Register(register), false) => format!(" {register}"),
                (_, LiesIn::Register(register), true) => format!(" {register} due"),
            };
            let _ = writeln!(out, "{} {name} {joined} {confirmed}{lies_in}", kind.name());
        }
        for Owed { agent, entry, epoch, lies_in, url } in &self.owed {
            let lies_in = match lies_in {
                LiesIn::Register(register) => register.to_string(),
                LiesIn::Nowhere | LiesIn::Unnamed => "-".to_owned(),
            };
            let url = url.as_ref().map_or_else(String::new, |url| format!(" {url}"));
            let _ = writeln!(out, "left {agent} {entry} {epoch} {lies_in}{url}");
        }
        let _ = match &self.dealt {
            Dealt::Nothing => Ok(()),
            Dealt::Mixed => writeln!(out, "escrow mixed{}", if self.dealt_due { " due" } else { "" }),
            Dealt::As(Arrangement { restore, agents }) => writeln!(out, "escrow {restore} {}", agents.join(" ")),
        };
        let sum = hex::encode(digest(&SHA256, out.as_bytes()));
        let _ = writeln!(out, "sum {sum}");
        out
    }

    /// One that was written; `None` for anything else.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let (before, sum) = text.strip_suffix('\n')?.rsplit_once("\nsum ")?;
        let before = format!("{before}\n");
        if hex::encode(digest(&SHA256, before.as_bytes())) != sum {
            return None;
        }
        let mut lines = before.strip_prefix(HEAD)?.lines();
        let mut state = [0; 16];
        hex::decode_to_slice(lines.next()?.strip_prefix("state ")?, &mut state).ok()?;
        let mut parties = Self::new(state);
        for line in lines {
            let mut words = line.split(' ');
            let kind = match words.next()? {
                "mirror" => PartyKind::Mirror,
                "agent" => PartyKind::Agent,
                "left" => {
                    let agent = words.next()?.to_owned();
                    let (entry, epoch) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
                    let lies_in = match words.next()? {
                        "-" => LiesIn::Unnamed,
                        register => LiesIn::Register(RegisterId::parse(register)?),
                    };
                    let url = words.next().map(str::to_owned);
                    parties.owed.push(Owed { agent, entry, epoch, lies_in, url });
                    continue;
                }
                "escrow" => {
                    parties.dealt = match words.next()? {
                        "mixed" => {
                            parties.dealt_due = words.next() == Some("due");
                            Dealt::Mixed
                        }
                        restore => {
                            let agents = words.map(str::to_owned).collect();
                            Dealt::As(Arrangement { restore: restore.parse().ok()?, agents })
                        }
                    };
                    continue;
                }
                _ => return None,
            };
            let name = words.next()?.to_owned();
            let (joined, confirmed) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
            let (lies_in, due) = (words.next(), words.next() == Some("due"));
            let lies_in = match (kind, lies_in) {
                (PartyKind::Mirror, _) => LiesIn::Nowhere,
                (_, Some("-")) if due => LiesIn::Unnamed,
                (_, Some("-")) => LiesIn::Nowhere,
                (_, None) => LiesIn::Unnamed,
                (_, Some(register)) => LiesIn::Register(RegisterId::parse(register)?),
            };
            parties.list.push(Party { kind, name, joined, confirmed, lies_in, due });
        }
        Some(parties)
    }
}
