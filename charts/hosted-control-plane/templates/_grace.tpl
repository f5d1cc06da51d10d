{{/* Grace periods, and what follows from the same numbers. */}}

{{/* Seconds in which a draining API server still serves. kube-proxies know of a deleted Pod within 1 or 2 s; load
     balancers look for themselves, commonly three times in 10 s each: context. */}}
{{- define "pilothouse.apiServerDelay" -}}
{{- $delay := .Values.apiServer.drain.delaySeconds -}}
{{- if kindIs "invalid" $delay -}}
{{ eq .Values.apiServer.service.type "ClusterIP" | ternary 15 30 }}
{{- else -}}
{{ int $delay }}
{{- end }}
{{- end }}

{{/* What an API server needs at most: the delay, then requests (60 s, kube-apiserver's own limit) beside watches, then 5 s
     to flush and exit, after which our supervisor kills it, and 5 s for that: context. */}}
{{- define "pilothouse.apiServerGraceNeeded" -}}
{{ add (include "pilothouse.apiServerDelay" . | int) (max 60 (int .Values.apiServer.drain.watchGraceSeconds)) 10 }}
{{- end }}

{{- define "pilothouse.apiServerGrace" -}}
{{ .Values.apiServer.terminationGracePeriodSeconds | default (include "pilothouse.apiServerGraceNeeded" .) | int }}
{{- end }}

{{/* etcd: 25 s to close its clients' streams (7 s) and hand leadership over (7 s), doubled, and 10 s to confirm it from a peer
     and to end. What is left of the grace period a member may hold back while its going would break the quorum. */}}
{{- define "pilothouse.etcdDrain" -}}25{{- end }}
{{- define "pilothouse.etcdHold" -}}
{{ sub (int .Values.etcd.terminationGracePeriodSeconds) (add (include "pilothouse.etcdDrain" . | int) 10) }}
{{- end }}

{{/* Controllers end within a second; 5 s to clear their lease and 10 s for a busy node come on top. */}}
{{- define "pilothouse.controllerDrain" -}}15{{- end }}
{{- define "pilothouse.controllerGrace" -}}30{{- end }}

{{/* Least seconds from a crash of an API server to its next start, while others serve: the kubelet's probe has failed twice, one
     second apart, and an API server needs one more until it answers at all: context. */}}
{{- define "pilothouse.apiServerPause" -}}
{{- $pause := .Values.apiServer.pauseAfterCrashSeconds -}}
{{- if kindIs "invalid" $pause -}}
{{ gt (int .Values.apiServer.replicas) 1 | ternary 2 0 }}
{{- else -}}
{{ int $pause }}
{{- end }}
{{- end }}
