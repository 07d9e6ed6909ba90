{{/* The operator's rights, in a ClusterRole or in a Role of each namespace. Least: no verb on Secrets, no wildcard, nothing
     deleted but Jobs. */}}
{{- define "flywheel.rules" -}}
- apiGroups: [flywheel.dev]
  resources: [curricula, flywheelruns, adapterdeployments]
  verbs: [get, list, watch]
- apiGroups: [flywheel.dev]
  resources: [curricula/status, flywheelruns/status, adapterdeployments/status]
  verbs: [update]
- apiGroups: [flywheel.dev]   # owner references that block deletion are only allowed with this
  resources: [curricula/finalizers, flywheelruns/finalizers, adapterdeployments/finalizers]
  verbs: [update]
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, list, watch, create, delete]
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch]
- apiGroups: [""]             # progress of the running step
  resources: [pods/log]
  verbs: [get]
- apiGroups: [""]             # where an AdapterDeployment serves
  resources: [services]
  verbs: [get]
- apiGroups: [""]             # <AdapterDeployment>-alias: what clients of vLLM and NIM are to ask
  resources: [configmaps]
  verbs: [get, create, patch]
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [list]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [get, create, patch]
{{- end }}
