{{/* Names and labels. What is a name here is a name in crates/naming-contract/src/objects.rs: tests/chart-contract compares. */}}

{{/* The control plane's name, the prefix of everything: context. */}}
{{- define "pilothouse.release" -}}
{{ .Values.nameOverride | default .Release.Name }}
{{- end }}

{{/* Name of an object: list context suffix. */}}
{{- define "pilothouse.name" -}}
{{ include "pilothouse.release" (first .) }}-{{ last . }}
{{- end }}

{{/* What never changes, for selectors and claims: list context component. */}}
{{- define "pilothouse.selector" -}}
app.kubernetes.io/name: hosted-control-plane
app.kubernetes.io/instance: {{ include "pilothouse.release" (first .) | quote }}
app.kubernetes.io/component: {{ last . }}
{{- end }}

{{/* Labels of Pods: the selector and what need not roll them with every version of the chart: list context component. */}}
{{- define "pilothouse.podLabels" -}}
{{ include "pilothouse.selector" . }}
app.kubernetes.io/part-of: pilothouse
app.kubernetes.io/managed-by: {{ (first .).Release.Service }}
app.kubernetes.io/version: {{ (first .).Chart.AppVersion | quote }}
{{- end }}

{{/* Labels of all other objects: list context component. */}}
{{- define "pilothouse.labels" -}}
{{ include "pilothouse.podLabels" . }}
helm.sh/chart: {{ printf "%s-%s" (first .).Chart.Name (first .).Chart.Version | replace "+" "_" }}
{{- end }}

{{/* Metadata of an object that bears its component's name: list context component. */}}
{{- define "pilothouse.metadata" -}}
name: {{ include "pilothouse.name" . }}
namespace: {{ (first .).Release.Namespace | quote }}
labels:
  {{- include "pilothouse.labels" . | nindent 2 }}
{{- end }}

{{/* Host name of one of our Services. Without a cluster domain: that of the management cluster is not known here:
     list context suffix. */}}
{{- define "pilothouse.host" -}}
{{ include "pilothouse.name" . }}.{{ (first .).Release.Namespace }}.svc
{{- end }}

{{/* Address to listen on with a port: list context port. */}}
{{- define "pilothouse.listen" -}}
{{- $address := (first .).Values.listenAddress -}}
{{ contains ":" $address | ternary (printf "[%s]" $address) $address }}:{{ last . }}
{{- end }}
