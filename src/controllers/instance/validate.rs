//! From the raw spec to what is built: all findings at once, each with its path. After this step nobody looks at the raw spec. Pure: what
//! was read comes in as [`Found`]. Must never take an unknown word for a default.

pub mod admin;
pub mod database;
pub mod deployment;
pub mod disruption;
pub mod environment;
pub mod findings;
pub mod forms;
pub mod image;
pub mod keys;
pub mod monitoring;
pub mod names;
pub mod network;
pub mod not_implemented;
pub mod pod;
pub mod probes;
pub mod references;
pub mod routes;
pub mod scale;
pub mod scaling;
pub mod storage;
pub mod tailscale;
pub mod unsupported;

use super::found::{Found, Learned};
use super::workload::WorkloadKind;
use crate::crd::instance::{AdoptedStatus, Instance, InstanceSpec, Workload};
use crate::crd::shared::DeletionPolicy;
use findings::Findings;
use names::Identity;
use references::Broken;
use std::borrow::Cow;

/// An Instance as it will be built.
#[derive(Clone, Debug)]
pub struct Validated<'a> {
    /// Who it is.
    pub id: Identity<'a>,
    /// The server's image.
    pub image: image::Image<'a>,
    /// How the server is reached.
    pub access: deployment::Access<'a>,
    /// Where the database is.
    pub database: database::Database<'a>,
    /// What the server signs and encrypts with.
    pub keys: keys::Keys<'a>,
    /// What runs the server.
    pub workload: WorkloadKind,
    /// How many server pods there are.
    pub scale: scale::Scale,
    /// Who is to be the first admin.
    pub admin: Option<admin::Admin<'a>>,
    /// Where it keeps files.
    pub volume: storage::Volume<'a>,
    /// Where it keeps uploads, if not with the files.
    pub bucket: Option<storage::Bucket<'a>>,
    /// What becomes variables.
    pub environment: environment::Environment<'a>,
    /// The Service, and who may talk to whom.
    pub network: network::Network<'a>,
    /// The ways from outside to the server.
    pub routes: routes::Routes<'a>,
    /// How many server pods may be taken away at once; `None`: nobody counts.
    pub budget: Option<disruption::Budget>,
    /// What Prometheus and Grafana get to see.
    pub monitoring: monitoring::Monitoring<'a>,
    /// Where OAuth clients come from.
    pub connections: Option<Clients<'a>>,
    /// ConfigMap with style sheets.
    pub branding: Option<&'a str>,
    /// The server in a tailnet.
    pub tailscale: Option<tailscale::Tailscale<'a>>,
    /// How the number of server pods follows the load; `None`: it does not.
    pub scaling: Option<scaling::Scaling>,
    /// How the kubelet asks.
    pub probes: probes::Probes,
    /// Parts of the pod.
    pub pod: pod::Pod<'a>,
    /// Whom the pods run as.
    pub account: Account<'a>,
    /// It was taken over from the earlier operator.
    pub adopted: bool,
    /// The server is stopped.
    pub suspended: bool,
    /// Data go with the Instance.
    pub delete_data: bool,
    /// Backups by a schedule.
    pub backup: Option<&'a crate::crd::instance::Backup>,
    /// Where URLs of the spec lead to, for the network policies.
    pub learned: &'a Learned,
    /// What is to be brought back.
    pub restore: Option<super::restore::Asked<'a>>,
}

/// The key of a Secret that holds OAuth clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clients<'a> {
    /// Name of the Secret.
    pub secret: &'a str,
    /// Key.
    pub key: &'a str,
}

/// Whom the pods run as.
#[derive(Clone, Debug, PartialEq)]
pub struct Account<'a> {
    /// Name.
    pub name: Cow<'a, str>,
    /// It is made by us.
    pub make: bool,
    /// Its annotations.
    pub annotations: &'a std::collections::BTreeMap<String, String>,
}

/// A variable of ours.
#[derive(Clone, Debug, PartialEq)]
pub struct Variable<'a> {
    /// Name.
    pub name: Cow<'a, str>,
    /// Value.
    pub source: Source<'a>,
}

/// Where a variable's value comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum Source<'a> {
    /// Here it is; `$(` in it is text.
    Text(Cow<'a, str>),
    /// A key of a Secret.
    Secret {
        /// Name of the Secret.
        name: Cow<'a, str>,
        /// Key.
        key: Cow<'a, str>,
        /// The pod starts without it.
        optional: bool,
    },
    /// A key of a ConfigMap; the pod starts without it.
    ConfigMap {
        /// Name of the ConfigMap.
        name: Cow<'a, str>,
        /// Key.
        key: Cow<'a, str>,
    },
    /// A field of the pod.
    Field(&'static str),
}

impl<'a> Source<'a> {
    /// Text.
    pub fn text(text: &'a str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

/// The result of this step.
#[derive(Debug)]
pub struct Verdict<'a> {
    /// What may be built; `None`: what runs goes on as it is.
    pub validated: Option<Validated<'a>>,
    /// All there is to say.
    pub findings: Findings,
    /// References that do not hold; `None`: nobody looked, the last status vouches.
    pub broken: Option<Vec<Broken>>,
    /// How many references there are.
    pub references: usize,
}

impl Verdict<'_> {
    /// A reference does not hold, as far as we may know.
    pub fn is_broken(&self) -> bool {
        self.broken.iter().flatten().any(|b| !b.unknown)
    }
}

/// Key of the Secret with OAuth clients if nobody says.
const OAUTH_KEY: &str = "PAPERCLIP_OAUTH_CREDENTIALS";

static NO_ANNOTATIONS: std::collections::BTreeMap<String, String> =
    std::collections::BTreeMap::new();

/// What is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// The object.
    pub instance: &'a Instance,
    /// Taken over from the earlier operator.
    pub adopted: Option<&'a AdoptedStatus>,
    /// What this or an earlier look taught.
    pub learned: &'a Learned,
    /// DNS domain of the cluster.
    pub domain: &'a str,
}

/// Looks at everything.
pub fn validate<'a>(input: Input<'a>, found: &Found) -> Verdict<'a> {
    let (spec, meta) = (&input.instance.spec, &input.instance.metadata);
    let learned = input.learned;
    let mut out = Findings::default();
    let id = Identity::new(
        meta.name.as_deref().unwrap_or_default(),
        meta.namespace.as_deref().unwrap_or_default(),
        meta.uid.as_deref().unwrap_or_default(),
        input.domain,
    );
    let adopted = input.adopted.is_some();
    let ignored = input
        .adopted
        .map(|a| a.ignored.as_slice())
        .unwrap_or_default();

    let database = database::database(spec, adopted, &mut out);
    let managed = matches!(database, database::Database::Managed { .. });
    names::check(id.name, managed, &mut out);
    not_implemented::report(spec, &mut out);
    let dead = unsupported::report(spec, &mut out);
    words(spec, &mut out);
    let policy = out.word("deletionPolicy", spec.deletion_policy.as_ref());
    let routes = routes::routes(spec, &mut out);
    let access = deployment::access(spec, &id, &routes, &mut out);
    let workload = WorkloadKind::of(spec);
    let scale = scale::scale(spec, workload, database.has_child(), &mut out);
    let scaling = scaling::scaling(spec, !database.has_child(), &mut out);
    let budget = disruption::budget(spec, fewest(spec, &database), &mut out);
    let volume = storage::volume(spec, &id, adopted, &mut out);
    let validated = Validated {
        workload,
        scale,
        admin: admin::admin(
            spec,
            &id,
            access.local_trusted,
            database.has_child(),
            &volume,
            &mut out,
        ),
        image: image::image(spec.image.as_deref(), &mut out),
        access,
        database,
        keys: keys::keys(spec, &id, ignored, &mut out),
        volume,
        bucket: storage::bucket(spec, learned, &mut out),
        environment: environment::environment(spec, learned, dead, &mut out),
        network: network::network(spec, &mut out),
        budget,
        routes,
        scaling,
        connections: connections(spec, learned, &mut out),
        branding: spec
            .branding
            .as_ref()
            .and_then(|b| crate::crd::local(b.css_config_map_ref.as_ref())),
        tailscale: tailscale::tailscale(spec, &id, &mut out),
        monitoring: monitoring::monitoring(spec, &mut out),
        probes: probes::probes(spec.probes.as_deref(), &mut out),
        pod: pod::pod(spec, &mut out),
        account: account(spec, &id),
        adopted,
        suspended: spec.suspended.unwrap_or(false),
        delete_data: policy == Some(DeletionPolicy::Delete),
        backup: spec
            .backup
            .as_deref()
            .filter(|b| crate::crd::text(b.schedule.as_ref()).is_some()),
        learned,
        restore: super::restore::asked(input.instance, &id),
        id,
    };
    let mut references = references::of(spec);
    let admin = validated.admin.as_ref();
    if admin.is_none() || super::gates::is_recorded_admin(input.instance.status.as_ref()) {
        references.retain(|r| r.path != references::ADMIN_PASSWORD);
    }
    Verdict {
        broken: found.looked.then(|| references::check(&references, found)),
        references: references.len(),
        validated: (!out.blocking()).then_some(validated),
        findings: out,
    }
}

/// Words of parts that are not built: an unknown one is a mistake already now.
fn words(spec: &InstanceSpec, out: &mut Findings) {
    out.word("workload", spec.workload.as_ref());
    if let Some(drain) = spec.lifecycle.as_ref().and_then(|l| l.drain.as_ref()) {
        out.word("lifecycle.drain.mode", drain.mode.as_ref());
        out.word("lifecycle.drain.onTimeout", drain.on_timeout.as_ref());
    }
    if let Some(execution) = spec.adapters.as_ref().and_then(|a| a.execution.as_ref()) {
        out.word("adapters.execution.mode", execution.mode.as_ref());
    }
}

/// The fewest replicas that there may be.
fn fewest(spec: &InstanceSpec, database: &database::Database<'_>) -> i32 {
    let Some(section) = spec.availability.as_ref().filter(|_| database.has_child()) else {
        return 1;
    };
    let scaling = section.auto_scaling.as_ref();
    let asked = match scaling.filter(|s| s.enabled == Some(true)) {
        Some(scaling) => scaling.min_replicas,
        None => section.replicas,
    };
    asked.unwrap_or(1).max(1)
}

/// Where the OAuth clients of a spec come from.
pub fn clients(spec: &InstanceSpec) -> Option<Clients<'_>> {
    let section = spec.connections.as_ref()?;
    Some(Clients {
        secret: crate::crd::local(section.credentials_secret_ref.as_ref())?,
        key: crate::crd::text(section.credentials_key.as_ref()).unwrap_or(OAUTH_KEY),
    })
}

fn connections<'a>(
    spec: &'a InstanceSpec,
    learned: &Learned,
    out: &mut Findings,
) -> Option<Clients<'a>> {
    const PATH: &str = "connections.credentialsSecretRef";
    let clients = clients(spec)?;
    out.advise(
        "OAuthCallbackMoved",
        "connections",
        "register <public URL>/api/tools/oauth/callback with each provider; /api/connections/callback does not exist",
    );
    for why in &learned.clients_left_out {
        out.overridden(PATH, why.clone());
    }
    Some(clients)
}

fn account<'a>(spec: &'a InstanceSpec, id: &Identity<'a>) -> Account<'a> {
    let rbac = spec.security.as_ref().and_then(|s| s.rbac.as_ref());
    let make = rbac.and_then(|r| r.create) != Some(false);
    let given = rbac.and_then(|r| crate::crd::text(r.service_account_name.as_ref()));
    Account {
        name: Cow::Borrowed(given.unwrap_or(if make { id.name } else { "default" })),
        make,
        annotations: rbac.map_or(&NO_ANNOTATIONS, |r| &r.service_account_annotations),
    }
}

/// `spec.workload` asks for what is used.
pub fn wants_stateful_set(spec: &InstanceSpec) -> bool {
    match spec.workload.as_ref() {
        Some(w) if *w == Workload::Deployment => false,
        Some(w) if *w == Workload::Auto => !storage::keeps_nothing(spec),
        _ => true,
    }
}
