//! Which files make up an import.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::manifest::{self, Row};
use super::sidecar::About;
use super::{Bad, Options, media};

/// One interaction to be.
pub enum Job {
    /// A recording and where what is known of it stands.
    Recording {
        /// Its file.
        file: PathBuf,
        /// As reported: relative to what was imported.
        name: String,
        /// What is known of it: a row of the manifest. `None`: its sidecar, if there is one.
        about: Option<Box<About>>,
    },
    /// A vCon container.
    Vcon {
        /// Its file.
        file: PathBuf,
        /// As reported.
        name: String,
    },
    /// Something that was named and cannot be imported.
    Bad {
        /// As reported.
        name: String,
        /// Why.
        bad: Bad,
    },
}

/// What an import consists of, and the folder that nothing may point out of.
pub struct Plan {
    /// The folder.
    pub root: PathBuf,
    /// One entry an interaction, in order of names.
    pub jobs: Vec<Job>,
}

/// Looks at the folder (links are not followed) and the manifest.
pub fn plan(options: &Options) -> Result<Plan, Bad> {
    let path = options.path.canonicalize().map_err(|error| Bad::new(format!("{}: {error}", options.path.display())))?;
    if path.is_file() {
        let root = path.parent().map(Path::to_owned).unwrap_or_default();
        let job = job_of(&root, &path).ok_or_else(|| Bad::new("neither a recording nor a vCon file"))?;
        return Ok(Plan { root, jobs: vec![job] });
    }
    let usual = path.join("manifest.csv");
    let listed = match &options.manifest {
        Some(manifest) => manifest::read(manifest)?,
        None if usual.is_file() => manifest::read(&usual)?,
        None => Vec::new(),
    };
    let mut jobs = Vec::new();
    let mut named = HashSet::new();
    for row in listed {
        jobs.push(job_of_row(&path, row, &mut named));
    }
    let mut files = Vec::new();
    walk(&path, &mut files)?;
    files.sort();
    jobs.extend(files.iter().filter(|file| !named.contains(*file)).filter_map(|file| job_of(&path, file)));
    Ok(Plan { root: path, jobs })
}

fn job_of_row(root: &Path, row: Row, named: &mut HashSet<PathBuf>) -> Job {
    let Row { line, file: written, about } = row;
    let name = if written.is_empty() { format!("line {line} of the manifest") } else { written.clone() };
    let about = match about {
        Ok(about) if !written.is_empty() => about,
        Ok(_) => return Job::Bad { name, bad: Bad::new("the row names no file") },
        Err(bad) => {
            // The file is spoken for: it is not imported without what the row should have said.
            named.extend(inside(root, root, &written).ok());
            return Job::Bad { name, bad };
        }
    };
    match inside(root, root, &written) {
        Ok(file) if media::by_ending(&file).is_none() => {
            Job::Bad { name, bad: Bad::new("not a recording (WAV, MP3, OGG, WebM)") }
        }
        Ok(file) => {
            named.insert(file.clone());
            Job::Recording { file, name, about: Some(Box::new(about)) }
        }
        Err(bad) => Job::Bad { name, bad },
    }
}

fn job_of(root: &Path, file: &Path) -> Option<Job> {
    let name = file.strip_prefix(root).unwrap_or(file).to_string_lossy().into_owned();
    if media::by_ending(file).is_some() {
        return Some(Job::Recording { file: file.to_owned(), name, about: None });
    }
    let lower = name.to_ascii_lowercase();
    if lower.ends_with(".vcon") || lower.ends_with(".vcon.json") {
        return Some(Job::Vcon { file: file.to_owned(), name });
    }
    None
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), Bad> {
    let error = |error| Bad::new(format!("{}: {error}", folder.display()));
    for entry in std::fs::read_dir(folder).map_err(error)? {
        let entry = entry.map_err(error)?;
        let kind = entry.file_type().map_err(error)?;
        if kind.is_dir() {
            walk(&entry.path(), files)?;
        } else if kind.is_file() {
            files.push(entry.path());
        }
    }
    Ok(())
}

/// The file that `written` names from `folder`; refused when it is not there or lies outside of `root`.
pub fn inside(root: &Path, folder: &Path, written: &str) -> Result<PathBuf, Bad> {
    let path = folder.join(written).canonicalize().map_err(|_| Bad::new(format!("{written} is not there")))?;
    if !path.starts_with(root) {
        return Err(Bad::new(format!("{written} lies outside of what is imported")));
    }
    if path.is_file() { Ok(path) } else { Err(Bad::new(format!("{written} is no file"))) }
}
