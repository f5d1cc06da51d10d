{{/* What the three kinds of Pods share: list context component. */}}

{{- define "labels" -}}
app.kubernetes.io/name: etcd-and-api-server
app.kubernetes.io/instance: {{ (first .).Release.Name }}
app.kubernetes.io/component: {{ last . }}
{{- end }}

{{/* One user for each kind of Pod: list user. */}}
{{- define "pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
dnsConfig:
  options: [{name: ndots, value: "4"}]
securityContext:
  runAsNonRoot: true
  runAsUser: {{ . }}
  runAsGroup: {{ . }}
  seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "container" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
terminationMessagePolicy: FallbackToLogsOnError
{{- end }}

{{/* The supervisor's endpoints, never the child's; no initial delay, no startup probe. */}}
{{- define "probes" -}}
env:
  - {name: POD_IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
  - {name: POD_UID, valueFrom: {fieldRef: {fieldPath: metadata.uid}}}
livenessProbe:
  httpGet: {path: /livez, port: health}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 3
  terminationGracePeriodSeconds: 15
readinessProbe:
  httpGet: {path: /readyz, port: health}
  periodSeconds: 1
  timeoutSeconds: 2
  failureThreshold: 2
{{- end }}

{{/* Copies a supervisor into the volume from which the unmodified upstream image runs it: list context supervisor. */}}
{{- define "install" -}}
- name: install
  image: {{ (first .).Values.pilothouse.registry }}/{{ last . }}:{{ (first .).Values.pilothouse.tag }}
  imagePullPolicy: {{ (first .).Values.pullPolicy }}
  command: [/{{ last . }}]
  args: [install, /pilothouse]
  {{- include "container" . | nindent 2 }}
  volumeMounts: [{name: supervisor, mountPath: /pilothouse}]
{{- end }}

{{/* What all but the certificate-authority are told. */}}
{{- define "arguments" -}}
- run
- --authority-url=https://{{ .Release.Name }}-certificate-authority.{{ .Release.Namespace }}.svc:8443
- --caller-token-file=/var/run/secrets/pilothouse/caller-token
- --trust-config-map={{ .Release.Name }}-trust
- --pod-address=$(POD_IP)
- --log-format=json
{{- end }}

{{/* What supervisors are told beside that: list context component. */}}
{{- define "supervisor-arguments" -}}
{{ include "arguments" (first .) }}
- --restart-lease={{ (first .).Release.Name }}-restart-{{ last . }}
{{- end }}

{{- define "mounts" -}}
- {name: runtime, mountPath: /run/pilothouse}
- {name: caller, mountPath: /var/run/secrets/pilothouse, readOnly: true}
- {name: management, mountPath: /var/run/secrets/kubernetes.io/serviceaccount, readOnly: true}
{{- end }}

{{- define "supervisor-mounts" -}}
- {name: supervisor, mountPath: /pilothouse, readOnly: true}
{{ include "mounts" . }}
{{- end }}

{{/* Two tokens, each for one reader: our certificate-authority knows its callers by the audience of theirs. */}}
{{- define "volumes" -}}
- name: runtime
  emptyDir: {medium: Memory, sizeLimit: 8Mi}
- name: caller
  projected:
    sources:
      - serviceAccountToken:
          path: caller-token
          audience: pilothouse.{{ .Release.Namespace }}.{{ .Release.Name }}
          expirationSeconds: 3600
{{ include "management-volume" . }}
{{- end }}

{{- define "supervisor-volumes" -}}
- name: supervisor
  emptyDir: {sizeLimit: 32Mi}
{{ include "volumes" . }}
{{- end }}

{{- define "management-volume" -}}
- name: management
  projected:
    sources:
      - serviceAccountToken: {path: token, expirationSeconds: 3600}
      - configMap: {name: kube-root-ca.crt, items: [{key: ca.crt, path: ca.crt}]}
      - downwardAPI: {items: [{path: namespace, fieldRef: {fieldPath: metadata.namespace}}]}
{{- end }}
