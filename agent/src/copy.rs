//! `copy`: puts this program where other containers of the pod find it.
//!
//! The file appears complete or not at all: a container that starts meanwhile never sees half a program.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::result::Exit;

/// Runs the command.
pub fn run(path: &Path) -> ExitCode {
    match copy(Path::new("/proc/self/exe"), path) {
        Ok(bytes) => {
            tracing::info!(path = %path.display(), bytes, "copied");
            Exit::Done.into()
        }
        Err(error) => {
            tracing::error!(path = %path.display(), %error, "not copied");
            Exit::Temporary.into()
        }
    }
}

fn copy(source: &Path, target: &Path) -> io::Result<u64> {
    let folder = target
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let name = target
        .file_name()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the path names no file"))?;
    let mut temporary = std::ffi::OsString::from(".");
    temporary.push(name);
    temporary.push(format!(".{}", std::process::id()));
    let temporary = folder.join(temporary);
    let copied = write_and_rename(source, &temporary, target);
    if copied.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    copied
}

fn write_and_rename(source: &Path, temporary: &PathBuf, target: &Path) -> io::Result<u64> {
    // A left-over of a killed try with the same process id.
    match fs::remove_file(temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o755)
        .open(temporary)?;
    let bytes = io::copy(&mut File::open(source)?, &mut file)?;
    // The umask may have taken bits away; other containers run as other users.
    file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    file.flush()?;
    drop(file);
    fs::rename(temporary, target)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!(
            "paperclip-agent-copy-{name}-{}",
            std::process::id()
        ));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).unwrap();
        folder
    }

    #[test]
    fn the_copy_is_executable_and_equal_and_can_be_repeated() {
        let folder = folder("equal");
        let target = folder.join("paperclip-agent");
        for _ in 0..2 {
            copy(Path::new("/proc/self/exe"), &target).unwrap();
            assert_eq!(
                fs::read(&target).unwrap(),
                fs::read("/proc/self/exe").unwrap()
            );
            assert_eq!(
                fs::metadata(&target).unwrap().permissions().mode() & 0o777,
                0o755
            );
        }
        assert_eq!(
            fs::read_dir(&folder).unwrap().count(),
            1,
            "a temporary file was left"
        );
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_failed_copy_leaves_what_was_there() {
        let folder = folder("failed");
        let target = folder.join("paperclip-agent");
        fs::write(&target, "before").unwrap();
        copy(Path::new("/nowhere"), &target).unwrap_err();
        assert_eq!(fs::read(&target).unwrap(), b"before");
        assert_eq!(
            fs::read_dir(&folder).unwrap().count(),
            1,
            "a temporary file was left"
        );
        fs::remove_dir_all(folder).unwrap();
    }
}
