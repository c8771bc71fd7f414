//! Which backup is meant: the words that people use for one, and the folder that they come to.
//!
//! A folder counts only if it has a manifest. Changes nothing.

use object_store::path::Path as Place;

use crate::backup::MANIFEST;
use crate::restore::RestoreError;
use crate::restore::earlier::ENDING;
use crate::result::Failure;
use crate::storage::Destination;

/// So many names of other backups are told.
const TOLD: usize = 3;

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
pub enum From {
    /// The newest below the prefix.
    Latest,
    /// What this leads to.
    Path(String),
}

impl From {
    /// No words: the newest.
    pub fn read(words: Option<&str>) -> Self {
        words.map_or(Self::Latest, |words| Self::Path(words.to_owned()))
    }
}

/// What the words lead to.
#[derive(Debug)]
pub enum Found {
    /// A folder with a manifest.
    Folder(Place),
    /// A dump of the earlier operator, one object.
    Earlier(Place),
}

/// A backup of either kind.
pub async fn find_any(storage: &Destination, from: &From) -> Result<Found, Failure> {
    if let From::Path(words) = from
        && words.trim().ends_with(ENDING)
    {
        for place in candidates(words, storage.bucket(), storage.prefix())? {
            if storage.has(&place).await? {
                return Ok(Found::Earlier(place));
            }
        }
    }
    find(storage, from).await.map(Found::Folder)
}

/// The folder.
pub async fn find(storage: &Destination, from: &From) -> Result<Place, Failure> {
    let words = match from {
        From::Latest => {
            let all = manifests(storage, storage.prefix()).await?;
            let below = storage.prefix().to_string();
            return newest(all)
                .ok_or_else(|| RestoreError::NotFound(format!("below {below:?}")).into());
        }
        From::Path(words) => words,
    };
    let places = candidates(words, storage.bucket(), storage.prefix())?;
    for place in &places {
        if storage.has(&place.clone().join(MANIFEST)).await? {
            return Ok(place.clone());
        }
    }
    // A beginning of folders, such as a day.
    for place in &places {
        let parent: Place = parent(place);
        let begin = place.as_ref();
        let all = manifests(storage, &parent).await?;
        let below = all.into_iter().filter(|found| begins(found, begin));
        if let Some(found) = newest(below.collect()) {
            return Ok(found);
        }
    }
    let mut others: Vec<String> = manifests(storage, storage.prefix())
        .await?
        .iter()
        .map(ToString::to_string)
        .collect();
    others.sort();
    let others: Vec<String> = others.into_iter().rev().take(TOLD).collect();
    let text = if others.is_empty() {
        format!(
            "{words:?}; there is none below {:?}",
            storage.prefix().as_ref()
        )
    } else {
        format!("{words:?}; the newest are {}", others.join(", "))
    };
    Err(RestoreError::NotFound(text).into())
}

/// Where it may be: below the prefix, else in the bucket.
fn candidates(words: &str, bucket: &str, prefix: &Place) -> Result<Vec<Place>, RestoreError> {
    let path = words.trim();
    let path = match path.strip_prefix("s3://") {
        Some(rest) => match rest.split_once('/') {
            Some((named, path)) if named == bucket => path,
            _ => {
                return Err(RestoreError::NotFound(format!(
                    "{words:?}: it names another bucket than {bucket:?}"
                )));
            }
        },
        None => path,
    };
    let path = path.trim_matches('/');
    let path = [
        "manifest.json",
        "database.dump.age",
        "database.dump",
        "spec.yaml",
    ]
    .into_iter()
    .find_map(|name| {
        path.strip_suffix(name)
            .filter(|rest| rest.is_empty() || rest.ends_with('/'))
    })
    .unwrap_or(path)
    .trim_matches('/');
    let relative = Place::parse(path)
        .map_err(|error| RestoreError::NotFound(format!("{words:?}: {error}")))?;
    let below: Place = prefix.parts().chain(relative.parts()).collect();
    let mut all = vec![below, relative];
    let spelled: Vec<Place> = all.iter().filter_map(with_marks).collect();
    all.extend(spelled);
    all.retain(|place| !place.as_ref().is_empty());
    all.dedup();
    Ok(all)
}

/// `20261122T021705Z` as folders spell it; also in small letters, as objects do, and as the end of an object's name.
fn with_marks(place: &Place) -> Option<Place> {
    let name = place.filename()?;
    let compact = name
        .get(name.len().checked_sub(16)?..)?
        .to_ascii_uppercase();
    let digits = |range: std::ops::Range<usize>| {
        let part = compact.get(range)?;
        part.bytes().all(|b| b.is_ascii_digit()).then_some(part)
    };
    if compact.get(8..9) != Some("T") || compact.get(15..16) != Some("Z") {
        return None;
    }
    let spelled = format!(
        "{}-{}-{}T{}:{}:{}Z",
        digits(0..4)?,
        digits(4..6)?,
        digits(6..8)?,
        digits(9..11)?,
        digits(11..13)?,
        digits(13..15)?
    );
    Some(parent(place).join(spelled))
}

fn parent(place: &Place) -> Place {
    let mut parts: Vec<_> = place.parts().collect();
    parts.pop();
    parts.into_iter().collect()
}

async fn manifests(storage: &Destination, below: &Place) -> Result<Vec<Place>, Failure> {
    let found = storage.named(below, MANIFEST).await?;
    Ok(found.iter().map(parent).collect())
}

fn begins(found: &Place, begin: &str) -> bool {
    found.as_ref().starts_with(begin)
}

/// By the time that the folder is named for.
fn newest(mut all: Vec<Place>) -> Option<Place> {
    all.sort_by(|a, b| (a.filename(), a.as_ref()).cmp(&(b.filename(), b.as_ref())));
    all.pop()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(words: &str) -> Vec<String> {
        let prefix = Place::parse("prod/x").unwrap();
        let all = candidates(words, "b", &prefix).unwrap();
        all.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_folder_may_be_named_with_or_without_prefix_bucket_and_file() {
        let folder = "2026-11-22T02:17:05Z";
        for words in [
            "2026-11-22T02:17:05Z",
            "/2026-11-22T02:17:05Z/",
            "2026-11-22T02:17:05Z/manifest.json",
            "2026-11-22T02:17:05Z/database.dump.age",
        ] {
            assert_eq!(of(words), [format!("prod/x/{folder}"), folder.to_owned()]);
        }
        let whole = "s3://b/prod/x/2026-11-22T02:17:05Z/manifest.json";
        assert_eq!(of(whole)[1], format!("prod/x/{folder}"));
        let other = candidates("s3://other/x", "b", &Place::default());
        assert_eq!(other.unwrap_err().code(), "NotFound");
    }

    #[test]
    fn a_compact_time_is_one_too() {
        for words in ["20261122T021705Z", "nightly-20261122t021705z"] {
            assert!(
                of(words).contains(&"prod/x/2026-11-22T02:17:05Z".to_owned()),
                "{:?}",
                of(words)
            );
        }
    }

    #[test]
    fn the_newest_goes_by_the_time_in_the_name() {
        let all = ["b/2026-01-01T00:00:00Z", "a/2026-02-01T00:00:00Z"];
        let all = all.map(|text| Place::parse(text).unwrap());
        assert_eq!(
            newest(all.to_vec()).unwrap().as_ref(),
            "a/2026-02-01T00:00:00Z"
        );
    }

    use crate::result::Reason;
}
