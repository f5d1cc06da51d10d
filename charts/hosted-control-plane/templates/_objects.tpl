{{/* Objects that every component has one of. */}}

{{/* ServiceAccount, Role and RoleBinding: list context component rules. The right to read the trust bundles is everybody's. */}}
{{- define "pilothouse.identity" -}}
{{- $named := list (index . 0) (index . 1) -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  {{- include "pilothouse.metadata" $named | nindent 2 }}
  {{- with (index . 0).Values.serviceAccountAnnotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
automountServiceAccountToken: false
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  {{- include "pilothouse.metadata" $named | nindent 2 }}
rules:
  {{- index . 2 | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  {{- include "pilothouse.metadata" $named | nindent 2 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: {{ include "pilothouse.name" $named }}
subjects:
  - kind: ServiceAccount
    name: {{ include "pilothouse.name" $named }}
    namespace: {{ (index . 0).Release.Namespace | quote }}
{{- end }}

{{/* One rule about objects known by name: list context group resource suffixes verbs. `create` is one of the verbs where
     objects are made by server-side apply, whose request carries the name. */}}
{{- define "pilothouse.rule" -}}
{{- $context := index . 0 -}}
- apiGroups: [{{ index . 1 | quote }}]
  resources: [{{ index . 2 }}]
  resourceNames:
    {{- range index . 3 }}
    - {{ include "pilothouse.name" (list $context .) }}
    {{- end }}
  verbs: [{{ index . 4 | join ", " }}]
{{- end }}

{{/* What every supervisor may: read the trust bundles, take turns with its replicas, and tell what it refuses as an Event of
     its Pod, whose name nobody knows beforehand: list context component. */}}
{{- define "pilothouse.supervisorRules" -}}
{{ include "pilothouse.rule" (list (first .) "" "configmaps" (list "trust") (list "get" "watch")) }}
{{ include "pilothouse.rule" (list (first .) "coordination.k8s.io" "leases" (list (printf "restart-%s" (last .))) (list "get" "create" "update" "patch")) }}
- apiGroups: [""]
  resources: [events]
  verbs: [create]
{{- end }}

{{/* PodDisruptionBudget: list context component unhealthy-pod-eviction-policy. */}}
{{- define "pilothouse.disruptionBudget" -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  {{- include "pilothouse.metadata" (list (index . 0) (index . 1)) | nindent 2 }}
spec:
  maxUnavailable: 1
  unhealthyPodEvictionPolicy: {{ index . 2 }}
  selector:
    matchLabels:
      {{- include "pilothouse.selector" (list (index . 0) (index . 1)) | nindent 6 }}
{{- end }}

{{/* NetworkPolicy, if there are any: list context component ingress-rules metrics-ports. Nothing gets in but what a rule
     lets in; the kubelet's probes come from the node and are not asked. */}}
{{- define "pilothouse.networkPolicy" -}}
{{- $root := index . 0 -}}
{{- $named := list $root (index . 1) -}}
{{- $policies := $root.Values.networkPolicies -}}
{{- if $policies.enabled -}}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  {{- include "pilothouse.metadata" $named | nindent 2 }}
spec:
  podSelector:
    matchLabels:
      {{- include "pilothouse.selector" $named | nindent 6 }}
  policyTypes:
    - Ingress
    {{- if $policies.egress.enabled }}
    - Egress
    {{- end }}
  {{- /* Whoever replaces keys and CAs asks everybody whether they are taken up. */}}
  {{- $ingress := concat (index . 2) (include "pilothouse.from" (list $root (list "certificate-authority") (list 8686)) | fromYamlArray) }}
  {{- if $policies.metricsFrom }}
  {{- $ports := list }}
  {{- range index . 3 }}
  {{- $ports = append $ports (dict "protocol" "TCP" "port" (int .)) }}
  {{- end }}
  {{- $ingress = append $ingress (dict "from" $policies.metricsFrom "ports" $ports) }}
  {{- end }}
  ingress:
    {{- toYaml $ingress | nindent 4 }}
  {{- if $policies.egress.enabled }}
  egress:
    - to:
        - podSelector:
            matchLabels:
              app.kubernetes.io/name: hosted-control-plane
              app.kubernetes.io/instance: {{ include "pilothouse.release" $root | quote }}
    - ports:
        {{- range $policies.egress.dnsPorts }}
        - {protocol: UDP, port: {{ int . }}}
        - {protocol: TCP, port: {{ int . }}}
        {{- end }}
    {{- with $policies.egress.to }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- end }}
{{- end }}
{{- end }}

{{/* Who may come in, as one ingress rule: list context components ports. */}}
{{- define "pilothouse.from" -}}
{{- $root := index . 0 -}}
- from:
    {{- range index . 1 }}
    - podSelector:
        matchLabels:
          {{- include "pilothouse.selector" (list $root .) | nindent 10 }}
    {{- end }}
  ports:
    {{- range index . 2 }}
    - {protocol: TCP, port: {{ . }}}
    {{- end }}
{{- end }}

{{/* How a Deployment moves on: the new Pod is ready before the old one goes. Waits (for an older API server, for etcd) are
     no failures: 1800 s. */}}
{{- define "pilothouse.rollout" -}}
progressDeadlineSeconds: 1800
revisionHistoryLimit: 3
strategy:
  type: RollingUpdate
  rollingUpdate: {maxSurge: 1, maxUnavailable: 0}
{{- end }}

{{/* IP families of a Service: context. */}}
{{- define "pilothouse.serviceFamily" -}}
{{- with .Values.ipFamilyPolicy -}}
ipFamilyPolicy: {{ . }}
{{- end }}
{{- end }}
