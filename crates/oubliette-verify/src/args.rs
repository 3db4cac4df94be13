//! The command line.

use std::path::PathBuf;

use oubliette_proof::ItemId;

/// Shown on request and after a mistake.
pub const HELP: &str = "\
Checks what a vault proves about an erasure. Offline: reads the files named and nothing else.

  oubliette-verify FILE --log-key KEYS [--log LOG] [--id ID] [--json]
      FILE       a certificate, its page (HTML) as it was served, or a bulk file: an order's certificate and one
                 line for each item
      --log-key  file with the log's public key, and the witnesses' if the certificate is cosigned
      --log      a folder with a copy of the log, or a checkpoint: compare the certificate with it
      --id       the certificate must be about this item; of a bulk file, look only at this item's line

  oubliette-verify --audit OLD NEW --log FOLDER --log-key KEYS [--json]
      OLD, NEW   two checkpoints of one log: whether it has only grown between them
      --log      a folder with a copy of the log

  --json         the result for programs
  --version, --help

Ends with 0 valid, 1 invalid, 2 wrong use, 3 valid but not about this item, 4 a file could not be read.
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
        log: Option<PathBuf>,
        /// Item it must be about.
        id: Option<ItemId>,
    },
    /// Follow a log.
    Audit {
        /// Older checkpoint.
        old: PathBuf,
        /// Newer checkpoint.
        new: PathBuf,
        /// Folder of the log.
        log: PathBuf,
    },
}

impl Args {
    /// Reads the arguments; `None` when help was asked for.
    pub fn parse(args: impl Iterator<Item = String>) -> Result<Option<Self>, String> {
        let (mut files, mut log_key, mut log, mut id) = (Vec::new(), None, None, None);
        let (mut audit, mut json, mut args) = (false, false, args);
        while let Some(arg) = args.next() {
            let mut value = |name: &str| args.next().ok_or(format!("{name} needs a value"));
            match arg.as_str() {
                "--help" | "-h" => return Ok(None),
                "--version" | "-V" => {
                    println!("oubliette-verify {}", env!("CARGO_PKG_VERSION"));
                    std::process::exit(0);
                }
                "--json" => json = true,
                "--audit" => audit = true,
                "--log-key" => log_key = Some(PathBuf::from(value("--log-key")?)),
                "--log" => log = Some(PathBuf::from(value("--log")?)),
                "--id" => {
                    let text = value("--id")?.to_lowercase();
                    id = Some(ItemId::parse(&text).ok_or("--id needs a UUID")?);
                }
                other if other.starts_with('-') && other != "-" => return Err(format!("{other} is no option")),
                _ => files.push(PathBuf::from(arg)),
            }
        }
        let log_key = log_key.ok_or("--log-key is missing")?;
        let task = match (audit, <[PathBuf; 2]>::try_from(files), log) {
            (true, Ok([old, new]), Some(log)) if id.is_none() => Task::Audit { old, new, log },
            (true, ..) => return Err("--audit takes two checkpoints, and --log with a folder".to_owned()),
            (false, Err(files), log) if files.len() == 1 => {
                Task::Certificate { file: files.into_iter().collect(), log, id }
            }
            (false, ..) => return Err("one certificate at a time".to_owned()),
        };
        Ok(Some(Self { task, log_key, json }))
    }
}
