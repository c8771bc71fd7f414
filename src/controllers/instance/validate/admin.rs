//! Who is to be the first admin: `spec.auth.adminUser`, `spec.deployment.platformAdmin`, `spec.auth.bootstrap`. Pure.

use super::findings::Findings;
use super::keys::KeyRef;
use super::names::Identity;
use super::not_implemented::bootstrap_is_off;
use super::storage::Volume;
use crate::crd::instance::InstanceSpec;
use crate::crd::text;
use std::borrow::Cow;

/// Key of the e-mail address in the generated Secret.
pub const EMAIL_KEY: &str = "email";
/// Key of the password in the generated Secret.
pub const PASSWORD_KEY: &str = "password";
/// Name if nobody says.
const NAME: &str = "Admin";

/// The first admin to be.
#[derive(Clone, Debug, PartialEq)]
pub struct Admin<'a> {
    /// Address to sign in with.
    pub email: &'a str,
    /// Name that others see.
    pub name: &'a str,
    /// Where the password is.
    pub password: KeyRef<'a>,
    /// The password is ours to make.
    pub make_password: bool,
}

/// Reads the sections; `None`: nobody is made.
pub fn admin<'a>(
    spec: &'a InstanceSpec,
    id: &Identity<'_>,
    local_trusted: bool,
    has_child: bool,
    volume: &Volume<'_>,
    out: &mut Findings,
) -> Option<Admin<'a>> {
    let user = spec.auth.as_ref().and_then(|a| a.admin_user.as_ref());
    let platform = spec
        .deployment
        .as_ref()
        .and_then(|d| d.platform_admin.as_ref());
    let path = if user.is_some() {
        "auth.adminUser"
    } else {
        "deployment.platformAdmin"
    };
    if user.is_some() && platform.is_some() {
        out.overridden("deployment.platformAdmin", "auth.adminUser decides");
    }
    let (email, name) = match (user, platform) {
        (Some(user), _) => (&user.email, user.name.as_ref()),
        (None, Some(platform)) => (&platform.email, platform.name.as_ref()),
        (None, None) => return None,
    };
    if bootstrap_is_off(spec) {
        if user.is_none() {
            out.overridden(path, "ignored, auth.bootstrap.mode is Disabled");
        }
        return None;
    }
    if local_trusted {
        out.overridden(
            path,
            "ignored, everybody is admin in deployment.mode local_trusted",
        );
        return None;
    }
    if !has_child && *volume == Volume::Pod {
        out.overridden(
            path,
            "ignored, database.mode embedded without storage.persistence forgets everybody with its pod",
        );
        return None;
    }
    let given = user
        .and_then(|u| u.password_secret_ref.as_ref())
        .filter(|r| !r.name.is_empty());
    Some(Admin {
        email,
        name: text(name).unwrap_or(NAME),
        make_password: given.is_none(),
        password: given.map_or_else(
            || KeyRef {
                name: Cow::Owned(id.names.admin()),
                key: Cow::Borrowed(PASSWORD_KEY),
            },
            |r| KeyRef {
                name: Cow::Borrowed(&r.name),
                key: Cow::Borrowed(&r.key),
            },
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(yaml: &str) -> (Option<String>, Vec<String>) {
        let spec: InstanceSpec = serde_saphyr::from_str(yaml).unwrap();
        let mut out = Findings::default();
        let id = Identity::new("clip", "prod", "uid-1", "example.local");
        let mode = |word: &str| yaml.contains(word);
        let volume = if mode("enabled: false") {
            Volume::Pod
        } else {
            Volume::Existing("x")
        };
        let admin = admin(
            &spec,
            &id,
            mode("local_trusted"),
            !mode("embedded"),
            &volume,
            &mut out,
        );
        let said = out
            .iter()
            .map(|f| format!("{} {}", f.class.reason(), f.path))
            .collect();
        let admin = admin.map(|a| {
            format!(
                "{} {} {}/{} {}",
                a.email, a.name, a.password.name, a.password.key, a.make_password
            )
        });
        (admin, said)
    }

    #[test]
    fn the_password_is_generated_unless_a_secret_is_named() {
        assert_eq!(
            read("auth: {adminUser: {email: a@b}}").0.as_deref(),
            Some("a@b Admin clip-admin/password true")
        );
        assert_eq!(
            read(
                "auth: {adminUser: {email: a@b, name: Ada, passwordSecretRef: {name: s, key: k}}}"
            )
            .0
            .as_deref(),
            Some("a@b Ada s/k false")
        );
        assert_eq!(
            read("deployment: {platformAdmin: {email: p@b, name: P}}")
                .0
                .as_deref(),
            Some("p@b P clip-admin/password true")
        );
    }

    #[test]
    fn who_loses_is_told() {
        let (admin, said) =
            read("{auth: {adminUser: {email: a@b}}, deployment: {platformAdmin: {email: p@b}}}");
        assert!(admin.unwrap().starts_with("a@b"));
        assert_eq!(said, ["Overridden spec.deployment.platformAdmin"]);
        for nobody in [
            "{auth: {adminUser: {email: a@b}}, deployment: {mode: local_trusted}}",
            "{auth: {bootstrap: {mode: Disabled}}, deployment: {platformAdmin: {email: a@b}}}",
            "{auth: {adminUser: {email: a@b}}, database: {mode: embedded}, storage: {persistence: {enabled: false}}}",
        ] {
            let (admin, said) = read(nobody);
            assert_eq!((admin, said.len()), (None, 1), "{nobody}");
        }
        assert_eq!(read("{}"), (None, vec![]));
    }
}
