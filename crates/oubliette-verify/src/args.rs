//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

use oubliette_proof::ItemId;

use crate::log::Place;

/// Shown on request and after a mistake.
pub const HELP: &str = "\
Checks what a vault proves about an erasure. Reads the files named, and the log at --log (by the proxy that the
environment names, if it names one), and asks nobody else.

  oubliette-verify FILE --log-key KEYS [--log LOG] [--id ID] [--json]
      FILE       a certificate, its page (HTML) as it was served, or a bulk file: an order's certificate and one
                 line for each item
      --log-key  file with the log's public key, and the witnesses' if the certificate is cosigned
      --log      the log to compare the certificate with: its address (https://…/log/), a folder with a copy of it,
                 or a checkpoint
      --id       the certificate must be about this item; of a bulk file, look only at this item's line

  oubliette-verify --audit OLD NEW --log LOG --log-key KEYS [--json]
      OLD, NEW   two checkpoints of one log: whether it has only grown between them
      --log      the log's address, or a folder with a copy of it: all of it is read

  oubliette-verify --follow --log LOG --log-key KEYS --state FOLDER [--json]
      --log      the log's address, or a folder with a copy of it: what is new since the last time is read
      --state    what was seen the last time, and a copy of the log that grows; made by the first run. Whether the
                 log grew, is unchanged, shrank, was forked, or could not be read

  Beside a certificate and with --audit no more than 4,294,967,296 entries of a log are read, for no longer than
  24 hours: what would need more ends with 4.

  --json         the result for programs
  --version, --help

Ends with 0 valid, 1 invalid, 2 wrong use, 3 valid but not about this item, 4 a file or the log could not be read.
";

/// What was asked for.
pub struct Args {
    /// What to do.
    pub task: Task,
    /// File with keys.
    pub log_key: PathBuf,
    /// Result for programs.
    pub json: bool,
}

/// What to do.
pub enum Task {
    /// Check a certificate or a bulk file.
    Certificate {
        /// The file.
        file: PathBuf,
        /// Log to compare with.
        log: Option<Place>,
        /// Item it must be about.
        id: Option<ItemId>,
    },
    /// Whether a log has only grown between two checkpoints.
    Audit {
        /// Older checkpoint.
        old: PathBuf,
        /// Newer checkpoint.
        new: PathBuf,
        /// The log.
        log: Place,
    },
    /// Whether a log has only grown since the last time.
    Follow {
        /// The log.
        log: Place,
        /// Where the last time is remembered.
        state: PathBuf,
    },
}

/// What the arguments ask for.
pub enum Asked {
    /// To check something.
    Check(Args),
    /// To be told these words.
    Words(&'static str),
}

impl Args {
    /// Reads the arguments. The error says what is wrong with them.
    pub fn parse(args: impl Iterator<Item = OsString>) -> Result<Asked, String> {
        let args: Result<Vec<String>, _> = args.map(OsString::into_string).collect();
        let args = args.map_err(|other| format!("{} is not UTF-8", other.display()))?;
        let (mut files, mut log_key, mut log, mut id, mut state) = (Vec::new(), None, None, None, None);
        let (mut audit, mut follow, mut json, mut args) = (false, false, false, args.into_iter());
        while let Some(arg) = args.next() {
            let mut value = |name: &str| args.next().ok_or(format!("{name} needs a value"));
            match arg.as_str() {
                "--help" | "-h" => return Ok(Asked::Words(HELP.trim_ascii_end())),
                "--version" | "-V" => return Ok(Asked::Words(concat!("oubliette-verify ", env!("CARGO_PKG_VERSION")))),
                "--json" => json = true,
                "--audit" => audit = true,
                "--follow" => follow = true,
                "--log-key" => log_key = Some(PathBuf::from(value("--log-key")?)),
                "--log" => log = Some(Place::parse(&value("--log")?)?),
                "--state" => state = Some(PathBuf::from(value("--state")?)),
                "--id" => {
                    let text = value("--id")?.to_lowercase();
                    id = Some(ItemId::parse(&text).ok_or("--id needs a UUID")?);
                }
                other if other.starts_with('-') && other != "-" => return Err(format!("{other} is no option")),
                _ => files.push(PathBuf::from(arg)),
            }
        }
        let log_key = log_key.ok_or("--log-key is missing")?;
        let task = match (audit, follow, files.as_slice(), log, state) {
            (true, false, [old, new], Some(log), None) if id.is_none() => {
                Task::Audit { old: old.clone(), new: new.clone(), log }
            }
            (true, false, ..) => return Err("--audit takes two checkpoints, and --log with the log".to_owned()),
            (false, true, [], Some(log), Some(state)) if id.is_none() => Task::Follow { log, state },
            (false, true, ..) => return Err("--follow takes --log with the log, and --state with a folder".to_owned()),
            (true, true, ..) => return Err("either --audit or --follow".to_owned()),
            (false, false, [file], log, None) => Task::Certificate { file: file.clone(), log, id },
            (false, false, _, _, Some(_)) => return Err("--state goes with --follow".to_owned()),
            (false, false, ..) => return Err("one certificate at a time".to_owned()),
        };
        Ok(Asked::Check(Self { task, log_key, json }))
    }
}
