//! The folder in which the server keeps files: what of it belongs into a backup, and where a restore lays out what it brings.
//!
//! A backup holds what cannot be had again: uploads, instructions of agents, their homes and workspaces, logs of runs. What belongs to one
//! running process, what can be fetched again, and other copies of the database stay out (application 2026.916.1, layout below
//! `PAPERCLIP_HOME`). Keys stay out of a backup that is not encrypted.

use std::fs::{self, Metadata};
use std::io::{Error, ErrorKind};
use std::path::{Component, Path, PathBuf};

/// Where a restore works, inside the folder: renaming is only possible within one volume.
pub const WORK: &str = ".paperclip-restore";

/// Not in a backup, and left alone by a restore.
const LEFT_OUT: [&[&str]; 13] = [
    &["lost+found"],
    &[WORK],
    // The application's own dumps.
    &["backups"],
    &["instances", "*", "data", "backups"],
    // An embedded database, which files copied one by one do not save.
    &["instances", "*", "db"],
    // Of a process that runs.
    &["instances", "*", "locks"],
    &["instances", "*", "import-transfers"],
    &["instances", "*", "runtime-services"],
    &["instances", "*", "runtime-services.json"],
    &["instances", "*", "telemetry"],
    // Can be had again.
    &[".npm"],
    &[".cache"],
    &["instances", "*", "data", "sandbox-orphan-cleanup"],
];

/// Keys in files, which the application makes where it is given none.
const KEYS: &[&str] = &["instances", "*", "secrets"];

/// Whether a path, relative to the folder, is left out. `sealed`: the backup is encrypted.
pub fn is_left_out(path: &Path, sealed: bool) -> bool {
    LEFT_OUT.iter().any(|pattern| is_at(path, pattern)) || (!sealed && is_at(path, KEYS))
}

fn is_at(path: &Path, pattern: &[&str]) -> bool {
    let mut parts = path.components();
    let mut fits = |wanted: &&str| match parts.next() {
        Some(Component::Normal(name)) => *wanted == "*" || name == *wanted,
        _ => false,
    };
    pattern.iter().all(&mut fits) && parts.next().is_none()
}

/// Something of the folder that could not be read or written.
#[derive(Debug)]
pub struct Trouble {
    /// What, relative to the folder.
    pub path: PathBuf,
    /// Why.
    pub error: Error,
}

/// Shows everything that belongs into a backup, a folder before what is in it, in the order of names. What goes away meanwhile is passed over.
pub fn walk(
    root: &Path,
    sealed: bool,
    visit: &mut dyn FnMut(&Path, &Metadata) -> Result<(), Trouble>,
) -> Result<(), Trouble> {
    below(root, Path::new(""), sealed, visit)
}

fn below(
    root: &Path,
    folder: &Path,
    sealed: bool,
    visit: &mut dyn FnMut(&Path, &Metadata) -> Result<(), Trouble>,
) -> Result<(), Trouble> {
    let trouble = |path: &Path, error: Error| Trouble {
        path: path.to_owned(),
        error,
    };
    let mut names = match fs::read_dir(root.join(folder)) {
        Ok(entries) => entries
            .map(|entry| Ok(entry?.file_name()))
            .collect::<Result<Vec<_>, Error>>()
            .map_err(|error| trouble(folder, error))?,
        Err(error) if is_gone(&error) && !folder.as_os_str().is_empty() => return Ok(()),
        Err(error) => return Err(trouble(folder, error)),
    };
    names.sort();
    for name in names {
        let path = folder.join(name);
        if is_left_out(&path, sealed) {
            continue;
        }
        let metadata = match fs::symlink_metadata(root.join(&path)) {
            Ok(metadata) => metadata,
            Err(error) if is_gone(&error) => continue,
            Err(error) => return Err(trouble(&path, error)),
        };
        visit(&path, &metadata)?;
        if metadata.is_dir() {
            below(root, &path, sealed, visit)?;
        }
    }
    Ok(())
}

/// Somebody has removed it since its name was read.
pub fn is_gone(error: &Error) -> bool {
    error.kind() == ErrorKind::NotFound
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_had_again_and_other_copies_stay_out() {
        for (path, plain, sealed) in [
            ("instances/default/data/storage/c/1.png", false, false),
            (
                "instances/default/companies/a/agents/b/instructions/AGENTS.md",
                false,
                false,
            ),
            ("instances/default/db", true, true),
            ("instances/default/data/backups", true, true),
            ("backups", true, true),
            ("instances/default/secrets", true, false),
            ("instances/default/companies/secrets", false, false),
            (".claude/settings.json", false, false),
            (".npm", true, true),
            (WORK, true, true),
        ] {
            let path = Path::new(path);
            assert_eq!(is_left_out(path, false), plain, "{}", path.display());
            assert_eq!(is_left_out(path, true), sealed, "{}", path.display());
        }
    }
}
