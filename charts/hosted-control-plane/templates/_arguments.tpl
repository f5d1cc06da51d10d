{{/* Arguments that several of our binaries take. tests/chart-contract checks that every flag exists. */}}

{{/* How our process logs: context. */}}
{{- define "pilothouse.logArguments" -}}
- --log-format={{ .Values.logging.format }}
- {{ printf "--log-level=%s" .Values.logging.level | quote }}
{{- end }}

{{/* What all but the certificate-authority are told: component. */}}
{{- define "pilothouse.commonArguments" -}}
- run
- --health-address={{ include "pilothouse.listen" (list .root 8686) }}
- --runtime-directory=/run/pilothouse
- --authority-url=https://{{ include "pilothouse.host" (list .root "certificate-authority") }}:8443
- --caller-token-file=/var/run/secrets/pilothouse/caller-token
- --trust-config-map={{ include "pilothouse.name" (list .root "trust") }}
{{ include "pilothouse.logArguments" .root }}
{{- end }}

{{/* What all supervisors are told beside that: component. */}}
{{- define "pilothouse.supervisorArguments" -}}
{{ include "pilothouse.commonArguments" . }}
- --pod-address=$(POD_IP)
- --pod-uid=$(POD_UID)
- --restart-lease={{ include "pilothouse.name" (list .root (printf "restart-%s" .name)) }}
{{- end }}

{{/* What the leader-elected components are told beside that: component. */}}
{{- define "pilothouse.leaderElectedArguments" -}}
{{ include "pilothouse.supervisorArguments" . }}
- --api-server=https://{{ include "pilothouse.host" (list .root "kube-apiserver") }}:6443
- --api-server-replicas={{ include "pilothouse.host" (list .root "kube-apiserver-addresses") }}:6443
- {{ printf "--bind-address=%s" .root.Values.listenAddress | quote }}
- --drain-budget={{ include "pilothouse.controllerDrain" . }}
{{- end }}

{{/* A flag once for each entry: list flag entries. */}}
{{- define "pilothouse.repeated" -}}
{{- $flag := first . -}}
{{- range last . }}
- {{ printf "%s=%v" $flag . | quote }}
{{- end }}
{{- end }}

{{/* The upstream binary and its further arguments: list component path own-arguments. The user's come last. */}}
{{- define "pilothouse.child" -}}
{{- $component := index . 0 -}}
- --
- {{ index . 1 }}
{{- range concat (index . 2) $component.values.extraArgs }}
- {{ . | quote }}
{{- end }}
{{- end }}

{{/* Feature gates as one argument, in a list: context. */}}
{{- define "pilothouse.featureGates" -}}
{{- $gates := list -}}
{{- range $name, $on := .Values.featureGates }}
{{- $gates = append $gates (printf "%s=%t" $name $on) }}
{{- end }}
{{- if $gates }}
- --feature-gates={{ join "," $gates }}
{{- else -}}
[]
{{- end }}
{{- end }}
