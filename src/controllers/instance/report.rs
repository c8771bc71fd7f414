//! The last step: the status is written if it changed, changes are announced, figures are kept.

use super::adoption::Takeover;
use super::adoption::rollout::Rollout;
use super::applied::{Applied, Cure, Part};
use super::database_mode::Step;
use super::exposure::Exposure;
use super::found::{Found, Learned, Look};
use super::gates::{Plan, State};
use super::keys::Keys;
use super::memory::Remembered;
use super::scheduler::{self, Answers};
use super::status::{self, Elapsed, Failing, Outside, Scene};
use super::validate::Verdict;
use super::validate::findings::Findings;
use super::{Controller, Pass, dereference};
use crate::crd::Instance;
use crate::crd::instance::InstanceStatus;
use crate::shared::apply::Outcome;
use crate::shared::cache::{Key, Seen};
use crate::shared::conditions::Truth;
use crate::shared::controller::{Again, Failure};
use crate::shared::events::{Regarding, Severity};
use crate::shared::guarded::Guarded;
use crate::shared::names::{is_hands_off, manager};
use crate::shared::wish::Kind;
use std::time::{Duration, Instant};

/// References that are missing are looked for this often at first, and later this often.
const SOON: Duration = Duration::from_secs(2);
const LATER: Duration = Duration::from_secs(30);
const EAGER_FOR: Duration = Duration::from_secs(300);
/// Details of the status may lag so much behind.
const DETAILS: Duration = Duration::from_secs(2);
/// What nobody watches and a person may cure is tried again this often.
const AGAIN: Duration = Duration::from_secs(30);

/// What the steps of a pass did.
#[derive(Default)]
pub struct Done {
    /// What was decided.
    pub plan: Option<Plan>,
    /// Which ways from outside are open.
    pub exposure: Exposure,
    /// What was written.
    pub applied: Applied,
    /// The generated keys.
    pub keys: Keys,
    /// Objects of the user.
    pub outside: Outside,
    /// What was decided about the workload of an Instance that is taken over.
    pub takeover: Takeover,
}

impl Outside {
    /// Out of what was read.
    pub fn of(found: &Found) -> Self {
        Self {
            account: match found.account {
                Look::There(()) => Some(true),
                Look::Missing => Some(false),
                Look::Skipped | Look::Forbidden => None,
            },
            ingress_class: match found.ingress_class {
                // One that may not be looked at counts as there.
                Look::There(()) | Look::Forbidden => Some(true),
                Look::Missing => Some(false),
                Look::Skipped => None,
            },
            claim: match &found.claim {
                Look::There(phase) => Some(phase.clone()),
                Look::Missing => Some(String::new()),
                Look::Skipped | Look::Forbidden => None,
            },
        }
    }
}

impl Controller {
    /// Writes the status of a pass that reached its end, and says when to look again.
    pub(super) async fn report(
        &self,
        pass: &Pass<'_>,
        verdict: &Verdict<'_>,
        done: &Done,
        remembered: &mut Remembered,
    ) -> Result<Again, Failure> {
        let observed = self.observe(pass);
        let answers = remembered.answers.clone();
        let retry = done.applied.retry().map(|(part, problem)| {
            Failure::new("apply", &problem.reason, &problem.message).of(part.resource())
        });
        let scene = Scene {
            instance: pass.instance,
            verdict,
            plan: done.plan.as_ref(),
            exposure: Some(&done.exposure),
            scraped: self.context.options.metrics_service.is_some(),
            applied: &done.applied,
            observed: &observed,
            keys: &done.keys,
            outside: done.outside.clone(),
            hands_off: is_hands_off(&pass.instance.metadata),
            adopted: done.takeover.record(pass.adopted.as_ref(), &observed),
            effective: pass.effective,
            answers: &answers,
            requested: dereference::requested(pass.instance),
            failing: retry.as_ref().and_then(|f| self.failing(&pass.seen.key, f)),
            now: pass.now.clone(),
        };
        let parts = status::parts(&scene);
        let elapsed = elapsed(remembered, &parts);
        let missing_for = parts
            .iter()
            .find(|p| names_what_is_missing(p))
            .and_then(|p| elapsed.get(&(p.fact.kind, p.fact.reason.clone())).copied());
        let (status, stalls_in) = status::status(&scene, parts, &elapsed);
        self.announce_parts(pass, done);
        let before = pass.instance.status.as_ref();
        let held_back = hold_back(before, &status, remembered);
        if held_back.is_none() {
            self.write_status(pass.seen, before, &status, &verdict.findings)
                .await?;
        }
        self.count_failures(&pass.seen.key, &done.applied);
        self.gauge(&pass.seen.key, &status, Some(remembered));
        if let Some(failure) = retry {
            return Err(failure);
        }
        let mut next = stalls_in;
        let mut within = |wait: Duration| next = Some(next.map_or(wait, |n| n.min(wait)));
        if let Some(since) = missing_for {
            within(if since < EAGER_FOR { SOON } else { LATER });
        }
        // The Secret with the password may be another one by now, and nobody watches it.
        let failed = |p: &Plan| matches!(p.bootstrap, Some(State::Failed(_)));
        if done.plan.as_ref().is_some_and(failed) {
            within(LATER);
        }
        if done.applied.has(Cure::Time) {
            within(SOON);
        }
        if let Some(v) = &verdict.validated
            && scheduler::must_be_asked(v, &observed)
        {
            within(answers.hold_for());
        }
        if let Some(wait) = held_back {
            within(wait);
        }
        if done.applied.has(Cure::Person) {
            within(AGAIN);
        }
        if dereference::has_outside_parts(&pass.instance.spec) && !scene.hands_off {
            within(
                remembered
                    .next_check
                    .saturating_duration_since(Instant::now()),
            );
        }
        Ok(next.map_or(Again::Someday, |wait| {
            Again::After(wait.max(Duration::from_millis(100)))
        }))
    }

    /// A pass that failed on the way: after a while the last status is amended, so that it does not look fresh.
    pub(super) async fn report_failure(
        &self,
        pass: &Pass<'_>,
        failed: Failure,
        remembered: &mut Remembered,
    ) -> Result<Again, Failure> {
        let Some(failing) = self.failing(&pass.seen.key, &failed) else {
            return Err(failed);
        };
        let observed = self.observe(pass);
        let answers = remembered.answers.clone();
        let learned = remembered.learned.clone().unwrap_or_default();
        let verdict = super::validate(self.input(pass, &learned), &Found::default());
        let scene = Scene {
            instance: pass.instance,
            verdict: &verdict,
            plan: None,
            exposure: None,
            scraped: self.context.options.metrics_service.is_some(),
            applied: &Applied::default(),
            observed: &observed,
            keys: &Keys::default(),
            outside: Outside::default(),
            hands_off: is_hands_off(&pass.instance.metadata),
            effective: pass.effective,
            adopted: pass.adopted.clone(),
            answers: &answers,
            requested: dereference::requested(pass.instance),
            failing: Some(failing),
            now: pass.now.clone(),
        };
        let parts = status::parts(&scene);
        let elapsed = elapsed(remembered, &parts);
        let (status, _) = status::status(&scene, parts, &elapsed);
        let before = pass.instance.status.as_ref();
        self.write_status(pass.seen, before, &status, &verdict.findings)
            .await?;
        self.gauge(&pass.seen.key, &status, Some(remembered));
        Err(failed)
    }

    /// The status of an Instance that is being deleted.
    pub(super) async fn report_deletion(&self, pass: &Pass<'_>) -> Result<(), Failure> {
        let observed = self.observe(pass);
        let answers = Answers::default();
        let learned = Learned::default();
        let verdict = super::validate(self.input(pass, &learned), &Found::default());
        let scene = Scene {
            instance: pass.instance,
            verdict: &verdict,
            plan: None,
            exposure: None,
            scraped: self.context.options.metrics_service.is_some(),
            applied: &Applied::default(),
            observed: &observed,
            keys: &Keys::default(),
            outside: Outside::default(),
            hands_off: false,
            effective: pass.effective,
            adopted: pass.adopted.clone(),
            answers: &answers,
            requested: dereference::requested(pass.instance),
            failing: None,
            now: pass.now.clone(),
        };
        let parts = status::parts(&scene);
        let (status, _) = status::status(&scene, parts, &Elapsed::new());
        let before = pass.instance.status.as_ref();
        self.write_status(pass.seen, before, &status, &verdict.findings)
            .await?;
        self.gauge(&pass.seen.key, &status, None);
        Ok(())
    }

    /// Faults are told when they last.
    fn failing(&self, key: &Key, failure: &Failure) -> Option<Failing> {
        let streak = self.failures.streak(key)?;
        (streak.since.elapsed() > status::PATIENCE_WITH_FAULTS).then(|| Failing {
            message: crate::shared::conditions::clean(&failure.to_string()),
        })
    }

    /// Writes the status and its events if it says something else than before.
    pub(super) async fn write_status(
        &self,
        seen: &Seen<Guarded<Instance>>,
        before: Option<&InstanceStatus>,
        after: &InstanceStatus,
        findings: &Findings,
    ) -> Result<(), Failure> {
        if before == Some(after) {
            return Ok(());
        }
        let value =
            serde_json::to_value(after).map_err(|e| Failure::new("status", "InternalError", &e))?;
        let stored = self
            .context
            .api
            .replace_status(
                &Kind::of::<Instance>(),
                &seen.key.namespace,
                &seen.key.name,
                manager::INSTANCE,
                &seen.uid,
                &value,
            )
            .await;
        match stored {
            Ok(stored) => {
                self.caches.instances.wrote_as_itself(stored);
            }
            // It is gone: nobody needs its status.
            Err(error) if error.is_not_found() => return Ok(()),
            Err(error) => return Err(Failure::new("status", error.reason(), &error)),
        }
        let mut events = status::announcements(before, after);
        events.extend(status::advice(before, after, findings));
        for event in events {
            self.announce(seen, event.severity, &event.reason, &event.text);
        }
        Ok(())
    }

    pub(super) fn announce(
        &self,
        seen: &Seen<Guarded<Instance>>,
        severity: Severity,
        reason: &str,
        text: &str,
    ) {
        let regarding = Regarding::of::<Instance, _>(seen);
        self.context.events.send(&regarding, severity, reason, text);
    }

    /// What was put back, taken up, or made anew.
    fn announce_parts(&self, pass: &Pass<'_>, done: &Done) {
        let before = pass.instance.status.as_ref();
        let managed = before.and_then(|s| s.managed_resources.as_ref());
        let existed = |part: Part| {
            managed.is_some_and(|m| match part {
                Part::Account => m.service_account.is_some(),
                Part::Service => m.service.is_some(),
                Part::Ingress => m.ingress.is_some(),
                Part::HttpRoute => m.http_route.is_some(),
                Part::ServiceMonitor => m.service_monitor.is_some(),
                Part::PrometheusRule => m.prometheus_rule.is_some(),
                Part::DashboardOperator => m.grafana_dashboard_operator.is_some(),
                Part::DashboardInstance => m.grafana_dashboard_instance.is_some(),
                Part::Tailscale => m.config_map.is_some(),
                Part::Autoscaler => m.horizontal_pod_autoscaler.is_some(),
                Part::Budget => m.pod_disruption_budget.is_some(),
                Part::Workload => m.stateful_set.is_some() || m.deployment.is_some(),
                Part::Policy | Part::JobsPolicy => m.network_policy.is_some(),
                Part::Claim => m.persistent_volume_claim.is_some(),
                Part::Database
                | Part::Backup
                | Part::Restore
                | Part::Migration
                | Part::Bootstrap => false,
            })
        };
        let settled =
            before.and_then(|s| s.observed_generation) == pass.instance.metadata.generation;
        let repaired: Vec<String> = done
            .applied
            .done
            .iter()
            .filter(|(part, outcome)| match outcome {
                Outcome::Repaired => *part != Part::Claim,
                Outcome::Created => settled && existed(*part),
                Outcome::Patched | Outcome::Unchanged => false,
            })
            .map(|(part, outcome)| {
                let what = if *outcome == Outcome::Created {
                    "deleted"
                } else {
                    "changed"
                };
                format!("{} was {what} by others", part.resource())
            })
            .collect();
        if !repaired.is_empty() {
            let text = format!("{}; put back", repaired.join(", "));
            self.announce(pass.seen, Severity::Normal, "DriftRepaired", &text);
        }
        let mut adopted = pass.released.clone();
        let keys = done.keys.adopted.iter();
        adopted.extend(keys.filter(|name| !pass.released.contains(name)).cloned());
        let claim = done.applied.outcome(Part::Claim);
        let first = before.is_none() && claim == Some(Outcome::Unchanged);
        if first || claim == Some(Outcome::Repaired) {
            adopted.push(format!("{}-data", pass.seen.key.name));
        }
        if !adopted.is_empty() {
            let text = format!("taken up: {}", adopted.join(", "));
            self.announce(pass.seen, Severity::Normal, "Adopted", &text);
        }
        let replaced = matches!(
            done.applied.outcome(Part::Workload),
            Some(Outcome::Patched | Outcome::Repaired)
        );
        if let Rollout::Begun(cause) = done.takeover.rollout
            && replaced
        {
            let told = pass.adopted.as_ref().map(|a| a.pending.clone());
            let changes = told.filter(|t| !t.is_empty());
            let changes = changes.unwrap_or_else(|| done.takeover.changes.clone());
            let text = format!("because {}; {}", cause.text(), changes.join("; "));
            self.announce(pass.seen, Severity::Normal, "AdoptionRolloutStarted", &text);
        }
        if let Some(text) = done.applied.database.as_ref().and_then(Step::begins) {
            self.announce(pass.seen, Severity::Warning, "DatabaseModeChanged", text);
        }
        for name in &done.keys.renewed {
            let text = format!(
                "Secret \"{name}\" was gone and is made anew; sessions and open decisions of before end"
            );
            self.announce(pass.seen, Severity::Warning, "KeysRenewed", &text);
        }
    }
}

/// How long a change of details alone still waits for company: while an Instance comes up, details change many times a second, and each
/// write costs.
fn hold_back(
    before: Option<&InstanceStatus>,
    after: &InstanceStatus,
    remembered: &mut Remembered,
) -> Option<Duration> {
    if before == Some(after) || status::matters(before, after) {
        remembered.outdated = None;
        return None;
    }
    let since = *remembered.outdated.get_or_insert_with(Instant::now);
    let left = DETAILS.saturating_sub(since.elapsed());
    if left.is_zero() {
        remembered.outdated = None;
        return None;
    }
    Some(left)
}

/// It waits for an object of the user that nobody watches.
fn names_what_is_missing(part: &status::Part) -> bool {
    let fact = &part.fact;
    let missing = fact.kind == "ReferencesResolved" || fact.reason == "IngressClassNotFound";
    missing && fact.truth == Truth::False
}

/// How long each part has been as it is.
fn elapsed(remembered: &mut Remembered, parts: &[status::Part]) -> Elapsed {
    let now = Instant::now();
    let lacking = parts.iter().filter(|p| p.fact.truth != Truth::True);
    remembered.observe(lacking.map(|p| (p.fact.kind, p.fact.reason.clone())));
    remembered
        .waits
        .iter()
        .map(|(key, since)| (key.clone(), now.saturating_duration_since(*since)))
        .collect()
}

impl Failure {
    /// With the kind of object that it is about.
    fn of(mut self, resource: &str) -> Self {
        self.message = format!("{resource}: {}", self.message);
        self
    }
}
