//! Raw spec to [`Validated`]: every default, every check, all problems at once. Pure. After this step nobody looks at the raw spec.

mod credentials;
pub mod image;
mod pod;
mod volume;

pub use credentials::{Credentials, is_older};
pub use volume::Volume;

use super::dereference::Found;
use super::login::StoredSecret;
use super::parameters;
use super::problem::{Problem, Reason, summary};
use super::unbuilt;
use crate::crd::database::{DatabaseEngine, PaperclipDatabaseSpec, PaperclipDatabaseStatus};
use crate::crd::shared::DeletionPolicy;
use crate::crd::{
    PaperclipDatabase, SecretKeyRef, SecretText, Word, Words, text, word as read_word,
};
use crate::shared::conditions::quote;
use crate::shared::names::{API_VERSION, Names};
use crate::shared::options::Options;
use k8s_openapi::api::core::v1::{
    Affinity, LocalObjectReference, ResourceRequirements, Toleration,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use std::collections::BTreeMap;

/// The longest name: `N-db` and the hash of its revision must fit into a label.
const LONGEST_NAME: usize = 49;
/// The longest value of a label.
const LONGEST_LABEL: usize = 63;

/// What is looked at.
pub struct Input<'a> {
    /// As it is stored.
    pub object: &'a PaperclipDatabase,
    /// What it refers to.
    pub found: &'a Found,
    /// Options of the process.
    pub options: &'a Options,
    /// Fresh password, for the case that one is needed.
    pub password: Option<String>,
}

/// A spec without contradictions.
#[derive(Debug)]
pub struct Validated {
    /// Names of child objects.
    pub names: Names,
    /// Namespace.
    pub namespace: String,
    /// Reference to the object, as controller of its children.
    pub owner: OwnerReference,
    /// What to run.
    pub engine: Engine,
    /// What is not done of it, though the rest is.
    pub notes: Vec<Problem>,
}

/// What to run.
#[derive(Debug)]
pub enum Engine {
    /// One PostgreSQL pod.
    Managed(Box<Managed>),
    /// Nothing: somebody else does, and is asked now and then.
    External(Box<Outside>),
}

/// One PostgreSQL pod.
#[derive(Debug)]
pub struct Managed {
    /// Major version.
    pub version: i32,
    /// Image with it.
    pub image: String,
    /// User that the image's files are made for.
    pub uid: i64,
    /// Image that the agent is copied from.
    pub agent_image: String,
    /// Image that it was copied from before, if another one.
    pub agent_image_in_use: Option<String>,
    /// How the StatefulSet that is there makes its pods; it cannot be changed.
    pub pod_management: Option<String>,
    /// Where the data are.
    pub volume: Volume,
    /// Role and password.
    pub credentials: Credentials,
    /// Host name of the Service.
    pub host: String,
    /// CPU and memory.
    pub resources: ResourceRequirements,
    /// Size of the memory that is shared between processes, in bytes.
    pub shared_memory: i128,
    /// PostgreSQL's settings.
    pub settings: BTreeMap<String, String>,
    /// Labels that nodes must have.
    pub node_selector: BTreeMap<String, String>,
    /// Taints that the pod bears.
    pub tolerations: Vec<Toleration>,
    /// Affinity.
    pub affinity: Option<Affinity>,
    /// Priority class.
    pub priority_class: Option<String>,
    /// Secrets for the registry.
    pub pull_secrets: Vec<LocalObjectReference>,
    /// Stopped.
    pub suspended: bool,
}

/// A database of somebody else, and how it is asked.
#[derive(Debug)]
pub struct Outside {
    /// Where it is.
    pub external: External,
    /// Image with the agent, which asks.
    pub agent_image: String,
    /// Labels that nodes must have.
    pub node_selector: BTreeMap<String, String>,
    /// Taints that the pod bears.
    pub tolerations: Vec<Toleration>,
    /// Secrets for the registry.
    pub pull_secrets: Vec<LocalObjectReference>,
}

/// Where the URL of a database of somebody else is.
#[derive(Debug)]
pub enum External {
    /// The URL is in a Secret of the user.
    Reference {
        /// Where.
        secret: SecretKeyRef,
        /// What is wrong with it: reason and message.
        problem: Option<(&'static str, String)>,
    },
    /// The URL is in the spec.
    Literal(SecretText),
}

/// What came of it.
#[derive(Debug)]
pub enum Verdict {
    /// Can be done.
    Accepted(Box<Validated>),
    /// Nothing is applied; at least one problem stops it.
    Refused(Vec<Problem>),
}

/// Collects problems while values are read.
#[derive(Default)]
pub(super) struct Problems(Vec<Problem>);

impl Problems {
    fn push(&mut self, problem: Problem) {
        self.0.push(problem);
    }

    /// A word, or its default; an unknown one is a problem.
    fn word<E: Words>(&mut self, path: &str, field: Option<&Word<E>>, default: E) -> E {
        match read_word(field) {
            Ok(value) => value.unwrap_or(default),
            Err(unknown) => {
                self.push(Problem::invalid(
                    path,
                    format!("\"{}\" is not one of {}", quote(unknown), E::listed()),
                ));
                default
            }
        }
    }
}

/// See the module.
pub fn validate(input: &Input<'_>) -> Verdict {
    let (spec, status) = (
        &input.object.spec,
        input.object.status.clone().unwrap_or_default(),
    );
    let mut problems = Problems(unbuilt::asked(spec));
    let engine = problems.word("spec.engine", spec.engine.as_ref(), DatabaseEngine::Managed);
    // Deletion reads it from the object itself: it must work for specs that are refused.
    problems.word(
        "spec.deletionPolicy",
        spec.deletion_policy.as_ref(),
        DeletionPolicy::Retain,
    );
    frozen(engine, &status, &mut problems);
    let meta = &input.object.metadata;
    let name = meta.name.clone().unwrap_or_default();
    let namespace = meta.namespace.clone().unwrap_or_default();
    let owner = OwnerReference {
        api_version: API_VERSION.to_owned(),
        kind: "PaperclipDatabase".to_owned(),
        name: name.clone(),
        uid: meta.uid.clone().unwrap_or_default(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    };
    let engine = match engine {
        DatabaseEngine::Managed => {
            check_name(&name, &mut problems);
            Some(Engine::Managed(Box::new(managed(
                input,
                &status,
                &mut problems,
            ))))
        }
        DatabaseEngine::External => {
            if name.len() > LONGEST_LABEL {
                problems.push(Problem::new(
                    Reason::NameTooLong,
                    "metadata.name",
                    format!(
                        "{} characters, at most {LONGEST_LABEL}, it becomes a label",
                        name.len()
                    ),
                ));
            }
            external(spec, input.found, &mut problems)
                .map(|external| Engine::External(Box::new(outside(input, external))))
        }
        DatabaseEngine::CloudNativePg => {
            problems.push(Problem::new(
                Reason::EngineNotImplemented,
                "spec.engine",
                "\"CloudNativePG\" is not built yet; nothing is made",
            ));
            None
        }
    };
    let problems = problems.0;
    let stops = summary(&problems).is_some_and(|(worst, _)| worst.stops());
    match engine {
        Some(engine) if !stops => Verdict::Accepted(Box::new(Validated {
            names: Names::of(&name),
            namespace,
            owner,
            engine,
            notes: problems,
        })),
        _ => Verdict::Refused(problems),
    }
}

/// The data belong to the engine that was ready once.
fn frozen(engine: DatabaseEngine, status: &PaperclipDatabaseStatus, problems: &mut Problems) {
    if let Ok(Some(before)) = read_word(status.engine.as_ref())
        && before != engine
    {
        problems.push(Problem::new(
            Reason::EngineFrozen,
            "spec.engine",
            format!(
                "{engine}, but the data belong to {before}; put it back, or make another PaperclipDatabase"
            ),
        ));
    }
}

fn check_name(name: &str, problems: &mut Problems) {
    if name.len() > LONGEST_NAME {
        problems.push(Problem::new(
            Reason::NameTooLong,
            "metadata.name",
            format!(
                "{} characters, at most {LONGEST_NAME} (N-db and its revision hash must fit 63)",
                name.len()
            ),
        ));
    }
    let label = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if !name.starts_with(|c: char| c.is_ascii_lowercase()) || !name.chars().all(label) {
        problems.push(Problem::invalid(
            "metadata.name",
            "must be a DNS label that starts with a letter, it names a Service",
        ));
    }
}

fn managed(
    input: &Input<'_>,
    status: &PaperclipDatabaseStatus,
    problems: &mut Problems,
) -> Managed {
    let (object, found, options) = (input.object, input.found, input.options);
    let spec = &object.spec;
    let (version, image) = image::of(spec, status.version, problems);
    let resources = pod::resources(spec.resources.as_deref(), problems);
    let memory = pod::memory(&resources);
    let volume = volume::of(object, status, found, problems);
    let settings = match parameters::merged(&spec.parameters, memory, volume.bytes()) {
        Ok(settings) => settings,
        Err(refused) => {
            problems.0.extend(refused);
            BTreeMap::new()
        }
    };
    let names = Names::of(object.metadata.name.as_deref().unwrap_or_default());
    let there = found.stateful_set.as_ref().map(|s| &s.view.spec);
    let in_use = there
        .and_then(|spec| spec.template.agent_image())
        .filter(|image| *image != options.agent_image);
    Managed {
        version,
        uid: image::uid(&image),
        image,
        agent_image: options.agent_image.clone(),
        agent_image_in_use: in_use.map(ToOwned::to_owned),
        pod_management: there
            .and_then(|spec| spec.pod_management_policy.as_deref())
            .map(ToOwned::to_owned),
        credentials: credentials::of(object, status, found, &volume, input.password.clone()),
        volume,
        host: format!(
            "{}.{}.svc.{}",
            names.database(),
            object.metadata.namespace.as_deref().unwrap_or_default(),
            options.cluster_domain
        ),
        shared_memory: pod::shared_memory(memory),
        resources,
        settings,
        node_selector: spec.node_selector.clone(),
        tolerations: spec.tolerations.clone(),
        affinity: spec.affinity.as_deref().cloned(),
        priority_class: text(spec.priority_class_name.as_ref()).map(ToOwned::to_owned),
        pull_secrets: pull_secrets(spec),
        suspended: spec.suspend == Some(true),
    }
}

fn pull_secrets(spec: &PaperclipDatabaseSpec) -> Vec<LocalObjectReference> {
    spec.image_pull_secrets
        .iter()
        .map(|s| LocalObjectReference {
            name: s.name.clone(),
        })
        .collect()
}

fn outside(input: &Input<'_>, external: External) -> Outside {
    let spec = &input.object.spec;
    Outside {
        external,
        agent_image: input.options.agent_image.clone(),
        node_selector: spec.node_selector.clone(),
        tolerations: spec.tolerations.clone(),
        pull_secrets: pull_secrets(spec),
    }
}

fn external(
    spec: &PaperclipDatabaseSpec,
    found: &Found,
    problems: &mut Problems,
) -> Option<External> {
    let section = spec.external.as_ref();
    let reference = section.and_then(|e| e.url_secret_ref.as_ref());
    let literal = section
        .and_then(|e| e.url.as_ref())
        .filter(|url| !url.reveal().is_empty());
    match (reference, literal) {
        (Some(secret), None) => Some(External::Reference {
            secret: secret.clone(),
            problem: reference_problem(secret, &found.external),
        }),
        (None, Some(url)) => {
            if !is_postgres_url(url.reveal()) {
                problems.push(Problem::invalid(
                    "spec.external.url",
                    "must start with postgres:// or postgresql:// and name a host",
                ));
            }
            Some(External::Literal(url.clone()))
        }
        _ => {
            problems.push(Problem::invalid(
                "spec.external",
                "set exactly one of external.urlSecretRef, external.url",
            ));
            None
        }
    }
}

/// What is wrong with a Secret of the user, in words that never hold its value.
fn reference_problem(
    reference: &SecretKeyRef,
    found: &super::dereference::Known<StoredSecret>,
) -> Option<(&'static str, String)> {
    use super::dereference::Known::{Absent, Present, Vouched};
    let (name, key) = (&reference.name, &reference.key);
    let path = "spec.external.urlSecretRef";
    match found {
        Vouched => None,
        Absent => Some((
            "SecretNotFound",
            format!("{path}: Secret \"{name}\" not found"),
        )),
        Present(secret) => match secret.text(key) {
            Some(url) if is_postgres_url(url.trim_end_matches('\n')) => None,
            Some(_) => Some((
                "InvalidValue",
                format!(
                    "{path}: key \"{key}\" of Secret \"{name}\" does not start with postgres:// or postgresql:// and a host"
                ),
            )),
            None if secret.keys().contains(&key.as_str()) => Some((
                "EmptyValue",
                format!("{path}: key \"{key}\" of Secret \"{name}\" is empty"),
            )),
            None => Some((
                "KeyNotFound",
                format!(
                    "{path}: Secret \"{name}\" has no key \"{key}\" (keys: {})",
                    quote(&secret.keys().join(", "))
                ),
            )),
        },
    }
}

fn is_postgres_url(text: &str) -> bool {
    url::Url::parse(text).is_ok_and(|url| {
        matches!(url.scheme(), "postgres" | "postgresql")
            && url.host_str().is_some_and(|host| !host.is_empty())
    })
}
