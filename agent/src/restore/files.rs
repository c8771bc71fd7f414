//! Brings the server's files back: laid out beside what is there and weighed, and only then put in its place by renaming.
//!
//! Whoever is killed in between leaves either what was there or what came, or a state that the next try puts right: see [`settle`].
//! What a backup leaves out stays where it is.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use tar::Archive;

use crate::bridge::{self, CHUNK_BYTES, Source};
use crate::data::{WORK, is_gone, is_left_out};
use crate::restore::RestoreError;
use crate::restore::manifest::Files;
use crate::restore::open::Object;
use crate::result::{Failure, one_line};

/// Folders that a restore works with, on the volume itself.
struct Work {
    root: PathBuf,
    /// What came.
    new: PathBuf,
    /// What was there.
    old: PathBuf,
}

impl Work {
    fn of(root: &Path) -> Self {
        let work = root.join(WORK);
        Self {
            root: root.to_owned(),
            new: work.join("new"),
            old: work.join("old"),
        }
    }

    fn folder(&self) -> PathBuf {
        self.root.join(WORK)
    }
}

/// Puts right what a restore left that was killed: what was not put in place whole is taken back.
pub async fn settle(root: &Path) -> Result<(), Failure> {
    let work = Work::of(root);
    blocking(move || {
        if work.old.is_dir() {
            if work.new.is_dir() {
                take_back(&work)?;
            } else {
                keep_left_out(&work)?;
            }
        }
        remove(&work.folder())
    })
    .await
}

/// Lays out the files of the backup beside those that are there. Nothing of the latter is touched.
pub async fn lay_out(object: Object<'_>, root: &Path, told: Option<&Files>) -> Result<(), Failure> {
    let work = Work::of(root);
    let mut dump = object.open().await?;
    let (sender, source) = bridge::to_thread();
    let place = work.new.clone();
    let unpacking = tokio::task::spawn_blocking(move || unpack(source, &place));
    let fed = async {
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            let length = dump.read(&mut chunk).await?;
            let bytes = chunk.get(..length).unwrap_or_default();
            if bytes.is_empty() || sender.send(Bytes::copy_from_slice(bytes)).await.is_err() {
                return Ok::<_, Failure>(());
            }
        }
    }
    .await;
    drop(sender);
    let unpacked = unpacking.await;
    // Whatever was wrong with the bytes explains what followed from it.
    let result = match fed {
        Ok(()) => dump.prove().await,
        Err(failure) => Err(failure),
    };
    let result = result.and_then(|()| {
        let count = unpacked.map_err(|error| RestoreError::System(error.to_string()))??;
        match told {
            Some(told) if told.count != count => Err(RestoreError::Corrupt(format!(
                "the manifest tells of {} files, the archive holds {count}",
                told.count
            ))
            .into()),
            _ => Ok(()),
        }
    });
    if result.is_err() {
        discard(root).await;
    }
    result
}

/// Takes away what was laid out.
pub async fn discard(root: &Path) {
    let folder = Work::of(root).folder();
    if let Err(failure) = blocking(move || remove(&folder)).await {
        tracing::warn!(reason = failure.message, "what was laid out is still there");
    }
}

/// Puts what was laid out in the place of what is there.
pub async fn put_in_place(root: &Path) -> Result<(), Failure> {
    let work = Work::of(root);
    blocking(move || {
        exchange(&work)
            .inspect_err(|_| {
                if let Err(error) = take_back(&work) {
                    tracing::error!(%error, "what was there is in {WORK}/old");
                }
            })
            .and_then(|()| {
                // From here on it counts as done.
                remove(&work.new)?;
                keep_left_out(&work)?;
                remove(&work.folder())
            })
    })
    .await
}

async fn blocking(work: impl FnOnce() -> io::Result<()> + Send + 'static) -> Result<(), Failure> {
    let done = tokio::task::spawn_blocking(work).await;
    let done = done.map_err(|error| RestoreError::System(error.to_string()))?;
    done.map_err(|error| RestoreError::of_volume(&error).into())
}

fn unpack(from: Source, to: &Path) -> Result<u64, RestoreError> {
    let failed = |error: io::Error| RestoreError::of_volume(&error);
    remove(to).map_err(failed)?;
    fs::create_dir_all(to).map_err(failed)?;
    let broken = |error: io::Error| {
        RestoreError::Corrupt(format!("files.tar.zst: {}", one_line(&error.to_string())))
    };
    let decoder = zstd::Decoder::new(from).map_err(broken)?;
    let mut archive = Archive::new(decoder);
    archive.set_preserve_permissions(true);
    archive.set_preserve_mtime(true);
    // Folders get their modes last, so that one that is read-only can be filled.
    let mut folders = vec![];
    let mut count = 0;
    for entry in archive.entries().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        let kind = entry.header().entry_type();
        if kind.is_dir() {
            let path = entry.path().map_err(broken)?.into_owned();
            let mode = entry.header().mode().map_err(broken)?;
            fs::create_dir_all(inside(to, &path)?).map_err(failed)?;
            folders.push((path, mode));
            continue;
        }
        if !kind.is_file() && !kind.is_symlink() {
            continue;
        }
        let is_inside = entry.unpack_in(to).map_err(|error| match error.get_ref() {
            // The archive's own troubles come without a number of the system.
            _ if root_cause(&error).is_some() => failed(error),
            _ => broken(error),
        })?;
        if !is_inside {
            return Err(outside(&entry.path().map_err(broken)?));
        }
        count += u64::from(kind.is_file());
    }
    for (path, mode) in folders.iter().rev() {
        use std::os::unix::fs::PermissionsExt;
        // The volume's own group comes by the folders above.
        let mode = fs::Permissions::from_mode(mode & 0o3777);
        fs::set_permissions(inside(to, path)?, mode).map_err(failed)?;
    }
    let volume = fs::File::open(to).map_err(failed)?;
    rustix::fs::syncfs(&volume).map_err(|error| failed(error.into()))?;
    Ok(count)
}

/// The number of the system in an error of the archive's library, which wraps it in words.
fn root_cause(error: &io::Error) -> Option<i32> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(number) = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::raw_os_error)
        {
            return Some(number);
        }
        cause = error.source();
    }
    None
}

fn inside(to: &Path, path: &Path) -> Result<PathBuf, RestoreError> {
    use std::path::Component;
    let plain = path
        .components()
        .all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    if plain {
        Ok(to.join(path))
    } else {
        Err(outside(path))
    }
}

fn outside(path: &Path) -> RestoreError {
    RestoreError::Corrupt(one_line(&format!(
        "files.tar.zst: {} leads out of the folder",
        path.display()
    )))
}

/// Names right in a folder of the volume that a restore moves.
fn entries(folder: &Path) -> io::Result<Vec<std::ffi::OsString>> {
    let mut names = vec![];
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        if !is_left_out(Path::new(&name), true) {
            names.push(name);
        }
    }
    Ok(names)
}

fn exchange(work: &Work) -> io::Result<()> {
    fs::create_dir_all(&work.old)?;
    for name in entries(&work.root)? {
        fs::rename(work.root.join(&name), work.old.join(&name))?;
    }
    for name in entries(&work.new)? {
        fs::rename(work.new.join(&name), work.root.join(&name))?;
    }
    Ok(())
}

/// The other way round: whatever stands where something was moved away came with the restore.
fn take_back(work: &Work) -> io::Result<()> {
    for name in entries(&work.old)? {
        let place = work.root.join(&name);
        remove(&place)?;
        fs::rename(work.old.join(&name), place)?;
    }
    Ok(())
}

/// What no backup holds goes back to where it was, unless something came in its place.
fn keep_left_out(work: &Work) -> io::Result<()> {
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(work.old.join(&folder))? {
            let entry = entry?;
            let path = folder.join(entry.file_name());
            // Keys in files too: a backup that was not encrypted has none.
            if is_left_out(&path, false) {
                let place = work.root.join(&path);
                if fs::symlink_metadata(&place).is_err_and(|error| is_gone(&error)) {
                    if let Some(parent) = place.parent() {
                        fs::create_dir_all(parent)?;
                    }
                    fs::rename(entry.path(), place)?;
                }
            } else if entry.file_type()?.is_dir() && path.components().count() < DEEPEST {
                folders.push(path);
            }
        }
    }
    Ok(())
}

/// What is left out lies no deeper.
const DEEPEST: usize = 4;

/// Removes a file or a whole folder; one that is not there is no error.
fn remove(path: &Path) -> io::Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if is_gone(&error) => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    struct Volume(PathBuf);

    impl Volume {
        fn of(name: &str, files: &[(&str, &str)]) -> Self {
            let root = std::env::temp_dir().join(format!("files-{}-{name}", std::process::id()));
            remove(&root).unwrap();
            let volume = Self(root);
            for (path, content) in files {
                volume.write(path, content);
            }
            volume
        }

        fn write(&self, path: &str, content: &str) {
            let path = self.0.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }

        fn files(&self) -> BTreeMap<String, String> {
            let mut all = BTreeMap::new();
            let mut folders = vec![self.0.clone()];
            while let Some(folder) = folders.pop() {
                for entry in fs::read_dir(folder).unwrap() {
                    let path = entry.unwrap().path();
                    if path.is_dir() {
                        folders.push(path);
                    } else {
                        let name = path.strip_prefix(&self.0).unwrap().display().to_string();
                        all.insert(name, fs::read_to_string(path).unwrap());
                    }
                }
            }
            all
        }
    }

    impl Drop for Volume {
        fn drop(&mut self) {
            let _ = remove(&self.0);
        }
    }

    fn expected(files: &[(&str, &str)]) -> BTreeMap<String, String> {
        let own = |(name, content): &(&str, &str)| ((*name).to_owned(), (*content).to_owned());
        files.iter().map(own).collect()
    }

    const BEFORE: &[(&str, &str)] = &[
        ("instances/default/data/storage/a", "old"),
        ("instances/default/data/backups/1.sql.gz", "dump"),
        ("instances/default/secrets/master.key", "key"),
        (".npm/x", "cache"),
        ("only-old", "old"),
        ("lost+found/x", "fsck"),
    ];

    const AFTER: &[(&str, &str)] = &[
        ("instances/default/data/storage/a", "new"),
        ("instances/default/data/backups/1.sql.gz", "dump"),
        ("instances/default/secrets/master.key", "key"),
        (".npm/x", "cache"),
        ("only-new", "new"),
        ("lost+found/x", "fsck"),
    ];

    fn laid_out(name: &str) -> Volume {
        let volume = Volume::of(name, BEFORE);
        volume.write(
            ".paperclip-restore/new/instances/default/data/storage/a",
            "new",
        );
        volume.write(".paperclip-restore/new/only-new", "new");
        volume
    }

    #[tokio::test]
    async fn what_came_takes_the_place_of_what_was_there_but_for_what_no_backup_holds() {
        let volume = laid_out("place");
        put_in_place(&volume.0).await.unwrap();
        assert_eq!(volume.files(), expected(AFTER));
    }

    #[tokio::test]
    async fn a_restore_that_was_killed_before_the_exchange_leaves_what_was_there() {
        let volume = laid_out("before");
        settle(&volume.0).await.unwrap();
        assert_eq!(volume.files(), expected(BEFORE));
    }

    #[tokio::test]
    async fn one_that_was_killed_in_the_exchange_is_taken_back() {
        let all = entries(&laid_out("count").0).unwrap().len();
        for moved in 0..=all {
            let volume = laid_out(&format!("middle-{moved}"));
            let work = Work::of(&volume.0);
            fs::create_dir_all(&work.old).unwrap();
            for name in entries(&work.root).unwrap().into_iter().take(moved) {
                fs::rename(work.root.join(&name), work.old.join(&name)).unwrap();
            }
            if moved == all {
                // One of what came is in its place already.
                fs::rename(work.new.join("instances"), work.root.join("instances")).unwrap();
            }
            settle(&volume.0).await.unwrap();
            assert_eq!(volume.files(), expected(BEFORE), "{moved} moved");
        }
    }

    #[tokio::test]
    async fn one_that_was_killed_after_the_exchange_is_brought_to_its_end() {
        let volume = laid_out("after");
        let work = Work::of(&volume.0);
        exchange(&work).unwrap();
        fs::remove_dir(&work.new).unwrap();
        settle(&volume.0).await.unwrap();
        assert_eq!(volume.files(), expected(AFTER));
    }
}
