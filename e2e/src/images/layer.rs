//! One layer of an image: an uncompressed tar archive and its digest. The same content gives the same bytes: entries are sorted,
//! times are zero. Device files and sockets are left out; a container gets its own.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use sha2::{Digest as _, Sha256};
use tar::{Builder, EntryType, Header};

use crate::cache::hex;

/// A finished blob: a layer, or a JSON document of an image.
#[derive(Debug, Clone)]
pub struct Blob {
    /// SHA-256 of the content, 64 hexadecimal digits.
    pub digest: String,
    /// Bytes.
    pub size: u64,
}

/// Who owns the files of a folder in the image, and who may read them.
#[derive(Debug, Clone, Copy)]
pub enum Owner {
    /// As on the disk.
    Kept,
    /// Root; everybody may read.
    Root,
}

/// A layer in the making.
pub struct LayerBuilder {
    archive: Builder<Hashing<BufWriter<File>>>,
    file: PathBuf,
    links: HashMap<(u64, u64), PathBuf>,
}

impl LayerBuilder {
    /// Starts a layer in a file inside `folder`; it gets the name of its digest at the end.
    pub fn create(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let file = folder.join("layer.unfinished");
        let writer = Hashing {
            inner: BufWriter::with_capacity(1 << 20, File::create(&file)?),
            hash: Sha256::new(),
            size: 0,
        };
        Ok(Self {
            archive: Builder::new(writer),
            file,
            links: HashMap::new(),
        })
    }

    /// Adds a folder of the disk with all it holds, at a path in the image (relative; empty for the root).
    pub fn folder(&mut self, source: &Path, target: &Path, owner: Owner) -> Result<&mut Self> {
        let mut names: Vec<_> = fs::read_dir(source)?
            .map(|entry| entry.map(|entry| entry.file_name()))
            .collect::<io::Result<_>>()?;
        names.sort();
        for name in names {
            let (from, to) = (source.join(&name), target.join(&name));
            self.entry(&from, &to, owner)
                .with_context(|| format!("cannot add {} to the layer", from.display()))?;
        }
        Ok(self)
    }

    fn entry(&mut self, from: &Path, to: &Path, owner: Owner) -> Result<()> {
        let metadata = fs::symlink_metadata(from)?;
        let kind = metadata.file_type();
        if kind.is_socket() || kind.is_char_device() || kind.is_block_device() || kind.is_fifo() {
            return Ok(());
        }
        let mut header = header(metadata.mode());
        match owner {
            Owner::Kept => {
                header.set_uid(u64::from(metadata.uid()));
                header.set_gid(u64::from(metadata.gid()));
            }
            Owner::Root => {
                let executable = if metadata.is_dir() || metadata.mode() & 0o100 != 0 {
                    0o111
                } else {
                    0
                };
                header.set_mode((metadata.mode() & 0o7777) | 0o444 | executable);
            }
        }
        if kind.is_symlink() {
            header.set_entry_type(EntryType::Symlink);
            self.archive
                .append_link(&mut header, to, fs::read_link(from)?)?;
        } else if kind.is_dir() {
            header.set_entry_type(EntryType::Directory);
            self.archive.append_data(&mut header, to, io::empty())?;
            self.folder(from, to, owner)?;
        } else if let Some(first) = self.linked(&metadata, to) {
            header.set_entry_type(EntryType::Link);
            self.archive.append_link(&mut header, to, first)?;
        } else {
            header.set_entry_type(EntryType::Regular);
            header.set_size(metadata.len());
            self.archive
                .append_data(&mut header, to, File::open(from)?)?;
        }
        Ok(())
    }

    /// The path under which the same file is in the layer already.
    fn linked(&mut self, metadata: &fs::Metadata, to: &Path) -> Option<PathBuf> {
        if metadata.nlink() < 2 {
            return None;
        }
        let known = self.links.get(&(metadata.dev(), metadata.ino())).cloned();
        if known.is_none() {
            self.links
                .insert((metadata.dev(), metadata.ino()), to.to_owned());
        }
        known
    }

    /// Adds one file of the disk under another name, owned by root.
    pub fn file(&mut self, source: &Path, target: &str, mode: u32) -> Result<&mut Self> {
        let content =
            fs::read(source).with_context(|| format!("cannot read {}", source.display()))?;
        self.bytes(target, mode, &content)
    }

    /// Adds a file with the given content, owned by root.
    pub fn bytes(&mut self, target: &str, mode: u32, content: &[u8]) -> Result<&mut Self> {
        let mut header = header(mode);
        header.set_entry_type(EntryType::Regular);
        header.set_size(u64::try_from(content.len())?);
        self.archive.append_data(&mut header, target, content)?;
        Ok(self)
    }

    /// Adds an empty folder.
    pub fn directory(&mut self, target: &str, mode: u32, owner: u64) -> Result<&mut Self> {
        let mut header = header(mode);
        header.set_entry_type(EntryType::Directory);
        header.set_uid(owner);
        header.set_gid(owner);
        self.archive.append_data(&mut header, target, io::empty())?;
        Ok(self)
    }

    /// Adds a symbolic link.
    pub fn symlink(&mut self, target: &str, leads_to: &str) -> Result<&mut Self> {
        let mut header = header(0o777);
        header.set_entry_type(EntryType::Symlink);
        self.archive.append_link(&mut header, target, leads_to)?;
        Ok(self)
    }

    /// Ends the layer; its file is now named for its digest.
    pub fn finish(self) -> Result<Blob> {
        let mut writer = self.archive.into_inner()?;
        writer.flush()?;
        let blob = Blob {
            digest: hex(&writer.hash.finalize()),
            size: writer.size,
        };
        fs::rename(&self.file, self.file.with_file_name(&blob.digest))?;
        Ok(blob)
    }
}

fn header(mode: u32) -> Header {
    let mut header = Header::new_gnu();
    header.set_mode(mode & 0o7777);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(0);
    header
}

/// Hashes and counts what passes through.
struct Hashing<W> {
    inner: W,
    hash: Sha256,
    size: u64,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(data)?;
        self.hash.update(&data[..written]);
        self.size += u64::try_from(written).unwrap_or_default();
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::remove_tree;
    use std::io::Read as _;

    fn folder(name: &str) -> Result<PathBuf> {
        let folder =
            std::env::temp_dir().join(format!("paperclip-e2e-layer-{name}-{}", std::process::id()));
        remove_tree(&folder)?;
        fs::create_dir_all(folder.join("in/b"))?;
        fs::write(folder.join("in/b/file"), "text")?;
        fs::hard_link(folder.join("in/b/file"), folder.join("in/b/same"))?;
        std::os::unix::fs::symlink("b/file", folder.join("in/a"))?;
        Ok(folder)
    }

    fn build(folder: &Path) -> Result<Blob> {
        let mut layer = LayerBuilder::create(&folder.join("out"))?;
        layer
            .folder(&folder.join("in"), Path::new(""), Owner::Root)?
            .bytes("z", 0o644, b"last")?
            .directory("tmp", 0o1777, 0)?;
        layer.finish()
    }

    #[test]
    fn entries_are_sorted_and_links_are_kept() -> Result<()> {
        let folder = folder("sorted")?;
        let blob = build(&folder)?;
        let mut archive = tar::Archive::new(File::open(folder.join("out").join(&blob.digest))?);
        let mut seen = Vec::new();
        for entry in archive.entries()? {
            let mut entry = entry?;
            let mut text = String::new();
            entry.read_to_string(&mut text)?;
            let link = entry
                .link_name()?
                .map(|path| path.display().to_string())
                .unwrap_or_default();
            seen.push(format!(
                "{} {:?} {link}{text}",
                entry.path()?.display(),
                entry.header().entry_type()
            ));
        }
        assert_eq!(
            seen,
            [
                "a Symlink b/file",
                "b Directory ",
                "b/file Regular text",
                "b/same Link b/file",
                "z Regular last",
                "tmp Directory "
            ]
        );
        remove_tree(&folder)
    }

    #[test]
    fn the_same_content_has_the_same_digest() -> Result<()> {
        let (one, two) = (folder("one")?, folder("two")?);
        File::open(two.join("in/b/file"))?.set_modified(std::time::SystemTime::UNIX_EPOCH)?;
        let (first, second) = (build(&one)?, build(&two)?);
        assert_eq!(first.digest, second.digest);
        assert_eq!(
            first.size,
            fs::metadata(one.join("out").join(&first.digest))?.len()
        );
        remove_tree(&one)?;
        remove_tree(&two)
    }
}
