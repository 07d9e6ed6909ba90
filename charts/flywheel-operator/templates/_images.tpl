{{/* An image by its name in values, quoted; (list . "student"). No default: there is no public registry of ours. */}}
{{- define "flywheel.image" -}}
{{- $values := (index . 0).Values.images }}{{ $name := index . 1 -}}
{{- required (printf "images.%s is not set: a complete reference of the image that `make images` pushed, like registry.example.com/flywheel/%s:0.1.0" $name $name) (get $values $name) | quote -}}
{{- end }}
