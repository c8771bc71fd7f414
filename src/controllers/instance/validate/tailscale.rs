//! `spec.tailscale`: the server in a tailnet. Pure.

use super::findings::Findings;
use super::names::Identity;
use crate::crd::instance::{DeploymentMode, InstanceSpec, TailscaleMode};
use crate::crd::text;
use k8s_openapi::api::core::v1::ResourceRequirements;

/// The server in a tailnet.
#[derive(Clone, Debug, PartialEq)]
pub struct Tailscale<'a> {
    /// The internet may come in too.
    pub funnel: bool,
    /// Image of the container.
    pub image: String,
    /// Secret with the key to join with.
    pub secret: &'a str,
    /// Key in that Secret.
    pub key: &'a str,
    /// Name in the tailnet.
    pub hostname: &'a str,
    /// CPU and memory.
    pub resources: Option<&'a ResourceRequirements>,
}

/// Secret and key to join with.
pub fn auth_key(spec: &InstanceSpec) -> Option<(&str, &str)> {
    let section = spec
        .tailscale
        .as_deref()
        .filter(|t| t.enabled == Some(true))?;
    let auth = section.auth_key.as_ref()?;
    let secret = auth.secret_ref.as_ref().filter(|r| !r.name.is_empty())?;
    Some((&secret.name, text(auth.key.as_ref()).unwrap_or("authkey")))
}

/// Reads the section.
pub fn tailscale<'a>(
    spec: &'a InstanceSpec,
    id: &Identity<'a>,
    out: &mut Findings,
) -> Option<Tailscale<'a>> {
    let section = spec.tailscale.as_deref()?;
    let mode = out.word("tailscale.mode", section.mode.as_ref());
    if section.enabled != Some(true) {
        return None;
    }
    let funnel = mode == Some(TailscaleMode::Funnel);
    let auth = auth_key(spec);
    if auth.is_none() {
        out.invalid(
            "tailscale",
            "tailscale.authKey is required when tailscale.enabled is true",
        );
    }
    let local_trusted = spec
        .deployment
        .as_ref()
        .and_then(|d| d.mode.as_ref())
        .is_some_and(|m| *m == DeploymentMode::LocalTrusted);
    if funnel && local_trusted {
        out.invalid(
            "tailscale.mode",
            "tailscale.mode funnel needs deployment.mode authenticated",
        );
    }
    out.advise(
        "TailnetNameUnknown",
        "tailscale",
        "the server answers to names that it knows: add its name in the tailnet to deployment.allowedHostnames",
    );
    let image = section.image.as_ref();
    let repository = image.and_then(|i| text(i.repository.as_ref()));
    let repository = repository.unwrap_or("ghcr.io/tailscale/tailscale");
    let tag = image.and_then(|i| text(i.tag.as_ref())).unwrap_or("stable");
    let (secret, key) = auth.unwrap_or_default();
    let own_account = spec.security.as_ref().and_then(|s| s.rbac.as_ref()?.create) != Some(false);
    Some(Tailscale {
        funnel,
        image: image.and_then(|i| text(i.digest.as_ref())).map_or_else(
            || format!("{repository}:{tag}"),
            |digest| format!("{repository}@{digest}"),
        ),
        secret,
        key,
        hostname: text(section.hostname.as_ref()).unwrap_or(if own_account {
            id.name
        } else {
            "default"
        }),
        resources: section.resources.as_deref(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(yaml: &str) -> Vec<String> {
        let spec: InstanceSpec = serde_saphyr::from_str(yaml).unwrap();
        let id = Identity::new("clip", "prod", "u", "d");
        let mut out = Findings::default();
        tailscale(&spec, &id, &mut out);
        let all = out.iter().filter(|f| f.class.blocks());
        all.map(|f| format!("{}: {}", f.path, f.text)).collect()
    }

    #[test]
    fn it_needs_a_key_and_the_internet_needs_a_login() {
        assert_eq!(
            said("tailscale: {enabled: true}"),
            ["spec.tailscale: tailscale.authKey is required when tailscale.enabled is true"]
        );
        assert_eq!(
            said(
                "{deployment: {mode: local_trusted}, tailscale: {enabled: true, mode: funnel, authKey: {secretRef: {name: k}}}}"
            ),
            ["spec.tailscale.mode: tailscale.mode funnel needs deployment.mode authenticated"]
        );
        assert!(said("tailscale: {enabled: true, authKey: {secretRef: {name: k}}}").is_empty());
        assert!(said("tailscale: {enabled: false}").is_empty());
    }

    #[test]
    fn a_digest_wins_and_the_name_is_that_of_the_instance() {
        let yaml = "tailscale: {enabled: true, image: {tag: v1, digest: 'sha256:ab'}, authKey: {secretRef: {name: k}}}";
        let spec: InstanceSpec = serde_saphyr::from_str(yaml).unwrap();
        let id = Identity::new("clip", "prod", "u", "d");
        let t = tailscale(&spec, &id, &mut Findings::default()).unwrap();
        assert_eq!(t.image, "ghcr.io/tailscale/tailscale@sha256:ab");
        assert_eq!((t.secret, t.key, t.hostname), ("k", "authkey", "clip"));
    }
}
