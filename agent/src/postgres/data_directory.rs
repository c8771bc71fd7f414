//! What lies in the data directory, before anything is done to it.
//!
//! Looking changes nothing. Everything that is not plainly empty or plainly ours to run is refused.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::result::{Exit, Reason};

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// No data: no folder, or an empty one.
    Nothing,
    /// A data directory of the right major version.
    Cluster,
}

/// Why what was found is not touched.
#[derive(Debug, thiserror::Error)]
pub enum DataDirectoryError {
    /// Made by another major version.
    #[error("data is {data}, image is {image}; set upgrade.to")]
    VersionMismatch {
        /// What the data says.
        data: String,
        /// The image's major version.
        image: u32,
    },
    /// There are files, but it is no data directory.
    #[error("{} holds files but no PG_VERSION; it is not touched", .0.display())]
    NotEmpty(PathBuf),
    /// The data directory was never completed.
    #[error("{} has PG_VERSION but no global/pg_control: its initialisation was cut off; it is not touched", .0.display())]
    Incomplete(PathBuf),
    /// It belongs to another user.
    #[error("{} belongs to user {owner}, this container runs as {user}", .path.display())]
    OtherOwner {
        /// The data directory.
        path: PathBuf,
        /// Its owner.
        owner: u32,
        /// Who we are.
        user: u32,
    },
    /// The volume is not there, or cannot be used.
    #[error("{}: {error}", .path.display())]
    Unusable {
        /// What was tried.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
}

impl Reason for DataDirectoryError {
    fn code(&self) -> &'static str {
        match self {
            Self::VersionMismatch { .. } => "VersionMismatch",
            Self::NotEmpty(_) => "DataDirectoryNotEmpty",
            Self::Incomplete(_) => "DataDirectoryIncomplete",
            Self::OtherOwner { .. } => "DataDirectoryNotOurs",
            Self::Unusable { error, .. } if error.kind() == io::ErrorKind::StorageFull => {
                "StorageFull"
            }
            Self::Unusable { .. } => "DataDirectoryUnusable",
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::Unusable { .. } => Exit::Temporary,
            _ => Exit::Refused,
        }
    }
}

impl DataDirectoryError {
    /// An error of the file system.
    pub fn at(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |error| Self::Unusable { path, error }
    }
}

/// Looks, and changes nothing.
pub fn inspect(data: &Path, image: u32) -> Result<Found, DataDirectoryError> {
    let parent = data.parent().unwrap_or(Path::new("/"));
    let volume = fs::metadata(parent).map_err(DataDirectoryError::at(parent))?;
    let folder = match fs::metadata(data) {
        Ok(folder) => folder,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(error) => return Err(DataDirectoryError::at(data)(error)),
    };
    let mut entries = fs::read_dir(data).map_err(DataDirectoryError::at(data))?;
    if entries.next().is_none() {
        if folder.dev() != volume.dev() {
            // It is initialised beside and then renamed, which a mount point does not allow.
            let error = io::Error::other("is itself the volume; use a folder below it");
            return Err(DataDirectoryError::at(data)(error));
        }
        return Ok(Found::Nothing);
    }
    let version = match fs::read_to_string(data.join("PG_VERSION")) {
        Ok(version) => version.trim().to_owned(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(DataDirectoryError::NotEmpty(data.to_owned()));
        }
        Err(error) => return Err(DataDirectoryError::at(data)(error)),
    };
    if version != image.to_string() {
        return Err(DataDirectoryError::VersionMismatch {
            data: version,
            image,
        });
    }
    if !data.join("global/pg_control").is_file() {
        return Err(DataDirectoryError::Incomplete(data.to_owned()));
    }
    let user = rustix::process::geteuid().as_raw();
    if folder.uid() != user {
        return Err(DataDirectoryError::OtherOwner {
            path: data.to_owned(),
            owner: folder.uid(),
            user,
        });
    }
    Ok(Found::Cluster)
}

/// Takes away the rights that a volume's group ownership adds at mount time: PostgreSQL refuses to start with them.
pub fn close_to_others(data: &Path) -> Result<(), DataDirectoryError> {
    let mode = fs::metadata(data)
        .map_err(DataDirectoryError::at(data))?
        .permissions()
        .mode();
    if mode & 0o027 != 0 {
        fs::set_permissions(data, fs::Permissions::from_mode(0o700))
            .map_err(DataDirectoryError::at(data))?;
        tracing::info!(
            was = format!("{:o}", mode & 0o7777),
            "the data directory was open to others; now 700"
        );
    }
    Ok(())
}
