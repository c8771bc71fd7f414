//! The generated keys: made once, before anything else, because all else refers to them. Must never make a new master key for data that
//! were encrypted with another one.

use super::build::secrets::Generated;
use super::found::{Found, Look};
use super::observed::Observed;
use super::retained::{self, Kept, RetainedError, Terms};
use super::validate::Validated;
use super::validate::forms;
use super::validate::references::Broken;
use crate::crd::Instance;
use crate::crd::instance::{InstanceStatus, MasterKeyStatus};
use crate::shared::api::ApiServer;
use crate::shared::cache::Seen;
use crate::shared::views::Claim;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::sync::Arc;

/// What is known of the keys after this step.
#[derive(Debug, Default)]
pub struct Keys {
    /// Names of generated Secrets that exist; `None`: nobody looked, the last status vouches.
    pub names: Option<BTreeSet<String>>,
    /// Which master key is in use; `None`: nobody looked, or it is not there.
    pub master: Option<MasterKeyStatus>,
    /// What is wrong with the master key.
    pub broken: Option<Broken>,
    /// Names of what was taken up.
    pub adopted: Vec<String>,
    /// Names of what was lost and made anew.
    pub renewed: Vec<String>,
}

/// What is known before this step.
#[derive(Clone, Copy)]
pub struct Before<'a> {
    /// The Instance.
    pub instance: &'a Instance,
    /// What the caches hold of it.
    pub observed: &'a Observed,
    /// A restore brings the keys: none may be made.
    pub come: bool,
}

/// Makes sure that the generated keys are there, and adds them to what was found.
///
/// # Errors
/// See [`RetainedError`].
pub async fn ensure(
    api: &ApiServer,
    v: &Validated<'_>,
    before: Before<'_>,
    found: &mut Found,
) -> Result<Keys, RetainedError> {
    let (status, observed) = (before.instance.status.as_ref(), before.observed);
    let known = |name: &str| {
        status
            .and_then(|s| s.managed_resources.as_ref())
            .is_some_and(|m| m.secrets.iter().any(|s| s == name))
    };
    let fresh = may_make_master(v, before);
    let bootstrapped = super::gates::is_bootstrapped(v, status, observed);
    let admin = v.admin.as_ref();
    let one = |which: Generated, wanted: bool| async move {
        if !wanted {
            return Ok(None);
        }
        let terms = Terms {
            email: admin.map_or("", |a| a.email),
            known: known(&which.name(&v.id)),
            may_make: match which {
                _ if before.come => false,
                Generated::Master => fresh,
                // A password that was made later would be nobody's.
                Generated::Admin => !bootstrapped,
                Generated::Session | Generated::App => true,
            },
        };
        retained::secret(api, which, &v.id, terms).await.map(Some)
    };
    let (master, session, app, password) = futures::try_join!(
        one(Generated::Master, v.keys.make_master),
        one(Generated::Session, v.keys.make_session),
        one(Generated::App, true),
        one(Generated::Admin, admin.is_some_and(|a| a.make_password)),
    )?;
    let mut keys = Keys::default();
    let mut names = BTreeSet::new();
    for (which, kept) in [
        (Generated::Master, master),
        (Generated::Session, session),
        (Generated::App, app),
        (Generated::Admin, password),
    ] {
        let Some(kept) = kept else { continue };
        let name = which.name(&v.id);
        let data = match kept {
            Kept::Missing if which == Generated::Admin || before.come => continue,
            Kept::Missing => {
                keys.broken = Some(missing(&name));
                continue;
            }
            Kept::Found(data) => {
                // Nobody has told of it: it is from an Instance before this one.
                if !known(&name) {
                    keys.adopted.push(name.clone());
                }
                data
            }
            Kept::Created(data) => {
                if known(&name) && which != Generated::Admin {
                    keys.renewed.push(name.clone());
                }
                data
            }
            Kept::Adopted(data) => {
                keys.adopted.push(name.clone());
                data
            }
        };
        found.secrets.insert(name.clone(), Look::There(data));
        names.insert(name);
    }
    keys.names = Some(names);
    identify(v, status, found, &mut keys);
    Ok(keys)
}

/// A new master key is harmless only where nothing can have been encrypted with another one.
fn may_make_master(v: &Validated<'_>, before: Before<'_>) -> bool {
    let (status, observed) = (before.instance.status.as_ref(), before.observed);
    let used = status.is_some_and(|s| s.master_key.is_some());
    let no_data = observed.claim.is_none() && observed.database_claim.is_none();
    v.keys.make_master && !used && (no_data || has_only_waited(before, &v.id.names.master_key()))
}

/// A restore was asked for before there was a server, the volumes were made for this very Instance, and it never had a key: nothing of its own
/// is in them, and of what was brought back the restore has seen that no key is needed for it. An Instance of the earlier operator has
/// volumes of its own too, and is none of these.
fn has_only_waited(before: Before<'_>, master: &str) -> bool {
    let (instance, observed) = (before.instance, before.observed);
    let Some(status) = &instance.status else {
        return false;
    };
    let made = instance.metadata.creation_timestamp.as_ref();
    let made = made.map(|t| t.0.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
    let younger = |claim: &Arc<Seen<Claim>>| {
        let claim = &claim.view.metadata.creation_timestamp;
        made.as_ref().is_some_and(|made| **claim >= **made)
    };
    let claims = [&observed.claim, &observed.database_claim];
    let managed = status.managed_resources.as_ref();
    let restore = status.restore.as_ref().and_then(|r| r.uid.as_ref());
    restore.is_some()
        && status.adopted.is_none()
        && status.first_ready_time.is_none()
        && managed.is_some_and(|m| !m.secrets.iter().any(|s| s == master))
        && claims.into_iter().flatten().all(younger)
}

fn missing(name: &str) -> Broken {
    Broken {
        reason: "MasterKeyMissing",
        message: format!(
            "Secret \"{name}\" with the master key is gone and there is data: put it back, or name another key in spec.secrets.masterKeySecretRef, which gives up what was encrypted"
        ),
        unknown: false,
    }
}

/// Which key it is, and whether it is the one that the data were encrypted with.
fn identify(v: &Validated<'_>, status: Option<&InstanceStatus>, found: &Found, keys: &mut Keys) {
    let reference = &v.keys.master;
    let Some(bytes) = found
        .secret(&reference.name)
        .and_then(|data| data.get(&reference.key))
        .and_then(forms::master_key)
    else {
        return;
    };
    let mut fingerprint = crate::shared::random::hex(&Sha256::digest(bytes));
    fingerprint.truncate(12);
    let now = MasterKeyStatus {
        secret_name: Some(reference.name.clone().into_owned()),
        fingerprint: Some(fingerprint),
    };
    let before = status.and_then(|s| s.master_key.as_deref());
    match before {
        Some(before) if before.secret_name == now.secret_name && *before != now => {
            keys.broken = Some(Broken {
                reason: "MasterKeyChanged",
                message: format!(
                    "Secret \"{}\" holds another master key than the data were encrypted with: put the old key back, or name the new one in spec.secrets.masterKeySecretRef, which gives up what was encrypted",
                    reference.name
                ),
                unknown: false,
            });
        }
        _ => keys.master = Some(now),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    /// An Instance with this status, and a volume that was made at this time.
    #[allow(clippy::needless_pass_by_value)] // `json!` makes values.
    fn has_only_waited(status: Value, volume: &str) -> bool {
        let instance: Instance = serde_json::from_value(json!({
            "apiVersion": "paperclip.inc/v1alpha1", "kind": "Instance",
            "metadata": {"name": "shop", "namespace": "prod", "uid": "i-1", "creationTimestamp": "2026-11-23T10:00:00Z"},
            "spec": {}, "status": status,
        }))
        .unwrap();
        let claim = json!({"metadata": {"name": "shop-data", "namespace": "prod", "creationTimestamp": volume}});
        let observed = Observed {
            claim: Some(Arc::new(Seen::read(claim, &[]))),
            ..Observed::default()
        };
        let before = Before {
            instance: &instance,
            observed: &observed,
            come: false,
        };
        super::has_only_waited(before, "shop-secrets-master-key")
    }

    #[test]
    fn a_master_key_is_made_beside_volumes_only_if_they_are_its_own_and_it_never_had_one() {
        let waited = || {
            json!({"restore": {"name": "shop-x", "uid": "r-1"},
                "managedResources": {"persistentVolumeClaim": "shop-data", "secrets": ["shop-connections"]}})
        };
        assert!(has_only_waited(waited(), "2026-11-23T10:00:00Z"));
        // Somebody's data from before, which another key may have encrypted.
        assert!(!has_only_waited(waited(), "2026-11-23T09:59:59Z"));
        // A status that was lost tells nothing.
        assert!(!has_only_waited(json!({}), "2026-11-23T10:00:01Z"));
        let mut had = waited();
        had["managedResources"]["secrets"] = json!(["shop-secrets-master-key"]);
        assert!(!has_only_waited(had, "2026-11-23T10:00:01Z"));
        // The earlier operator made volumes too, and told of no keys.
        let mut earlier = waited();
        earlier["restore"] = json!(null);
        assert!(!has_only_waited(earlier, "2026-11-23T10:00:01Z"));
        let mut adopted = waited();
        adopted["adopted"] = json!({"from": "paperclip-operator"});
        assert!(!has_only_waited(adopted, "2026-11-23T10:00:01Z"));
        let mut served = waited();
        served["firstReadyTime"] = json!("2026-11-23T10:05:00Z");
        assert!(!has_only_waited(served, "2026-11-23T10:00:01Z"));
    }
}
