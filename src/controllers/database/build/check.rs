//! The Job that asks a database of somebody else, and NetworkPolicy `N-check`, which lets it. The URL is a variable out of its Secret;
//! nothing of it stands in the Job. Pure.

use super::owned;
use crate::controllers::database::check::Due;
use crate::controllers::database::login::app_key;
use crate::controllers::database::validate::{External, Outside, Validated};
use crate::crd::SecretKeyRef;
use crate::shared::agent::{self, restricted, runtime_default};
use crate::shared::names::{ANNOTATION_APPLIED_HASH, Component, labels, selector};
use crate::shared::wish::{Malformed, Wish};
use k8s_openapi::api::batch::v1::{Job, JobSpec};
use k8s_openapi::api::core::v1::{
    Container, EnvVar, EnvVarSource, PodSecurityContext, PodSpec, PodTemplateSpec,
    ResourceRequirements, SecretKeySelector,
};
use k8s_openapi::api::networking::v1::{
    NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyPort, NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

/// A user that no image has files of.
const USER: i64 = 65532;
/// Seconds for all of it, the start of the pod included.
const DEADLINE: i64 = 120;
/// Seconds that something may take to pass which stands against a connection: a policy that is not in force yet, a name that is new.
const WAIT: &str = "15";

/// Who the Jobs may talk to: names and databases, wherever they are and on whatever port.
///
/// # Errors
/// [`Malformed`], which is a fault of ours.
pub fn policy(validated: &Validated) -> Result<Wish, Malformed> {
    let port = |protocol: &str, port: Option<i32>| NetworkPolicyPort {
        protocol: Some(protocol.into()),
        port: port.map(IntOrString::Int),
        end_port: None,
    };
    let name = validated.names.check();
    Wish::of(&NetworkPolicy {
        metadata: metadata(validated, name),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(LabelSelector {
                match_labels: Some(selector(validated.names.main(), Component::Check)),
                match_expressions: None,
            }),
            policy_types: Some(vec!["Ingress".into(), "Egress".into()]),
            ingress: None,
            egress: Some(vec![NetworkPolicyEgressRule {
                to: None,
                ports: Some(vec![port("UDP", Some(53)), port("TCP", None)]),
            }]),
        }),
    })
}

/// The Job.
///
/// # Errors
/// [`Malformed`], which is a fault of ours.
pub fn job(validated: &Validated, outside: &Outside, due: &Due) -> Result<Wish, Malformed> {
    let mut metadata = metadata(validated, due.name.clone());
    metadata.annotations = Some([(ANNOTATION_APPLIED_HASH.to_owned(), due.of.clone())].into());
    Wish::of(&Job {
        metadata,
        spec: Some(JobSpec {
            // The next one comes after a pause that grows.
            backoff_limit: Some(0),
            active_deadline_seconds: Some(DEADLINE),
            pod_failure_policy: Some(agent::failure_policy()),
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta {
                    labels: Some(labels(validated.names.main(), Component::Check)),
                    ..ObjectMeta::default()
                }),
                spec: Some(pod(validated, outside)),
            },
            ..JobSpec::default()
        }),
        status: None,
    })
}

fn metadata(validated: &Validated, name: String) -> ObjectMeta {
    ObjectMeta {
        labels: Some(labels(validated.names.main(), Component::Check)),
        ..owned(validated, name)
    }
}

fn pod(validated: &Validated, outside: &Outside) -> PodSpec {
    let url = match &outside.external {
        External::Reference { secret, .. } => secret.clone(),
        External::Literal(_) => SecretKeyRef {
            name: validated.names.database_app(),
            key: app_key::URL.to_owned(),
        },
    };
    let amounts = |list: [(&str, &str); 2]| {
        let list = list.map(|(k, q)| (k.to_owned(), Quantity(q.into())));
        Some(list.into())
    };
    PodSpec {
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        restart_policy: Some("Never".into()),
        termination_grace_period_seconds: Some(5),
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            run_as_user: Some(USER),
            run_as_group: Some(USER),
            seccomp_profile: Some(runtime_default()),
            ..PodSecurityContext::default()
        }),
        containers: vec![Container {
            name: agent::CONTAINER.into(),
            image: Some(outside.agent_image.clone()),
            image_pull_policy: Some("IfNotPresent".into()),
            command: Some(agent::command_there("check")),
            env: Some(vec![
                EnvVar {
                    name: "DATABASE_URL".into(),
                    value: None,
                    value_from: Some(EnvVarSource {
                        secret_key_ref: Some(SecretKeySelector {
                            name: url.name,
                            key: url.key,
                            optional: None,
                        }),
                        ..EnvVarSource::default()
                    }),
                },
                EnvVar {
                    name: "PAPERCLIP_AGENT_WAIT_SECONDS".into(),
                    value: Some(WAIT.into()),
                    value_from: None,
                },
            ]),
            resources: Some(ResourceRequirements {
                requests: amounts([("cpu", "10m"), ("memory", "16Mi")]),
                limits: Some([("memory".to_owned(), Quantity("64Mi".into()))].into()),
                claims: None,
            }),
            security_context: Some(restricted()),
            ..Container::default()
        }],
        image_pull_secrets: (!outside.pull_secrets.is_empty())
            .then(|| outside.pull_secrets.clone()),
        node_selector: (!outside.node_selector.is_empty()).then(|| outside.node_selector.clone()),
        tolerations: (!outside.tolerations.is_empty()).then(|| outside.tolerations.clone()),
        ..PodSpec::default()
    }
}
