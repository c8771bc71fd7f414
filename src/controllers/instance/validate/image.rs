//! `spec.image`. Pure.

use super::findings::Findings;
use crate::crd::instance::{Image as Spec, PullPolicy};
use crate::crd::{Words, text};

/// Where the server comes from if nobody says.
const REPOSITORY: &str = "ghcr.io/paperclipai/paperclip";
const TAG: &str = "latest";

/// The server's image.
#[derive(Clone, Debug, PartialEq)]
pub struct Image<'a> {
    /// As in a pod.
    pub reference: String,
    /// As in a pod.
    pub pull_policy: &'static str,
    /// Names of Secrets for the registry.
    pub pull_secrets: Vec<&'a str>,
    /// The tag, if that is what chooses the build.
    pub tag: Option<&'a str>,
}

/// Reads the section.
pub fn image<'a>(spec: Option<&'a Spec>, out: &mut Findings) -> Image<'a> {
    let repository = spec.and_then(|s| text(s.repository.as_ref()));
    let (tag, digest) = (
        spec.and_then(|s| text(s.tag.as_ref())),
        spec.and_then(|s| text(s.digest.as_ref())),
    );
    let policy = out.word(
        "image.pullPolicy",
        spec.and_then(|s| s.pull_policy.as_ref()),
    );
    if let Some(tag) = tag
        && !is_tag(tag)
    {
        out.invalid(
            "image.tag",
            format!("\"{}\" is not a tag", crate::shared::conditions::quote(tag)),
        );
    }
    match (tag, digest) {
        (None, None) => out.advise(
            "FloatingTag",
            "image",
            format!("no tag or digest, \"{TAG}\" is used"),
        ),
        (Some(TAG), None) => out.advise(
            "FloatingTag",
            "image.tag",
            format!("\"{TAG}\" floats; pin a digest or use autoUpdate"),
        ),
        _ => {}
    }
    let repository = repository.unwrap_or(REPOSITORY).trim();
    Image {
        reference: digest.map_or_else(
            || format!("{repository}:{}", tag.unwrap_or(TAG)),
            |digest| format!("{repository}@{}", digest.trim()),
        ),
        pull_policy: policy.unwrap_or(PullPolicy::IfNotPresent).as_str(),
        pull_secrets: spec
            .into_iter()
            .flat_map(|s| &s.pull_secrets)
            .map(|s| s.name.as_str())
            .filter(|name| !name.is_empty())
            .collect(),
        tag: digest.is_none().then(|| tag.unwrap_or(TAG)),
    }
}

fn is_tag(tag: &str) -> bool {
    tag.len() <= 128
        && tag.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && tag
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(yaml: &str) -> (String, Vec<String>) {
        let spec: Spec = serde_saphyr::from_str(yaml).unwrap();
        let mut out = Findings::default();
        let image = image(Some(&spec), &mut out);
        let said = out
            .iter()
            .map(|f| format!("{} {}: {}", f.class.reason(), f.path, f.text))
            .collect();
        (image.reference, said)
    }

    #[test]
    fn nothing_means_the_published_image_and_a_warning() {
        for yaml in ["{}", "{tag: '', digest: ''}"] {
            let (image, said) = read(yaml);
            assert_eq!(image, "ghcr.io/paperclipai/paperclip:latest");
            assert_eq!(
                said,
                ["AcceptedWithWarnings spec.image: no tag or digest, \"latest\" is used"]
            );
        }
    }

    #[test]
    fn a_digest_wins_over_the_tag_and_does_not_float() {
        let (image, said) = read("{repository: r.example/p, tag: latest, digest: 'sha256:aa'}");
        assert_eq!(image, "r.example/p@sha256:aa");
        assert!(said.is_empty());
    }

    #[test]
    fn a_stored_tag_that_is_none_stops_the_change() {
        assert!(read("{tag: 'a/b'}").1[0].starts_with("InvalidSpec spec.image.tag"));
    }
}
