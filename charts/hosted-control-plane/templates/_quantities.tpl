{{/* Bytes of a quantity such as 8Gi: quantity. */}}
{{- define "pilothouse.bytes" -}}
{{- $units := dict "" 1 "k" 1000 "M" 1000000 "G" 1000000000 "T" 1000000000000 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 -}}
{{ mul (regexFind "^[0-9]+" (toString .) | int64) (get $units (regexFind "[A-Za-z]*$" (toString .)) | int64) }}
{{- end }}
