//! The pod of PostgreSQL, as Pod Security `restricted` admits it.
//!
//! There is no liveness probe: what does not answer may be a database that recovers, and killing it would begin the recovery anew. The
//! main process is the agent, which ends when PostgreSQL does.

use crate::controllers::database::login::{PORT, ROLE};
use crate::controllers::database::validate::{Managed, Validated};
use crate::shared::agent::{self, empty_dir, mount, restricted};
use crate::shared::quantity::Amount;
use k8s_openapi::api::core::v1::{
    Container, ContainerPort, EmptyDirVolumeSource, EnvVar, ExecAction,
    PersistentVolumeClaimVolumeSource, PodSecurityContext, PodSpec, Probe, SecretVolumeSource,
    Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

const MOUNT: &str = "/var/lib/postgresql/data";
const PGDATA: &str = "/var/lib/postgresql/data/pgdata";
const CREDENTIALS: &str = "/etc/paperclip/db-credentials";
/// A checkpoint of a large cache to a slow volume takes its time; after it, the next start needs no recovery.
const GRACE_SECONDS: i64 = 180;
/// What the agent gives PostgreSQL of that.
const STOP_SECONDS: i64 = 150;

/// Where something is mounted.
struct Place {
    volume: Volume,
    path: &'static str,
    read_only: bool,
}

/// The pod.
pub fn build(validated: &Validated, managed: &Managed, agent_image: &str) -> PodSpec {
    let (copy, agent_volume) = agent::copied_from(agent_image, "IfNotPresent");
    let places = places(validated, managed);
    let mounts = places.iter().map(|place| VolumeMount {
        read_only: place.read_only.then_some(true),
        ..mount(&place.volume.name, place.path)
    });
    let mounts = mounts.chain([agent::mounted()]).collect();
    let volumes = places.into_iter().map(|place| place.volume);
    let volumes = volumes.chain([agent_volume]).collect();
    PodSpec {
        service_account_name: Some(validated.names.database()),
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        termination_grace_period_seconds: Some(GRACE_SECONDS),
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            run_as_user: Some(managed.uid),
            run_as_group: Some(managed.uid),
            fs_group: Some(managed.uid),
            // Else the kubelet opens the data directory to the group at each start, which PostgreSQL refuses.
            fs_group_change_policy: Some("OnRootMismatch".to_owned()),
            seccomp_profile: Some(agent::runtime_default()),
            ..PodSecurityContext::default()
        }),
        init_containers: Some(vec![copy]),
        containers: vec![postgres(managed, mounts)],
        volumes: Some(volumes),
        node_selector: (!managed.node_selector.is_empty()).then(|| managed.node_selector.clone()),
        tolerations: (!managed.tolerations.is_empty()).then(|| managed.tolerations.clone()),
        affinity: managed.affinity.clone(),
        priority_class_name: managed.priority_class.clone(),
        image_pull_secrets: (!managed.pull_secrets.is_empty())
            .then(|| managed.pull_secrets.clone()),
        ..PodSpec::default()
    }
}

fn places(validated: &Validated, managed: &Managed) -> Vec<Place> {
    let memory = EmptyDirVolumeSource {
        medium: Some("Memory".to_owned()),
        size_limit: Some(Quantity(
            Amount::of_bytes(managed.shared_memory).to_string(),
        )),
        ..EmptyDirVolumeSource::default()
    };
    let place = |volume, path, read_only| Place {
        volume,
        path,
        read_only,
    };
    vec![
        place(
            Volume {
                name: "pgdata".to_owned(),
                persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
                    claim_name: managed.volume.claim().to_owned(),
                    read_only: None,
                }),
                ..Volume::default()
            },
            MOUNT,
            false,
        ),
        place(
            Volume {
                name: "db-credentials".to_owned(),
                secret: Some(SecretVolumeSource {
                    secret_name: Some(validated.names.database_credentials()),
                    default_mode: Some(0o440),
                    ..SecretVolumeSource::default()
                }),
                ..Volume::default()
            },
            CREDENTIALS,
            true,
        ),
        place(empty_dir("tmp", None), "/tmp", false),
        place(empty_dir("run", None), "/var/run/postgresql", false),
        place(
            Volume {
                name: "shm".to_owned(),
                empty_dir: Some(memory),
                ..Volume::default()
            },
            "/dev/shm",
            false,
        ),
    ]
}

fn postgres(managed: &Managed, mounts: Vec<VolumeMount>) -> Container {
    let settings = serde_json::to_string(&managed.settings).unwrap_or_default();
    let env = [
        ("PGDATA", PGDATA.to_owned()),
        ("PAPERCLIP_AGENT_CREDENTIALS_DIR", CREDENTIALS.to_owned()),
        ("PAPERCLIP_AGENT_DATABASE", ROLE.to_owned()),
        (
            "PAPERCLIP_AGENT_POSTGRES_VERSION",
            managed.version.to_string(),
        ),
        ("PAPERCLIP_AGENT_POSTGRES_SETTINGS", settings),
        (
            "PAPERCLIP_AGENT_STOP_TIMEOUT_SECONDS",
            STOP_SECONDS.to_string(),
        ),
    ];
    Container {
        name: "postgres".to_owned(),
        image: Some(managed.image.clone()),
        command: Some(vec![agent::AGENT.to_owned(), "postgres".to_owned()]),
        env: Some(
            env.into_iter()
                .map(|(name, value)| EnvVar {
                    name: name.to_owned(),
                    value: Some(value),
                    value_from: None,
                })
                .collect(),
        ),
        ports: Some(vec![ContainerPort {
            name: Some("postgres".to_owned()),
            container_port: i32::from(PORT),
            protocol: Some("TCP".to_owned()),
            ..ContainerPort::default()
        }]),
        resources: Some(managed.resources.clone()),
        // A day: long enough for any recovery. It only makes the first answer be noticed within a second.
        startup_probe: Some(probe(1, 86_400)),
        readiness_probe: Some(probe(10, 3)),
        security_context: Some(restricted()),
        volume_mounts: Some(mounts),
        ..Container::default()
    }
}

/// A query as the application's role.
fn probe(period_seconds: i32, failure_threshold: i32) -> Probe {
    Probe {
        exec: Some(ExecAction {
            command: Some(vec![agent::AGENT.to_owned(), "probe".to_owned()]),
        }),
        period_seconds: Some(period_seconds),
        timeout_seconds: Some(5),
        failure_threshold: Some(failure_threshold),
        ..Probe::default()
    }
}
