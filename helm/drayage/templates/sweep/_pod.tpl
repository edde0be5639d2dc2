{{/* Each revision's parts have their own folder, which the command makes: one that a kubelet makes belongs to root. */}}
{{- define "drayage.sweep.parts" -}}
{{- printf "/parts/%s-%d" (include "drayage.fullname" .) .Release.Revision -}}
{{- end -}}

{{/* The pod of a sweep or of its merge. Takes a dict of `root`, `arguments`, `component`, `readsInput`. */}}
{{- define "drayage.sweep.pod" -}}
{{- $root := .root -}}
{{- $sweep := $root.Values.sweep -}}
metadata:
  labels:
    {{- include "drayage.labels" $root | nindent 4 }}
    app.kubernetes.io/component: {{ .component }}
spec:
  restartPolicy: Never
  automountServiceAccountToken: false
  enableServiceLinks: false
  securityContext:
    runAsNonRoot: true
    runAsUser: 65532
    runAsGroup: 65532
    fsGroup: {{ $sweep.fsGroup }}
    fsGroupChangePolicy: OnRootMismatch
    seccompProfile:
      type: RuntimeDefault
  {{- with $root.Values.imagePullSecrets }}
  imagePullSecrets:
    {{- range . }}
    - name: {{ . }}
    {{- end }}
  {{- end }}
  {{- with $sweep.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with $sweep.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $sweep.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $sweep.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    - name: dray
      image: {{ include "drayage.sweep.image" $root }}
      imagePullPolicy: {{ $root.Values.image.pullPolicy }}
      command: [dray]
      args:
        {{- toYaml .arguments | nindent 8 }}
      securityContext:
        {{- include "drayage.containerSecurityContext" $root | nindent 8 }}
      resources:
        {{- toYaml $sweep.resources | nindent 8 }}
      volumeMounts:
        {{- if .readsInput }}
        - name: cluster
          mountPath: /cluster
          readOnly: true
          {{- if and $sweep.input.subPath $sweep.input.persistentVolumeClaim }}
          subPath: {{ $sweep.input.subPath }}
          {{- end }}
        {{- end }}
        - name: parts
          mountPath: /parts
  volumes:
    {{- if .readsInput }}
    - name: cluster
      {{- if $sweep.input.configMap }}
      configMap:
        name: {{ $sweep.input.configMap }}
      {{- else }}
      persistentVolumeClaim:
        claimName: {{ $sweep.input.persistentVolumeClaim }}
        readOnly: true
      {{- end }}
    {{- end }}
    - name: parts
      persistentVolumeClaim:
        claimName: {{ $sweep.output.persistentVolumeClaim }}
{{- end -}}
