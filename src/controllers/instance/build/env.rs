//! The environment of the server container. Each name once; a name of the user's replaces ours. Pure.

use super::pod::Connection;
use crate::controllers::instance::validate::keys::{APP_KEYS, KeyRef, SESSION_KEY};
use crate::controllers::instance::validate::pod::HOME;
use crate::controllers::instance::validate::{Source, Validated, Variable};
use k8s_openapi::api::core::v1::{
    ConfigMapKeySelector, EnvFromSource, EnvVar, EnvVarSource, ObjectFieldSelector,
    SecretEnvSource, SecretKeySelector,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use std::borrow::Cow;
use std::collections::{BTreeSet, HashSet};

/// What migrations need of it; a Job gets nothing else.
const OF_MIGRATION: &[&str] = &[
    "PAPERCLIP_HOME",
    "HOME",
    "NODE_ENV",
    "PAPERCLIP_DISABLE_CWD_ENV_FILE",
    "DATABASE_URL",
    "DATABASE_MIGRATION_URL",
    "DATABASE_CONNECT_TIMEOUT_SECONDS",
    "DATABASE_PREPARED_STATEMENTS",
    "NODE_EXTRA_CA_CERTS",
    "PAPERCLIP_AGENT_MIGRATE_ARGV",
];

/// What a server that makes the first admin needs beside that.
const OF_BOOTSTRAP: &[&str] = &[
    "PAPERCLIP_INSTANCE_ID",
    "PAPERCLIP_LOG_LEVEL",
    "PAPERCLIP_AGENT_SERVER_ARGV",
];

/// The whole list, in a fixed order, the user's last.
pub fn server(v: &Validated<'_>, connection: &Connection, ipv6: bool) -> Vec<EnvVar> {
    let own: HashSet<&str> = v.environment.own.iter().map(|e| e.name.as_str()).collect();
    let mut names = BTreeSet::new();
    let mut all: Vec<EnvVar> = ours(v, connection, ipv6)
        .into_iter()
        .filter(|e| !own.contains(&*e.name) && names.insert(e.name.to_string()))
        .map(render)
        .collect();
    all.extend(v.environment.own.iter().map(|e| spelled_out(e)));
    all
}

/// What is passed on as a whole: OAuth clients, then what the user names.
pub fn from(v: &Validated<'_>) -> Vec<EnvFromSource> {
    let clients = v.connections.map(|_| EnvFromSource {
        secret_ref: Some(SecretEnvSource {
            name: v.id.names.connections(),
            optional: None,
        }),
        ..EnvFromSource::default()
    });
    let users = v.environment.from.iter().cloned();
    clients.into_iter().chain(users).collect()
}

/// The part of `all` that migrations need, with what their values refer to.
pub fn migration(all: &[EnvVar]) -> Vec<EnvVar> {
    part(all, OF_MIGRATION.iter().copied())
}

/// The part of `all` that a server which makes the first admin needs, with what its values refer to.
pub fn bootstrap(all: &[EnvVar]) -> Vec<EnvVar> {
    part(all, OF_MIGRATION.iter().chain(OF_BOOTSTRAP).copied())
}

fn part<'a>(all: &'a [EnvVar], names: impl Iterator<Item = &'a str>) -> Vec<EnvVar> {
    let mut wanted: BTreeSet<&str> = names.collect();
    loop {
        let more: Vec<&str> = all
            .iter()
            .filter(|e| wanted.contains(e.name.as_str()))
            .flat_map(|e| mentioned(e.value.as_deref().unwrap_or_default()))
            .filter(|name| !wanted.contains(name))
            .collect();
        if more.is_empty() {
            break;
        }
        wanted.extend(more);
    }
    all.iter()
        .filter(|e| wanted.contains(e.name.as_str()))
        .cloned()
        .collect()
}

/// Names in `$(NAME)` forms.
fn mentioned(value: &str) -> impl Iterator<Item = &str> {
    value
        .split("$(")
        .skip(1)
        .filter_map(|rest| rest.split_once(')').map(|(name, _)| name))
}

struct List<'a>(Vec<Variable<'a>>);

impl<'a> List<'a> {
    fn put(&mut self, name: &'a str, source: Source<'a>) {
        self.0.push(Variable {
            name: Cow::Borrowed(name),
            source,
        });
    }
    fn text(&mut self, name: &'a str, text: impl Into<Cow<'a, str>>) {
        self.put(name, Source::Text(text.into()));
    }
    fn given(&mut self, name: &'a str, text: Option<&'a str>) {
        if let Some(text) = text {
            self.text(name, text);
        }
    }
    fn secret(&mut self, name: &'a str, secret: &'a str, key: &'a str) {
        self.put(
            name,
            Source::Secret {
                name: Cow::Borrowed(secret),
                key: Cow::Borrowed(key),
                optional: false,
            },
        );
    }
    fn key(&mut self, name: &'a str, key: &'a KeyRef<'_>) {
        self.secret(name, &key.name, &key.key);
    }
}

fn ours<'a>(v: &'a Validated<'_>, connection: &'a Connection, ipv6: bool) -> Vec<Variable<'a>> {
    let mut list = List(Vec::with_capacity(64));
    place(v, ipv6, &mut list);
    if v.database.has_child() {
        list.secret("DATABASE_URL", &connection.secret, &connection.key);
        list.put(
            "DATABASE_MIGRATION_URL",
            Source::Secret {
                name: Cow::Borrowed(&connection.secret),
                key: Cow::Borrowed("DATABASE_MIGRATION_URL"),
                optional: true,
            },
        );
        list.put("DATABASE_APPLICATION_NAME", Source::Field("metadata.name"));
        if connection.pooled {
            // They would be another client's after the transaction.
            list.text("DATABASE_PREPARED_STATEMENTS", "false");
        }
        list.text("PAPERCLIP_MIGRATION_PROMPT", "never");
    }
    if v.environment.pause_agents {
        list.text("PAPERCLIP_RESTORE_IN_PROGRESS", "true");
    }
    keys(v, &mut list);
    uploads(v, &mut list);
    let e = &v.environment;
    if v.scale.gated {
        // Who wakes agents is decided in the pods.
        list.put("PAPERCLIP_AGENT_POD", Source::Field("metadata.name"));
    } else {
        list.text("HEARTBEAT_SCHEDULER_ENABLED", e.heartbeat.to_string());
    }
    list.text(
        "HEARTBEAT_SCHEDULER_INTERVAL_MS",
        e.heartbeat_interval.to_string(),
    );
    list.0.extend(e.backups.iter().cloned());
    list.0.extend(e.adapters.iter().cloned());
    list.text("PAPERCLIP_LOG_LEVEL", e.log_level);
    list.text("LOG_LEVEL", e.log_level);
    if e.telemetry_off {
        list.text("PAPERCLIP_TELEMETRY_DISABLED", "1");
        list.text("DO_NOT_TRACK", "1");
    }
    if e.announcements_off {
        list.text("PAPERCLIP_ANNOUNCEMENTS_ENABLED", "false");
    }
    if let Some(otlp) = e.otlp {
        let namespace = v.id.namespace;
        list.text("OTEL_EXPORTER_OTLP_ENDPOINT", otlp.endpoint);
        list.text("OTEL_EXPORTER_OTLP_PROTOCOL", otlp.protocol);
        list.text("OTEL_SERVICE_NAME", v.id.name);
        list.text(
            "OTEL_RESOURCE_ATTRIBUTES",
            format!("k8s.namespace.name={namespace},service.namespace={namespace}"),
        );
    }
    list.0.extend(e.sentry.iter().cloned());
    list.0.extend(e.dead.iter().cloned());
    list.0
}

/// Where the server is and how it is reached.
fn place<'a>(v: &'a Validated<'_>, ipv6: bool, list: &mut List<'a>) {
    let listen = v.network.listen;
    list.text("PORT", listen.to_string());
    if v.access.local_trusted {
        list.text("HOST", "127.0.0.1");
        list.put("POD_IP", Source::Field("status.podIP"));
        list.text("PAPERCLIP_BIND", "loopback");
    } else {
        list.text("PAPERCLIP_BIND", "custom");
        // The second listens on both families.
        list.text("PAPERCLIP_BIND_HOST", if ipv6 { "::" } else { "0.0.0.0" });
    }
    list.text("PAPERCLIP_HOME", HOME);
    list.text("HOME", HOME);
    list.text("PAPERCLIP_INSTANCE_ID", "default");
    list.text("NODE_ENV", "production");
    list.text("SERVE_UI", "true");
    list.text("PAPERCLIP_DISABLE_CWD_ENV_FILE", "true");
    let mode = if v.access.local_trusted {
        "local_trusted"
    } else {
        "authenticated"
    };
    list.text("PAPERCLIP_DEPLOYMENT_MODE", mode);
    let exposure = if v.access.public { "public" } else { "private" };
    list.text("PAPERCLIP_DEPLOYMENT_EXPOSURE", exposure);
    list.given("PAPERCLIP_PUBLIC_URL", v.access.public_url);
    list.text("PAPERCLIP_ALLOWED_HOSTNAMES", v.access.hostnames.join(","));
    // Else agents in the pod would call the public name, through routes or to a name that they cannot resolve.
    list.text("PAPERCLIP_API_URL", format!("http://localhost:{listen}"));
    list.given("TRUST_PROXY", v.network.trusted_proxies.as_deref());
}

/// What the server signs and encrypts with.
fn keys<'a>(v: &'a Validated<'_>, list: &mut List<'a>) {
    let k = &v.keys;
    list.key(SESSION_KEY, &k.session);
    for name in APP_KEYS {
        // The key of open decisions is on the data volume of an Instance that was taken over.
        if name == APP_KEYS[0] && v.adopted && !v.scale.many {
            continue;
        }
        list.secret(name, &k.app, name);
    }
    if let Some(disable) = k.disable_sign_up {
        list.text("PAPERCLIP_AUTH_DISABLE_SIGN_UP", disable.to_string());
    }
    list.text("PAPERCLIP_SECRETS_PROVIDER", k.provider);
    // Also with AWS: rows from before are encrypted with it.
    list.key("PAPERCLIP_SECRETS_MASTER_KEY", &k.master);
    if let Some(strict) = k.strict {
        list.text("PAPERCLIP_SECRETS_STRICT_MODE", strict.to_string());
    }
    if let Some(aws) = &k.aws {
        list.text("PAPERCLIP_SECRETS_AWS_REGION", aws.region);
        list.text("PAPERCLIP_SECRETS_AWS_KMS_KEY_ID", aws.kms_key);
        list.text("PAPERCLIP_SECRETS_AWS_DEPLOYMENT_ID", aws.deployment);
        list.text("PAPERCLIP_SECRETS_AWS_PREFIX", aws.prefix);
        list.given("PAPERCLIP_SECRETS_AWS_ENVIRONMENT", aws.environment);
        list.given("PAPERCLIP_SECRETS_AWS_ENDPOINT", aws.endpoint);
        list.text(
            "PAPERCLIP_SECRETS_AWS_DELETE_RECOVERY_DAYS",
            aws.recovery_days.to_string(),
        );
    }
}

/// Where uploads are.
fn uploads<'a>(v: &'a Validated<'_>, list: &mut List<'a>) {
    let Some(bucket) = &v.bucket else {
        list.text("PAPERCLIP_STORAGE_PROVIDER", "local_disk");
        return;
    };
    list.text("PAPERCLIP_STORAGE_PROVIDER", "s3");
    list.text("PAPERCLIP_STORAGE_S3_BUCKET", bucket.name);
    list.given("PAPERCLIP_STORAGE_S3_REGION", bucket.region);
    list.given("PAPERCLIP_STORAGE_S3_ENDPOINT", bucket.endpoint);
    list.given("PAPERCLIP_STORAGE_S3_PREFIX", bucket.prefix);
    list.text(
        "PAPERCLIP_STORAGE_S3_FORCE_PATH_STYLE",
        bucket.path_style.to_string(),
    );
    if let Some(c) = bucket.credentials {
        list.secret("AWS_ACCESS_KEY_ID", c.secret, c.id);
        list.secret("AWS_SECRET_ACCESS_KEY", c.secret, c.key);
        if c.session {
            list.secret("AWS_SESSION_TOKEN", c.secret, "AWS_SESSION_TOKEN");
        }
        if c.id != "AWS_ACCESS_KEY_ID" {
            list.secret(c.id, c.secret, c.id);
            list.secret(c.key, c.secret, c.key);
        }
    }
}

fn render(variable: Variable<'_>) -> EnvVar {
    let name = variable.name.into_owned();
    let from = |source: EnvVarSource| EnvVar {
        name: name.clone(),
        value: None,
        value_from: Some(source),
    };
    match variable.source {
        Source::Text(text) => EnvVar {
            // Our text is text: Kubernetes must not expand it.
            value: (!text.is_empty()).then(|| text.replace("$(", "$$(")),
            name,
            value_from: None,
        },
        Source::Secret {
            name: secret,
            key,
            optional,
        } => from(EnvVarSource {
            secret_key_ref: Some(SecretKeySelector {
                name: secret.into_owned(),
                key: key.into_owned(),
                optional: optional.then_some(true),
            }),
            ..EnvVarSource::default()
        }),
        Source::ConfigMap { name: map, key } => from(EnvVarSource {
            config_map_key_ref: Some(ConfigMapKeySelector {
                name: map.into_owned(),
                key: key.into_owned(),
                optional: Some(true),
            }),
            ..EnvVarSource::default()
        }),
        Source::Field(path) => from(EnvVarSource {
            field_ref: Some(ObjectFieldSelector {
                api_version: Some("v1".into()),
                field_path: path.into(),
            }),
            ..EnvVarSource::default()
        }),
    }
}

/// The user's entry as the API server stores it, so that what we wish for and what is stored look alike.
fn spelled_out(var: &EnvVar) -> EnvVar {
    let mut var = var.clone();
    if var.value.as_deref() == Some("") {
        var.value = None;
    }
    if let Some(from) = &mut var.value_from {
        if let Some(field) = &mut from.field_ref {
            field.api_version.get_or_insert_with(|| "v1".into());
        }
        if let Some(field) = &mut from.resource_field_ref {
            field.divisor.get_or_insert_with(|| Quantity("0".into()));
        }
    }
    var
}

/// Every key of a Secret or ConfigMap that a list of variables names: (is a Secret, object, key).
pub fn sources(env: &[EnvVar]) -> impl Iterator<Item = (bool, &str, &str)> {
    env.iter().filter_map(|e| {
        let from = e.value_from.as_ref()?;
        if let Some(SecretKeySelector { name, key, .. }) = &from.secret_key_ref {
            return Some((true, name.as_str(), key.as_str()));
        }
        let ConfigMapKeySelector { name, key, .. } = from.config_map_key_ref.as_ref()?;
        Some((false, name.as_str(), key.as_str()))
    })
}
