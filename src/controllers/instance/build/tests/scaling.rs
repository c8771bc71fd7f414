//! What changes the number of pods.

use super::*;

#[test]
fn an_autoscaler_follows_cpu_and_memory_of_the_workload() {
    let g = given(
        "availability: {autoScaling: {enabled: true, maxReplicas: 1, targetMemoryUtilizationPercentage: 70}}",
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
            "minReplicas": 1, "maxReplicas": 1, "metrics": [metric("cpu", 80), metric("memory", 70)]})
    );
    assert!(given("{}").built().autoscaler.is_none());
}

#[test]
fn nothing_scales_a_database_in_the_pod_and_more_pods_than_can_be_had_are_refused() {
    let embedded = "{database: {mode: embedded}, availability: {autoScaling: {enabled: true, maxReplicas: 1}}}";
    assert!(given(embedded).built().autoscaler.is_none());
    let many = given("availability: {autoScaling: {enabled: true}}");
    assert!(many.built().autoscaler.is_none());
}
