{{/* Which image. */}}

{{/* An image by digest, else by tag: list values default-repository default-tag. */}}
{{- define "pilothouse.image" -}}
{{- $values := index . 0 -}}
{{- $repository := $values.repository | default (index . 1) -}}
{{- if $values.digest -}}
{{ $repository }}@{{ $values.digest }}
{{- else -}}
{{ $repository }}:{{ $values.tag | default (index . 2) }}
{{- end }}
{{- end }}

{{/* An image of ours: list context values name. */}}
{{- define "pilothouse.ourImage" -}}
{{- $root := index . 0 -}}
{{ include "pilothouse.image" (list (index . 1) (printf "%s/%s" $root.Values.images.pilothouse (index . 2)) $root.Chart.AppVersion) }}
{{- end }}

{{/* An image of Kubernetes: list context values name. */}}
{{- define "pilothouse.kubernetesImage" -}}
{{- $root := index . 0 -}}
{{ include "pilothouse.image" (list (index . 1) (printf "%s/%s" $root.Values.images.kubernetes (index . 2)) (printf "v%s" $root.Values.kubernetesVersion)) }}
{{- end }}
