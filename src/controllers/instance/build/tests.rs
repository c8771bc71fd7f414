//! Given this Instance, when built, the objects have ... Names differ on purpose, so that a swapped one is found.

use super::*;
use crate::controllers::instance::found::{Found, Learned, Target};
use crate::controllers::instance::validate::{Input, validate};
use crate::crd::Instance;
use crate::crd::instance::AdoptedStatus;
use crate::shared::endpoint::Endpoint;
use pod::Connection;
use serde_json::json;

/// One Instance and what was decided about it.
pub struct Given {
    instance: Instance,
    learned: Learned,
    adopted: Option<AdoptedStatus>,
    connection: Connection,
    ipv6: bool,
    replicas: i32,
    hash: Option<&'static str>,
    pod_management: Option<&'static str>,
    agent_in_use: Option<&'static str>,
    exposure: Exposure,
    replicas_read_at: Option<u64>,
    hold_service: bool,
}

/// An Instance "clip" in namespace "prod" with this spec.
pub fn given(spec: &str) -> Given {
    let indented = spec.replace('\n', "\n  ");
    let yaml = format!(
        "metadata: {{name: clip, namespace: prod, uid: uid-of-clip, generation: 3}}\nspec:\n  {indented}"
    );
    Given {
        instance: serde_saphyr::from_str(&yaml).unwrap_or_else(|e| panic!("{e}\n{yaml}")),
        learned: Learned::default(),
        adopted: None,
        connection: Connection {
            secret: "where-the-url-is".into(),
            key: "THE_URL".into(),
            pooled: false,
        },
        ipv6: false,
        replicas: 1,
        hash: Some("hash-of-all"),
        pod_management: None,
        agent_in_use: None,
        exposure: Exposure {
            ingress: Some(Way::Open),
            http_route: Some(Way::Open),
            tailnet: Some(Way::Open),
        },
        replicas_read_at: None,
        hold_service: false,
    }
}

impl Given {
    fn built(&self) -> Desired {
        let input = Input {
            instance: &self.instance,
            adopted: self.adopted.as_ref(),
            learned: &self.learned,
            domain: "cluster.test",
        };
        let verdict = validate(input, &Found::default());
        let v = verdict
            .validated
            .unwrap_or_else(|| panic!("{:?}", verdict.findings));
        let setting = Setting {
            agent_image: "registry.test/agent:1",
            agent_image_in_use: self.agent_in_use,
            operator_namespace: Some("operators"),
            connection: &self.connection,
            ipv6: self.ipv6,
            server: Server::Run {
                replicas: self.replicas,
                config_hash: self.hash,
            },
            scaled: v.workload,
            scraped: true,
            replicas_read_at: self.replicas_read_at,
            exposure: &self.exposure,
            migrate: Some("clip-migrate-0123456789"),
            bootstrap: Some("data.input"),
            restore: Some(false),
            next_database: None,
            hold_service: self.hold_service,
            pod_management: self.pod_management,
        };
        build(&v, &setting).unwrap()
    }
    fn workload(&self) -> Value {
        self.built().workload.unwrap().wanted.body
    }
    fn template(&self) -> Value {
        self.workload()["spec"]["template"].clone()
    }
    fn server(&self) -> Value {
        self.template()["spec"]["containers"][0].clone()
    }
    fn env(&self) -> Vec<Value> {
        self.server()["env"].as_array().unwrap().clone()
    }
    fn var(&self, name: &str) -> Value {
        let all = self.env();
        let found: Vec<_> = all.iter().filter(|e| e["name"] == name).collect();
        assert!(found.len() <= 1, "{name} is there {} times", found.len());
        found.first().map_or(Value::Null, |e| (*e).clone())
    }
    fn value(&self, name: &str) -> Value {
        self.var(name)["value"].clone()
    }
    fn names(&self) -> Vec<String> {
        let text = |v: &Value| v["name"].as_str().unwrap().to_owned();
        self.env().iter().map(text).collect()
    }
    fn database(&self) -> Option<Value> {
        self.built().database.map(|w| w.body["spec"].clone())
    }
    fn migration(&self) -> Value {
        self.built().migration.unwrap().body
    }
    fn egress(&self) -> Value {
        self.built().policy.unwrap().body["spec"]["egress"].clone()
    }
}

fn secret(name: &str, key: &str) -> Value {
    json!({"secretKeyRef": {"name": name, "key": key}})
}

mod environment;
mod extensions;
mod monitoring;
mod objects;
mod pods;
mod policies;
mod routes;
mod scaling;
