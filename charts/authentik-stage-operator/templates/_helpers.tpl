{{- define "authentik-stage-operator.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "authentik-stage-operator.fullname" -}}
{{- $name := include "authentik-stage-operator.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 55 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 55 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 55 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- /* Cluster-scoped objects of releases of the same name in different namespaces must not meet. */ -}}
{{- define "authentik-stage-operator.clusterName" -}}
{{- printf "%s:%s" .Release.Namespace (include "authentik-stage-operator.fullname" .) -}}
{{- end -}}

{{- define "authentik-stage-operator.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "authentik-stage-operator.fullname" .) -}}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end -}}

{{- define "authentik-stage-operator.selectorLabels" -}}
app.kubernetes.io/name: {{ include "authentik-stage-operator.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "authentik-stage-operator.labels" -}}
{{- with .Values.commonLabels }}
{{- toYaml . }}
{{ end -}}
{{ include "authentik-stage-operator.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- /* The Lease of the pods that elect one of them. */ -}}
{{- define "authentik-stage-operator.leaseName" -}}
{{- .Values.leaderElection.leaseName | default (include "authentik-stage-operator.fullname" .) -}}
{{- end -}}

{{- define "authentik-stage-operator.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "authentik-stage-operator.tokenNamespace" -}}
{{- .Values.connection.tokenSecret.namespace | default .Release.Namespace -}}
{{- end -}}

{{- /* The rules for everything in namespaces that are watched. */ -}}
{{- define "authentik-stage-operator.namespacedRules" -}}
{{ .Files.Get "files/rbac/namespaced.yaml" }}
{{- .Files.Get "files/rbac/events.yaml" }}
{{- .Files.Get (ternary "files/rbac/secrets-watched.yaml" "files/rbac/secrets-read.yaml" .Values.secrets.watch) }}
{{- end -}}

{{- /* The rules for the Lease: those that hold for one name hold for this release's. */ -}}
{{- define "authentik-stage-operator.leaseRules" -}}
{{- $rules := list -}}
{{- range .Files.Get "files/rbac/leader-election.yaml" | fromYamlArray -}}
{{- if hasKey . "resourceNames" -}}
{{- $_ := set . "resourceNames" (list (include "authentik-stage-operator.leaseName" $)) -}}
{{- end -}}
{{- $rules = append $rules . -}}
{{- end -}}
{{- toYaml $rules -}}
{{- end -}}

{{- /* Who the roles are for. */ -}}
{{- define "authentik-stage-operator.subjects" -}}
- kind: ServiceAccount
  name: {{ include "authentik-stage-operator.serviceAccountName" . }}
  namespace: {{ .Release.Namespace }}
{{- end -}}

{{- /* A Role and its binding: list of the root, the namespace, the end of the name, and the rules. */ -}}
{{- define "authentik-stage-operator.role" -}}
{{- $root := index . 0 -}}
{{- $name := printf "%s%s" (include "authentik-stage-operator.fullname" $root) (index . 2) -}}
{{- /* A namespace may be watched by operators of several namespaces. */ -}}
{{- if ne (index . 1) $root.Release.Namespace -}}
{{- $name = printf "%s:%s" $root.Release.Namespace $name -}}
{{- end -}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: {{ $name }}
  namespace: {{ index . 1 }}
  labels:
    {{- include "authentik-stage-operator.labels" $root | nindent 4 }}
rules:
{{ index . 3 | trim }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: {{ $name }}
  namespace: {{ index . 1 }}
  labels:
    {{- include "authentik-stage-operator.labels" $root | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: {{ $name }}
subjects:
{{ include "authentik-stage-operator.subjects" $root }}
{{ end -}}

{{- /* What single values can't say: those that do not go together. */ -}}
{{- define "authentik-stage-operator.check" -}}
{{- with .Values -}}
{{- if and (not .leaderElection.enabled) (gt (int .replicas) 1) -}}
{{- fail "replicas: more than one pod needs leaderElection.enabled: true; else set replicas: 1" -}}
{{- end -}}
{{- if and (not .rbac.clusterConnections) (not .watchNamespaces) -}}
{{- fail "rbac.clusterConnections: false needs watchNamespaces; to watch all namespaces, set it to true" -}}
{{- end -}}
{{- if and .connection.url (not .connection.tokenSecret.name) -}}
{{- fail "connection.tokenSecret.name: name the Secret that holds the API token for connection.url" -}}
{{- end -}}
{{- if and .connection.url (not .rbac.clusterConnections) -}}
{{- fail "connection.url: a ClusterAuthentikConnection needs rbac.clusterConnections: true" -}}
{{- end -}}
{{- if and .secrets.tokens (not .watchNamespaces) -}}
{{- fail "secrets.tokens: only with watchNamespaces; else the operator reads Secrets of all namespaces" -}}
{{- end -}}
{{- if and .networkPolicy.enabled (not .networkPolicy.egress) -}}
{{- fail "networkPolicy.egress: name what the operator may reach: the Kubernetes API and authentik; [{}] is everything" -}}
{{- end -}}
{{- if and .metrics.serviceMonitor.enabled (not .metrics.service.enabled) -}}
{{- fail "metrics.serviceMonitor.enabled: needs metrics.service.enabled: true" -}}
{{- end -}}
{{- end -}}
{{- end -}}
