//! The server's StatefulSet and its pods.

use super::*;

#[test]
fn the_workload_has_what_can_never_be_changed_right() {
    let spec = given("{}").workload()["spec"].clone();
    let selector = json!({"app.kubernetes.io/name": "paperclip", "app.kubernetes.io/instance": "clip", "app.kubernetes.io/component": "server"});
    assert_eq!(spec["selector"], json!({"matchLabels": selector}));
    assert_eq!(spec["serviceName"], "clip");
    assert_eq!(spec["podManagementPolicy"], "Parallel");
    assert_eq!(spec["replicas"], 1);
    let labels = &spec["template"]["metadata"]["labels"];
    assert_eq!(labels["app"], "paperclip-server");
    assert_eq!(labels["app.kubernetes.io/managed-by"], "paperclip-operator");
    let mut adopted = given("{}");
    adopted.pod_management = Some("OrderedReady");
    assert_eq!(
        adopted.workload()["spec"]["podManagementPolicy"],
        "OrderedReady"
    );
}

#[test]
fn the_pod_passes_pod_security_restricted() {
    let pod = given("{}").template()["spec"].clone();
    assert_eq!(
        pod["securityContext"],
        json!({"runAsNonRoot": true, "runAsUser": 1000, "runAsGroup": 1000, "fsGroup": 1000,
               "fsGroupChangePolicy": "OnRootMismatch", "seccompProfile": {"type": "RuntimeDefault"}})
    );
    assert_eq!(
        pod["containers"][0]["securityContext"],
        json!({"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "runAsNonRoot": true,
               "capabilities": {"drop": ["ALL"]}, "seccompProfile": {"type": "RuntimeDefault"}})
    );
    assert_eq!(pod["automountServiceAccountToken"], false);
    assert_eq!(pod["enableServiceLinks"], false);
    assert_eq!(pod["shareProcessNamespace"], true);
    assert_eq!(pod["initContainers"], Value::Null);
}

#[test]
fn the_image_starts_by_itself() {
    let server =
        given("image: {repository: r.test/p, digest: 'sha256:ab', pullPolicy: Never}").server();
    assert_eq!(server["image"], "r.test/p@sha256:ab");
    assert_eq!(server["imagePullPolicy"], "Never");
    assert_eq!(
        (&server["command"], &server["args"]),
        (&Value::Null, &Value::Null)
    );
}

#[test]
fn files_are_on_the_claim_in_the_place_that_the_database_knows() {
    let volumes = |spec: &str| given(spec).template()["spec"]["volumes"].clone();
    assert_eq!(
        volumes("{}")[0],
        json!({"name": "paperclip-data", "persistentVolumeClaim": {"claimName": "clip-data"}})
    );
    assert_eq!(
        volumes("storage: {persistence: {existingClaim: mine}}")[0]["persistentVolumeClaim"],
        json!({"claimName": "mine"})
    );
    assert_eq!(
        volumes("storage: {persistence: {enabled: false}}")[0],
        json!({"name": "paperclip-data", "emptyDir": {}})
    );
    assert_eq!(
        given("{}").server()["volumeMounts"],
        json!([{"name": "paperclip-data", "mountPath": "/paperclip"}, {"name": "paperclip-tmp", "mountPath": "/tmp"}])
    );
}

#[test]
fn scratch_space_of_the_user_takes_the_place_of_ours() {
    let g = given(
        "extraVolumes: [{name: big, emptyDir: {}}]\nextraVolumeMounts: [{name: big, mountPath: /tmp/}]",
    );
    let mounts = g.server()["volumeMounts"].clone();
    assert_eq!(mounts[1], json!({"name": "big", "mountPath": "/tmp/"}));
    assert_eq!(mounts.as_array().unwrap().len(), 2);
    assert_eq!(g.template()["spec"]["volumes"].as_array().unwrap().len(), 2);
}

#[test]
fn probes_ask_by_a_name_that_the_server_knows_in_every_mode() {
    let server = given("{}").server();
    let get = json!({"path": "/api/health", "port": "http", "httpHeaders": [{"name": "Host", "value": "localhost"}]});
    assert_eq!(
        server["startupProbe"],
        json!({"httpGet": get, "periodSeconds": 5, "timeoutSeconds": 3, "failureThreshold": 30, "successThreshold": 1})
    );
    assert_eq!(server["readinessProbe"]["httpGet"], get);
    assert_eq!(server["readinessProbe"]["initialDelaySeconds"], 5);
    assert_eq!(
        server["livenessProbe"]["tcpSocket"],
        json!({"port": "http"})
    );
    assert_eq!(server["livenessProbe"]["httpGet"], Value::Null);
}

#[test]
fn the_pod_sleeps_before_it_ends_unless_told_not_to() {
    let pod = |spec: &str| given(spec).template()["spec"].clone();
    let usual = pod("{}");
    assert_eq!(usual["terminationGracePeriodSeconds"], 1800);
    assert_eq!(
        usual["containers"][0]["lifecycle"],
        json!({"preStop": {"sleep": {"seconds": 15}}})
    );
    let off =
        pod("availability: {serverDrain: {enabled: false}, terminationGracePeriodSeconds: 60}");
    assert_eq!(off["containers"][0]["lifecycle"], Value::Null);
    assert_eq!(off["terminationGracePeriodSeconds"], 60);
}

#[test]
fn placement_is_as_asked_for_and_spreading_means_the_servers_pods() {
    let pod = given(
        "
image: {pullSecrets: [{name: pull}]}
availability:
  nodeSelector: {disk: ssd}
  tolerations: [{key: t, operator: Exists}]
  priorityClassName: high
  affinity: {nodeAffinity: {}}
  topologySpreadConstraints:
  - {maxSkew: 1, topologyKey: zone, whenUnsatisfiable: DoNotSchedule}
  - {maxSkew: 2, topologyKey: host, whenUnsatisfiable: ScheduleAnyway, labelSelector: {matchLabels: {x: y}}}",
    )
    .template()["spec"]
        .clone();
    assert_eq!(pod["nodeSelector"], json!({"disk": "ssd"}));
    assert_eq!(
        pod["tolerations"],
        json!([{"key": "t", "operator": "Exists"}])
    );
    assert_eq!(pod["priorityClassName"], "high");
    assert_eq!(pod["affinity"], json!({"nodeAffinity": {}}));
    assert_eq!(pod["imagePullSecrets"], json!([{"name": "pull"}]));
    let spread = &pod["topologySpreadConstraints"];
    assert_eq!(
        spread[0]["labelSelector"]["matchLabels"]["app.kubernetes.io/component"],
        "server"
    );
    assert_eq!(
        spread[1]["labelSelector"],
        json!({"matchLabels": {"x": "y"}})
    );
}

#[test]
fn containers_of_the_user_come_after_ours() {
    let pod = given(
        "
shareProcessNamespace: false
sidecars: [{name: side, image: s, resources: {requests: {memory: 1024Mi}}}]
initContainers: [{name: first, image: f, volumeMounts: [{name: data, mountPath: /d}]}]
podAnnotations: {mine: '1'}",
    )
    .template();
    let spec = &pod["spec"];
    assert_eq!(spec["containers"][0]["name"], "paperclip");
    assert_eq!(spec["containers"][1]["name"], "side");
    assert_eq!(
        spec["containers"][1]["resources"]["requests"]["memory"],
        "1Gi"
    );
    assert_eq!(
        spec["initContainers"][0]["volumeMounts"][0]["name"],
        "paperclip-data"
    );
    assert_eq!(spec["shareProcessNamespace"], Value::Null);
    assert_eq!(
        pod["metadata"]["annotations"],
        json!({"mine": "1", "kubectl.kubernetes.io/default-container": "paperclip", "paperclip.inc/config-hash": "hash-of-all"})
    );
}

#[test]
fn a_server_that_must_not_start_has_no_pods_and_no_hash() {
    let mut g = given("{}");
    (g.replicas, g.hash) = (0, None);
    let spec = g.workload()["spec"].clone();
    assert_eq!(spec["replicas"], 0);
    assert_eq!(
        spec["template"]["metadata"]["annotations"]["paperclip.inc/config-hash"],
        Value::Null
    );
}

#[test]
fn a_server_that_accepts_loopback_only_is_reached_through_the_agent() {
    let g = given(
        "
deployment: {mode: local_trusted}
networking: {service: {port: 8080}}
initContainers: [{name: first, image: f}]",
    );
    let server = g.server();
    assert_eq!(
        server["command"],
        json!([
            "/paperclip-agent/paperclip-agent",
            "serve",
            "--forward=$(POD_IP):8080"
        ])
    );
    assert_eq!(g.value("HOST"), "127.0.0.1");
    assert_eq!(g.value("PAPERCLIP_BIND"), "loopback");
    assert_eq!(g.value("PAPERCLIP_BIND_HOST"), Value::Null);
    assert_eq!(
        g.var("POD_IP")["valueFrom"]["fieldRef"]["fieldPath"],
        "status.podIP"
    );
    assert_eq!(
        server["volumeMounts"][2],
        json!({"name": "paperclip-agent", "mountPath": "/paperclip-agent", "readOnly": true})
    );
    // Probes go to the pod's address like everybody else.
    assert_eq!(server["readinessProbe"]["httpGet"]["port"], "http");
    let pod = g.template()["spec"].clone();
    let names: Vec<_> = pod["initContainers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["agent-copy", "first"]);
    assert_eq!(pod["initContainers"][0]["image"], "registry.test/agent:1");
}

#[test]
fn the_agent_that_runs_is_known_so_that_an_update_of_the_operator_restarts_nothing() {
    let mut g = given("deployment: {mode: local_trusted}");
    assert!(g.built().workload.unwrap().in_use.is_none());
    g.agent_in_use = Some("registry.test/agent:0");
    let workload = g.built().workload.unwrap();
    let image = |w: &Wish| w.body["spec"]["template"]["spec"]["initContainers"][0]["image"].clone();
    assert_eq!(image(&workload.wanted), "registry.test/agent:1");
    assert_eq!(image(&workload.in_use.unwrap()), "registry.test/agent:0");
}

#[test]
fn several_pods_ask_who_of_them_wakes_agents() {
    let g = given("availability: {replicas: 3}");
    assert_eq!(
        g.server()["command"],
        json!([
            "/paperclip-agent/paperclip-agent",
            "serve",
            "--gate=ordinal"
        ])
    );
    assert_eq!(g.var("HEARTBEAT_SCHEDULER_ENABLED"), Value::Null);
    assert_eq!(
        g.var("PAPERCLIP_AGENT_POD")["valueFrom"]["fieldRef"]["fieldPath"],
        "metadata.name"
    );
    let service = g.built().service.body;
    assert_eq!(service["spec"]["sessionAffinity"], "ClientIP");
    let ingress = g.built().policy.unwrap().body["spec"]["ingress"].clone();
    assert_eq!(ingress[1]["ports"][1]["port"], 3102, "{ingress}");
    // Who schedules nothing needs no gate.
    let quiet = given("{availability: {replicas: 3}, heartbeat: {enabled: false}}");
    assert_eq!(quiet.server()["command"], Value::Null);
    assert_eq!(quiet.value("HEARTBEAT_SCHEDULER_ENABLED"), "false");
}

#[test]
fn pods_that_were_taken_over_share_their_keys_as_soon_as_there_are_several() {
    let mut g = given("{}");
    g.adopted = Some(AdoptedStatus::default());
    let key = |g: &Given| g.var("PAPERCLIP_DECISION_SIGNING_SECRET");
    assert_eq!(key(&g), Value::Null);
    let mut many = given("availability: {replicas: 2}");
    many.adopted = Some(AdoptedStatus::default());
    assert_ne!(key(&many), Value::Null);
}

#[test]
fn a_server_that_keeps_nothing_may_be_a_deployment_of_the_same_pods() {
    let stateless = "storage: {persistence: {enabled: false}}, availability: {replicas: 2}";
    let of = |kind: &str| given(&format!("{{workload: {kind}, {stateless}}}"));
    let body = |g: &Given| g.built().workload.unwrap().wanted.body;
    let (deployment, set) = (body(&of("auto")), body(&of("StatefulSet")));
    assert_eq!(
        (&deployment["kind"], &set["kind"]),
        (&json!("Deployment"), &json!("StatefulSet"))
    );
    assert_eq!(deployment["spec"]["selector"], set["spec"]["selector"]);
    assert_eq!(
        deployment["spec"]["strategy"]["rollingUpdate"],
        json!({"maxSurge": 1, "maxUnavailable": 0})
    );
    let template = |object: &Value| {
        let mut template = object["spec"]["template"].clone();
        let command = template["spec"]["containers"][0]["command"].take();
        (template, command)
    };
    let (ours, command) = template(&deployment);
    assert_eq!(ours, template(&set).0);
    // Its pods have no numbers: the one that holds a lock wakes agents.
    assert_eq!(command[2], "--gate=hold");
}
