//! What the fields need beside them to mean something.

/// Fields that mean something only beside others, and fields whose value must be of a form: path, what stands beside it, its value.
/// Everything else is set alone, to a value made from its schema.
pub const BESIDE: &[(&str, &str, &str)] = &[
    ("image.tag", "{}", "'8'"),
    ("image.pullPolicy", "{}", "Always"),
    ("resources", "{}", "{limits: {cpu: '2'}}"),
    ("database.managed.resources", "{}", "{limits: {cpu: '2'}}"),
    (
        "image.autoUpdate.",
        "{image: {autoUpdate: {enabled: true}}}",
        "",
    ),
    ("deployment.publicURL", "{}", "https://a.example.com"),
    (
        "deployment.exposure",
        "{deployment: {publicURL: 'https://a.example.com'}}",
        "public",
    ),
    ("deployment.mode", "{}", "local_trusted"),
    (
        "deployment.platformAdmin.",
        "{deployment: {platformAdmin: {email: a@b}}}",
        "",
    ),
    ("deployment.platformAdmin.email", "{}", "a@b"),
    ("database.mode", "{}", "embedded"),
    (
        "database.externalURL",
        "{database: {mode: external, externalURLSecretRef: {name: a, key: b}}}",
        "'postgres://h/d'",
    ),
    (
        "database.externalURLSecretRef.",
        "{database: {mode: external, externalURLSecretRef: {name: a, key: b}}}",
        "",
    ),
    ("database.managed.storageSize", "{}", "7Gi"),
    ("database.managed.engine", "{}", "CloudNativePG"),
    (
        "database.managed.instances",
        "{database: {managed: {engine: CloudNativePG}}}",
        "5",
    ),
    (
        "auth.adminUser.passwordSecretRef.",
        "{auth: {adminUser: {email: a@b, passwordSecretRef: {name: a, key: b}}}}",
        "",
    ),
    ("auth.adminUser.", "{auth: {adminUser: {email: a@b}}}", ""),
    ("auth.adminUser.email", "{}", "a@b"),
    (
        "auth.bootstrap.mode",
        "{auth: {adminUser: {email: a@b}}}",
        "Disabled",
    ),
    (
        "auth.secretRef.",
        "{auth: {secretRef: {name: a, key: b}}}",
        "",
    ),
    (
        "auth.operatorTokenSecretRef.",
        "{auth: {operatorTokenSecretRef: {name: a, key: b}}}",
        "",
    ),
    (
        "auth.email.resendAPIKeySecretRef.",
        "{auth: {email: {resendAPIKeySecretRef: {name: a, key: b}}}}",
        "",
    ),
    (
        "secrets.masterKeySecretRef.",
        "{secrets: {masterKeySecretRef: {name: a, key: b}}}",
        "",
    ),
    (
        "secrets.provider",
        "{secrets: {aws: {region: r, kmsKeyID: k, deploymentID: d}}}",
        "aws_secrets_manager",
    ),
    (
        "secrets.aws.",
        "{secrets: {provider: aws_secrets_manager, aws: {region: r, kmsKeyID: k, deploymentID: d}}}",
        "",
    ),
    (
        "secrets.aws.endpoint",
        "{secrets: {provider: aws_secrets_manager, aws: {region: r, kmsKeyID: k, deploymentID: d}}}",
        "'https://aws.test'",
    ),
    ("secrets.strictMode", "{}", "false"),
    ("storage.persistence.enabled", "{}", "false"),
    ("storage.persistence.size", "{}", "7Gi"),
    ("storage.persistence.accessModes[]", "{}", "ReadWriteMany"),
    (
        "objectStorage.",
        "{objectStorage: {provider: s3, bucket: bbb}}",
        "",
    ),
    (
        "objectStorage.provider",
        "{objectStorage: {provider: s3, bucket: bbb, endpoint: 'https://x.test'}}",
        "minio",
    ),
    (
        "objectStorage.bucket",
        "{objectStorage: {provider: s3, bucket: bbb}}",
        "ccc",
    ),
    (
        "objectStorage.endpoint",
        "{objectStorage: {provider: s3, bucket: bbb}}",
        "'https://x.test'",
    ),
    ("heartbeat.enabled", "{}", "false"),
    ("heartbeat.intervalMS", "{}", "20000"),
    (
        "heartbeat.schedulerGating",
        "{availability: {replicas: 2}}",
        "lease",
    ),
    (
        "adapters.cloudSandbox.",
        "{adapters: {cloudSandbox: {enabled: true}}}",
        "",
    ),
    (
        "adapters.execution.",
        "{adapters: {execution: {mode: kubernetes}}}",
        "",
    ),
    ("adapters.execution.mode", "{}", "kubernetes"),
    (
        "adapters.registry[].",
        "{adapters: {registry: [{adapterType: t}]}}",
        "",
    ),
    ("env[].", "{env: [{name: A, value: b}]}", ""),
    (
        "envFrom[].",
        "{envFrom: [{prefix: a, secretRef: {name: b}}]}",
        "",
    ),
    (
        "security.containerSecurityContext.",
        "{security: {containerSecurityContext: {procMount: Default}}}",
        "",
    ),
    ("security.networkPolicy.enabled", "{}", "false"),
    (
        "security.networkPolicy.allowIngressCIDRs[]",
        "{}",
        "10.0.0.0/8",
    ),
    (
        "security.networkPolicy.allowEgressCIDRs[]",
        "{}",
        "10.0.0.0/8",
    ),
    ("security.rbac.create", "{}", "false"),
    ("networking.service.type", "{}", "NodePort"),
    (
        "networking.ingress.",
        "{networking: {ingress: {enabled: true, hosts: [a.example.com]}}}",
        "",
    ),
    (
        "networking.ingress.enabled",
        "{networking: {ingress: {hosts: [a.example.com]}}}",
        "true",
    ),
    (
        "networking.ingress.hosts[]",
        "{networking: {ingress: {enabled: true, hosts: [a.example.com]}}}",
        "b.example.com",
    ),
    (
        "networking.ingress.tls[].",
        "{networking: {ingress: {enabled: true, hosts: [a.example.com], tls: [{hosts: [a.example.com], secretName: s}]}}}",
        "",
    ),
    (
        "networking.httpRoute.",
        "{networking: {httpRoute: {enabled: true, parentRefs: [{name: g}]}}}",
        "",
    ),
    (
        "networking.httpRoute.enabled",
        "{networking: {httpRoute: {parentRefs: [{name: g}]}}}",
        "true",
    ),
    (
        "networking.httpRoute.hostnames[]",
        "{networking: {httpRoute: {enabled: true, parentRefs: [{name: g}]}}}",
        "b.example.com",
    ),
    ("networking.exposurePolicy", "{}", "AfterBootstrap"),
    ("networking.trustedProxies[]", "{}", "10.0.0.1"),
    (
        "observability.metrics.",
        "{observability: {metrics: {enabled: true}}}",
        "",
    ),
    (
        "observability.metrics.serviceMonitor.",
        "{observability: {metrics: {enabled: true, serviceMonitor: {enabled: true}}}}",
        "",
    ),
    (
        "observability.metrics.prometheusRule.",
        "{observability: {metrics: {enabled: true, prometheusRule: {enabled: true}}}}",
        "",
    ),
    (
        "observability.metrics.grafanaDashboard.",
        "{observability: {metrics: {enabled: true, grafanaDashboard: {enabled: true}}}}",
        "",
    ),
    ("observability.metrics.enabled", "{}", "true"),
    (
        "observability.metrics.serviceMonitor.enabled",
        "{observability: {metrics: {enabled: true}}}",
        "true",
    ),
    (
        "observability.metrics.prometheusRule.enabled",
        "{observability: {metrics: {enabled: true}}}",
        "true",
    ),
    (
        "observability.metrics.prometheusRule.runbookBaseURL",
        "{observability: {metrics: {enabled: true, prometheusRule: {enabled: true}}}}",
        "'https://runbooks.test'",
    ),
    (
        "observability.metrics.grafanaDashboard.enabled",
        "{observability: {metrics: {enabled: true}}}",
        "true",
    ),
    ("observability.logging.level", "{}", "debug"),
    (
        "observability.otlp.endpoint",
        "{}",
        "'http://collector:4317'",
    ),
    (
        "observability.otlp.protocol",
        "{observability: {otlp: {endpoint: 'http://collector:4317'}}}",
        "http/protobuf",
    ),
    (
        "observability.sentry.dsnSecretRef.",
        "{observability: {sentry: {dsnSecretRef: {name: a, key: b}}}}",
        "",
    ),
    ("availability.replicas", "{}", "2"),
    (
        "availability.podDisruptionBudget.",
        "{availability: {podDisruptionBudget: {enabled: true}}}",
        "",
    ),
    ("availability.podDisruptionBudget.enabled", "{}", "true"),
    (
        "availability.autoScaling.",
        "{availability: {autoScaling: {enabled: true}}}",
        "",
    ),
    ("availability.autoScaling.enabled", "{}", "true"),
    (
        "availability.autoScaling.minReplicas",
        "{availability: {autoScaling: {enabled: true}}}",
        "2",
    ),
    (
        "availability.topologySpreadConstraints[].",
        "{availability: {topologySpreadConstraints: [{maxSkew: 3, topologyKey: a, whenUnsatisfiable: b}]}}",
        "",
    ),
    ("availability.serverDrain.enabled", "{}", "false"),
    (
        "workload",
        "{storage: {persistence: {enabled: false}}}",
        "Deployment",
    ),
    ("probes.type", "{}", "tcp"),
    ("probes.readiness.", "{}", "7"),
    ("suspended", "{}", "true"),
    ("deletionPolicy", "{}", "Delete"),
    ("privacy.", "{}", "true"),
    ("shareProcessNamespace", "{}", "false"),
    (
        "backup.",
        "{backup: {schedule: '@daily', s3: {bucket: bbb}, encryption: {recipients: [a]}}}",
        "",
    ),
    ("backup.schedule", "{}", "'@daily'"),
    ("backup.s3.bucket", "{}", "bbb"),
    ("backup.encryption.recipients[]", "{}", "a"),
    ("backup.appNative.", "{}", ""),
    ("restore.", "{restore: {s3: {bucket: bbb}}}", ""),
    ("restore.s3.bucket", "{}", "bbb"),
    ("restore.include[]", "{}", "Files"),
    (
        "restore.identitySecretRef.",
        "{restore: {identitySecretRef: {name: a, key: b}}}",
        "",
    ),
    ("restore.safetyBackup", "{}", "false"),
    ("restore.pauseAgents", "{}", "true"),
    (
        "tailscale.",
        "{tailscale: {enabled: true, authKey: {secretRef: {name: k}}}}",
        "",
    ),
    (
        "tailscale.enabled",
        "{tailscale: {authKey: {secretRef: {name: k}}}}",
        "true",
    ),
    (
        "tailscale.mode",
        "{tailscale: {enabled: true, authKey: {secretRef: {name: k}}}}",
        "funnel",
    ),
    (
        "tailscale.resources",
        "{tailscale: {enabled: true, authKey: {secretRef: {name: k}}}}",
        "{limits: {cpu: '2'}}",
    ),
    ("sidecars[].", "{sidecars: [{name: a, image: b}]}", ""),
    (
        "initContainers[].",
        "{initContainers: [{name: a, image: b}]}",
        "",
    ),
    (
        "extraVolumes[].",
        "{extraVolumes: [{name: a, emptyDir: {}}]}",
        "",
    ),
    (
        "extraVolumeMounts[].",
        "{extraVolumeMounts: [{name: paperclip-data, mountPath: /a}]}",
        "",
    ),
    ("selfConfigure.enabled", "{}", "true"),
    ("auth.email.verificationRequired", "{}", "true"),
    (
        "connections.",
        "{connections: {credentialsSecretRef: {name: a}}}",
        "",
    ),
    ("plugins[].", "{plugins: [{name: a}]}", ""),
    (
        "lifecycle.maintenanceWindows[].",
        "{lifecycle: {maintenanceWindows: [{schedule: '@daily', duration: 1h}]}}",
        "",
    ),
    ("lifecycle.drain.mode", "{}", "Auto"),
];

/// Said of the section that backups read and the Instance does not.
const DESTINATION: &str = "where the backups of the Instance go: its PaperclipBackups read it";

/// Fields that have no effect by design, with the reason.
pub const WITHOUT_EFFECT: &[(&str, &str)] = &[
    ("backup.s3.bucket", DESTINATION),
    ("backup.s3.caSecretRef.key", DESTINATION),
    ("backup.s3.caSecretRef.name", DESTINATION),
    ("backup.s3.credentialsSecretRef.name", DESTINATION),
    ("backup.s3.endpoint", DESTINATION),
    ("backup.s3.forcePathStyle", DESTINATION),
    ("backup.s3.path", DESTINATION),
    ("backup.s3.region", DESTINATION),
    (
        "security.seLinuxRelabel",
        "kept for old manifests: volumes are labelled by the container runtime either way",
    ),
    (
        "deployment.platformAdmin.email",
        "reported with its section, and a variable for forks",
    ),
    ("auth.adminUser.email", "reported with its section"),
    (
        "probes.liveness.successThreshold",
        "Kubernetes allows nothing but the default",
    ),
    (
        "probes.startup.successThreshold",
        "Kubernetes allows nothing but the default",
    ),
];
