//! One PostgreSQL per data directory, also across containers.
//!
//! PostgreSQL guards its data directory by a process number in a file. In a container numbers are small and come
//! again, and processes of another container are not seen. So the agent holds a file lock beside the data directory,
//! and every process of PostgreSQL inherits it: it ends with the last of them, not with us.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use crate::result::{Exit, Reason};

/// How long a previous PostgreSQL may take to end.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(250);

/// The held lock.
pub struct DataLock {
    file: File,
}

/// Why the lock is not held.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another PostgreSQL runs on the data.
    #[error("another PostgreSQL still uses {}", .0.display())]
    InUse(PathBuf),
    /// The lock file cannot be made.
    #[error("{}: {error}", .path.display())]
    Unusable {
        /// The lock file.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
}

impl Reason for LockError {
    fn code(&self) -> &'static str {
        match self {
            Self::InUse(_) => "DataDirectoryInUse",
            Self::Unusable { error, .. } if error.kind() == io::ErrorKind::StorageFull => {
                "StorageFull"
            }
            Self::Unusable { .. } => "DataDirectoryUnusable",
        }
    }

    fn exit(&self) -> Exit {
        Exit::Temporary
    }
}

impl DataLock {
    /// Takes the lock, waiting for a previous holder for a bounded time.
    pub async fn take(data: &Path) -> Result<Self, LockError> {
        let path = beside(data, ".lock");
        let unusable = |error| LockError::Unusable {
            path: path.clone(),
            error,
        };
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&path)
            .map_err(unusable)?;
        let since = tokio::time::Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self { file }),
                Err(TryLockError::WouldBlock) if since.elapsed() < PATIENCE => {
                    tokio::time::sleep(PAUSE).await;
                }
                Err(TryLockError::WouldBlock) => return Err(LockError::InUse(data.to_owned())),
                // Some network file systems have no locks; PostgreSQL's own guard remains.
                Err(TryLockError::Error(error)) => {
                    tracing::warn!(%error, "the volume knows no file locks");
                    return Ok(Self { file });
                }
            }
        }
    }

    /// The lock as a child's standard input, which is how it is inherited. PostgreSQL never reads from it.
    pub fn for_child(&self) -> io::Result<Stdio> {
        Ok(self.file.try_clone()?.into())
    }
}

/// A path beside the data directory.
pub fn beside(data: &Path, ending: &str) -> PathBuf {
    let mut name = data.file_name().unwrap_or_default().to_owned();
    name.push(ending);
    data.with_file_name(name)
}

/// Removes a lock file of PostgreSQL whose process number now belongs to some other program. PostgreSQL would take
/// that program for its predecessor and refuse to start. Only to be called while the data lock is held; a number that
/// belongs to nobody or to a PostgreSQL is left to PostgreSQL's own judgement.
pub fn clear_misleading(lock_file: &Path) {
    let Ok(text) = fs::read_to_string(lock_file) else {
        return;
    };
    let Some(pid) = text
        .lines()
        .next()
        .and_then(|line| line.trim().parse::<u32>().ok())
    else {
        return;
    };
    let Ok(name) = fs::read_to_string(format!("/proc/{pid}/comm")) else {
        return;
    };
    if name.trim() == "postgres" {
        return;
    }
    tracing::warn!(file = %lock_file.display(), pid, program = name.trim(), "removed a lock file that names another program");
    if let Err(error) = fs::remove_file(lock_file) {
        tracing::warn!(%error, "not removed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, text: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!(
            "paperclip-agent-lock-{name}-{}",
            std::process::id()
        ));
        fs::write(&path, text).unwrap();
        path
    }

    #[test]
    fn a_lock_file_that_names_another_program_is_removed() {
        let path = file("other", &format!("{}\n/data\n", std::process::id()));
        clear_misleading(&path);
        assert!(!path.exists());
    }

    #[test]
    fn a_lock_file_that_names_nobody_is_left_to_postgresql() {
        let path = file("nobody", "4194303\n/data\n");
        clear_misleading(&path);
        assert!(path.exists());
        fs::remove_file(path).unwrap();
    }

    #[tokio::test]
    async fn the_lock_is_held_as_long_as_a_child_lives_that_inherited_it() {
        let folder =
            std::env::temp_dir().join(format!("paperclip-agent-lock-child-{}", std::process::id()));
        let lock = DataLock::take(&folder).await.unwrap();
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .stdin(lock.for_child().unwrap())
            .spawn()
            .unwrap();
        drop(lock);
        let again = File::open(beside(&folder, ".lock")).unwrap();
        assert!(matches!(again.try_lock(), Err(TryLockError::WouldBlock)));
        child.kill().unwrap();
        child.wait().unwrap();
        again.try_lock().unwrap();
        fs::remove_file(beside(&folder, ".lock")).unwrap();
    }
}
