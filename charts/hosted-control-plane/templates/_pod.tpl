{{/*
What all Pods of a control plane have in common. The argument is a component:
  root     the context
  name     the component's name
  values   its values
  uid      the user it runs as, one for each kind of Pod: a file of one is nobody else's
  binary   our binary in it
  image    the image of its container
  service  true: our own service; unset: an upstream binary under our supervisor
*/}}

{{/* The component's own Pod settings over those of all Pods. */}}
{{- define "pilothouse.podValues" -}}
{{ merge (deepCopy (.values.pod | default dict)) .root.Values.pods | toYaml }}
{{- end }}

{{/* Metadata of a Pod template. `annotations`, if the component has it, are added. */}}
{{- define "pilothouse.podMetadata" -}}
{{- $pod := include "pilothouse.podValues" . | fromYaml -}}
{{- $own := include "pilothouse.podLabels" (list .root .name) | fromYaml -}}
labels:
  {{- merge $own ($pod.labels | default dict) | toYaml | nindent 2 }}
{{- with merge (deepCopy (.annotations | default dict)) ($pod.annotations | default dict) }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Everything of a Pod's specification but containers, volumes and the grace period. */}}
{{- define "pilothouse.podSpec" -}}
{{- $pod := include "pilothouse.podValues" . | fromYaml -}}
serviceAccountName: {{ include "pilothouse.name" (list .root .name) }}
{{- /* The tokens that the Pod needs are mounted below, each with its own audience. */}}
automountServiceAccountToken: false
{{- /* No environment variables of every Service in the namespace. */}}
enableServiceLinks: false
dnsConfig:
  options:
    {{- /* Our longest names, <pod>.<service>.<namespace>.svc, have three dots: with four they are looked for in the
           cluster first, and never asked of the servers outside that a name with `ndots` dots is asked of first. */}}
    - {name: ndots, value: "4"}
securityContext:
  runAsNonRoot: true
  runAsUser: {{ .uid }}
  runAsGroup: {{ .uid }}
  {{- if .volumeGroup }}
  {{- /* For the volume with data alone; its files keep their modes once they are right. */}}
  fsGroup: {{ .uid }}
  fsGroupChangePolicy: OnRootMismatch
  {{- end }}
  seccompProfile: {type: RuntimeDefault}
{{- with .root.Values.images.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . | quote }}
  {{- end }}
{{- end }}
{{- include "pilothouse.scheduling" (list $pod (include "pilothouse.nodeFailureTolerations" . | fromYamlArray)) }}
{{- with include "pilothouse.spread" (list . $pod) }}
topologySpreadConstraints:
  {{- . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Which nodes may run a Pod, and as what: list pod-values tolerations-of-ours. */}}
{{- define "pilothouse.scheduling" -}}
{{- $pod := first . -}}
{{- with $pod.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- with $pod.runtimeClassName }}
runtimeClassName: {{ . | quote }}
{{- end }}
{{- with $pod.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $pod.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with concat (last .) ($pod.tolerations | default list) }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* How soon a Pod leaves a dead node: Kubernetes' own default is 300 s. A member of etcd stays: its volume does, and a
     StatefulSet replaces nothing before the node is known to be gone. */}}
{{- define "pilothouse.nodeFailureTolerations" -}}
{{- if .stateful -}}
[]
{{- else -}}
{{- range list "not-ready" "unreachable" }}
- key: node.kubernetes.io/{{ . }}
  operator: Exists
  effect: NoExecute
  tolerationSeconds: {{ $.root.Values.nodeFailureSeconds }}
{{- end }}
{{- end }}
{{- end }}

{{/* Spread over nodes and zones: list component pod-values. Counted per revision, so that a surge of new Pods is spread
     without regard to the old ones; nodes that take no Pods are not counted as places left empty. */}}
{{- define "pilothouse.spread" -}}
{{- $component := first . -}}
{{- $pod := last . -}}
{{- range $key, $strictness := dict "kubernetes.io/hostname" $pod.spreadOverNodes "topology.kubernetes.io/zone" $pod.spreadOverZones }}
{{- if ne $strictness "None" }}
- topologyKey: {{ $key }}
  maxSkew: 1
  whenUnsatisfiable: {{ $strictness }}
  nodeTaintsPolicy: Honor
  labelSelector:
    matchLabels:
      {{- include "pilothouse.selector" (list $component.root $component.name) | nindent 6 }}
  {{- if not $component.stateful }}
  matchLabelKeys: [pod-template-hash]
  {{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* `initContainers`, if there are any: the one that brings our supervisor into the unmodified upstream image, unless our image is
     mounted itself or is the container's, and the user's. */}}
{{- define "pilothouse.initContainers" -}}
{{- $pod := include "pilothouse.podValues" . | fromYaml -}}
{{- $copied := and (not .service) (eq .root.Values.images.supervisors "InitContainer") -}}
{{- if or $copied $pod.initContainers -}}
initContainers:
{{- if $copied }}
  - name: install
    image: {{ include "pilothouse.ourImage" (list .root .values.supervisorImage .binary) | quote }}
    imagePullPolicy: {{ .root.Values.images.pullPolicy }}
    command: [/{{ .binary }}]
    args: [install, /pilothouse]
    resources:
      {{- /* It copies one file of a few MiB and ends. */}}
      requests: {cpu: 10m, memory: 16Mi}
      limits: {memory: 64Mi}
    {{- include "pilothouse.containerSecurity" . | nindent 4 }}
    terminationMessagePolicy: FallbackToLogsOnError
    volumeMounts:
      - {name: supervisor, mountPath: /pilothouse}
{{- end }}
{{- with $pod.initContainers }}
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- end }}

{{- define "pilothouse.containerSecurity" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  runAsNonRoot: true
  capabilities: {drop: [ALL]}
{{- end }}

{{/* Everything of the component's container but its arguments, ports and volume mounts. */}}
{{- define "pilothouse.container" -}}
name: {{ .name }}
image: {{ .image | quote }}
imagePullPolicy: {{ .root.Values.images.pullPolicy }}
command: [{{ if .service }}/{{ .binary }}{{ else }}/pilothouse/{{ .binary }}{{ end }}]
env:
  - name: POD_IP
    valueFrom: {fieldRef: {fieldPath: status.podIP}}
  - name: POD_UID
    valueFrom: {fieldRef: {fieldPath: metadata.uid}}
  {{- with .values.extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
resources:
  {{- toYaml .values.resources | nindent 2 }}
{{ include "pilothouse.containerSecurity" . }}
terminationMessagePolicy: FallbackToLogsOnError
{{ include "pilothouse.probes" . }}
{{- end }}

{{/*
Probes ask our process, never the child. None has an initial delay, and there is no startup probe: our process answers
within milliseconds of its start, and waiting for what is not there is alive.
*/}}
{{- define "pilothouse.probes" -}}
{{- /* /livez is answered from memory and fails only when our process cannot heal the child any more: it kills a wedged
       child itself (3 failures and 30 s; etcd 10 s) and starts it again. 3 x 10 s bear a node that is out of breath. What
       does not answer for so long does not drain either: it gets 15 s instead of the grace period. */}}
livenessProbe:
  httpGet: {path: /livez, port: health}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 3
  terminationGracePeriodSeconds: 15
{{- /* /readyz is at most 2 s old and answered within 1 s, also when the child hangs. 1 s: a start or an outage is noticed
       1 to 2 s later. Two failures: one lost request on a busy node does not take a replica out of its Service. */}}
readinessProbe:
  httpGet: {path: /readyz, port: health}
  periodSeconds: 1
  timeoutSeconds: 2
  failureThreshold: 2
{{- end }}

{{/* Where the component's container finds what it needs. */}}
{{- define "pilothouse.volumeMounts" -}}
{{- $pod := include "pilothouse.podValues" . | fromYaml -}}
{{- if not .service }}
- {name: supervisor, mountPath: /pilothouse, readOnly: true}
{{- end }}
{{- if ne .name "certificate-authority" }}
- {name: runtime, mountPath: /run/pilothouse}
- {name: caller, mountPath: /var/run/secrets/pilothouse, readOnly: true}
{{- end }}
- {name: management, mountPath: /var/run/secrets/kubernetes.io/serviceaccount, readOnly: true}
{{- with $pod.volumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "pilothouse.volumes" -}}
{{- $pod := include "pilothouse.podValues" . | fromYaml -}}
{{- if not .service }}
- name: supervisor
  {{- if eq .root.Values.images.supervisors "InitContainer" }}
  emptyDir: {sizeLimit: 32Mi}
  {{- else }}
  image:
    reference: {{ include "pilothouse.ourImage" (list .root .values.supervisorImage .binary) | quote }}
    pullPolicy: {{ .root.Values.images.pullPolicy }}
  {{- end }}
{{- end }}
{{- if ne .name "certificate-authority" }}
{{- /* Keys and certificates: in memory, and through restarts of the container. */}}
- name: runtime
  emptyDir: {medium: Memory, sizeLimit: 8Mi}
{{- /* The token by which the Pod proves itself to this control plane's certificate-authority and to nobody else. */}}
- name: caller
  projected:
    sources:
      - serviceAccountToken:
          path: caller-token
          audience: pilothouse.{{ .root.Release.Namespace }}.{{ include "pilothouse.release" .root }}
          expirationSeconds: 3600
{{- end }}
- name: management
  projected:
    sources:
      - serviceAccountToken: {path: token, expirationSeconds: 3600}
      - configMap:
          name: kube-root-ca.crt
          items: [{key: ca.crt, path: ca.crt}]
      - downwardAPI:
          items: [{path: namespace, fieldRef: {fieldPath: metadata.namespace}}]
{{- with $pod.volumes }}
{{ toYaml . }}
{{- end }}
{{- end }}
