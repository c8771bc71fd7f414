//! Restores as they concern one Instance: which of them counts, what it means for the server, and what the status keeps of it. A restore is
//! done by its own controller; here it is asked for, made room for, and remembered. Must never ask twice for one value of `restoreFrom`.

use super::observed::Observed;
use super::validate::names::Identity;
use super::{Controller, Pass};
use crate::controllers::archive::destination::{self, Destination};
use crate::controllers::restore::phase;
use crate::crd::instance::{InstanceSpec, InstanceStatus, Outcome, RestoreSummary};
use crate::crd::restore::RestorePhase;
use crate::crd::shared::BackupPart;
use crate::crd::{Instance, PaperclipRestore, text};
use crate::shared::conditions::find;
use crate::shared::controller::Failure;
use crate::shared::events::{Regarding, Severity};
use crate::shared::guarded::Guarded;
use crate::shared::random::hex;
use serde_json::json;
use sha2::{Digest, Sha256};

/// What a restore means for the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hold {
    /// Nothing.
    #[default]
    None,
    /// One that does not run yet must not start: other data are to come.
    Wait,
    /// No server may run.
    Stop,
}

/// What `restoreFrom` asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked<'a> {
    /// The value.
    pub value: &'a str,
    /// Where the backup is; `None`: nobody says.
    pub storage: Option<Destination>,
    /// Options.
    pub options: Option<&'a crate::crd::instance::Restore>,
}

/// The value of `restoreFrom` that was not handled yet.
pub fn wanted<'a>(spec: &'a InstanceSpec, status: Option<&InstanceStatus>) -> Option<&'a str> {
    let value = text(spec.restore_from.as_ref())?;
    let handled = status
        .and_then(|s| s.restore.as_ref())
        .and_then(|r| r.source.as_deref());
    (handled != Some(value)).then_some(value)
}

/// See [`Asked`].
pub fn asked<'a>(instance: &'a Instance, id: &Identity<'_>) -> Option<Asked<'a>> {
    let spec = &instance.spec;
    let options = spec.restore.as_deref();
    let own = options.and_then(|r| r.s3.as_ref());
    let objects = spec.object_storage.as_deref();
    Some(Asked {
        value: wanted(spec, instance.status.as_ref())?,
        storage: own
            .map(|s3| destination::of_backup(s3, id.name, objects))
            .or_else(|| Some(destination::of_instance(id.name, instance)?.1)),
        options,
    })
}

/// Name of the restore for one value: one value is restored once.
pub fn name(instance: &str, value: &str) -> String {
    let mut hash = hex(&Sha256::digest(value));
    hash.truncate(10);
    format!("{instance}-{hash}")
}

/// The restores of an Instance.
#[derive(Clone, Copy, Debug)]
pub struct Restores<'a> {
    active: Option<&'a PaperclipRestore>,
    own: Option<&'a PaperclipRestore>,
    last: Option<&'a PaperclipRestore>,
    fresh: bool,
    wanted: Option<&'a str>,
}

impl<'a> Restores<'a> {
    /// Looks at them.
    pub fn of(instance: &'a Instance, observed: &'a Observed) -> Self {
        let all = || {
            observed
                .restores
                .iter()
                .filter_map(|seen| match &seen.view {
                    Guarded::Ok(restore) if !seen.deleting => Some(&**restore),
                    _ => None,
                })
        };
        let status = instance.status.as_ref();
        let wanted = wanted(&instance.spec, status);
        let main = instance.metadata.name.as_deref().unwrap_or_default();
        let own = wanted.map(|value| name(main, value));
        let ended = |r: &&PaperclipRestore| {
            let status = r.status.as_ref();
            status.and_then(|s| s.completion_time.as_ref()).map(|t| t.0)
        };
        Self {
            active: all().find(|r| phase::is_active(r)),
            own: all().find(|r| own.is_some() && r.metadata.name == own),
            last: all().filter(|r| phase::has_ended(r)).max_by_key(ended),
            fresh: status.is_none_or(|s| s.first_ready_time.is_none()),
            wanted,
        }
    }

    /// The one that counts: which works, else which is asked for, else which ended last.
    pub fn current(&self) -> Option<&'a PaperclipRestore> {
        self.active.or(self.own).or(self.last)
    }

    /// One works.
    pub fn is_active(&self) -> bool {
        self.active.is_some()
    }

    /// The one for `restoreFrom` is there already.
    pub fn is_asked(&self) -> bool {
        self.own.is_some()
    }

    /// A value is asked for, and not brought back.
    pub fn is_wanted(&self) -> bool {
        self.wanted.is_some()
    }

    /// There were no data before.
    pub fn is_first(&self) -> bool {
        self.fresh
    }

    /// What it means for the server.
    pub fn hold(&self) -> Hold {
        if self.active.is_some_and(phase::stops_server) {
            return Hold::Stop;
        }
        if self.awaits_data() {
            Hold::Wait
        } else {
            Hold::None
        }
    }

    /// There are no data yet, and those that are asked for have not been brought back.
    fn awaits_data(&self) -> bool {
        let brought = self.own.is_some_and(|r| {
            matches!(
                phase::of(r),
                RestorePhase::Checking | RestorePhase::Complete
            )
        });
        self.fresh && self.wanted.is_some() && !brought
    }

    /// The keys come with the data: none may be made before. Only an Instance that can open them waits for them.
    pub fn brings_keys(&self, spec: &InstanceSpec) -> bool {
        let options = spec.restore.as_deref();
        let named = options.and_then(|r| r.identity_secret_ref.as_ref());
        let encryption = spec.backup.as_ref().and_then(|b| b.encryption.as_ref());
        let usual = encryption.and_then(|e| e.identity_secret_ref.as_ref());
        let include = options.map(|r| &*r.include).unwrap_or_default();
        let wanted = include.is_empty() || include.iter().any(|p| *p == BackupPart::Secrets);
        self.awaits_data() && wanted && named.or(usual).is_some()
    }

    /// The server is being tried: nobody is to be woken.
    pub fn is_checking(&self) -> bool {
        self.active
            .is_some_and(|r| phase::of(r) == RestorePhase::Checking)
    }

    /// What tells the data after a restore from those before: the uid of the restore.
    pub fn data<'b>(&'b self, status: Option<&'b InstanceStatus>) -> Option<&'b str> {
        let active = self.active.and_then(|r| r.metadata.uid.as_deref());
        active.or_else(|| status?.restore.as_ref()?.uid.as_deref())
    }

    /// What the status keeps.
    pub fn summary(&self, before: Option<&RestoreSummary>) -> Option<RestoreSummary> {
        let kept = before.cloned();
        let Some(restore) = self.current() else {
            return kept;
        };
        let status = restore.status.as_ref();
        let phase = phase::of(restore);
        let result = match phase {
            RestorePhase::Complete => Some(Outcome::Succeeded),
            RestorePhase::Failed => Some(Outcome::Failed),
            _ => None,
        };
        let words = status
            .and_then(|s| find(&s.conditions, "Ready"))
            .map(|c| c.message.clone());
        let handled = self.wanted.filter(|_| {
            let done = self.own.map(phase::of);
            done == Some(RestorePhase::Complete)
        });
        let before_it = kept.as_ref().and_then(|k| k.source.clone());
        Some(RestoreSummary {
            completion_time: status.and_then(|s| s.completion_time.clone()),
            result: result.map(Into::into),
            source: handled.map(ToOwned::to_owned).or(before_it),
            name: restore.metadata.name.clone(),
            uid: restore.metadata.uid.clone(),
            message: words,
        })
    }
}

impl Controller {
    /// Takes `restoreFrom` out of the spec, once: when it was brought back, and before the status says that it is handled.
    pub(super) async fn clear_restore_from(
        &self,
        pass: &Pass<'_>,
        observed: &Observed,
    ) -> Result<(), Failure> {
        let restores = Restores::of(pass.instance, observed);
        let Some(value) = restores.wanted else {
            return Ok(());
        };
        if restores.own.map(phase::of) != Some(RestorePhase::Complete) {
            return Ok(());
        }
        let patch = json!([
            {"op": "test", "path": "/spec/restoreFrom", "value": value},
            {"op": "remove", "path": "/spec/restoreFrom"},
        ]);
        match self.patch_itself(&pass.seen.key, &patch).await {
            Ok(()) => {
                let text = format!(
                    "spec.restoreFrom \"{value}\" was brought back, and taken out of the spec"
                );
                let about = Regarding::of::<Instance, _>(pass.seen);
                let events = &self.context.events;
                events.send(&about, Severity::Normal, "RestoreSourceHandled", &text);
                Ok(())
            }
            // Somebody has changed it meanwhile: that is another value.
            Err(error) if error.is_not_found() || error.code() == Some(422) => Ok(()),
            Err(error) => Err(Failure::new("restore", error.reason(), &error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::cache::Seen;
    use serde_json::Value;
    use std::sync::Arc;

    const OPENS: &str = "{restoreFrom: latest, backup: {encryption: {recipients: [age1x], identitySecretRef: {name: a, key: k}}}}";

    /// Whether an Instance waits for keys, while its restore is in this phase.
    fn waits(spec: &str, status: &str, phase: Option<&str>) -> bool {
        let spec: Value = serde_saphyr::from_str(spec).unwrap();
        let status: Value = serde_saphyr::from_str(status).unwrap();
        let instance: Instance = serde_json::from_value(json!({
            "apiVersion": "paperclip.inc/v1alpha1", "kind": "Instance",
            "metadata": {"name": "shop", "namespace": "prod", "uid": "i-1"}, "spec": spec, "status": status,
        }))
        .unwrap();
        let restore = phase.map(|phase| {
            Arc::new(Seen::read(
                json!({
                    "apiVersion": "paperclip.inc/v1alpha1", "kind": "PaperclipRestore",
                    "metadata": {"name": name("shop", "latest"), "namespace": "prod", "uid": "r-1"},
                    "spec": {"instanceRef": {"name": "shop"}}, "status": {"phase": phase},
                }),
                &[],
            ))
        });
        let observed = Observed {
            restores: restore.into_iter().collect(),
            ..Observed::default()
        };
        Restores::of(&instance, &observed).brings_keys(&instance.spec)
    }

    #[test]
    fn a_new_instance_makes_no_keys_until_those_of_its_backup_are_there() {
        assert!(waits(OPENS, "{}", None));
        for phase in ["Pending", "Quiescing", "RestoringDatabase", "Failed"] {
            assert!(waits(OPENS, "{}", Some(phase)), "{phase}");
        }
        for phase in ["Checking", "Complete"] {
            assert!(!waits(OPENS, "{}", Some(phase)), "{phase}");
        }
    }

    #[test]
    fn one_that_has_served_or_that_cannot_open_any_keeps_its_own() {
        assert!(!waits(
            OPENS,
            "{firstReadyTime: '2026-01-01T00:00:00Z'}",
            None
        ));
        assert!(!waits("{restoreFrom: latest}", "{}", None));
        let less = OPENS.replace("backup:", "restore: {include: [Database]}, backup:");
        assert!(!waits(&less, "{}", None));
        let named = "{restoreFrom: latest, restore: {include: [Database, Secrets], identitySecretRef: {name: a, key: k}}}";
        assert!(waits(named, "{}", None));
    }
}
