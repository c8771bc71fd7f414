//! `spec.auth` and `spec.secrets`: which keys the server signs and encrypts with. Pure.

use super::findings::Findings;
use super::forms;
use super::names::Identity;
use crate::crd::instance::{BootstrapMode, InstanceSpec, Secrets, SecretsAws, SecretsProvider};
use crate::crd::{SecretKeyRef, text};
use std::borrow::Cow;

/// Key of the session secret in the generated Secret; also the variable.
pub const SESSION_KEY: &str = "BETTER_AUTH_SECRET";
/// Key of the master key in the generated Secret.
pub const MASTER_KEY: &str = "master-key";
/// Keys of the generated Secret `N-app-keys` that are variables too.
pub const APP_KEYS: [&str; 3] = [
    "PAPERCLIP_DECISION_SIGNING_SECRET",
    "PAPERCLIP_TOOL_ACTION_SIGNING_SECRET",
    "PAPERCLIP_AGENT_JWT_SECRET",
];
/// Key in `N-app-keys` that the config hash is keyed with; no pod gets it.
pub const HASH_KEY: &str = "config-hash-key";

/// One key of a Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRef<'a> {
    /// Name of the Secret.
    pub name: Cow<'a, str>,
    /// Key in it.
    pub key: Cow<'a, str>,
}

/// What the server signs and encrypts with.
#[derive(Clone, Debug, PartialEq)]
pub struct Keys<'a> {
    /// Signs sessions.
    pub session: KeyRef<'a>,
    /// The session secret is ours to make.
    pub make_session: bool,
    /// Encrypts stored secrets.
    pub master: KeyRef<'a>,
    /// The master key is ours to make.
    pub make_master: bool,
    /// The Secret with the signing keys, always made by us.
    pub app: String,
    /// Open or closed; `None`: the server's own rule.
    pub disable_sign_up: Option<bool>,
    /// As the application spells it.
    pub provider: &'static str,
    /// AWS Secrets Manager.
    pub aws: Option<Aws<'a>>,
    /// Refuse secrets in clear text; `None`: the server's own rule.
    pub strict: Option<bool>,
}

/// AWS Secrets Manager.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Aws<'a> {
    /// Region.
    pub region: &'a str,
    /// KMS key.
    pub kms_key: &'a str,
    /// Name of this installation.
    pub deployment: &'a str,
    /// Start of names.
    pub prefix: &'a str,
    /// Tag.
    pub environment: Option<&'a str>,
    /// Address of the service.
    pub endpoint: Option<&'a str>,
    /// Days in which a deleted secret can come back.
    pub recovery_days: i32,
}

/// Reads both sections. `ignored`: stored values of the earlier operator that are read as absent.
pub fn keys<'a>(
    spec: &'a InstanceSpec,
    id: &Identity<'_>,
    ignored: &[String],
    out: &mut Findings,
) -> Keys<'a> {
    let auth = spec.auth.as_deref();
    let secrets = spec.secrets.as_deref();
    let session = given(auth.and_then(|a| a.secret_ref.as_ref()));
    let master = given(secrets.and_then(|s| s.master_key_secret_ref.as_ref()));
    if let Some(auth) = auth {
        let mode = auth.bootstrap.as_ref().and_then(|b| b.mode.as_ref());
        if out.word("auth.bootstrap.mode", mode) == Some(BootstrapMode::Disabled)
            && auth.admin_user.is_some()
        {
            out.overridden("auth.adminUser", "ignored, auth.bootstrap.mode is Disabled");
        }
    }
    for (path, email) in [
        (
            "auth.adminUser.email",
            auth.and_then(|a| a.admin_user.as_ref()).map(|u| &u.email),
        ),
        (
            "deployment.platformAdmin.email",
            spec.deployment
                .as_ref()
                .and_then(|d| d.platform_admin.as_ref())
                .map(|u| &u.email),
        ),
    ] {
        if email.is_some_and(|e| !is_email(e)) {
            out.invalid(path, "must be an e-mail address");
        }
    }
    let provider = out
        .word(
            "secrets.provider",
            secrets.and_then(|s| s.provider.as_ref()),
        )
        .unwrap_or(SecretsProvider::LocalEncrypted);
    let strict = secrets
        .and_then(|s| s.strict_mode)
        .filter(|strict| *strict || !ignored.iter().any(|i| i == "spec.secrets.strictMode"));
    let make_session = session.is_none();
    let make_master = master.is_none();
    Keys {
        session: session.unwrap_or_else(|| KeyRef {
            name: Cow::Owned(id.names.auth()),
            key: Cow::Borrowed(SESSION_KEY),
        }),
        make_session,
        master: master.unwrap_or_else(|| KeyRef {
            name: Cow::Owned(id.names.master_key()),
            key: Cow::Borrowed(MASTER_KEY),
        }),
        make_master,
        app: id.names.app_keys(),
        disable_sign_up: auth.and_then(|a| a.disable_sign_up),
        provider: crate::crd::Words::as_str(provider),
        aws: aws(spec, secrets, provider, out),
        strict,
    }
}

fn aws<'a>(
    spec: &InstanceSpec,
    secrets: Option<&'a Secrets>,
    provider: SecretsProvider,
    out: &mut Findings,
) -> Option<Aws<'a>> {
    let options: Option<&SecretsAws> = secrets.and_then(|s| s.aws.as_ref());
    if provider != SecretsProvider::AwsSecretsManager {
        if options.is_some() {
            out.overridden(
                "secrets.aws",
                "ignored, secrets.provider is local_encrypted",
            );
        }
        return None;
    }
    let Some(options) = options else {
        out.invalid(
            "secrets",
            "secrets.aws is required when secrets.provider is aws_secrets_manager",
        );
        return None;
    };
    for (path, value) in [
        ("secrets.aws.region", &options.region),
        ("secrets.aws.kmsKeyID", &options.kms_key_id),
        ("secrets.aws.deploymentID", &options.deployment_id),
    ] {
        if value.trim().is_empty() {
            out.invalid(path, "must not be empty");
        }
    }
    let endpoint = text(options.endpoint.as_ref());
    if let Some(Err(text)) = endpoint.map(forms::http_url) {
        out.invalid("secrets.aws.endpoint", text);
    }
    let credentials = spec
        .object_storage
        .as_ref()
        .and_then(|s| s.credentials_secret_ref.as_ref());
    if credentials.is_some() {
        out.overridden(
            "secrets.aws",
            "the keys of spec.objectStorage.credentialsSecretRef are used for AWS Secrets Manager too, not the pod's own role",
        );
    }
    let asked = options.delete_recovery_days.unwrap_or(30);
    let recovery_days = asked.clamp(7, 30);
    if recovery_days != asked {
        let verb = if asked < recovery_days {
            "raised"
        } else {
            "lowered"
        };
        out.clamped(
            "secrets.aws.deleteRecoveryDays",
            format!("{asked} {verb} to {recovery_days}"),
        );
    }
    Some(Aws {
        region: &options.region,
        kms_key: &options.kms_key_id,
        deployment: &options.deployment_id,
        prefix: text(options.prefix.as_ref()).unwrap_or("paperclip"),
        environment: text(options.environment.as_ref()),
        endpoint,
        recovery_days,
    })
}

fn given(reference: Option<&SecretKeyRef>) -> Option<KeyRef<'_>> {
    reference.filter(|r| !r.name.is_empty()).map(|r| KeyRef {
        name: Cow::Borrowed(&r.name),
        key: Cow::Borrowed(&r.key),
    })
}

fn is_email(text: &str) -> bool {
    !text.contains(' ')
        && text
            .split_once('@')
            .is_some_and(|(user, host)| !user.is_empty() && !host.is_empty() && !host.contains('@'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(yaml: &str, ignored: &[&str]) -> (Vec<String>, Option<bool>, Option<i32>) {
        let spec: InstanceSpec = serde_saphyr::from_str(yaml).unwrap();
        let mut out = Findings::default();
        let id = Identity::new("clip", "prod", "uid-1", "cluster.local");
        let ignored: Vec<String> = ignored.iter().map(|i| (*i).to_owned()).collect();
        let keys = keys(&spec, &id, &ignored, &mut out);
        let said = out
            .iter()
            .map(|f| format!("{} {}: {}", f.class.reason(), f.path, f.text))
            .collect();
        (said, keys.strict, keys.aws.map(|a| a.recovery_days))
    }

    #[test]
    fn false_is_not_unset_unless_the_earlier_operator_wrote_it() {
        assert_eq!(read("{}", &[]).1, None);
        let yaml = "secrets: {strictMode: false}";
        assert_eq!(read(yaml, &[]).1, Some(false));
        assert_eq!(read(yaml, &["spec.secrets.strictMode"]).1, None);
        let yes = "secrets: {strictMode: true}";
        assert_eq!(read(yes, &["spec.secrets.strictMode"]).1, Some(true));
    }

    #[test]
    fn aws_needs_its_options_and_keeps_them_in_range() {
        assert!(
            read("secrets: {provider: aws_secrets_manager}", &[]).0[0]
                .contains("secrets.aws is required")
        );
        let (said, _, days) = read(
            "secrets: {provider: aws_secrets_manager, aws: {region: r, kmsKeyID: k, deploymentID: d, deleteRecoveryDays: 3}}",
            &[],
        );
        assert_eq!(
            said,
            ["Clamped spec.secrets.aws.deleteRecoveryDays: 3 raised to 7"]
        );
        assert_eq!(days, Some(7));
    }

    #[test]
    fn an_admin_without_an_address_is_refused() {
        assert_eq!(
            read("auth: {adminUser: {email: 'a b@c'}}", &[]).0,
            ["InvalidSpec spec.auth.adminUser.email: must be an e-mail address"]
        );
    }
}
