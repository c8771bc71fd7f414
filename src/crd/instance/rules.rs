//! Admission rules of an Instance.
//!
//! The API server checks them when an object is written. `validate` checks them again with the same messages, for
//! objects that were stored before a rule existed. Each rule stands on the smallest object that holds its fields, so
//! that an object which breaks it can still be changed elsewhere.
//!
//! `null` is absent for `has()`; the empty text counts as absent too, and each rule says so itself.

use crate::crd::schema::Rule;

/// On `deployment`.
pub const LOCAL_TRUSTED_IS_PRIVATE: Rule = Rule::new(
    "!(has(self.mode) && self.mode == 'local_trusted' && has(self.exposure) && self.exposure == 'public')",
    "deployment.exposure must be private when deployment.mode is local_trusted",
);

/// On `deployment`.
pub const PUBLIC_NEEDS_URL: Rule = Rule::new(
    "!(has(self.exposure) && self.exposure == 'public') || (has(self.publicURL) && self.publicURL != '')",
    "deployment.publicURL is required when deployment.exposure is public",
);

/// On `deployment.publicURL`.
pub const PUBLIC_URL: Rule = Rule::new(
    "self == '' || (isURL(self) && url(self).getScheme() in ['http', 'https'] && url(self).getHostname() != '')",
    "deployment.publicURL must be an absolute http or https URL",
);

/// On `spec`.
pub const EMBEDDED_IS_PRIVATE: Rule = Rule::new(
    "!(has(self.database) && has(self.database.mode) && self.database.mode == 'embedded' \
     && has(self.deployment) && has(self.deployment.exposure) && self.deployment.exposure == 'public')",
    "database.mode embedded cannot be combined with deployment.exposure public",
);

/// On `database`.
pub const EXTERNAL_NEEDS_URL: Rule = Rule::new(
    "!(has(self.mode) && self.mode == 'external') || (has(self.externalURL) && self.externalURL != '') \
     || has(self.externalURLSecretRef)",
    "database.externalURL or database.externalURLSecretRef is required when database.mode is external",
);

/// On `database.managed.storageSize`, against the old value.
pub const DATABASE_SIZE: Rule = Rule::shrinks(
    "'database.managed.storageSize cannot shrink from ' + string(oldSelf) + ' to ' + string(self)",
);

/// On `database.managed.storageClass`, against the old value.
pub const DATABASE_STORAGE_CLASS: Rule =
    Rule::immutable("database.managed.storageClass is immutable");

/// On `database.managed`, against the old value.
pub const DATABASE_ENGINE: Rule = Rule::new(
    "(has(self.engine) ? self.engine : 'Managed') == (has(oldSelf.engine) ? oldSelf.engine : 'Managed')",
    "database.managed.engine is immutable",
);

/// On `database.managed.autoGrow`.
pub const AUTO_GROW_MAX_SIZE: Rule = Rule::new(
    "has(self.maxSize) && string(self.maxSize) != ''",
    "database.managed.autoGrow.maxSize is required",
);

/// On `secrets`.
pub const AWS_NEEDS_OPTIONS: Rule = Rule::new(
    "!(has(self.provider) && self.provider == 'aws_secrets_manager') || has(self.aws)",
    "secrets.aws is required when secrets.provider is aws_secrets_manager",
);

/// On `storage.persistence.size`, against the old value.
pub const PERSISTENCE_SIZE: Rule = Rule::shrinks(
    "'storage.persistence.size cannot shrink from ' + string(oldSelf) + ' to ' + string(self)",
);

/// On `storage.persistence.storageClass`, against the old value.
pub const PERSISTENCE_STORAGE_CLASS: Rule =
    Rule::immutable("storage.persistence.storageClass is immutable");

/// On `storage.persistence.accessModes`, against the old value.
pub const PERSISTENCE_ACCESS_MODES: Rule = Rule::new(
    "self == oldSelf || size(self) == 0 || size(oldSelf) == 0",
    "storage.persistence.accessModes is immutable",
);

/// On `objectStorage`.
pub const ENDPOINT_OF_OTHERS: Rule = Rule::new(
    "!(has(self.provider) && self.provider in ['minio', 'r2']) || (has(self.endpoint) && self.endpoint != '')",
    "objectStorage.endpoint is required when objectStorage.provider is minio or r2",
);

/// On `image.autoUpdate.policy`.
pub const ONE_IMAGE_POLICY: Rule = Rule::new(
    "!(has(self.digest) && has(self.semver))",
    "image.autoUpdate.policy takes only one of digest and semver",
);

/// On `networking.httpRoute`.
pub const ROUTE_NEEDS_PARENT: Rule = Rule::new(
    "!(has(self.enabled) && self.enabled) || (has(self.parentRefs) && size(self.parentRefs) > 0)",
    "networking.httpRoute.parentRefs is required when networking.httpRoute.enabled is true",
);

/// On `spec`.
pub const ROUTES_NEED_SIGN_IN: Rule = Rule::new(
    "!(has(self.deployment) && has(self.deployment.mode) && self.deployment.mode == 'local_trusted' \
     && has(self.networking) && ((has(self.networking.ingress) && has(self.networking.ingress.enabled) \
     && self.networking.ingress.enabled) || (has(self.networking.httpRoute) \
     && has(self.networking.httpRoute.enabled) && self.networking.httpRoute.enabled)))",
    "networking.ingress and networking.httpRoute need deployment.mode authenticated",
);

/// On each of `networking.trustedProxies`. A word or a bare number would make the server believe everybody.
pub const TRUSTED_PROXY: Rule = Rule::new(
    "self.matches('^[0-9a-fA-F.:]+(/[0-9]{1,3})?$') && (self.contains('.') || self.contains(':'))",
    "networking.trustedProxies takes IP addresses and CIDRs only",
);

/// On `availability.podDisruptionBudget`.
pub const ONE_DISRUPTION_BOUND: Rule = Rule::new(
    "!(has(self.minAvailable) && string(self.minAvailable) != '' && has(self.maxUnavailable) \
     && string(self.maxUnavailable) != '')",
    "set only one of minAvailable and maxUnavailable",
);

/// On `availability.autoScaling`.
pub const REPLICA_RANGE: Rule = Rule::new(
    "(has(self.minReplicas) ? self.minReplicas : 1) <= (has(self.maxReplicas) ? self.maxReplicas : 3)",
    "availability.autoScaling.minReplicas must not be greater than maxReplicas",
);

/// On `probes.liveness` and `probes.startup`.
pub const ONE_SUCCESS: Rule = Rule::new(
    "!has(self.successThreshold) || self.successThreshold == 1",
    "successThreshold must be 1 for liveness and startup probes",
);

/// On `backup`.
pub const BACKUP_OF_SECRETS: Rule = Rule::new(
    "!(has(self.include) && 'Secrets' in self.include) || has(self.encryption)",
    "backup.include Secrets needs backup.encryption",
);

/// On `backup`.
pub const PROOF_OF_ENCRYPTED: Rule = Rule::new(
    "!(has(self.verification) && has(self.verification.level) && self.verification.level in ['Restore', 'Boot'] \
     && has(self.encryption) && !has(self.encryption.identitySecretRef))",
    "backup.verification of encrypted backups needs backup.encryption.identitySecretRef",
);

/// On `tailscale`.
pub const TAILSCALE_NEEDS_KEY: Rule = Rule::new(
    "!(has(self.enabled) && self.enabled) || has(self.authKey)",
    "tailscale.authKey is required when tailscale.enabled is true",
);

/// On `spec`.
pub const FUNNEL_NEEDS_SIGN_IN: Rule = Rule::new(
    "!(has(self.deployment) && has(self.deployment.mode) && self.deployment.mode == 'local_trusted' \
     && has(self.tailscale) && has(self.tailscale.enabled) && self.tailscale.enabled \
     && has(self.tailscale.mode) && self.tailscale.mode == 'funnel')",
    "tailscale.mode funnel needs deployment.mode authenticated",
);

/// Names of containers that the operator makes.
pub const RESERVED_CONTAINERS: [&str; 3] = ["paperclip", "paperclip-agent", "tailscale"];

/// On each of `sidecars` and `initContainers`.
pub const RESERVED_CONTAINER: Rule = Rule::new(
    "!(self.name in ['paperclip', 'paperclip-agent', 'tailscale'])",
    "the container name is reserved",
);

/// Names of volumes that the operator makes.
pub const RESERVED_VOLUMES: [&str; 4] = [
    "paperclip-data",
    "paperclip-agent",
    "paperclip-branding",
    "paperclip-db-ca",
];

/// On each of `extraVolumes`.
pub const RESERVED_VOLUME: Rule = Rule::new(
    "!(self.name in ['paperclip-data', 'paperclip-agent', 'paperclip-branding', 'paperclip-db-ca'])",
    "the volume name is reserved",
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reserved_names_are_those_of_the_rules() {
        for name in RESERVED_CONTAINERS {
            assert!(RESERVED_CONTAINER.expression.contains(&format!("'{name}'")));
        }
        for name in RESERVED_VOLUMES {
            assert!(RESERVED_VOLUME.expression.contains(&format!("'{name}'")));
        }
    }
}
