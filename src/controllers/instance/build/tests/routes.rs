//! Ways from outside, and what may be taken away: as the API server stores them.

use super::*;

#[test]
fn an_ingress_leads_every_host_to_the_service() {
    let g = given(
        "networking: {service: {port: 80}, ingress: {enabled: true, ingressClassName: nginx, hosts: [a.example.com, b.example.com], \
         tls: [{hosts: [a.example.com], secretName: cert}], annotations: {x/y: z, paperclip.inc/mine: no}}}",
    );
    let ingress = g.built().ingress.unwrap().body;
    let rule = |host: &str| {
        json!({"host": host, "http": {"paths": [{"path": "/", "pathType": "Prefix",
            "backend": {"service": {"name": "clip", "port": {"number": 80}}}}]}})
    };
    assert_eq!(ingress["metadata"]["name"], "clip");
    assert_eq!(ingress["metadata"]["annotations"], json!({"x/y": "z"}));
    assert_eq!(
        ingress["spec"],
        json!({"ingressClassName": "nginx", "rules": [rule("a.example.com"), rule("b.example.com")],
            "tls": [{"hosts": ["a.example.com"], "secretName": "cert"}]})
    );
}

#[test]
fn an_http_route_leads_everything_to_the_service_and_is_spelled_out() {
    let g = given(
        "networking: {httpRoute: {enabled: true, parentRefs: [{name: public, namespace: infra, sectionName: https}, {name: near}], \
         hostnames: [A.example.com], annotations: {x/y: z}}}",
    );
    let wish = g.built().http_route.unwrap();
    assert_eq!(wish.body["apiVersion"], "gateway.networking.k8s.io/v1");
    assert_eq!(wish.body["kind"], "HTTPRoute");
    assert_eq!(wish.body["metadata"]["name"], "clip");
    assert_eq!(wish.body["metadata"]["annotations"], json!({"x/y": "z"}));
    let gateway = json!({"group": "gateway.networking.k8s.io", "kind": "Gateway"});
    let parent = |more: Value| {
        let mut all = gateway.clone();
        all.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        all
    };
    assert_eq!(
        wish.body["spec"],
        json!({
            "parentRefs": [parent(json!({"name": "public", "namespace": "infra", "sectionName": "https"})), parent(json!({"name": "near"}))],
            "hostnames": ["a.example.com"],
            "rules": [{"matches": [{"path": {"type": "PathPrefix", "value": "/"}}],
                "backendRefs": [{"group": "", "kind": "Service", "name": "clip", "port": 3100, "weight": 1}]}],
        })
    );
    assert!(
        g.value("PAPERCLIP_ALLOWED_HOSTNAMES")
            .as_str()
            .unwrap()
            .ends_with(",a.example.com")
    );
}

#[test]
fn a_way_that_is_not_open_is_not_made_and_lets_nobody_in() {
    let spec = "networking: {ingress: {enabled: true, hosts: [a.example.com]}}";
    let outside = |g: &Given| {
        let policy = g.built().policy.unwrap().body;
        let rules = policy["spec"]["ingress"].as_array().unwrap().clone();
        rules.contains(&json!({"ports": [{"port": 3100, "protocol": "TCP"}]}))
    };
    let mut g = given(spec);
    assert!(g.built().ingress.is_some() && outside(&g));
    for way in [Way::Bootstrap, Way::Conflict("taken".into())] {
        g.exposure.ingress = Some(way);
        assert!(g.built().ingress.is_none() && !outside(&g));
    }
    g = given("{}");
    assert!(g.built().ingress.is_none() && !outside(&g));
}

#[test]
fn a_budget_selects_the_servers_pods() {
    let budget = |yaml: &str| {
        let g = given(&format!("availability: {{podDisruptionBudget: {yaml}}}"));
        g.built().budget.map(|b| b.body["spec"].clone())
    };
    let selector = json!({"matchLabels": {"app.kubernetes.io/name": "paperclip", "app.kubernetes.io/instance": "clip",
        "app.kubernetes.io/component": "server"}});
    assert_eq!(
        budget("{enabled: true, minAvailable: '50%'}"),
        Some(
            json!({"minAvailable": "50%", "selector": selector, "unhealthyPodEvictionPolicy": "AlwaysAllow"})
        )
    );
    assert_eq!(
        budget("{enabled: true}"),
        Some(
            json!({"maxUnavailable": 1, "selector": selector, "unhealthyPodEvictionPolicy": "AlwaysAllow"})
        )
    );
    assert_eq!(budget("{minAvailable: 1}"), None);
}
