{{/* Subnets, compared as strings of bits: two overlap when they agree in as many bits as the shorter prefix has. */}}

{{/* The bits of an address, 32 or 128 of them: address. */}}
{{- define "pilothouse.addressBits" -}}
{{- if contains ":" . -}}
{{- $halves := splitList "::" . -}}
{{- $left := without (splitList ":" (first $halves)) "" -}}
{{- $right := without (splitList ":" (gt (len $halves) 1 | ternary (last $halves) "")) "" -}}
{{- range $left -}}{{ include "pilothouse.groupBits" . }}{{- end -}}
{{- range until (sub 8 (add (len $left) (len $right)) | int) -}}{{ repeat 16 "0" }}{{- end -}}
{{- range $right -}}{{ include "pilothouse.groupBits" . }}{{- end -}}
{{- else -}}
{{- range splitList "." . -}}{{ printf "%08b" (atoi .) }}{{- end -}}
{{- end -}}
{{- end }}

{{/* The 16 bits of one group of an IPv6 address. No template function reads hexadecimal numbers reliably: group. */}}
{{- define "pilothouse.groupBits" -}}
{{- $bits := dict "0" "0000" "1" "0001" "2" "0010" "3" "0011" "4" "0100" "5" "0101" "6" "0110" "7" "0111" "8" "1000" "9" "1001" "a" "1010" "b" "1011" "c" "1100" "d" "1101" "e" "1110" "f" "1111" -}}
{{- range splitList "" (printf "%s%s" (repeat (sub 4 (len .) | int) "0") (lower .)) -}}{{ get $bits . }}{{- end -}}
{{- end }}

{{/* What is wrong with a subnet, or nothing: subnet. */}}
{{- define "pilothouse.subnetFault" -}}
{{- $prefix := regexFind "[0-9]+$" . | atoi -}}
{{- $address := regexReplaceAll "/.*$" . "" -}}
{{- $octet := "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])" -}}
{{- $six := contains ":" $address -}}
{{- $groups := len (without (splitList ":" $address) "") -}}
{{- $whole := or (and (contains "::" $address) (lt $groups 8) (eq (len (splitList "::" $address)) 2)) (eq $groups 8) -}}
{{- if and (not $six) (not (regexMatch (printf "^(%s\\.){3}%s$" $octet $octet) $address)) -}}
is not an IPv4 or IPv6 range such as 10.96.0.0/16
{{- else if and $six (not (and $whole (regexMatch "^[0-9a-fA-F:]+$" $address) (not (regexMatch "[0-9a-fA-F]{5}|:::" $address)))) -}}
is not an IPv4 or IPv6 range such as fd00:96::/112
{{- else if gt $prefix ($six | ternary 128 32) -}}
has a prefix longer than an address
{{- else -}}
{{- $bits := include "pilothouse.addressBits" $address -}}
{{- if contains "1" (substr $prefix (len $bits) $bits) -}}
has bits set behind its prefix: give the first address of the range
{{- end -}}
{{- end -}}
{{- end }}

{{/* "true" when two sound subnets share an address: list subnet subnet. */}}
{{- define "pilothouse.overlap" -}}
{{- $one := include "pilothouse.addressBits" (regexReplaceAll "/.*$" (first .) "") -}}
{{- $other := include "pilothouse.addressBits" (regexReplaceAll "/.*$" (last .) "") -}}
{{- $shared := min (regexFind "[0-9]+$" (first .) | atoi) (regexFind "[0-9]+$" (last .) | atoi) | int -}}
{{- if and (eq (len $one) (len $other)) (eq (substr 0 $shared $one) (substr 0 $shared $other)) -}}true{{- end -}}
{{- end }}
