{{/* What the Deployment, Service, PodDisruptionBudget and policies select by: never changes. */}}
{{- define "flywheel.selector" -}}
app.kubernetes.io/name: flywheel-operator
{{- end }}

{{- define "flywheel.labels" -}}
{{ include "flywheel.selector" . }}
app.kubernetes.io/part-of: flywheel
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- end }}

{{/* Of the aggregated roles: no name, for what selects by it is the operator's own. */}}
{{- define "flywheel.peopleLabels" -}}
app.kubernetes.io/part-of: flywheel
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- end }}
