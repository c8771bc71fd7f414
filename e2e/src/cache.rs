//! The cache folder outside the tree: what takes minutes to make (binaries, images, a filled container store) is made once and
//! kept under a name that holds a hash of everything it was made from. An entry is either complete or absent: it is made in a
//! temporary folder beside its place and renamed. Never holds anything that cannot be made again.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use sha2::{Digest as _, Sha256};

/// The cache folder.
#[derive(Debug, Clone)]
pub struct Cache {
    root: PathBuf,
}

impl Cache {
    /// `$PAPERCLIP_OPERATOR_CACHE`, else `paperclip-operator` in the user's cache folder.
    pub fn open() -> Result<Self> {
        let root = match std::env::var_os("PAPERCLIP_OPERATOR_CACHE")
            .filter(|value| !value.is_empty())
        {
            Some(root) => PathBuf::from(root),
            None => match std::env::var_os("XDG_CACHE_HOME").filter(|value| !value.is_empty()) {
                Some(folder) => PathBuf::from(folder).join("paperclip-operator"),
                None => PathBuf::from(std::env::var_os("HOME").context("HOME is not set")?)
                    .join(".cache/paperclip-operator"),
            },
        };
        Self::at(&root)
    }

    /// A cache in a given folder, which is made if it is not there.
    pub fn at(root: &Path) -> Result<Self> {
        fs::create_dir_all(root)
            .with_context(|| format!("cannot make the cache folder {}", root.display()))?;
        Ok(Self {
            root: root.canonicalize()?,
        })
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where an entry is, or will be.
    pub fn path(&self, kind: &str, name: &str) -> PathBuf {
        self.root.join(kind).join(name)
    }

    /// Gives the entry, and makes it first if it is not there: `make` fills an empty folder. Two processes that want the same
    /// entry wait for each other; what a killed process left half done is thrown away.
    pub async fn entry<F>(&self, kind: &str, name: &str, make: F) -> Result<PathBuf>
    where
        F: AsyncFnOnce(&Path) -> Result<()>,
    {
        let place = self.path(kind, name);
        if place.exists() {
            return Ok(place);
        }
        fs::create_dir_all(self.root.join(kind))?;
        let _lock = self.lock(&format!("{kind}-{name}")).await?;
        if place.exists() {
            return Ok(place);
        }
        let unfinished = self.path(kind, &format!("{name}.unfinished"));
        remove_tree(&unfinished)?;
        fs::create_dir_all(&unfinished)?;
        make(&unfinished).await?;
        fs::rename(&unfinished, &place)?;
        Ok(place)
    }

    /// Removes entries of a kind whose names begin so, made more than a day ago: for what is made anew with every change of the code.
    pub fn forget_old(&self, kind: &str, prefix: &str, keep: &Path) -> Result<()> {
        let day = Duration::from_secs(24 * 3600);
        for entry in fs::read_dir(self.root.join(kind))? {
            let path = entry?.path();
            let ours = path
                .file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with(prefix));
            let age = path
                .metadata()
                .and_then(|metadata| metadata.modified())
                .ok()
                .and_then(|time| time.elapsed().ok());
            if ours && path != keep && age.is_some_and(|age| age > day) {
                remove_tree(&path)?;
            }
        }
        Ok(())
    }

    /// Waits for a lock between processes. It is released when the file is dropped, or the process ends, however it ends.
    pub async fn lock(&self, name: &str) -> Result<File> {
        let folder = self.root.join("locks");
        fs::create_dir_all(&folder)?;
        let file = File::create(folder.join(name))?;
        tokio::task::spawn_blocking(move || file.lock().map(|()| file))
            .await?
            .with_context(|| format!("cannot lock {name}"))
    }
}

/// A short hash over all parts, for names of cache entries. Parts cannot run into each other: their lengths are hashed too.
pub fn key<T: AsRef<[u8]>>(parts: impl IntoIterator<Item = T>) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        let part = part.as_ref();
        hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
        hash.update(part);
    }
    hex(&hash.finalize())[..16].to_owned()
}

/// Bytes as lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// Removes a folder with all it holds; it may be absent.
pub fn remove_tree(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::{bail, ensure};

    fn scratch(name: &str) -> Result<Cache> {
        let folder =
            std::env::temp_dir().join(format!("paperclip-e2e-cache-{name}-{}", std::process::id()));
        remove_tree(&folder)?;
        Cache::at(&folder)
    }

    #[tokio::test]
    async fn an_entry_is_made_once() -> Result<()> {
        let cache = scratch("once")?;
        for expected in ["first", "first"] {
            let entry = cache
                .entry("kind", "name", async |folder| {
                    Ok(fs::write(folder.join("file"), expected)?)
                })
                .await?;
            assert_eq!(fs::read_to_string(entry.join("file"))?, "first");
        }
        remove_tree(cache.root())
    }

    #[tokio::test]
    async fn what_failed_half_way_is_not_an_entry() -> Result<()> {
        let cache = scratch("half")?;
        let failed = cache
            .entry("kind", "name", async |folder| {
                fs::write(folder.join("half"), "")?;
                bail!("no network")
            })
            .await;
        ensure!(failed.is_err());
        let entry = cache
            .entry("kind", "name", async |folder| {
                Ok(fs::write(folder.join("whole"), "")?)
            })
            .await?;
        ensure!(entry.join("whole").exists() && !entry.join("half").exists());
        remove_tree(cache.root())
    }

    #[tokio::test]
    async fn only_old_entries_of_the_name_are_forgotten() -> Result<()> {
        let cache = scratch("old")?;
        let long_ago = std::time::SystemTime::now() - Duration::from_secs(30 * 3600);
        for (name, old) in [("a-1", true), ("a-2", true), ("a-3", false), ("b-1", true)] {
            let entry = cache.entry("kind", name, async |_| Ok(())).await?;
            if old {
                File::open(entry)?.set_modified(long_ago)?;
            }
        }
        cache.forget_old("kind", "a-", &cache.path("kind", "a-2"))?;
        let left = ["a-1", "a-2", "a-3", "b-1"].map(|name| cache.path("kind", name).exists());
        assert_eq!(left, [false, true, true, true]);
        remove_tree(cache.root())
    }

    #[test]
    fn parts_of_a_key_do_not_run_into_each_other() {
        assert_ne!(key(["ab", "c"]), key(["a", "bc"]));
        assert_eq!(key(["a"]).len(), 16);
    }
}
