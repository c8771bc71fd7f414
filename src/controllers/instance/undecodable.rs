//! Objects that cannot be decoded: they say so, and nothing else happens to them. What runs goes on as it is. Deletion needs metadata only.

use super::Controller;
use super::validate::findings::Findings;
use super::workload::WorkloadKind;
use crate::crd::instance::{Instance, InstanceStatus, Phase};
use crate::shared::cache::Seen;
use crate::shared::conditions::{Fact, Truth, find, limit, merge};
use crate::shared::controller::{Again, Failure};
use crate::shared::guarded::Guarded;
use crate::shared::wish::Kind;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};

impl Controller {
    /// A pass over an object that cannot be decoded.
    pub(super) async fn undecodable(
        &self,
        seen: &Seen<Guarded<Instance>>,
        meta: &ObjectMeta,
        error: &str,
    ) -> Result<Again, Failure> {
        if seen.deleting {
            self.set_finalizer(seen, false).await?;
            return Ok(Again::Someday);
        }
        // Only the object as a whole is broken; its status may well be read, so that it is not written twice.
        let key = &seen.key;
        let live = self
            .context
            .api
            .get(&Kind::of::<Instance>(), &key.namespace, &key.name)
            .await
            .map_err(|e| Failure::new("dereference", e.reason(), &e))?;
        let Some(live) = live else {
            return Ok(Again::Someday);
        };
        let before: Option<InstanceStatus> = serde_json::from_value(live["status"].clone()).ok();
        let now = Time(jiff::Timestamp::now());
        let after = status(
            before.as_ref(),
            meta.generation.unwrap_or_default(),
            error,
            &now,
        );
        self.write_status(seen, before.as_ref(), &after, &Findings::default())
            .await?;
        self.gauge(key, &after, None);
        Ok(Again::Someday)
    }
}

/// The last status with what is known now.
fn status(
    before: Option<&InstanceStatus>,
    generation: i64,
    error: &str,
    now: &Time,
) -> InstanceStatus {
    let mut status = before.cloned().unwrap_or_default();
    let message = format!("{error}; correct the field");
    let mut facts = vec![
        Fact::new(
            "Ready",
            Truth::False,
            "ResourcesNotReady",
            "ConfigAccepted (Undecodable)",
        ),
        Fact::new("Stalled", Truth::True, "Undecodable", message.clone()),
        Fact::new(
            "ConfigAccepted",
            Truth::False,
            "Undecodable",
            message.clone(),
        ),
    ];
    let said = ["Ready", "Stalled", "Reconciling", "ConfigAccepted"];
    let mut conditions = status.conditions.clone();
    conditions.retain(|c| !said.contains(&c.type_.as_str()));
    let fresh = merge(
        &status.conditions,
        std::mem::take(&mut facts),
        generation,
        now,
    );
    status.conditions = fresh.into_iter().chain(conditions).collect();
    let serves = WorkloadKind::ALL
        .iter()
        .filter_map(|kind| find(&status.conditions, kind.ready()))
        .any(|c| c.status == "True");
    let phase = if serves {
        Phase::Degraded
    } else {
        Phase::Failed
    };
    status.phase = Some(phase.into());
    status.summary = Some(limit(&format!("{phase}: {message}"), 256));
    status.observed_generation = Some(generation);
    status
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Time {
        Time(jiff::Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn it_says_so_keeps_what_is_known_and_says_the_same_again() {
        let before: InstanceStatus = serde_saphyr::from_str(
            "{phase: Running, endpoint: 'http://x', firstReadyTime: '2026-01-01T00:00:00Z', conditions: [
              {type: Ready, status: 'True', reason: A, message: m, lastTransitionTime: '2026-01-01T00:00:00Z'},
              {type: StatefulSetReady, status: 'True', reason: A, message: m, lastTransitionTime: '2026-01-01T00:00:00Z'}]}",
        )
        .unwrap();
        let after = status(Some(&before), 7, "spec.backup: expected an object", &now());
        assert_eq!(after.endpoint.as_deref(), Some("http://x"));
        assert_eq!(after.phase, Some(Phase::Degraded.into()));
        let accepted = find(&after.conditions, "ConfigAccepted").unwrap();
        assert_eq!(accepted.reason, "Undecodable");
        assert!(accepted.message.contains("spec.backup"));
        assert_eq!(find(&after.conditions, "Ready").unwrap().status, "False");
        assert_eq!(
            status(Some(&after), 7, "spec.backup: expected an object", &now()),
            after
        );
    }
}
