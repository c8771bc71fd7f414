//! The container that joins a tailnet and leads its HTTPS to the server. In user space, without any capability. Pure.

use super::{Setting, owned};
use crate::controllers::instance::validate::Validated;
use crate::controllers::instance::validate::tailscale::Tailscale;
use crate::shared::agent::{empty_dir, mount, read_only, restricted};
use crate::shared::names::Component;
use k8s_openapi::api::core::v1::{
    ConfigMap, ConfigMapVolumeSource, Container, EnvVar, EnvVarSource, SecretKeySelector, Volume,
};
use serde_json::json;

/// Name of the container.
pub const CONTAINER: &str = "tailscale";
const STATE: &str = "paperclip-tailscale";
const SERVE: &str = "paperclip-tailscale-serve";
const FOLDER: &str = "/etc/tailscale";
const FILE: &str = "tailscale-serve.json";

/// Its variables. The key is one of them, and a new one rolls the pods.
pub fn env(t: &Tailscale<'_>) -> Vec<EnvVar> {
    let text = |name: &str, value: &str| EnvVar {
        name: name.into(),
        value: (!value.is_empty()).then(|| value.into()),
        value_from: None,
    };
    vec![
        EnvVar {
            name: "TS_AUTHKEY".into(),
            value: None,
            value_from: Some(EnvVarSource {
                secret_key_ref: Some(SecretKeySelector {
                    name: t.secret.into(),
                    key: t.key.into(),
                    optional: None,
                }),
                ..EnvVarSource::default()
            }),
        },
        text("TS_HOSTNAME", t.hostname),
        text("TS_USERSPACE", "true"),
        text("TS_STATE_DIR", "/tmp/tailscale"),
        text("TS_SOCKET", "/tmp/tailscaled.sock"),
        text("TS_SERVE_CONFIG", &format!("{FOLDER}/{FILE}")),
        // It must not look for a token of Kubernetes: the pod has none.
        text("TS_KUBE_SECRET", ""),
        text("KUBERNETES_SERVICE_HOST", ""),
    ]
}

/// The container.
pub fn container(t: &Tailscale<'_>, pull_policy: &str) -> Container {
    Container {
        name: CONTAINER.into(),
        image: Some(t.image.clone()),
        image_pull_policy: Some(pull_policy.into()),
        env: Some(env(t)),
        resources: t.resources.cloned(),
        security_context: Some(restricted()),
        // Its last words say why a key was refused.
        termination_message_policy: Some("FallbackToLogsOnError".into()),
        volume_mounts: Some(vec![mount(STATE, "/tmp"), read_only(mount(SERVE, FOLDER))]),
        ..Container::default()
    }
}

/// Its volumes.
pub fn volumes(v: &Validated<'_>) -> [Volume; 2] {
    let serve = Volume {
        name: SERVE.into(),
        config_map: Some(ConfigMapVolumeSource {
            name: v.id.names.tailscale(),
            ..ConfigMapVolumeSource::default()
        }),
        ..Volume::default()
    };
    [empty_dir(STATE, None), serve]
}

/// What it serves: the server's port as HTTPS, in the tailnet, and for the internet if asked.
pub fn config_map(v: &Validated<'_>, t: &Tailscale<'_>) -> ConfigMap {
    const PLACE: &str = "${TS_CERT_DOMAIN}:443";
    let server = format!("http://127.0.0.1:{}", v.network.listen);
    let mut serve = json!({
        "TCP": {"443": {"HTTPS": true}},
        "Web": {PLACE: {"Handlers": {"/": {"Proxy": server}}}},
    });
    if t.funnel {
        serve["AllowFunnel"] = json!({PLACE: true});
    }
    ConfigMap {
        metadata: owned(&v.id, &v.id.names.tailscale(), Component::Server),
        data: Some([(FILE.to_owned(), serve.to_string())].into()),
        ..ConfigMap::default()
    }
}

impl Setting<'_> {
    /// The container that is to run.
    pub fn tailscale<'v, 'a>(&self, v: &'v Validated<'a>) -> Option<&'v Tailscale<'a>> {
        let open =
            crate::controllers::instance::exposure::Way::is_open(self.exposure.tailnet.as_ref());
        v.tailscale.as_ref().filter(|_| open)
    }
}
