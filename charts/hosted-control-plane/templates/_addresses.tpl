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

{{/* The host of HOST:PORT, an IPv6 address without its brackets: address. */}}
{{- define "pilothouse.externalHost" -}}
{{ regexReplaceAll ":[0-9]+$" . "" | trimPrefix "[" | trimSuffix "]" }}
{{- end }}

{{/* What Pods of the hosted cluster find as endpoints of the Service `kubernetes`: the external addresses that are IPs, else what
     the names among them resolve to; all with the port of the first, since endpoints have one; none: the address of our own
     Service. One that is this machine to everybody is for whoever forwards a port, and no endpoint: context. */}}
{{- define "pilothouse.endpointArguments" -}}
{{- $ports := dict -}}
{{- $hosts := dict "--endpoint-address" list "--endpoint-name" list -}}
{{- range include "pilothouse.externalAddresses" . | fromYamlArray -}}
{{- $host := include "pilothouse.externalHost" . -}}
{{- $port := regexFind "[0-9]+$" . -}}
{{- $flag := regexMatch "^[0-9.]+$|:" $host | ternary "--endpoint-address" "--endpoint-name" -}}
{{- if and (not (regexMatch "^127\\.|^[0:]*:0*1$|^(?i:localhost)$" $host)) (eq $port (get $ports $flag | default $port)) -}}
{{- $_ := set $ports $flag $port -}}
{{- $_ := set $hosts $flag (append (get $hosts $flag) $host) -}}
{{- end -}}
{{- end -}}
{{- $flag := get $hosts "--endpoint-address" | empty | ternary "--endpoint-name" "--endpoint-address" -}}
{{- with get $hosts $flag -}}
{{ include "pilothouse.repeated" (list $flag .) }}
- --endpoint-port={{ get $ports $flag }}
{{- else -}}
- --endpoint-service={{ include "pilothouse.name" (list . "kube-apiserver") }}
- --endpoint-port=6443
{{- end }}
{{- end }}
