//! Image and major version of PostgreSQL. Pure.

use super::super::problem::{Problem, Reason};
use super::Problems;
use crate::crd::database::PaperclipDatabaseSpec;
use crate::crd::text;
use crate::shared::conditions::quote;

/// Major versions that are supported.
const SUPPORTED: std::ops::RangeInclusive<i32> = 15..=18;
/// The one that a new database gets.
const NEWEST: i32 = 17;
/// User `postgres` of the official images: of those on Alpine, and of those on Debian.
const ALPINE_UID: i64 = 70;
const DEBIAN_UID: i64 = 999;

/// Major version and image; `data` is the version of the data, if it is known. What a spec does not say follows the data, never the
/// newest version.
pub(in crate::controllers::database) fn of(
    spec: &PaperclipDatabaseSpec,
    data: Option<i32>,
    problems: &mut Problems,
) -> (i32, String) {
    let image = text(spec.image.as_ref());
    let tagged = image.and_then(major);
    let version = spec.version.or(tagged).or(data).unwrap_or(NEWEST);
    if !SUPPORTED.contains(&version) {
        let path = if spec.version.is_some() {
            "spec.version"
        } else {
            "spec.image"
        };
        problems.push(Problem::invalid(
            path,
            format!(
                "PostgreSQL {version} is not supported; use {} to {}",
                SUPPORTED.start(),
                SUPPORTED.end()
            ),
        ));
    }
    if let (Some(image), Some(tagged)) = (image, tagged)
        && tagged != version
    {
        problems.push(Problem::invalid(
            "spec.image",
            format!(
                "\"{}\" is PostgreSQL {tagged}, spec.version is {version}",
                quote(image)
            ),
        ));
    }
    if let Some(data) = data
        && data != version
    {
        problems.push(Problem::new(
            Reason::VersionMismatch,
            if spec.version.is_some() {
                "spec.version"
            } else {
                "spec.image"
            },
            format!("data is {data}, image is {version}; put it back"),
        ));
    }
    let image = image.map_or_else(|| format!("postgres:{version}-alpine"), ToOwned::to_owned);
    (version, image)
}

/// Repository and tag; a digest is left out.
fn parts(image: &str) -> (&str, Option<&str>) {
    let image = image.split_once('@').map_or(image, |(name, _)| name);
    match image.rsplit_once(':') {
        // A colon before the last slash belongs to a port.
        Some((repository, tag)) if !tag.contains('/') => (repository, Some(tag)),
        _ => (image, None),
    }
}

/// The major version that the tag begins with. A tag without one says nothing; then the agent looks at the programs in the image.
fn major(image: &str) -> Option<i32> {
    let tag = parts(image).1?;
    let digits = tag.find(|c: char| !c.is_ascii_digit()).unwrap_or(tag.len());
    match tag[digits..].chars().next() {
        None | Some('.' | '-' | '_') => tag[..digits].parse().ok().filter(|n| (1..100).contains(n)),
        _ => None,
    }
}

/// The user that the image has a name for; without one, `initdb` refuses to run.
pub fn uid(image: &str) -> i64 {
    let (repository, tag) = parts(image);
    let tag = tag.unwrap_or("latest");
    let official = matches!(
        repository,
        "postgres" | "library/postgres" | "docker.io/postgres" | "docker.io/library/postgres"
    );
    let debian = ["bullseye", "bookworm", "trixie"]
        .iter()
        .any(|release| tag.contains(release));
    if debian || (official && !tag.contains("alpine")) {
        DEBIAN_UID
    } else {
        ALPINE_UID
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_what_the_tag_begins_with() {
        for (image, expected) in [
            ("postgres:17-alpine", Some(17)),
            ("postgres:16.4", Some(16)),
            ("r.example.com:5000/pg/postgres:15", Some(15)),
            ("r.example.com:5000/postgres", None),
            ("postgres:17@sha256:0000", Some(17)),
            ("postgres@sha256:0000", None),
            ("postgres:latest", None),
            ("postgres:20260101", None),
            ("postgres:17beta1", None),
        ] {
            assert_eq!(major(image), expected, "{image}");
        }
    }

    #[test]
    fn the_user_is_the_one_that_the_image_has_a_name_for() {
        for (image, expected) in [
            ("postgres:17-alpine", ALPINE_UID),
            ("docker.io/library/postgres:17-alpine3.22", ALPINE_UID),
            ("postgres:17", DEBIAN_UID),
            ("postgres:17-bookworm", DEBIAN_UID),
            ("registry.local/pg:17-trixie", DEBIAN_UID),
            ("registry.local/pg:17", ALPINE_UID),
        ] {
            assert_eq!(uid(image), expected, "{image}");
        }
    }
}
