//! What changes the number of pods.

use super::*;

#[test]
fn an_autoscaler_follows_cpu_and_memory_of_the_workload() {
    let g = given(
        "availability: {autoScaling: {enabled: true, maxReplicas: 4, targetMemoryUtilizationPercentage: 70}}",
    );
    let metric = |name: &str, percent: i32| {
        json!({"type": "Resource", "resource": {"name": name,
            "target": {"type": "Utilization", "averageUtilization": percent}}})
    };
    let wish = g.built().autoscaler.unwrap();
    assert_eq!(wish.body["apiVersion"], "autoscaling/v2");
    assert_eq!(
        wish.body["spec"],
        json!({"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "clip"},
            "minReplicas": 1, "maxReplicas": 4, "metrics": [metric("cpu", 80), metric("memory", 70)]})
    );
    assert!(given("{}").built().autoscaler.is_none());
}

#[test]
fn nothing_scales_a_database_in_the_pod() {
    let embedded = "{database: {mode: embedded}, availability: {autoScaling: {enabled: true}}}";
    assert!(given(embedded).built().autoscaler.is_none());
    let off = given("availability: {autoScaling: {maxReplicas: 4}}");
    assert!(off.built().autoscaler.is_none());
}

#[test]
fn a_number_that_somebody_else_decides_about_is_written_at_the_version_that_it_was_read_at() {
    let mut g = given("{}");
    assert_eq!(g.workload()["metadata"]["resourceVersion"], Value::Null);
    g.replicas_read_at = Some(7);
    assert_eq!(g.workload()["metadata"]["resourceVersion"], "7");
}
