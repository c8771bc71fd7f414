use super::*;
use crate::controllers::instance::workload::Workloads;
use crate::shared::names::manager;
use crate::shared::views::Job;

fn instance(generation: i64, extra: &str) -> Instance {
    serde_saphyr::from_str(&format!(
        "{{metadata: {{name: clip, generation: {generation}{extra}}}, spec: {{}}}}"
    ))
    .unwrap()
}

/// What the earlier operator left: its StatefulSet with this note of ours, and a pod.
fn observed(note: Option<&str>, ready: bool) -> Observed {
    let mut object = json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "clip", "uid": "w"},
        "spec": {"replicas": 1}});
    if let Some(note) = note {
        object["metadata"]["annotations"] = json!({"paperclip.inc/found-with": note});
    }
    let pod = json!({"metadata": {"name": "clip-0", "uid": "p"}, "status": {"phase": "Running", "conditions": [
        {"type": "Ready", "status": if ready { "True" } else { "False" }}]}});
    Observed {
        workloads: Workloads {
            current: Some(Arc::new(Seen::read(object, &[manager::INSTANCE]))),
            ..Workloads::default()
        },
        pods: vec![Arc::new(Seen::<Pod>::read(pod, &[]))],
        ..Observed::default()
    }
}

#[test]
fn pods_that_serve_stay_and_what_is_asked_for_is_noted() {
    let first = decide(&instance(3, ""), &observed(None, true), "ab");
    assert_eq!(first, Rollout::Noted("3-ab".into()));
    let then = decide(&instance(3, ""), &observed(Some("3-ab"), true), "ab");
    assert_eq!(then, Rollout::Held);
}

#[test]
fn another_spec_begins_it_only_if_it_asks_for_other_pods() {
    let seen = || observed(Some("3-ab"), true);
    assert_eq!(
        decide(&instance(4, ""), &seen(), "cd"),
        Rollout::Begun(Cause::Changed)
    );
    assert_eq!(
        decide(&instance(4, ""), &seen(), "ab"),
        Rollout::Noted("4-ab".into())
    );
}

#[test]
fn another_operator_begins_nothing() {
    assert_eq!(
        decide(&instance(3, ""), &observed(Some("3-ab"), true), "cd"),
        Rollout::Noted("3-cd".into())
    );
}

#[test]
fn it_begins_when_asked_for_and_when_there_is_nothing_to_lose() {
    let asked = instance(3, ", annotations: {paperclip.inc/adopt: now}");
    let seen = || observed(Some("3-ab"), true);
    assert_eq!(decide(&asked, &seen(), "ab"), Rollout::Begun(Cause::Asked));
    let other = instance(3, ", annotations: {paperclip.inc/adopt: later}");
    assert_eq!(decide(&other, &seen(), "ab"), Rollout::Held);
    assert_eq!(
        decide(&instance(3, ""), &observed(Some("3-ab"), false), "ab"),
        Rollout::Begun(Cause::Down)
    );
    let mut stopped = instance(3, "");
    stopped.spec.suspended = Some(true);
    assert_eq!(
        decide(&stopped, &seen(), "ab"),
        Rollout::Begun(Cause::Suspended)
    );
}

#[test]
fn once_its_migration_has_begun_it_goes_on() {
    let mut seen = observed(Some("3-ab"), true);
    let job = json!({"metadata": {"name": "clip-migrate-0", "uid": "j"}});
    seen.jobs = vec![Arc::new(Seen::<Job>::read(job, &[]))];
    assert_eq!(
        decide(&instance(3, ""), &seen, "ab"),
        Rollout::Begun(Cause::Underway)
    );
}

#[test]
fn a_workload_of_ours_is_none_that_was_found() {
    let mut object = json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "clip", "uid": "w"},
        "spec": {"template": {"metadata": {"annotations": {"paperclip.inc/config-hash": "h"}}}}});
    let seen = |object: &Value| Observed {
        workloads: Workloads {
            current: Some(Arc::new(Seen::read(object.clone(), &[manager::INSTANCE]))),
            ..Workloads::default()
        },
        ..Observed::default()
    };
    // Somebody made the API server forget who wrote what.
    assert_eq!(
        decide(&instance(1, ""), &seen(&object), "ab"),
        Rollout::Ours
    );
    object["spec"]["template"]["metadata"] = json!({});
    object["metadata"]["managedFields"] = json!([{"manager": manager::INSTANCE, "operation": "Apply",
        "fieldsV1": {"f:spec": {"f:template": {}}}}]);
    assert_eq!(
        decide(&instance(1, ""), &seen(&object), "ab"),
        Rollout::Ours
    );
    assert_eq!(
        decide(&instance(1, ""), &Observed::default(), "ab"),
        Rollout::Ours
    );
}

fn wish(image: &str, agent: &str, hash: &str) -> Wish {
    let object = json!({"metadata": {"name": "clip", "namespace": "prod"}, "spec": {"replicas": 1, "template": {
        "metadata": {"annotations": {"paperclip.inc/config-hash": hash}},
        "spec": {"automountServiceAccountToken": false, "initContainers": [{"name": "agent-copy", "image": agent}],
            "containers": [{"name": "paperclip", "image": image, "env": [{"name": "A", "value": "1"}],
                "securityContext": {"readOnlyRootFilesystem": true},
                "readinessProbe": {"httpGet": {"port": "http"}}}]}}}});
    let object: k8s_openapi::api::apps::v1::StatefulSet = serde_json::from_value(object).unwrap();
    Wish::of(&object).unwrap()
}

#[test]
fn neither_the_agent_nor_a_secrets_content_asks_for_other_pods() {
    let now = asked(&wish("app:1", "operator:1", "aa"));
    assert_eq!(now, asked(&wish("app:1", "operator:2", "bb")));
    assert_ne!(now, asked(&wish("app:2", "operator:1", "aa")));
}

#[test]
fn people_are_told_what_will_change() {
    let stored = json!({"spec": {"template": {"spec": {
        "initContainers": [{"name": "selinux-relabel"}, {"name": "onboard"}],
        "containers": [{"name": "paperclip", "image": "app:1", "command": ["/bin/sh", "-c"],
            "env": [{"name": "B"}, {"name": "C"}, {"name": "D"}, {"name": "E"}, {"name": "F"}, {"name": "A"}]}]}}}});
    assert_eq!(
        changes(&stored, &wish("app:1", "operator:1", "aa")),
        [
            "init containers go: selinux-relabel, onboard",
            "the server is no longer started by a shell",
            "read-only root file system",
            "no service account token in the pod",
            "readiness by HTTP",
            "variables go: B, C, D, E and 1 more"
        ]
    );
}

#[test]
fn a_pod_of_an_old_revision_that_is_not_ready_blocks_an_ordered_set() {
    let seen = |policy: &str, generation: i64, ready: &str, revision: &str| {
        let set = json!({"metadata": {"name": "clip", "uid": "w", "generation": generation},
            "spec": {"podManagementPolicy": policy}, "status": {"observedGeneration": 2, "updateRevision": "clip-new"}});
        let pod = json!({"metadata": {"name": "clip-0", "uid": "p", "labels": {"controller-revision-hash": revision}},
            "status": {"conditions": [{"type": "Ready", "status": ready}]}});
        let observed = Observed {
            workloads: Workloads {
                current: Some(Arc::new(Seen::read(set, &[]))),
                ..Workloads::default()
            },
            pods: vec![Arc::new(Seen::<Pod>::read(pod, &[]))],
            ..Observed::default()
        };
        blocking(&observed).len()
    };
    assert_eq!(seen("OrderedReady", 2, "False", "clip-old"), 1);
    assert_eq!(seen("OrderedReady", 2, "True", "clip-old"), 0);
    assert_eq!(seen("OrderedReady", 2, "False", "clip-new"), 0);
    assert_eq!(seen("Parallel", 2, "False", "clip-old"), 0);
    // The revision that is wanted is not known yet.
    assert_eq!(seen("OrderedReady", 3, "False", "clip-old"), 0);
}
