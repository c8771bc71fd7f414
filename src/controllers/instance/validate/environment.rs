//! `spec.env`, `spec.envFrom` and the sections that become nothing but variables: adapters, heartbeat, observability, privacy, backups of the
//! application itself. Pure.

use super::findings::Findings;
use super::forms;
use super::{Source, Variable};
use crate::controllers::instance::found::Learned;
use crate::crd::instance::{InstanceSpec, LogLevel, OtlpProtocol};
use crate::crd::{SecretKeyRef, Words, text};
use crate::shared::conditions::quote;
use k8s_openapi::api::core::v1::{EnvFromSource, EnvVar};
use std::borrow::Cow;

/// Names of the user's that win over ours although something may break.
const PROTECTED: &[&str] = &[
    "HOST",
    "PAPERCLIP_BIND",
    "PAPERCLIP_BIND_HOST",
    "PAPERCLIP_HOME",
    "HOME",
    "PAPERCLIP_INSTANCE_ID",
    "PAPERCLIP_CONFIG",
    "SERVE_UI",
    "PAPERCLIP_DEPLOYMENT_MODE",
    "PAPERCLIP_DEPLOYMENT_EXPOSURE",
    "DATABASE_URL",
    "DATABASE_MIGRATION_URL",
    "PAPERCLIP_MIGRATION_PROMPT",
    "PAPERCLIP_MIGRATION_AUTO_APPLY",
    "BETTER_AUTH_SECRET",
    "PAPERCLIP_SECRETS_MASTER_KEY",
    "PAPERCLIP_SECRETS_MASTER_KEY_FILE",
    "PAPERCLIP_DECISION_SIGNING_SECRET",
    "PAPERCLIP_TOOL_ACTION_SIGNING_SECRET",
    "PAPERCLIP_AGENT_JWT_SECRET",
    "HEARTBEAT_SCHEDULER_ENABLED",
    "PAPERCLIP_RESTORE_IN_PROGRESS",
    "PAPERCLIP_MANAGED_CONFIG",
    "NODE_OPTIONS",
];
/// The server's own lower limit.
const SHORTEST_HEARTBEAT: i64 = 10_000;

/// What becomes variables.
#[derive(Clone, Debug, PartialEq)]
pub struct Environment<'a> {
    /// The user's, each name once.
    pub own: Vec<&'a EnvVar>,
    /// Verbatim.
    pub from: &'a [EnvFromSource],
    /// The scheduler runs.
    pub heartbeat: bool,
    /// Milliseconds between two rounds.
    pub heartbeat_interval: i64,
    /// Log level.
    pub log_level: &'static str,
    /// Telemetry to the makers is off.
    pub telemetry_off: bool,
    /// Announcements are off.
    pub announcements_off: bool,
    /// Scheduling is suppressed after a restore.
    pub pause_agents: bool,
    /// Keys for agents, E2B, Sentry, OTLP, the application's own backups, adapters: in this order.
    pub adapters: Vec<Variable<'a>>,
    /// Telemetry of the server.
    pub otlp: Option<Otlp<'a>>,
    /// The application's own backups.
    pub backups: Vec<Variable<'a>>,
    /// Error reports.
    pub sentry: Option<Variable<'a>>,
    /// Names that no published release reads.
    pub dead: Vec<Variable<'a>>,
}

/// Telemetry of the server.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Otlp<'a> {
    /// Address of the collector.
    pub endpoint: &'a str,
    /// As OpenTelemetry spells it.
    pub protocol: &'static str,
}

/// Reads the sections. `dead` comes from [`super::unsupported`].
pub fn environment<'a>(
    spec: &'a InstanceSpec,
    learned: &'a Learned,
    dead: Vec<Variable<'a>>,
    out: &mut Findings,
) -> Environment<'a> {
    let heartbeat = spec.heartbeat.as_deref();
    if let Some(gating) = heartbeat.and_then(|h| h.scheduler_gating.as_ref()) {
        out.word("heartbeat.schedulerGating", Some(gating));
    }
    let asked = heartbeat.and_then(|h| h.interval_ms).unwrap_or(60_000);
    let interval = asked.max(SHORTEST_HEARTBEAT);
    if interval != asked {
        out.clamped(
            "heartbeat.intervalMS",
            format!("{asked} raised to {interval}"),
        );
    }
    let observability = spec.observability.as_deref();
    let level = observability.and_then(|o| o.logging.as_ref()?.level.as_ref());
    let level = out.word("observability.logging.level", level);
    let privacy = spec.privacy.as_deref();
    Environment {
        own: own(&spec.env, out),
        from: &spec.env_from,
        heartbeat: heartbeat.and_then(|h| h.enabled).unwrap_or(true),
        heartbeat_interval: interval,
        log_level: level.unwrap_or(LogLevel::Info).as_str(),
        telemetry_off: privacy.and_then(|p| p.telemetry) != Some(true),
        announcements_off: privacy.and_then(|p| p.announcements) != Some(true),
        pause_agents: spec.restore.as_ref().and_then(|r| r.pause_agents) == Some(true),
        adapters: adapters(spec, learned, out),
        otlp: otlp(spec, out),
        backups: backups(spec),
        sentry: observability
            .and_then(|o| o.sentry.as_ref()?.dsn_secret_ref.as_ref())
            .map(|dsn| secret("SENTRY_DSN", dsn)),
        dead,
    }
}

/// The user's variables: the last of a name counts, and the port is not theirs to set.
fn own<'a>(env: &'a [EnvVar], out: &mut Findings) -> Vec<&'a EnvVar> {
    let mut kept: Vec<&EnvVar> = Vec::with_capacity(env.len());
    for (i, var) in env.iter().enumerate() {
        let path = format!("env[{i}]");
        if !is_name(&var.name) {
            out.invalid(
                &path,
                format!("\"{}\" is not a name of a variable", quote(&var.name)),
            );
        }
        if var.value.as_ref().is_some_and(|v| !v.is_empty()) && var.value_from.is_some() {
            out.invalid(&path, "has both value and valueFrom");
        }
        if var.name == "PORT" {
            out.overridden(&path, "\"PORT\" is ignored: use networking.service.port");
            continue;
        }
        if let Some(later) = env.iter().skip(i + 1).position(|v| v.name == var.name) {
            out.overridden(
                &path,
                format!(
                    "\"{}\" is set again by spec.env[{}], which counts",
                    quote(&var.name),
                    i + 1 + later
                ),
            );
            continue;
        }
        if PROTECTED.contains(&var.name.as_str()) {
            let text = format!(
                "\"{}\" replaces the operator's value; the server may not find its data or its address",
                var.name
            );
            if var.name == "PAPERCLIP_HOME" {
                out.overridden_with("HomeChanged", &path, text);
            } else {
                out.overridden(&path, text);
            }
        }
        kept.push(var);
    }
    kept
}

/// As the API server sees it: anything printable without `=`.
fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_graphic() && c != '=')
}

fn secret<'a>(name: &'static str, key: &'a SecretKeyRef) -> Variable<'a> {
    Variable {
        name: Cow::Borrowed(name),
        source: Source::Secret {
            name: Cow::Borrowed(&key.name),
            key: Cow::Borrowed(&key.key),
            optional: false,
        },
    }
}

fn adapters<'a>(
    spec: &'a InstanceSpec,
    learned: &'a Learned,
    out: &mut Findings,
) -> Vec<Variable<'a>> {
    let Some(adapters) = spec.adapters.as_deref() else {
        return vec![];
    };
    let mut variables = vec![];
    if let Some(reference) = adapters
        .api_keys_secret_ref
        .as_ref()
        .filter(|r| !r.name.is_empty())
    {
        let from = |key: &'a str| Variable {
            name: Cow::Borrowed(key),
            source: Source::Secret {
                name: Cow::Borrowed(&reference.name),
                key: Cow::Borrowed(key),
                optional: true,
            },
        };
        let always = ["ANTHROPIC_API_KEY", "OPENAI_API_KEY"];
        variables.extend(always.map(from));
        let mut skipped = vec![];
        for key in learned.keys.get(&reference.name).into_iter().flatten() {
            if always.contains(&key.as_str()) {
                continue;
            }
            if forms::is_variable(key) && key != "PORT" && !PROTECTED.contains(&key.as_str()) {
                variables.push(from(key));
            } else {
                skipped.push(format!("\"{}\"", quote(key)));
            }
        }
        if !skipped.is_empty() {
            out.warn(
                "adapters.apiKeysSecretRef",
                format!(
                    "keys that are no variables of agents: {}",
                    crate::shared::conditions::list(&skipped)
                ),
            );
        }
    }
    if let Some(key) = adapters
        .e2b
        .as_ref()
        .and_then(|e| e.api_key_secret_ref.as_ref())
    {
        variables.push(secret("E2B_API_KEY", key));
    }
    if !adapters.registry.is_empty() {
        // The fields of an entry are in the order of its type, absent ones are left out.
        let json = serde_json::to_string(&adapters.registry).unwrap_or_default();
        variables.push(Variable {
            name: Cow::Borrowed("PAPERCLIP_ADAPTERS"),
            source: Source::Text(Cow::Owned(json)),
        });
    }
    variables
}

fn otlp<'a>(spec: &'a InstanceSpec, out: &mut Findings) -> Option<Otlp<'a>> {
    let section = spec.observability.as_ref()?.otlp.as_ref()?;
    let protocol = out.word("observability.otlp.protocol", section.protocol.as_ref());
    let endpoint = text(section.endpoint.as_ref())?;
    if let Err(text) = forms::http_url(endpoint) {
        out.invalid("observability.otlp.endpoint", text);
    }
    Some(Otlp {
        endpoint,
        protocol: protocol.unwrap_or(OtlpProtocol::Grpc).as_str(),
    })
}

/// Its dumps stay on the data volume and have filled it: they are off beside a schedule of ours, unless asked for.
fn backups(spec: &InstanceSpec) -> Vec<Variable<'_>> {
    let backup = spec.backup.as_ref();
    let native = backup.and_then(|b| b.app_native.as_ref());
    let scheduled = backup.is_some_and(|b| {
        let somewhere = b.s3.is_some() || spec.object_storage.is_some();
        text(b.schedule.as_ref()).is_some() && somewhere
    });
    let owned = |name: &'static str, text: String| Variable {
        name: Cow::Borrowed(name),
        source: Source::Text(Cow::Owned(text)),
    };
    let mut variables = vec![];
    let enabled = native.and_then(|n| n.enabled);
    if let Some(enabled) = enabled.or_else(|| scheduled.then_some(false)) {
        variables.push(owned("PAPERCLIP_DB_BACKUP_ENABLED", enabled.to_string()));
    }
    let Some(native) = native else {
        return variables;
    };
    if let Some(minutes) = native.interval_minutes.filter(|m| *m > 0) {
        variables.push(owned(
            "PAPERCLIP_DB_BACKUP_INTERVAL_MINUTES",
            minutes.to_string(),
        ));
    }
    variables.push(Variable {
        name: Cow::Borrowed("PAPERCLIP_DB_BACKUP_DIR"),
        source: Source::text("/paperclip/backups"),
    });
    variables
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(yaml: &str, learned: &Learned) -> (Vec<String>, Vec<String>, Vec<String>) {
        let spec: InstanceSpec = serde_saphyr::from_str(yaml).unwrap();
        let mut out = Findings::default();
        let env = environment(&spec, learned, vec![], &mut out);
        (
            env.own.iter().map(|v| v.name.clone()).collect(),
            env.adapters.iter().map(|v| v.name.to_string()).collect(),
            out.iter()
                .map(|f| format!("{} {}: {}", f.class.reason(), f.path, f.text))
                .collect(),
        )
    }

    #[test]
    fn the_servers_own_dumps_are_off_beside_a_schedule_unless_asked_for() {
        let told = |yaml: &str| -> Vec<String> {
            let spec: InstanceSpec = serde_saphyr::from_str(yaml).unwrap();
            let variables = backups(&spec);
            let of = variables.iter().map(|v| match &v.source {
                Source::Text(text) => format!("{}={text}", v.name),
                _ => v.name.to_string(),
            });
            of.collect()
        };
        assert!(told("{}").is_empty());
        assert!(told("backup: {s3: {bucket: b}}").is_empty());
        assert!(
            told("backup: {schedule: '@daily'}").is_empty(),
            "backups go nowhere"
        );
        let off = ["PAPERCLIP_DB_BACKUP_ENABLED=false"];
        assert_eq!(told("backup: {schedule: '@daily', s3: {bucket: b}}"), off);
        let both =
            told("backup: {schedule: '@daily', s3: {bucket: b}, appNative: {enabled: true}}");
        assert_eq!(both[0], "PAPERCLIP_DB_BACKUP_ENABLED=true");
    }

    #[test]
    fn each_name_of_the_user_counts_once_and_the_last_wins() {
        let (own, _, said) = read(
            "env: [{name: A, value: '1'}, {name: PORT, value: '1'}, {name: B, value: x}, {name: A, value: '2'}]",
            &Learned::default(),
        );
        assert_eq!(own, ["B", "A"]);
        assert_eq!(
            said,
            [
                "Overridden spec.env[0]: \"A\" is set again by spec.env[3], which counts",
                "Overridden spec.env[1]: \"PORT\" is ignored: use networking.service.port"
            ]
        );
    }

    #[test]
    fn a_protected_name_wins_and_is_reported() {
        let (own, _, said) = read(
            "env: [{name: PAPERCLIP_HOME, value: /old}]",
            &Learned::default(),
        );
        assert_eq!(own, ["PAPERCLIP_HOME"]);
        assert!(said[0].starts_with("Overridden spec.env[0]: \"PAPERCLIP_HOME\" replaces"));
    }

    #[test]
    fn every_legal_key_for_agents_is_handed_on_in_order() {
        let mut learned = Learned::default();
        let keys = [
            "ANTHROPIC_API_KEY",
            "GEMINI_API_KEY",
            "HOME",
            "not-a-name",
            "OPENAI_API_KEY",
        ];
        learned
            .keys
            .insert("llm".into(), keys.map(str::to_owned).to_vec());
        let (_, adapters, said) = read("adapters: {apiKeysSecretRef: {name: llm}}", &learned);
        assert_eq!(
            adapters,
            ["ANTHROPIC_API_KEY", "OPENAI_API_KEY", "GEMINI_API_KEY"]
        );
        assert_eq!(
            said,
            [
                "AcceptedWithWarnings spec.adapters.apiKeysSecretRef: keys that are no variables of agents: \"HOME\"; \"not-a-name\""
            ]
        );
    }

    #[test]
    fn values_out_of_range_are_corrected_and_told() {
        let (_, _, said) = read("heartbeat: {intervalMS: 500}", &Learned::default());
        assert_eq!(
            said,
            ["Clamped spec.heartbeat.intervalMS: 500 raised to 10000"]
        );
    }

    #[test]
    fn a_level_that_would_crash_the_server_stops_the_change() {
        let (_, _, said) = read(
            "observability: {logging: {level: loud}}",
            &Learned::default(),
        );
        assert!(said[0].starts_with("InvalidSpec spec.observability.logging.level: \"loud\""));
    }
}
