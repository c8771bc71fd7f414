//! Finds PostgreSQL's programs in whatever image the agent runs in.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::result::{Exit, Reason, one_line};

/// PostgreSQL's programs.
#[derive(Debug, Clone)]
pub struct Binaries {
    /// The server.
    pub postgres: PathBuf,
    /// Makes data directories.
    pub initdb: PathBuf,
    /// Version as the server says it, such as `17.6`.
    pub version: String,
    /// Major version.
    pub major: u32,
}

/// Why there are none to use.
#[derive(Debug, thiserror::Error)]
pub enum BinariesError {
    /// No folder with both programs.
    #[error("no initdb and postgres in PATH, /usr/lib/postgresql/<major>/bin or /usr/local/bin")]
    NotFound,
    /// They are of another major version than wanted.
    #[error("image is {found}, wanted is {wanted}")]
    OtherMajor {
        /// Major version of the image.
        found: String,
        /// Major version that was asked for.
        wanted: u32,
    },
    /// A program does not say its version.
    #[error("{}: {problem}", .path.display())]
    Unusable {
        /// The program.
        path: PathBuf,
        /// What came instead.
        problem: String,
    },
}

impl Reason for BinariesError {
    fn code(&self) -> &'static str {
        match self {
            Self::NotFound => "PostgresNotFound",
            Self::OtherMajor { .. } => "VersionMismatch",
            Self::Unusable { .. } => "PostgresUnusable",
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::NotFound | Self::Unusable { .. } => Exit::WrongInput,
            Self::OtherMajor { .. } => Exit::Refused,
        }
    }
}

impl Binaries {
    /// The programs of the wanted major version, or of the first version found if none is wanted.
    pub fn find(path: &str, wanted: Option<u32>) -> Result<Self, BinariesError> {
        let mut others = Vec::new();
        let mut unusable = None;
        for folder in folders(path) {
            let (postgres, initdb) = (folder.join("postgres"), folder.join("initdb"));
            if !postgres.is_file() || !initdb.is_file() {
                continue;
            }
            match version(&postgres) {
                Ok((version, major)) if wanted.is_none_or(|wanted| wanted == major) => {
                    return Ok(Self {
                        postgres,
                        initdb,
                        version,
                        major,
                    });
                }
                Ok((_, major)) => others.push(major.to_string()),
                Err(error) => unusable = unusable.or(Some(error)),
            }
        }
        match (wanted, unusable) {
            (Some(wanted), _) if !others.is_empty() => Err(BinariesError::OtherMajor {
                found: others.join(", "),
                wanted,
            }),
            (_, Some(error)) => Err(error),
            _ => Err(BinariesError::NotFound),
        }
    }
}

/// Where programs may be, the best place first.
pub fn folders(path: &str) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = std::env::split_paths(path)
        .filter(|folder| folder.is_absolute())
        .collect();
    let mut of_debian: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            Some((
                entry.file_name().to_str()?.parse().ok()?,
                entry.path().join("bin"),
            ))
        })
        .collect();
    of_debian.sort();
    folders.extend(of_debian.into_iter().rev().map(|(_, folder)| folder));
    folders.push("/usr/local/bin".into());
    folders.dedup();
    folders
}

/// What a program of PostgreSQL says of itself: its version, and the major number in it.
pub fn version(postgres: &Path) -> Result<(String, u32), BinariesError> {
    let unusable = |problem: String| BinariesError::Unusable {
        path: postgres.to_owned(),
        problem,
    };
    let output = Command::new(postgres)
        .arg("--version")
        .output()
        .map_err(|error| unusable(error.to_string()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    parse_version(&text).ok_or_else(|| unusable(format!("unknown version {:?}", one_line(&text))))
}

/// `postgres (PostgreSQL) 17.6 (Debian 17.6-0+deb13u1)`, also `18beta2`.
fn parse_version(text: &str) -> Option<(String, u32)> {
    let version = text
        .split_once("(PostgreSQL) ")?
        .1
        .split_whitespace()
        .next()?;
    let digits: String = version.chars().take_while(char::is_ascii_digit).collect();
    Some((version.to_owned(), digits.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_all_packagers_are_understood() {
        assert_eq!(
            parse_version("postgres (PostgreSQL) 17.6 (Debian 17.6-0+deb13u1)\n"),
            Some(("17.6".into(), 17))
        );
        assert_eq!(
            parse_version("postgres (PostgreSQL) 16.4\n"),
            Some(("16.4".into(), 16))
        );
        assert_eq!(
            parse_version("postgres (PostgreSQL) 18beta2"),
            Some(("18beta2".into(), 18))
        );
        assert_eq!(parse_version("something else"), None);
    }
}
