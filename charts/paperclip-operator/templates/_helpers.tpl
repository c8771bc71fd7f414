{{- define "paperclip-operator.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* The name label is fixed: the network policies of Instances let the operator in by it. */}}
{{- define "paperclip-operator.selectorLabels" -}}
app.kubernetes.io/name: paperclip-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* helm.sh/chart and managed-by stand on lines of their own: deploy/ is rendered without them. */}}
{{- define "paperclip-operator.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "paperclip-operator.selectorLabels" . }}
app.kubernetes.io/component: operator
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "paperclip-operator.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "paperclip-operator.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- required "serviceAccount.name is needed when serviceAccount.create is false" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "paperclip-operator.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{/* Port of the OTLP endpoint; 4317 if it names none. */}}
{{- define "paperclip-operator.otlpPort" -}}
{{- $host := get (urlParse .Values.otlp.endpoint) "host" -}}
{{- $port := regexFind ":[0-9]+$" $host | trimPrefix ":" -}}
{{- $port | default "4317" -}}
{{- end -}}

{{/* What the schema cannot say, or would say badly. */}}
{{- define "paperclip-operator.validate" -}}
{{- if .Values.metrics.secure -}}
{{- fail "metrics.secure: the operator does not serve metrics over TLS yet. Set metrics.secure=false, and limit who reaches the port with networkPolicy.enabled=true" -}}
{{- end -}}
{{- if and .Values.metrics.serviceMonitor.enabled (not .Values.metrics.enabled) -}}
{{- fail "metrics.serviceMonitor.enabled needs metrics.enabled" -}}
{{- end -}}
{{- if and (gt (int .Values.replicaCount) 1) (not .Values.leaderElection.enabled) -}}
{{- fail "replicaCount above 1 needs leaderElection.enabled: without it every replica would work at once" -}}
{{- end -}}
{{- if hasPrefix "https://" .Values.otlp.endpoint -}}
{{- fail "otlp.endpoint: the operator sends traces by gRPC without TLS; name an http:// endpoint, such as a collector in the cluster" -}}
{{- end -}}
{{- end -}}
