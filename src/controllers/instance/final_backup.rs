//! The last backup of an Instance that is being deleted: taken before anything is removed, if there is a place for it and there were data.
//! Decided from what is observed, so a restart goes on where it was. Must never let data go without a copy or a person's word.

use super::deletion::{deletes_data, wants_final_backup};
use super::{Controller, Pass};
use crate::crd::backup::{BackupPhase, BackupReason, PaperclipBackupSpec};
use crate::crd::instance::DatabaseMode;
use crate::crd::{Instance, LocalRef, PaperclipBackup, word};
use crate::shared::cache::{Key, Seen};
use crate::shared::conditions::find;
use crate::shared::controller::Failure;
use crate::shared::events::Severity;
use crate::shared::guarded::Guarded;
use crate::shared::names::{ANNOTATION_SKIP_FINAL_BACKUP, Component, labels, manager};
use crate::shared::wish::Kind;
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::jiff::Timestamp;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

/// How long the server's pods may take to end; a dump is consistent all the same.
const STOP_WITHIN: Duration = Duration::from_secs(150);
/// How long all tries may take before a deletion that keeps the data goes on.
const BOUND: Duration = Duration::from_secs(1800);
/// Tries, if data are kept anyway.
const TRIES: usize = 3;
const LOOK: Duration = Duration::from_secs(3);

/// What comes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// No backup is wanted, or it is there.
    GoOn(Option<(Severity, &'static str, String)>),
    /// The server is stopped.
    Stop,
    /// A try begins.
    Begin(String),
    /// Something is on its way.
    Wait(Duration),
}

/// A try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Try {
    /// Name of the PaperclipBackup.
    pub name: String,
    /// How far it is.
    pub phase: BackupPhase,
    /// When it was made.
    pub made: Timestamp,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// What it says.
    pub words: String,
}

/// Name of a try: of the time of the deletion, so that a restart finds it again.
pub fn name(instance: &Instance, number: usize) -> Option<String> {
    let meta = &instance.metadata;
    let time = meta.deletion_timestamp.as_ref()?.0;
    let base = format!(
        "{}-{}",
        meta.name.as_deref()?,
        time.strftime("%Y%m%dt%H%M%Sz")
    );
    Some(if number < 2 {
        base
    } else {
        format!("{base}-{number}")
    })
}

/// Decides. `stopped`: no pod of the server is left.
pub fn decide(instance: &Instance, tries: &[Try], stopped: bool, now: Timestamp) -> Step {
    let (spec, meta) = (&instance.spec, &instance.metadata);
    let served = instance
        .status
        .as_ref()
        .is_some_and(|s| s.first_ready_time.is_some());
    let Some(begun) = meta.deletion_timestamp.as_ref().map(|t| t.0) else {
        return Step::GoOn(None);
    };
    if !wants_final_backup(spec) || !served {
        return Step::GoOn(None);
    }
    let skipped = |why: &str| {
        Step::GoOn(Some((
            Severity::Warning,
            "FinalBackupSkipped",
            why.to_owned(),
        )))
    };
    if skips(instance) {
        return skipped("annotation paperclip.inc/skip-final-backup");
    }
    let database = spec.database.as_ref();
    if database.and_then(|d| word(d.mode.as_ref()).ok().flatten()) == Some(DatabaseMode::Embedded) {
        return skipped("an embedded database cannot be dumped; its files stay on the data volume");
    }
    let since = |then: Timestamp| Duration::try_from(now.duration_since(then)).unwrap_or_default();
    if !stopped && since(begun) < STOP_WITHIN {
        return Step::Stop;
    }
    let next = || name(instance, tries.len() + 1).map_or(Step::GoOn(None), Step::Begin);
    let Some(last) = tries.last() else {
        return next();
    };
    let may_wait = deletes_data(spec);
    match last.phase {
        BackupPhase::Complete => {
            let text = format!("PaperclipBackup \"{}\": {}", last.name, last.words);
            Step::GoOn(Some((Severity::Normal, "FinalBackupCompleted", text)))
        }
        BackupPhase::Pending | BackupPhase::Running if may_wait || since(begun) < BOUND => {
            Step::Wait(LOOK)
        }
        _ => {
            if !may_wait && (tries.len() >= TRIES || since(begun) >= BOUND) {
                let text = format!(
                    "no last backup could be taken; the data stay in their volumes. PaperclipBackup \"{}\": {}",
                    last.name, last.words
                );
                return Step::GoOn(Some((Severity::Warning, "FinalBackupFailed", text)));
            }
            let pause = match tries.len() {
                1 => Duration::from_secs(30),
                2 => Duration::from_secs(120),
                _ => BOUND,
            };
            let passed = since(last.ended.unwrap_or(last.made));
            if passed >= pause {
                next()
            } else {
                Step::Wait(pause.saturating_sub(passed))
            }
        }
    }
}

/// A person gives the last backup up.
fn skips(instance: &Instance) -> bool {
    let annotations = instance.metadata.annotations.as_ref();
    annotations
        .and_then(|all| all.get(ANNOTATION_SKIP_FINAL_BACKUP))
        .is_some_and(|value| value == "true")
}

/// What keeps an Instance from going: its data are to go, and no copy of them could be made.
pub fn held(instance: &Instance, tries: &[Try]) -> Option<String> {
    let last = tries.last().filter(|t| t.phase == BackupPhase::Failed)?;
    let holds = deletes_data(&instance.spec) && tries.len() >= TRIES && !skips(instance);
    holds.then(|| {
        format!(
            "no last backup could be taken, and deletionPolicy is Delete: cure it, set deletionPolicy: Retain, or annotate paperclip.inc/skip-final-backup=true. PaperclipBackup \"{}\": {}",
            last.name, last.words
        )
    })
}

impl Controller {
    /// One step of the last backup. `None`: the deletion goes on.
    pub(super) async fn final_backup(&self, pass: &Pass<'_>) -> Result<Option<Duration>, Failure> {
        let observed = self.observe(pass);
        let stopped = observed.pods.is_empty() && observed.wanted_replicas() == 0;
        let step = decide(pass.instance, &observed.final_backups, stopped, pass.now.0);
        match step {
            Step::GoOn(told) => {
                if let Some((severity, reason, text)) = told {
                    self.announce(pass.seen, severity, reason, &text);
                }
                self.give_up(pass, &observed.final_backups).await?;
                Ok(None)
            }
            Step::Stop => {
                self.stop_server(pass).await?;
                Ok(Some(LOOK))
            }
            Step::Begin(name) => self.begin_final_backup(pass, &name).await,
            Step::Wait(time) => Ok(Some(time)),
        }
    }

    async fn begin_final_backup(
        &self,
        pass: &Pass<'_>,
        name: &str,
    ) -> Result<Option<Duration>, Failure> {
        let key = &pass.seen.key;
        let backup = pass.instance.spec.backup.as_ref();
        let mut object = PaperclipBackup::new(
            name,
            PaperclipBackupSpec {
                instance_ref: Some(LocalRef {
                    name: key.name.to_string(),
                }),
                encryption: backup.and_then(|b| b.encryption.clone()),
                reason: Some(BackupReason::FinalSnapshot.into()),
                ..PaperclipBackupSpec::default()
            },
        );
        object.metadata.namespace = Some(key.namespace.to_string());
        // Nobody owns it: it stays as the record.
        object.metadata.labels = Some(labels(&key.name, Component::Backup));
        let body = serde_json::to_value(&object)
            .map_err(|e| Failure::new("build", "InternalError", &e))?;
        let (kind, api) = (Kind::of::<PaperclipBackup>(), &self.context.api);
        let made = api
            .create(&kind, &key.namespace, manager::INSTANCE, &body)
            .await;
        match made {
            Ok(stored) => {
                self.caches.backups.wrote_as_owner(stored);
                let text = format!("PaperclipBackup \"{name}\"");
                self.announce(pass.seen, Severity::Normal, "FinalBackupStarted", &text);
                Ok(Some(LOOK))
            }
            Err(error) if error.is_conflict() => Ok(Some(LOOK)),
            // The namespace goes, and everything in it: nothing can be made here any more.
            Err(error) if error.code() == Some(403) => {
                let text = "the namespace is being deleted";
                self.announce(pass.seen, Severity::Warning, "FinalBackupSkipped", text);
                Ok(None)
            }
            Err(error) => Err(Failure::new("final-backup", error.reason(), &error)),
        }
    }

    /// Takes away a try that nobody waits for any more; its Job tidies up.
    async fn give_up(&self, pass: &Pass<'_>, tries: &[Try]) -> Result<(), Failure> {
        let open = tries
            .iter()
            .filter(|t| matches!(t.phase, BackupPhase::Pending | BackupPhase::Running));
        for open in open {
            let key = Key::new(&pass.seen.key.namespace, &open.name);
            let Some(seen) = self.caches.backups.get(&key) else {
                continue;
            };
            let kind = Kind::of::<PaperclipBackup>();
            self.context
                .api
                .delete(&kind, &key.namespace, &key.name, &seen.uid, "Background")
                .await
                .map_err(|e| Failure::new("final-backup", e.reason(), &e))?;
        }
        Ok(())
    }

    /// No pods: what is written after the dump would be lost to it.
    async fn stop_server(&self, pass: &Pass<'_>) -> Result<(), Failure> {
        let key = &pass.seen.key;
        let none = json!({"spec": {"replicas": 0}});
        let sets = self.caches.stateful_sets.get(key);
        let deployments = self.caches.deployments.get(key);
        for (kind, found) in [
            (Kind::of::<StatefulSet>(), sets),
            (Kind::of::<Deployment>(), deployments),
        ] {
            let ours = found.filter(|w| {
                w.controller
                    .as_ref()
                    .is_some_and(|c| *c.uid == *pass.seen.uid)
                    && w.view.spec.replicas != Some(0)
            });
            if ours.is_none() {
                continue;
            }
            let sent = self
                .context
                .api
                .merge_patch(&kind, &key.namespace, &key.name, manager::INSTANCE, &none)
                .await;
            match sent {
                Ok(_) => {}
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(Failure::new("final-backup", error.reason(), &error)),
            }
        }
        Ok(())
    }
}

/// The tries that were made, the first one first.
pub fn tries(
    instance: &Instance,
    get: impl Fn(&str) -> Option<Arc<Seen<Guarded<PaperclipBackup>>>>,
) -> Vec<Try> {
    let mut all = vec![];
    while let Some(seen) = name(instance, all.len() + 1).and_then(|name| get(&name)) {
        let meta = seen.view.meta();
        let status = match &seen.view {
            Guarded::Ok(backup) => backup.status.as_ref(),
            Guarded::Undecodable { .. } => None,
        };
        let ready = status.and_then(|s| find(&s.conditions, "Ready"));
        all.push(Try {
            name: seen.key.name.to_string(),
            phase: status
                .and_then(|s| s.phase.as_ref()?.known().ok())
                .unwrap_or(BackupPhase::Pending),
            made: meta
                .creation_timestamp
                .as_ref()
                .map_or(Timestamp::UNIX_EPOCH, |t| t.0),
            ended: status.and_then(|s| s.completion_time.as_ref()).map(|t| t.0),
            words: ready.map(|c| c.message.clone()).unwrap_or_default(),
        });
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    const DELETED: &str = "2026-11-23T12:00:00Z";

    fn instance(spec: &str, annotations: &str) -> Instance {
        serde_saphyr::from_str(&format!(
            "{{apiVersion: paperclip.inc/v1alpha1, kind: Instance, metadata: {{name: shop, deletionTimestamp: '{DELETED}', annotations: {annotations}}}, \
             spec: {spec}, status: {{firstReadyTime: '2026-01-01T00:00:00Z'}}}}"
        ))
        .unwrap()
    }

    fn attempt(number: usize, phase: BackupPhase, ended: &str) -> Try {
        Try {
            name: format!("t{number}"),
            phase,
            made: DELETED.parse().unwrap(),
            ended: Some(ended.parse().unwrap()),
            words: "words".into(),
        }
    }

    #[allow(clippy::needless_pass_by_value)] // It is made where it is told.
    fn reason(step: Step) -> &'static str {
        match step {
            Step::GoOn(None) => "nothing",
            Step::GoOn(Some((_, reason, _))) => reason,
            Step::Stop => "Stop",
            Step::Begin(_) => "Begin",
            Step::Wait(_) => "Wait",
        }
    }

    const KEEPS: &str = "{backup: {s3: {bucket: bbb}}}";
    const DELETES: &str = "{deletionPolicy: Delete, backup: {s3: {bucket: bbb}}}";

    #[test]
    fn the_server_stops_first_and_then_a_backup_is_taken() {
        let now = "2026-11-23T12:00:10Z".parse().unwrap();
        let shop = instance(KEEPS, "{}");
        assert_eq!(decide(&shop, &[], false, now), Step::Stop);
        assert_eq!(
            decide(&shop, &[], true, now),
            Step::Begin("shop-20261123t120000z".into())
        );
        // One that does not end does not hold it up for ever: a dump is consistent all the same.
        let later = "2026-11-23T12:03:00Z".parse().unwrap();
        assert_eq!(reason(decide(&shop, &[], false, later)), "Begin");
        let done = [attempt(1, BackupPhase::Complete, "2026-11-23T12:01:00Z")];
        assert_eq!(
            reason(decide(&shop, &done, true, later)),
            "FinalBackupCompleted"
        );
    }

    #[test]
    fn without_a_place_or_without_data_there_is_none() {
        let now = "2026-11-23T12:00:10Z".parse().unwrap();
        assert_eq!(
            reason(decide(&instance("{}", "{}"), &[], false, now)),
            "nothing"
        );
        let mut fresh = instance(KEEPS, "{}");
        fresh.status = None;
        assert_eq!(reason(decide(&fresh, &[], false, now)), "nothing");
        let skips = instance(KEEPS, "{paperclip.inc/skip-final-backup: 'true'}");
        assert_eq!(
            reason(decide(&skips, &[], false, now)),
            "FinalBackupSkipped"
        );
        let embedded = "{database: {mode: embedded}, backup: {s3: {bucket: bbb}}}";
        assert_eq!(
            reason(decide(&instance(embedded, "{}"), &[], true, now)),
            "FinalBackupSkipped"
        );
    }

    #[test]
    fn a_failure_is_tried_again_and_then_data_that_are_kept_let_it_go() {
        let shop = instance(KEEPS, "{}");
        let failed = |n: usize| -> Vec<Try> {
            (1..=n)
                .map(|n| attempt(n, BackupPhase::Failed, "2026-11-23T12:01:00Z"))
                .collect()
        };
        let at = |text: &str| text.parse().unwrap();
        assert_eq!(
            reason(decide(&shop, &failed(1), true, at("2026-11-23T12:01:10Z"))),
            "Wait"
        );
        assert_eq!(
            decide(&shop, &failed(1), true, at("2026-11-23T12:01:31Z")),
            Step::Begin("shop-20261123t120000z-2".into())
        );
        assert_eq!(
            reason(decide(&shop, &failed(3), true, at("2026-11-23T12:02:00Z"))),
            "FinalBackupFailed"
        );
        // One that never begins has its time, too.
        let open = [attempt(1, BackupPhase::Pending, "2026-11-23T12:01:00Z")];
        assert_eq!(
            reason(decide(&shop, &open, true, at("2026-11-23T12:29:00Z"))),
            "Wait"
        );
        assert_eq!(
            reason(decide(&shop, &open, true, at("2026-11-23T12:31:00Z"))),
            "FinalBackupFailed"
        );
    }

    #[test]
    fn data_that_are_to_go_are_held_until_there_is_a_copy_or_a_persons_word() {
        let shop = instance(DELETES, "{}");
        let failed: Vec<Try> = (1..=3)
            .map(|n| attempt(n, BackupPhase::Failed, "2026-11-23T12:01:00Z"))
            .collect();
        let at = |text: &str| text.parse().unwrap();
        assert_eq!(
            reason(decide(&shop, &failed, true, at("2026-11-23T12:20:00Z"))),
            "Wait"
        );
        assert_eq!(
            reason(decide(&shop, &failed, true, at("2026-11-23T12:31:01Z"))),
            "Begin"
        );
        assert!(
            held(&shop, &failed)
                .unwrap()
                .contains("deletionPolicy: Retain")
        );
        let word = instance(DELETES, "{paperclip.inc/skip-final-backup: 'true'}");
        assert_eq!(held(&word, &failed), None);
        assert_eq!(
            reason(decide(&word, &failed, true, at("2026-11-23T12:02:00Z"))),
            "FinalBackupSkipped"
        );
        assert_eq!(held(&instance(KEEPS, "{}"), &failed), None);
    }
}
