//! Packs the server's files: `files.tar.zst`, which `tar --zstd` reads.
//!
//! The server may run meanwhile. A file that goes away is passed over, one that grows is cut where it ended when it was opened. Nothing is
//! left out because it could not be read: then there is no backup.

use std::fs::{File, Metadata};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use tar::{Builder, EntryType, Header};

use crate::backup::input::Input;
use crate::backup::manifest;
use crate::backup::part::Part;
use crate::bridge::{self, Pipe};
use crate::data::{Trouble, is_gone, walk};
use crate::result::{Exit, Failure, Reason, one_line};

/// Name of the part.
pub const FILES: &str = "files.tar.zst";
const LEVEL: i32 = 3;
/// Smaller files are read at once, so that none of them is torn.
const WHOLE_BYTES: u64 = 1 << 20;

/// Why the files are not packed.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// Something cannot be read.
    #[error("{path}: {words}")]
    Unreadable {
        /// Relative to the folder.
        path: String,
        /// Why not.
        words: String,
        /// It will not be otherwise at another time.
        lasting: bool,
    },
    /// Whoever sends has given up, or the system has no more.
    #[error("{0}")]
    System(String),
}

impl Reason for FilesError {
    fn code(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "FilesUnreadable",
            Self::System(_) => "Internal",
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::Unreadable { lasting: true, .. } => Exit::Refused,
            Self::Unreadable { .. } => Exit::Temporary,
            Self::System(_) => Exit::Internal,
        }
    }
}

impl From<Trouble> for FilesError {
    fn from(trouble: Trouble) -> Self {
        Self::Unreadable {
            path: one_line(&format!("/{}", trouble.path.display())),
            words: trouble.error.to_string(),
            lasting: trouble.error.kind() == io::ErrorKind::PermissionDenied,
        }
    }
}

/// What was packed.
#[derive(Debug, Clone, Copy, Default, serde::Serialize)]
pub struct Packed {
    /// Files, folders and links not counted.
    pub count: u64,
    /// Their sizes together.
    pub bytes: u64,
}

/// Packs `root` into the folder of the backup.
pub async fn run(
    input: &Input,
    root: &Path,
    folder: &str,
) -> Result<(manifest::Part, Packed), Failure> {
    let (root, sealed) = (root.to_owned(), input.seals());
    let counting = root.clone();
    let expected = blocking(move || size(&counting, sealed)).await?;
    let mut part = Part::start(input, folder, FILES, expected)?;
    let (pipe, mut chunks) = bridge::to_task();
    let packing = tokio::task::spawn_blocking(move || pack(&root, sealed, pipe));
    while let Some(chunk) = chunks.recv().await {
        part.write(&chunk).await?;
    }
    // Only after its last chunk does it say whether that was all.
    let packed = packing
        .await
        .map_err(|error| FilesError::System(error.to_string()))??;
    Ok((part.finish().await?, packed))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, FilesError> + Send + 'static,
) -> Result<T, FilesError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| FilesError::System(error.to_string()))?
}

fn size(root: &Path, sealed: bool) -> Result<u64, FilesError> {
    let mut bytes = 0;
    walk(root, sealed, &mut |_, metadata| {
        if metadata.is_file() {
            bytes += metadata.len();
        }
        Ok(())
    })?;
    Ok(bytes)
}

fn pack(root: &Path, sealed: bool, to: Pipe) -> Result<Packed, FilesError> {
    let system = |error: io::Error| FilesError::System(error.to_string());
    let mut encoder = zstd::Encoder::new(to, LEVEL).map_err(system)?;
    encoder.include_checksum(true).map_err(system)?;
    let mut archive = Builder::new(encoder);
    let mut packed = Packed::default();
    walk(root, sealed, &mut |path, metadata| {
        let bytes = add(&mut archive, root, path, metadata).map_err(|error| Trouble {
            path: path.to_owned(),
            error,
        })?;
        packed.count += u64::from(bytes.is_some());
        packed.bytes += bytes.unwrap_or_default();
        Ok(())
    })?;
    let encoder = archive.into_inner().map_err(system)?;
    let mut pipe = encoder.finish().map_err(system)?;
    pipe.flush().map_err(system)?;
    Ok(packed)
}

/// Adds one entry; the size, if it is a file. Sockets and the like belong to a process and are passed over.
fn add(
    archive: &mut Builder<impl Write>,
    root: &Path,
    path: &Path,
    metadata: &Metadata,
) -> io::Result<Option<u64>> {
    let mut header = Header::new_gnu();
    header.set_metadata(metadata);
    let kind = metadata.file_type();
    if kind.is_dir() {
        header.set_size(0);
        archive.append_data(&mut header, path, io::empty())?;
        return Ok(None);
    }
    if kind.is_symlink() {
        let target: PathBuf = match std::fs::read_link(root.join(path)) {
            Ok(target) => target,
            Err(error) if is_gone(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        header.set_entry_type(EntryType::Symlink);
        header.set_size(0);
        archive.append_link(&mut header, path, target)?;
        return Ok(None);
    }
    if !kind.is_file() {
        return Ok(None);
    }
    let mut file = match File::open(root.join(path)) {
        Ok(file) => file,
        Err(error) if is_gone(&error) => return Ok(None),
        Err(error) => return Err(error),
    };
    let size = file.metadata()?.len();
    if size <= WHOLE_BYTES {
        let mut content = Vec::new();
        file.read_to_end(&mut content)?;
        header.set_size(content.len() as u64);
        archive.append_data(&mut header, path, &content[..])?;
        return Ok(Some(content.len() as u64));
    }
    header.set_size(size);
    // One that was cut meanwhile is filled up: the header has told its size.
    let content = file.chain(io::repeat(0)).take(size);
    archive.append_data(&mut header, path, content)?;
    Ok(Some(size))
}
