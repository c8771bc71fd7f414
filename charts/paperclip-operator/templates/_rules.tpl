{{/*
Rights of the operator in the namespaces that it works in. A rule has the comment that says what it is for directly above it:
docs/rbac.md is made of these comments, and a test refuses a rule without one.
*/}}
{{- define "paperclip-operator.rules" -}}
# Instances are read and watched. `patch` sets and removes the finalizer, and takes `restoreFrom` out of the spec once it was brought back.
- apiGroups: [paperclip.inc]
  resources: [instances]
  verbs: [get, list, watch, patch]
# An Instance makes its PaperclipDatabase, repairs it, and removes it when another database mode is chosen.
- apiGroups: [paperclip.inc]
  resources: [paperclipdatabases]
  verbs: [get, list, watch, create, patch, delete]
# Backups that people ask for, and those that a schedule makes.
- apiGroups: [paperclip.inc]
  resources: [paperclipbackups]
  verbs: [get, list, watch, create, patch, delete]
# Restores that people ask for, and the one that `restoreFrom` of an Instance asks for; it is removed if the value is, and nothing was touched.
- apiGroups: [paperclip.inc]
  resources: [papercliprestores]
  verbs: [get, list, watch, create, patch, delete]
# Conditions, phase and the other observed facts.
- apiGroups: [paperclip.inc]
  resources: [instances/status, paperclipdatabases/status, paperclipbackups/status, papercliprestores/status]
  verbs: [patch]
# Owner references that block deletion: clusters with the admission plugin OwnerReferencesPermissionEnforcement (OpenShift) ask for this.
- apiGroups: [paperclip.inc]
  resources: [instances/finalizers, paperclipdatabases/finalizers, paperclipbackups/finalizers, papercliprestores/finalizers]
  verbs: [update]
# The server's workload and PostgreSQL's. `delete` is for a change of the workload's kind.
- apiGroups: [apps]
  resources: [statefulsets, deployments]
  verbs: [get, list, watch, create, patch, delete]
# Services of the server and of PostgreSQL, and the account that the server's pods run as (it has no rights).
- apiGroups: [""]
  resources: [services, serviceaccounts]
  verbs: [get, list, watch, create, patch, delete]
# Who may talk to the server, the database and the Jobs.
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [get, list, watch, create, patch, delete]
# The way to the server from outside of the cluster, if an Instance asks for one.
- apiGroups: [networking.k8s.io]
  resources: [ingresses]
  verbs: [get, list, watch, create, patch, delete]
# What changes the number of server pods, if an Instance asks for it.
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [get, list, watch, create, patch, delete]
# How many server pods a drained node may take away at once, if an Instance asks for it.
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch, delete]
{{- if .Values.rbac.features.gateway }}
# The way to the server through a Gateway, if an Instance asks for one.
- apiGroups: [gateway.networking.k8s.io]
  resources: [httproutes]
  verbs: [get, list, watch, create, patch, delete]
{{- end }}
{{- if .Values.rbac.features.monitoring }}
# Alerts and what Prometheus collects, if an Instance asks for them.
- apiGroups: [monitoring.coreos.com]
  resources: [servicemonitors, prometheusrules]
  verbs: [get, list, watch, create, patch, delete]
{{- end }}
# Schema migrations, backups and restores. `delete` is for Jobs whose turn is over.
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, list, watch, create, patch, delete]
# Data volumes: made and grown. There is no right to delete one.
- apiGroups: [""]
  resources: [persistentvolumeclaims]
  verbs: [get, list, watch, create, patch]
# Generated keys and credentials are created, and read by name; referenced Secrets are read by name to notice a change. Never listed, never watched, never deleted.
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, create, patch]
# ConfigMaps that an Instance's environment refers to are read by name to notice a change; its dashboards are ConfigMaps too.
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, list, watch, create, patch, delete]
# Why a pod does not become ready: its conditions and container states. The pod that wakes agents is marked, and is the last that goes.
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch, patch, delete]
# What happened, for `kubectl describe`.
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
{{- if .Values.rbac.features.adoption }}
# Objects of the earlier operator that stay when an Instance is taken over are looked for, to name them in its status. The CronJob of its backups is removed when there is a backup of ours.
- apiGroups: [batch]
  resources: [cronjobs]
  verbs: [get, delete]
# Named too.
- apiGroups: [rbac.authorization.k8s.io]
  resources: [roles, rolebindings]
  verbs: [get]
{{- end }}
{{- end -}}

{{/* Rights to look at what belongs to no namespace; an operator for some namespaces does without. */}}
{{- define "paperclip-operator.clusterRules" -}}
# What an admin sets for all Instances, and whether it counts.
- apiGroups: [paperclip.inc]
  resources: [paperclipclusterdefaults]
  verbs: [get, list, watch]
# Whether it counts is told in its status.
- apiGroups: [paperclip.inc]
  resources: [paperclipclusterdefaults/status]
  verbs: [patch]
# Whether the IngressClass that an Instance names exists.
- apiGroups: [networking.k8s.io]
  resources: [ingressclasses]
  verbs: [get]
# Whether kinds that are no part of Kubernetes, such as HTTPRoute, come or go. Their names only.
- apiGroups: [apiextensions.k8s.io]
  resources: [customresourcedefinitions]
  verbs: [list, watch]
{{- end -}}

{{/* Rights in the operator's own namespace. */}}
{{- define "paperclip-operator.leaseRules" -}}
# A Lease that does not exist yet has no name to ask for.
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [create]
# One replica works; the others wait for this Lease.
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames: [paperclip-operator]
  verbs: [get, update]
{{- end -}}
