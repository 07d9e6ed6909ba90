{{/* Step pods of the programs that are named; none: all of them. */}}
{{- define "flywheel.stepPods" -}}
matchLabels: {app.kubernetes.io/name: flywheel, app.kubernetes.io/managed-by: flywheel-operator}
{{- with . }}
matchExpressions:
- {key: app.kubernetes.io/component, operator: In, values: [{{ join ", " . }}]}
{{- end }}
{{- end }}

{{/* Egress to DNS, at any address: its pods' labels are not the same in all clusters. */}}
{{- define "flywheel.dns" -}}
- ports: [{port: 53, protocol: UDP}, {port: 53, protocol: TCP}]
{{- end }}

{{- define "flywheel.stepNamespaces" -}}
{{- if .Values.networkPolicy.enabled -}}
{{- .Values.networkPolicy.stepNamespaces | default .Values.namespaces | uniq | toJson -}}
{{- else -}}
[]
{{- end -}}
{{- end }}
