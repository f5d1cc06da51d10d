{{/* Where clients outside reach the API servers. */}}

{{/* The external addresses, a list of HOST:PORT. Without a port: the node port, else 6443: context. */}}
{{- define "pilothouse.externalAddresses" -}}
{{- $port := eq .Values.apiServer.service.type "NodePort" | ternary (int .Values.apiServer.service.nodePort) 6443 -}}
{{- $addresses := list -}}
{{- range .Values.apiServer.externalAddresses -}}
{{- $addresses = append $addresses (regexMatch "(^[^:]|\\]):[0-9]+$|^[^:\\[]+:[0-9]+$" . | ternary . (printf "%s:%d" . $port)) -}}
{{- end -}}
{{ toYaml $addresses }}
{{- end }}

{{/* What Pods of the hosted cluster find as endpoints of the Service `kubernetes`: the external addresses that are IPs, all
     with the port of the first, since endpoints have one; none: the address of our own Service: context. */}}
{{- define "pilothouse.endpointArguments" -}}
{{- $port := "" -}}
{{- $addresses := list -}}
{{- range include "pilothouse.externalAddresses" . | fromYamlArray -}}
{{- $host := regexReplaceAll ":[0-9]+$" . "" | trimPrefix "[" | trimSuffix "]" -}}
{{- $its := regexFind "[0-9]+$" . -}}
{{- if and (or (regexMatch "^[0-9.]+$" $host) (contains ":" $host)) (or (not $port) (eq $port $its)) -}}
{{- $port = $its -}}
{{- $addresses = append $addresses $host -}}
{{- end -}}
{{- end -}}
{{- if $addresses -}}
{{ include "pilothouse.repeated" (list "--endpoint-address" $addresses) }}
- --endpoint-port={{ $port }}
{{- else -}}
- --endpoint-service={{ include "pilothouse.name" (list . "kube-apiserver") }}
- --endpoint-port=6443
{{- end }}
{{- end }}
