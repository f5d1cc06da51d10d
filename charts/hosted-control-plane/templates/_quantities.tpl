{{/* Quantities as numbers. */}}

{{/* Bytes of a quantity such as 8Gi: quantity. */}}
{{- define "pilothouse.bytes" -}}
{{- $units := dict "" 1 "k" 1000 "M" 1000000 "G" 1000000000 "T" 1000000000000 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 -}}
{{ mul (regexFind "^[0-9]+" (toString .) | int64) (get $units (regexFind "[A-Za-z]*$" (toString .)) | int64) }}
{{- end }}

{{/* Seconds of a duration such as 72h: duration. */}}
{{- define "pilothouse.seconds" -}}
{{ mul (regexFind "^[0-9]+" . | int64) (get (dict "s" 1 "m" 60 "h" 3600 "d" 86400) (regexFind "[a-z]$" .)) }}
{{- end }}
