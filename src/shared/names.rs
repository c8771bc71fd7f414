//! The vocabulary: group, labels, annotations, field managers, names of child objects. Selectors are built here and nowhere else,
//! because they are immutable in the cluster. Must never change what an existing name means.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use std::collections::BTreeMap;

/// API group of all our kinds.
pub const GROUP: &str = "paperclip.inc";
/// Group and version of all our kinds.
pub const API_VERSION: &str = "paperclip.inc/v1alpha1";

/// Label: always `paperclip`.
pub const LABEL_NAME: &str = "app.kubernetes.io/name";
/// Label: name of the Instance (or of a database that stands alone).
pub const LABEL_INSTANCE: &str = "app.kubernetes.io/instance";
/// Label: always `paperclip-operator`; what we list and watch child objects by.
pub const LABEL_MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Label: the part of the installation, see [`Component`].
pub const LABEL_COMPONENT: &str = "app.kubernetes.io/component";
/// Value of [`LABEL_MANAGED_BY`].
pub const MANAGED_BY: &str = "paperclip-operator";
/// Label that the application's sandbox policies look for on server pods.
pub const LABEL_APP: (&str, &str) = ("app", "paperclip-server");

/// Annotation on the pod template: keyed hash of every Secret and ConfigMap value that the pod uses.
pub const ANNOTATION_CONFIG_HASH: &str = "paperclip.inc/config-hash";
/// Annotation on a Job: what it was made for.
pub const ANNOTATION_APPLIED_HASH: &str = "paperclip.inc/applied-hash";
/// Annotation on child resources: the trace of the pass that emitted them.
pub const ANNOTATION_TRACEPARENT: &str = "paperclip.inc/traceparent";
/// Annotation that a user writes to ask for a pass; echoed in `status.lastHandledReconcileAt`.
pub const ANNOTATION_RECONCILE_REQUESTED: &str = "paperclip.inc/reconcile-requested-at";
/// Annotation: `disabled` takes our hands off; status stays true.
pub const ANNOTATION_RECONCILE: &str = "paperclip.inc/reconcile";
/// Annotation: `"true"` skips the final snapshot on deletion.
pub const ANNOTATION_SKIP_FINAL_BACKUP: &str = "paperclip.inc/skip-final-backup";

/// Annotation on a workload of the earlier operator whose pods are still as they were found: what was asked for at that time.
pub const ANNOTATION_FOUND_WITH: &str = "paperclip.inc/found-with";
/// Annotation that a user writes: `now` starts the one roll-out of a taken-over Instance.
pub const ANNOTATION_ADOPT: &str = "paperclip.inc/adopt";

/// Name of the init container that copies the agent into a pod.
pub const AGENT_COPY: &str = "agent-copy";

/// Our finalizer.
pub const FINALIZER: &str = "paperclip.inc/finalizer";
/// The finalizer of the Go operator that we replace; removed when found.
pub const GO_FINALIZER: &str = "paperclip.ai/finalizer";

/// Field managers, one per controller.
pub mod manager {
    /// Of the Instance controller.
    pub const INSTANCE: &str = "paperclip-instance";
    /// Of the PaperclipDatabase controller.
    pub const DATABASE: &str = "paperclip-database";
    /// Of the PaperclipBackup controller.
    pub const BACKUP: &str = "paperclip-backup";
    /// Of the PaperclipRestore controller.
    pub const RESTORE: &str = "paperclip-restore";
    /// Of the PaperclipSandboxPool controller.
    pub const SANDBOX_POOL: &str = "paperclip-sandbox-pool";
    /// Of the PaperclipImageWatch controller.
    pub const IMAGE_WATCH: &str = "paperclip-image-watch";
}

/// A part of an installation, value of [`LABEL_COMPONENT`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Component {
    /// The Paperclip server.
    Server,
    /// PostgreSQL.
    Database,
    /// Backup Jobs.
    Backup,
    /// Restore Jobs.
    Restore,
    /// The Job that makes the first admin.
    Bootstrap,
    /// The Job that migrates the schema.
    Migration,
    /// Jobs that ask a database of somebody else.
    Check,
    /// Sandboxes.
    Sandbox,
}

impl Component {
    const ALL: [Self; 8] = [
        Self::Server,
        Self::Database,
        Self::Backup,
        Self::Restore,
        Self::Bootstrap,
        Self::Migration,
        Self::Check,
        Self::Sandbox,
    ];

    /// Of a label's value.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|c| c.as_str() == text)
    }

    /// The label's value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Database => "database",
            Self::Backup => "backup",
            Self::Restore => "restore",
            Self::Bootstrap => "bootstrap",
            Self::Migration => "migration",
            Self::Check => "check",
            Self::Sandbox => "sandbox",
        }
    }
}

/// A map of labels, annotations or match labels.
pub type Labels = BTreeMap<String, String>;

/// The four labels of every object that belongs to `instance`.
pub fn labels(instance: &str, component: Component) -> Labels {
    let mut labels = selector(instance, component);
    labels.insert(LABEL_MANAGED_BY.into(), MANAGED_BY.into());
    labels
}

/// What selects the pods of one component. Equal to the Go operator's, because selectors are immutable.
pub fn selector(instance: &str, component: Component) -> Labels {
    [
        (LABEL_NAME, "paperclip"),
        (LABEL_INSTANCE, instance),
        (LABEL_COMPONENT, component.as_str()),
    ]
    .into_iter()
    .map(|(k, v)| (k.to_owned(), v.to_owned()))
    .collect()
}

/// Names of the objects of an installation `n`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names(String);

impl Names {
    /// For the Instance (or database) `name`.
    pub fn of(name: &str) -> Self {
        Self(name.to_owned())
    }
    /// `N`: workload, Service, ServiceAccount, NetworkPolicy, child resources.
    pub fn main(&self) -> &str {
        &self.0
    }
    /// `N-jobs`: policy of migration and bootstrap pods.
    pub fn jobs(&self) -> String {
        self.with("jobs")
    }
    /// `N-data`: claim of the server.
    pub fn data(&self) -> String {
        self.with("data")
    }
    /// `N-secrets-master-key`: the key that encrypts stored secrets.
    pub fn master_key(&self) -> String {
        self.with("secrets-master-key")
    }
    /// `N-auth`: session secret.
    pub fn auth(&self) -> String {
        self.with("auth")
    }
    /// `N-app-keys`: signing keys.
    pub fn app_keys(&self) -> String {
        self.with("app-keys")
    }
    /// `N-admin`: the first admin's address and password.
    pub fn admin(&self) -> String {
        self.with("admin")
    }
    /// `N-bootstrap`: the Job that makes the first admin.
    pub fn bootstrap(&self) -> String {
        self.with("bootstrap")
    }
    /// `N-operator-token`: the operator's key for the server's API.
    pub fn operator_token(&self) -> String {
        self.with("operator-token")
    }
    /// `N-alerts`: alerts.
    pub fn alerts(&self) -> String {
        self.with("alerts")
    }
    /// `N-dashboard-operator`: dashboard of the operator.
    pub fn dashboard_operator(&self) -> String {
        self.with("dashboard-operator")
    }
    /// `N-dashboard-instance`: dashboard of the Instance.
    pub fn dashboard_instance(&self) -> String {
        self.with("dashboard-instance")
    }
    /// `N-connections`: OAuth clients.
    pub fn connections(&self) -> String {
        self.with("connections")
    }
    /// `N-tailscale`: what is served in the tailnet.
    pub fn tailscale(&self) -> String {
        self.with("tailscale")
    }
    /// `N-db`: the database's StatefulSet, Service, policy, account.
    pub fn database(&self) -> String {
        self.with("db")
    }
    /// `N-db-data`: claim of the database.
    pub fn database_data(&self) -> String {
        self.with("db-data")
    }
    /// `N-db-credentials`: role and password.
    pub fn database_credentials(&self) -> String {
        self.with("db-credentials")
    }
    /// `N-db-app`: what the server mounts.
    pub fn database_app(&self) -> String {
        self.with("db-app")
    }
    /// `N-check`: who Jobs may talk to that ask a database of somebody else.
    pub fn check(&self) -> String {
        self.with("check")
    }
    /// `N-next`: the PaperclipDatabase that is tried before `N` is replaced by it.
    pub fn next_database(&self) -> String {
        self.with("next")
    }
    /// `N-db-backup`: the earlier operator's CronJob.
    pub fn database_backup(&self) -> String {
        self.with("db-backup")
    }
    /// `N-sandbox`: the earlier operator's Role and RoleBinding.
    pub fn sandbox(&self) -> String {
        self.with("sandbox")
    }
    /// `N-migrate-<hash>`: migration Job of one image and database.
    pub fn migrate(&self, hash: &str) -> String {
        format!("{}-migrate-{hash}", self.0)
    }
    fn with(&self, suffix: &str) -> String {
        format!("{}-{suffix}", self.0)
    }
}

/// The user wants our hands off.
pub fn is_hands_off(metadata: &ObjectMeta) -> bool {
    let annotations = metadata.annotations.as_ref();
    annotations
        .and_then(|a| a.get(ANNOTATION_RECONCILE))
        .is_some_and(|value| value == "disabled")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_are_those_of_the_go_operator() {
        let s = selector("n", Component::Server);
        assert_eq!(
            serde_json::to_value(s).unwrap_or_default(),
            serde_json::json!({"app.kubernetes.io/name": "paperclip", "app.kubernetes.io/instance": "n", "app.kubernetes.io/component": "server"})
        );
    }
}
