//! The fields that no code of the application reads, in any published release: the one table. They are passed on all the same, because a
//! fork or a later release may read them, and they never keep an Instance from being ready. Pure.

use super::findings::{Class, Findings};
use super::{Source, Variable};
use crate::crd::instance::InstanceSpec;
use std::borrow::Cow;

/// The newest release that the table was checked against.
pub const CHECKED_WITH: &str = "2026.916.1";

/// Reports the fields and hands out their variables.
pub fn report<'a>(spec: &'a InstanceSpec, out: &mut Findings) -> Vec<Variable<'a>> {
    let mut variables = vec![];
    let mut say = |path: &str| {
        out.add(
            Class::UnsupportedByVersion,
            path,
            format!("not read by {CHECKED_WITH}, has no effect"),
        );
    };
    if let Some(auth) = &spec.auth {
        if let Some(email) = &auth.email {
            if let Some(key) = &email.resend_api_key_secret_ref {
                say("auth.email.resendAPIKeySecretRef");
                variables.push(secret("RESEND_API_KEY", &key.name, &key.key));
            }
            if let Some(from) = crate::crd::text(email.from.as_ref()) {
                say("auth.email.from");
                variables.push(text("PAPERCLIP_EMAIL_FROM", from));
            }
            if email.verification_required == Some(true) {
                say("auth.email.verificationRequired");
                variables.push(text("PAPERCLIP_EMAIL_VERIFICATION_REQUIRED", "true"));
            }
        }
        let google = auth.google.as_ref().map(|g| &g.credentials_secret_ref);
        let apple = auth.apple.as_ref().map(|a| &a.credentials_secret_ref);
        for (path, reference, names) in [
            (
                "auth.google",
                google,
                ["GOOGLE_CLIENT_ID", "GOOGLE_CLIENT_SECRET"],
            ),
            (
                "auth.apple",
                apple,
                ["APPLE_CLIENT_ID", "APPLE_CLIENT_SECRET"],
            ),
        ] {
            if let Some(Some(reference)) = reference {
                say(path);
                variables.extend(names.map(|n| secret(n, &reference.name, n)));
            }
        }
    }
    if let Some(admin) = spec
        .deployment
        .as_ref()
        .and_then(|d| d.platform_admin.as_ref())
    {
        variables.push(text("PAPERCLIP_SEED_ADMIN_EMAIL", &admin.email));
        if let Some(name) = crate::crd::text(admin.name.as_ref()) {
            variables.push(text("PAPERCLIP_SEED_ADMIN_NAME", name));
        }
        if let Some(id) = crate::crd::text(admin.user_id.as_ref()) {
            say("deployment.platformAdmin.userID");
            variables.push(text("PAPERCLIP_SEED_ADMIN_USER_ID", id));
        }
    }
    if let Some(e2b) = spec.adapters.as_ref().and_then(|a| a.e2b.as_ref())
        && e2b.api_key_secret_ref.is_some()
    {
        // The variable is one that is read, by a plugin that no default image has: it is set with the others.
        say("adapters.e2b.apiKeySecretRef");
    }
    if let Some(clients) = super::clients(spec) {
        // The clients reach the application under other names.
        variables.push(secret(
            "PAPERCLIP_OAUTH_CREDENTIALS",
            clients.secret,
            clients.key,
        ));
    }
    let providers = spec.connections.as_ref();
    let providers = providers.and_then(|c| crate::crd::local(c.providers_config_ref.as_ref()));
    if let Some(name) = providers {
        say("connections.providersConfigRef");
        variables.push(Variable {
            name: Cow::Borrowed("PAPERCLIP_OAUTH_PROVIDERS"),
            source: Source::ConfigMap {
                name: Cow::Borrowed(name),
                key: Cow::Borrowed("PAPERCLIP_OAUTH_PROVIDERS"),
            },
        });
    }
    let branding = spec.branding.as_ref();
    if branding.is_some_and(|b| crate::crd::local(b.css_config_map_ref.as_ref()).is_some()) {
        say("branding.cssConfigMapRef");
        variables.push(text("PAPERCLIP_BRAND_DIR", "/etc/paperclip/branding"));
    }
    if let Some(this) = &spec.self_configure {
        if this.enabled == Some(true) {
            say("selfConfigure.enabled");
        }
        if !this.allowed_actions.is_empty() {
            say("selfConfigure.allowedActions");
        }
    }
    let native = spec.backup.as_ref().and_then(|b| b.app_native.as_ref());
    if let Some(days) = native.and_then(|n| n.retention_days) {
        say("backup.appNative.retentionDays");
        variables.push(Variable {
            name: Cow::Borrowed("PAPERCLIP_DB_BACKUP_RETENTION_DAYS"),
            source: Source::Text(Cow::Owned(days.to_string())),
        });
    }
    variables
}

fn text<'a>(name: &'static str, value: &'a str) -> Variable<'a> {
    Variable {
        name: Cow::Borrowed(name),
        source: Source::text(value),
    }
}

fn secret<'a>(name: &'static str, secret: &'a str, key: &'a str) -> Variable<'a> {
    Variable {
        name: Cow::Borrowed(name),
        source: Source::Secret {
            name: Cow::Borrowed(secret),
            key: Cow::Borrowed(key),
            optional: true,
        },
    }
}
