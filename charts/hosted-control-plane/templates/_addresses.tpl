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

{{/* What is wrong with an external address, or nothing; the form of names is in the schema. The last ones are those that
     Kubernetes refuses as endpoints: HOST or HOST:PORT. */}}
{{- define "pilothouse.externalAddressFault" -}}
{{- $host := include "pilothouse.externalHost" . -}}
{{- $port := regexFind ":[0-9]+$" . | trimPrefix ":" -}}
{{- $six := contains ":" $host -}}
{{- if and $port (or (lt (atoi $port) 1) (gt (atoi $port) 65535)) -}}
has a port that is not between 1 and 65535
{{- else if and $six (include "pilothouse.subnetFault" (printf "%s/128" $host)) -}}
is not an IPv6 address such as [2001:db8::1]
{{- else if and (regexMatch "^[0-9.]+$" $host) (include "pilothouse.subnetFault" (printf "%s/32" $host)) -}}
is not an IPv4 address such as 192.0.2.1
{{- else if or (regexMatch "^0\\.0\\.0\\.0$|^169\\.254\\.|^(22[4-9]|23[0-9])\\." $host) (and $six (regexMatch "^[0:]+$|^(?i:fe[89ab][0-9a-f]|ff[0-9a-f]{2}):" $host)) -}}
is unspecified, link-local or multicast: no client outside reaches an API server there
{{- end -}}
{{- end }}
