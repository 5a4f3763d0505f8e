{{- define "cloudjit.name" -}}
{{- printf "%s-cloudjit" .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{- define "cloudjit.selector" -}}
app.kubernetes.io/name: cloudjit
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "cloudjit.labels" -}}
{{ include "cloudjit.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "cloudjit.join" -}}
{{- $name := include "cloudjit.name" . -}}
{{- $hosts := list -}}
{{- range $i := until (int .Values.replicas) -}}
{{- $hosts = append $hosts (printf "%s-%d.%s-nodes.%s.svc.%s:6222" $name $i $name $.Release.Namespace $.Values.clusterDomain) -}}
{{- end -}}
{{- join "," $hosts -}}
{{- end -}}
