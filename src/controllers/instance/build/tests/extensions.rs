//! OAuth clients, branding, tailnet: what they add to the server's pods.

use super::*;

#[test]
fn oauth_clients_come_before_what_the_user_passes_on() {
    let g = given(
        "connections: {credentialsSecretRef: {name: oauth}}\nenvFrom: [{secretRef: {name: more}}]",
    );
    assert_eq!(
        g.server()["envFrom"],
        json!([{"secretRef": {"name": "clip-connections"}}, {"secretRef": {"name": "more"}}])
    );
    assert_eq!(
        g.var("PAPERCLIP_OAUTH_CREDENTIALS")["valueFrom"]["secretKeyRef"],
        json!({"name": "oauth", "key": "PAPERCLIP_OAUTH_CREDENTIALS", "optional": true})
    );
    assert_eq!(given("{}").server()["envFrom"], Value::Null);
}

#[test]
fn branding_is_mounted_where_the_variable_says() {
    let g = given("branding: {cssConfigMapRef: {name: style}}");
    assert_eq!(g.value("PAPERCLIP_BRAND_DIR"), "/etc/paperclip/branding");
    let mounts = g.server()["volumeMounts"].as_array().unwrap().clone();
    assert!(mounts.contains(
        &json!({"name": "paperclip-branding", "mountPath": "/etc/paperclip/branding", "readOnly": true})
    ));
    let volumes = g.template()["spec"]["volumes"].as_array().unwrap().clone();
    assert!(
        volumes.contains(&json!({"name": "paperclip-branding", "configMap": {"name": "style"}}))
    );
}

const TAILNET: &str =
    "tailscale: {enabled: true, hostname: paper, authKey: {secretRef: {name: tail}}}";

#[test]
fn the_tailnets_container_leads_to_the_server_and_has_no_rights() {
    let g = given(TAILNET);
    let spec = g.template()["spec"].clone();
    let container = &spec["containers"][1];
    assert_eq!(container["name"], "tailscale");
    assert_eq!(container["image"], "ghcr.io/tailscale/tailscale:stable");
    assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
    assert_eq!(
        container["securityContext"]["capabilities"],
        json!({"drop": ["ALL"]})
    );
    let env = container["env"].as_array().unwrap();
    assert!(env.contains(&json!({"name": "TS_HOSTNAME", "value": "paper"})));
    assert!(env.contains(&json!({"name": "TS_AUTHKEY", "valueFrom": secret("tail", "authkey")})));
    let map = g.built().tailscale.unwrap().body;
    assert_eq!(map["metadata"]["name"], "clip-tailscale");
    let serve: Value =
        serde_json::from_str(map["data"]["tailscale-serve.json"].as_str().unwrap()).unwrap();
    assert_eq!(
        serve["Web"]["${TS_CERT_DOMAIN}:443"]["Handlers"]["/"]["Proxy"],
        "http://127.0.0.1:3100"
    );
    assert_eq!(serve["AllowFunnel"], Value::Null);
    let funnel = given(&TAILNET.replace("enabled: true", "enabled: true, mode: funnel"));
    let map = funnel.built().tailscale.unwrap().body;
    assert!(
        map["data"]["tailscale-serve.json"]
            .as_str()
            .unwrap()
            .contains("AllowFunnel")
    );
}

#[test]
fn the_tailnet_is_let_out_only_while_it_is_wanted_and_open() {
    let udp =
        json!({"ports": [{"port": 3478, "protocol": "UDP"}, {"port": 41641, "protocol": "UDP"}]});
    let out = |g: &Given| g.egress().as_array().unwrap().contains(&udp);
    let mut g = given(TAILNET);
    assert!(out(&g));
    g.exposure.tailnet = Some(Way::Bootstrap);
    assert!(!out(&g) && g.built().tailscale.is_none());
    assert_eq!(
        g.template()["spec"]["containers"].as_array().unwrap().len(),
        1
    );
    assert!(!out(&given("{}")));
}
