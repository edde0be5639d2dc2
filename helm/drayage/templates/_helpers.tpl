{{- define "drayage.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* At most 40 characters, so that what is added to it stays a valid name. */}}
{{- define "drayage.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains (include "drayage.name" .) .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "drayage.name" .) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "drayage.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
app.kubernetes.io/name: {{ include "drayage.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "drayage.image" -}}
{{- $_ := required "image.repository is needed: there is no public image, the Containerfile builds one" .Values.image.repository -}}
{{- include "drayage.image.name" (dict "image" .Values.image "version" .Chart.AppVersion) -}}
{{- end -}}

{{/* The sweep may have an image of its own. */}}
{{- define "drayage.sweep.image" -}}
{{- if .Values.sweep.image.repository -}}
{{- include "drayage.image.name" (dict "image" .Values.sweep.image "version" .Chart.AppVersion) -}}
{{- else -}}
{{- include "drayage.image" . -}}
{{- end -}}
{{- end -}}

{{- define "drayage.image.name" -}}
{{- if .image.digest -}}
{{- printf "%s@%s" .image.repository .image.digest -}}
{{- else -}}
{{- printf "%s:%s" .image.repository (default .version .image.tag) -}}
{{- end -}}
{{- end -}}

{{/* What no container of ours needs. */}}
{{- define "drayage.containerSecurityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* The one place that says which service account the driver has: the admission policy compares with it. */}}
{{- define "drayage.driver.serviceAccountName" -}}
{{- if .Values.driver.serviceAccount.create -}}
{{- default (printf "%s-driver" (include "drayage.fullname" .)) .Values.driver.serviceAccount.name -}}
{{- else -}}
{{- required "driver.serviceAccount.name is needed where create is false" .Values.driver.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* What pods of the DaemonSet are found by. Never changes in an update. */}}
{{- define "drayage.driver.selector" -}}
app.kubernetes.io/name: {{ include "drayage.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: driver
{{- end -}}

{{- define "drayage.webhook.name" -}}
{{- printf "%s-webhook" (include "drayage.fullname" .) -}}
{{- end -}}

{{/* Where the webhook's certificate is: a Secret of somebody else, or the one that cert-manager makes. */}}
{{- define "drayage.webhook.secret" -}}
{{- if .Values.webhook.certManager -}}
{{- default (printf "%s-certificate" (include "drayage.webhook.name" .)) .Values.webhook.secretName -}}
{{- else -}}
{{- required "webhook.secretName is needed where certManager is false" .Values.webhook.secretName -}}
{{- end -}}
{{- end -}}

{{- define "drayage.webhook.selector" -}}
app.kubernetes.io/name: {{ include "drayage.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: webhook
{{- end -}}

{{/* Names of cluster-wide objects: the namespace is part of them, since a release may be in two. */}}
{{- define "drayage.clusterName" -}}
{{- printf "%s-%s" .Release.Namespace (include "drayage.fullname" .) | trunc 55 | trimSuffix "-" -}}
{{- end -}}
