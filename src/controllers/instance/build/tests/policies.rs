//! Who may talk to whom.

use super::*;

fn tcp(port: u16) -> Value {
    json!({"port": port, "protocol": "TCP"})
}

#[test]
fn the_server_hears_its_namespace_and_the_operator_alone() {
    let policy = given("networking: {service: {port: 8080}}")
        .built()
        .policy
        .unwrap()
        .body;
    let spec = &policy["spec"];
    assert_eq!(policy["metadata"]["name"], "clip");
    assert_eq!(spec["policyTypes"], json!(["Ingress", "Egress"]));
    assert_eq!(
        spec["podSelector"]["matchLabels"]["app.kubernetes.io/component"],
        "server"
    );
    assert_eq!(
        spec["ingress"],
        json!([
            {"from": [{"podSelector": {}}], "ports": [tcp(8080)]},
            {"from": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "operators"}},
                       "podSelector": {"matchLabels": {"app.kubernetes.io/name": "paperclip-operator"}}}], "ports": [tcp(8080)]},
        ])
    );
}

#[test]
fn the_server_talks_to_dns_the_web_and_its_database() {
    let database = json!({"matchLabels": {"app.kubernetes.io/name": "paperclip", "app.kubernetes.io/instance": "clip", "app.kubernetes.io/component": "database"}});
    assert_eq!(
        given("{}").egress(),
        json!([
            {"ports": [{"port": 53, "protocol": "UDP"}, tcp(53)]},
            {"ports": [tcp(443)]},
            {"to": [{"podSelector": database}], "ports": [tcp(5432)]},
        ])
    );
}

#[test]
fn who_publishes_the_service_is_heard_from_anywhere() {
    let open = given("networking: {service: {type: LoadBalancer}}");
    let ingress = open.built().policy.unwrap().body["spec"]["ingress"].clone();
    assert_eq!(ingress[2], json!({"ports": [tcp(3100)]}));
}

#[test]
fn networks_of_the_user_are_added_in_both_directions() {
    let g = given(
        "
security:
  networkPolicy:
    allowIngressCIDRs: [10.1.2.3/8]
    allowEgressCIDRs: ['fd00::/8']
    extraEgress: [{to: [{podSelector: {}}], ports: [{port: 99}]}]",
    );
    let ingress = g.built().policy.unwrap().body["spec"]["ingress"].clone();
    assert_eq!(
        ingress[2],
        json!({"from": [{"ipBlock": {"cidr": "10.0.0.0/8"}}], "ports": [tcp(3100)]})
    );
    let egress = g.egress();
    assert_eq!(
        egress[3],
        json!({"to": [{"ipBlock": {"cidr": "fd00::/8"}}]})
    );
    assert_eq!(
        egress[4],
        json!({"to": [{"podSelector": {}}], "ports": [tcp(99)]})
    );
}

#[test]
fn jobs_talk_to_dns_and_the_database_and_nobody_talks_to_them() {
    let policy =
        given("objectStorage: {provider: s3, bucket: bbb, endpoint: 'http://s3.test:9000'}")
            .built()
            .jobs_policy
            .unwrap()
            .body;
    assert_eq!(policy["metadata"]["name"], "clip-jobs");
    let spec = &policy["spec"];
    assert_eq!(spec["ingress"], Value::Null);
    assert_eq!(spec["egress"].as_array().unwrap().len(), 2);
    assert_eq!(
        spec["podSelector"]["matchExpressions"],
        json!([{"key": "app.kubernetes.io/component", "operator": "In", "values": ["migration", "bootstrap"]}])
    );
    assert_eq!(
        spec["podSelector"]["matchLabels"]["app.kubernetes.io/instance"],
        "clip"
    );
}

#[test]
fn the_way_to_an_external_database_depends_on_where_it_is() {
    let spec = "database: {mode: external, externalURLSecretRef: {name: u, key: k}}";
    let way = |url: &str, target: Option<((&str, &str, u16), Target)>| {
        let mut g = given(spec);
        g.learned.database = Endpoint::of(url, 5432);
        if let Some(((ns, name, port), target)) = target {
            g.learned
                .targets
                .insert((ns.into(), name.into(), port), target);
        }
        g.egress().as_array().unwrap()[2..].to_vec()
    };
    assert_eq!(
        way("postgres://10.0.0.7/d", None),
        [json!({"to": [{"ipBlock": {"cidr": "10.0.0.7/32"}}], "ports": [tcp(5432)]})]
    );
    assert_eq!(
        way("postgres://db.example.com:6000/d", None),
        [json!({"ports": [tcp(6000)]})]
    );
    assert_eq!(way("postgres://localhost/d", None), Vec::<Value>::new());
    let other =
        json!({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "data"}}});
    assert_eq!(
        way(
            "postgres://pg.data.svc/d",
            Some((("data", "pg", 5432), Target::Port(6432)))
        ),
        [json!({"to": [other], "ports": [tcp(5432), tcp(6432)]})]
    );
    assert_eq!(
        way(
            "postgres://pg/d",
            Some((("prod", "pg", 5432), Target::Named))
        ),
        [json!({"to": [{"podSelector": {}}]})]
    );
}

#[test]
fn a_policy_that_is_off_is_not_there() {
    let d = given("security: {networkPolicy: {enabled: false}}").built();
    assert!(d.policy.is_none() && d.jobs_policy.is_none());
}
