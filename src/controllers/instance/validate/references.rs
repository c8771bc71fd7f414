//! Everything that a spec refers to: one list, which says what has to be read, and what must be in it. Pure.

use super::forms;
use crate::controllers::instance::found::{Data, Found, Look};
use crate::crd::instance::InstanceSpec;
use crate::crd::{LocalRef, SecretKeyRef};
use k8s_openapi::api::core::v1::{EnvFromSource, EnvVar};

/// What is referred to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A Secret.
    Secret,
    /// A ConfigMap.
    ConfigMap,
}

impl Kind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Secret => "Secret",
            Self::ConfigMap => "ConfigMap",
        }
    }
}

/// What must be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need<'a> {
    /// Nothing: it counts only for the config hash.
    Nothing,
    /// The object.
    Object,
    /// A key of it, of this form.
    Key(&'a str, Form),
    /// A full pair of keys for a bucket.
    BucketKeys,
    /// It is for a registry.
    PullSecret,
}

/// The form of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Any.
    Any,
    /// Not blank.
    Filled,
    /// At least 32 bytes.
    Signing,
    /// 32 bytes in one of three spellings.
    MasterKey,
    /// A PostgreSQL URL.
    DatabaseUrl,
    /// A JSON object.
    JsonObject,
}

/// One reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference<'a> {
    /// JSON path below `spec`.
    pub path: String,
    /// Kind of the object.
    pub kind: Kind,
    /// Its name.
    pub name: &'a str,
    /// What must be there.
    pub need: Need<'a>,
}

/// The names of the pairs of keys for a bucket, the better one first.
pub const BUCKET_KEYS: [(&str, &str); 2] = [
    ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
    ("S3_ACCESS_KEY_ID", "S3_SECRET_ACCESS_KEY"),
];

/// Path of the first admin's password: nobody needs it once there is an admin.
pub const ADMIN_PASSWORD: &str = "auth.adminUser.passwordSecretRef";

/// All references of a spec.
pub fn of(spec: &InstanceSpec) -> Vec<Reference<'_>> {
    let mut out = Collect(vec![]);
    if let Some(image) = &spec.image {
        for (i, secret) in image.pull_secrets.iter().enumerate() {
            out.object(
                format!("image.pullSecrets[{i}]"),
                &secret.name,
                Need::PullSecret,
            );
        }
    }
    if let Some(auth) = &spec.auth {
        out.key("auth.secretRef", auth.secret_ref.as_ref(), Form::Signing);
        // Byte for byte: the server decides what it takes.
        let password = auth
            .admin_user
            .as_ref()
            .and_then(|u| u.password_secret_ref.as_ref());
        out.key(ADMIN_PASSWORD, password, Form::Any);
    }
    if let Some(secrets) = &spec.secrets {
        let key = secrets.master_key_secret_ref.as_ref();
        out.key("secrets.masterKeySecretRef", key, Form::MasterKey);
    }
    if let Some(database) = &spec.database
        && database
            .mode
            .as_ref()
            .is_some_and(|m| *m == crate::crd::instance::DatabaseMode::External)
    {
        let url = database.external_url_secret_ref.as_ref();
        out.key("database.externalURLSecretRef", url, Form::DatabaseUrl);
    }
    if let Some(storage) = &spec.object_storage {
        let secret = storage.credentials_secret_ref.as_ref();
        out.local(
            "objectStorage.credentialsSecretRef",
            secret,
            Need::BucketKeys,
        );
    }
    if let Some(adapters) = &spec.adapters {
        let keys = adapters.api_keys_secret_ref.as_ref();
        out.local("adapters.apiKeysSecretRef", keys, Need::Object);
        if let Some(e2b) = &adapters.e2b {
            let key = e2b.api_key_secret_ref.as_ref();
            out.key("adapters.e2b.apiKeySecretRef", key, Form::Filled);
        }
    }
    if let Some(sentry) = spec.observability.as_ref().and_then(|o| o.sentry.as_ref()) {
        let dsn = sentry.dsn_secret_ref.as_ref();
        out.key("observability.sentry.dsnSecretRef", dsn, Form::Filled);
    }
    if let Some(clients) = super::clients(spec) {
        out.object(
            "connections.credentialsSecretRef".into(),
            clients.secret,
            Need::Key(clients.key, Form::JsonObject),
        );
    }
    let providers = spec.connections.as_ref();
    let providers = providers.and_then(|c| crate::crd::local(c.providers_config_ref.as_ref()));
    out.config_map("connections.providersConfigRef", providers, Need::Nothing);
    let branding = spec.branding.as_ref();
    let branding = branding.and_then(|b| crate::crd::local(b.css_config_map_ref.as_ref()));
    out.config_map("branding.cssConfigMapRef", branding, Need::Object);
    if let Some((secret, key)) = super::tailscale::auth_key(spec) {
        out.object(
            "tailscale.authKey".into(),
            secret,
            Need::Key(key, Form::Filled),
        );
    }
    for (i, var) in spec.env.iter().enumerate() {
        out.variable(&format!("env[{i}]"), var);
    }
    for (i, source) in spec.env_from.iter().enumerate() {
        out.source(&format!("envFrom[{i}]"), source);
    }
    out.0
}

struct Collect<'a>(Vec<Reference<'a>>);

impl<'a> Collect<'a> {
    fn object(&mut self, path: String, name: &'a str, need: Need<'a>) {
        if !name.is_empty() {
            self.0.push(Reference {
                path,
                kind: Kind::Secret,
                name,
                need,
            });
        }
    }
    fn config_map(&mut self, path: &str, name: Option<&'a str>, need: Need<'a>) {
        self.0.extend(name.map(|name| Reference {
            path: path.to_owned(),
            kind: Kind::ConfigMap,
            name,
            need,
        }));
    }
    fn local(&mut self, path: &str, reference: Option<&'a LocalRef>, need: Need<'a>) {
        if let Some(reference) = reference {
            self.object(path.to_owned(), &reference.name, need);
        }
    }
    fn key(&mut self, path: &str, reference: Option<&'a SecretKeyRef>, form: Form) {
        if let Some(reference) = reference {
            self.object(
                path.to_owned(),
                &reference.name,
                Need::Key(&reference.key, form),
            );
        }
    }
    fn variable(&mut self, path: &str, var: &'a EnvVar) {
        let Some(from) = &var.value_from else { return };
        let need = |key: &'a str, optional: Option<bool>| {
            if optional == Some(true) {
                Need::Nothing
            } else {
                Need::Key(key, Form::Any)
            }
        };
        if let Some(s) = &from.secret_key_ref {
            let path = format!("{path}.valueFrom.secretKeyRef");
            self.object(path, &s.name, need(&s.key, s.optional));
        }
        if let Some(c) = &from.config_map_key_ref {
            self.0.push(Reference {
                path: format!("{path}.valueFrom.configMapKeyRef"),
                kind: Kind::ConfigMap,
                name: &c.name,
                need: need(&c.key, c.optional),
            });
        }
    }
    fn source(&mut self, path: &str, source: &'a EnvFromSource) {
        let need = |optional: Option<bool>| {
            if optional == Some(true) {
                Need::Nothing
            } else {
                Need::Object
            }
        };
        if let Some(s) = &source.secret_ref {
            self.object(format!("{path}.secretRef"), &s.name, need(s.optional));
        }
        if let Some(c) = &source.config_map_ref {
            self.0.push(Reference {
                path: format!("{path}.configMapRef"),
                kind: Kind::ConfigMap,
                name: &c.name,
                need: need(c.optional),
            });
        }
    }
}

/// A reference that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Reason of `ReferencesResolved`.
    pub reason: &'static str,
    /// With the path, without any value.
    pub message: String,
    /// We may not look, so it may well be all right.
    pub unknown: bool,
}

/// What is wrong with the references, given what was read.
pub fn check(references: &[Reference<'_>], found: &Found) -> Vec<Broken> {
    references
        .iter()
        .filter_map(|r| check_one(r, found))
        .collect()
}

fn check_one(reference: &Reference<'_>, found: &Found) -> Option<Broken> {
    if reference.need == Need::Nothing {
        return None;
    }
    let (look, missing) = match reference.kind {
        Kind::Secret => (found.secrets.get(reference.name), "SecretNotFound"),
        Kind::ConfigMap => (found.config_maps.get(reference.name), "ConfigMapNotFound"),
    };
    let object = format!("{} \"{}\"", reference.kind.as_str(), reference.name);
    let broken = |reason, text: String| {
        Some(Broken {
            reason,
            message: format!("spec.{}: {text}", reference.path),
            unknown: false,
        })
    };
    let data = match look? {
        Look::Skipped => return None,
        Look::Missing => return broken(missing, format!("{object} not found")),
        Look::Forbidden => {
            return Some(Broken {
                reason: "Forbidden",
                message: format!(
                    "spec.{}: grant the operator get on {object}",
                    reference.path
                ),
                unknown: true,
            });
        }
        Look::There(data) => data,
    };
    match reference.need {
        Need::Nothing | Need::Object => None,
        Need::Key(key, form) => {
            let Some(value) = data.get(key) else {
                return broken("KeyNotFound", no_key(&object, key, data));
            };
            form.complain(value)
                .and_then(|(reason, text)| broken(reason, format!("{object} key \"{key}\": {text}")))
        }
        Need::BucketKeys => bucket_keys(data.names()).is_none().then(|| Broken {
            reason: "KeyNotFound",
            message: format!(
                "spec.{}: {object} has neither AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY nor S3_ACCESS_KEY_ID and S3_SECRET_ACCESS_KEY",
                reference.path
            ),
            unknown: false,
        }),
        Need::PullSecret => {
            let config = data
                .get(".dockerconfigjson")
                .or_else(|| data.get(".dockercfg"));
            let valid = config
                .is_some_and(|c| serde_json::from_slice::<serde_json::Value>(c).is_ok_and(|v| v.is_object()));
            if valid {
                None
            } else {
                broken(
                    "InvalidValue",
                    format!("{object} holds no .dockerconfigjson"),
                )
            }
        }
    }
}

/// The pair of keys that is complete.
pub fn bucket_keys<'a>(
    names: impl Iterator<Item = &'a str>,
) -> Option<(&'static str, &'static str)> {
    let names: Vec<&str> = names.collect();
    BUCKET_KEYS
        .into_iter()
        .find(|(id, secret)| names.contains(id) && names.contains(secret))
}

fn no_key(object: &str, key: &str, data: &Data) -> String {
    let names: Vec<String> = data.names().take(10).map(|n| format!("\"{n}\"")).collect();
    let there = if names.is_empty() {
        "it is empty".to_owned()
    } else {
        format!("keys: {}", names.join(", "))
    };
    format!("{object} has no key \"{key}\" ({there})")
}

impl Form {
    fn complain(self, value: &[u8]) -> Option<(&'static str, &'static str)> {
        if self == Self::Any {
            return None;
        }
        if value.iter().all(u8::is_ascii_whitespace) {
            return Some(("EmptyValue", "is empty"));
        }
        match self {
            Self::Any | Self::Filled => None,
            Self::Signing => {
                (value.len() < 32).then_some(("InvalidValue", "expected at least 32 bytes"))
            }
            Self::MasterKey => forms::master_key(value).is_none().then_some((
                "InvalidValue",
                "expected 64 hex digits, base64 of 32 bytes, or 32 characters",
            )),
            Self::JsonObject => {
                serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(value)
                    .is_err()
                    .then_some(("InvalidValue", "expected a JSON object"))
            }
            Self::DatabaseUrl => std::str::from_utf8(value)
                .map_err(|_| "must start with postgres:// or postgresql://")
                .and_then(forms::database_url)
                .err()
                .map(|text| ("InvalidValue", text)),
        }
    }
}

#[cfg(test)]
mod tests;
