// Package chart_test renders the chart as Helm does, and reads what comes out as Kubernetes does: strictly, by its own types.
package chart_test

import (
	"slices"
	"strings"
	"testing"

	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"sigs.k8s.io/yaml"
)

// rendered are the documents of the chart with these values.
func rendered(t *testing.T, values map[string]any) ([]string, error) {
	t.Helper()
	c, err := loader.Load("cloudjit")
	if err != nil {
		t.Fatal(err)
	}
	v, err := chartutil.ToRenderValues(c, values, chartutil.ReleaseOptions{Name: "faas", Namespace: "functions", IsInstall: true}, chartutil.DefaultCapabilities)
	if err != nil {
		t.Fatal(err)
	}
	files, err := engine.Render(c, v)
	if err != nil {
		return nil, err
	}
	var docs []string
	for name, text := range files {
		if strings.HasSuffix(name, ".tpl") {
			continue
		}
		for _, doc := range strings.Split(text, "\n---\n") {
			if strings.TrimSpace(doc) != "" {
				docs = append(docs, doc)
			}
		}
	}
	return docs, nil
}

var secured = map[string]any{"clusterTLSSecret": "nodes-tls", "configSecret": "settings", "apiTLSSecret": "api-tls"}

// kinds are what the chart makes.
type kinds struct {
	set      appsv1.StatefulSet
	services map[string]corev1.Service
	budget   policyv1.PodDisruptionBudget
	network  networkingv1.NetworkPolicy
}

func read(t *testing.T, values map[string]any) *kinds {
	t.Helper()
	docs, err := rendered(t, values)
	if err != nil {
		t.Fatal(err)
	}
	k := &kinds{services: map[string]corev1.Service{}}
	for _, doc := range docs {
		var head struct{ Kind string }
		if err := yaml.Unmarshal([]byte(doc), &head); err != nil {
			t.Fatalf("%v in\n%s", err, doc)
		}
		var service corev1.Service
		into := map[string]any{"StatefulSet": &k.set, "Service": &service, "PodDisruptionBudget": &k.budget, "NetworkPolicy": &k.network}[head.Kind]
		if into == nil {
			t.Fatalf("a document of kind %q", head.Kind)
		}
		if err := yaml.UnmarshalStrict([]byte(doc), into); err != nil {
			t.Fatalf("Kubernetes refuses %s: %v in\n%s", head.Kind, err, doc)
		}
		if head.Kind == "Service" {
			k.services[service.Name] = service
		}
	}
	return k
}

func TestThreeNodes(t *testing.T) {
	k := read(t, secured)
	spec := k.set.Spec
	if *spec.Replicas != 3 || spec.PodManagementPolicy != appsv1.ParallelPodManagement {
		t.Errorf("%d replicas, started %s", *spec.Replicas, spec.PodManagementPolicy)
	}
	headless, ok := k.services[spec.ServiceName]
	if !ok || headless.Spec.ClusterIP != corev1.ClusterIPNone || !headless.Spec.PublishNotReadyAddresses {
		t.Errorf("the service of the nodes' names: %+v", headless.Spec)
	}
	api := k.services["faas-cloudjit"]
	for k, v := range api.Spec.Selector {
		if spec.Template.Labels[k] != v {
			t.Errorf("the API's service looks for %s=%s, which no pod has", k, v)
		}
	}
	c := spec.Template.Spec.Containers[0]
	join := ""
	for _, a := range c.Args {
		join += strings.TrimPrefix(a, "--join=")
	}
	for _, node := range []string{"faas-cloudjit-0", "faas-cloudjit-1", "faas-cloudjit-2"} {
		if !strings.Contains(join, node+"."+spec.ServiceName+".functions.svc.cluster.local:6222") {
			t.Errorf("no node is told of %s: %s", node, join)
		}
	}
	for _, flag := range []string{"--cluster-cert=", "--cluster-key=", "--cluster-ca=", "--cluster-advertise=$(POD_NAME)", "--node=$(POD_NAME)", "--tls-cert="} {
		if !slices.ContainsFunc(c.Args, func(a string) bool { return strings.HasPrefix(a, flag) }) {
			t.Errorf("no flag %s among %q", flag, c.Args)
		}
	}
	if slices.Contains(c.Args, "--insecure") {
		t.Error("insecure, though nobody asked for that")
	}
	for _, want := range []corev1.Capability{"SYS_ADMIN", "SETUID", "SETGID", "NET_ADMIN"} {
		if !slices.Contains(c.SecurityContext.Capabilities.Add, want) {
			t.Errorf("the sandbox needs %s", want)
		}
	}
	if !slices.ContainsFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool { return m.MountPath == "/sys/fs/cgroup" && !m.ReadOnly }) {
		t.Error("no writable cgroup mount")
	}
	for _, m := range c.VolumeMounts {
		named := slices.ContainsFunc(spec.Template.Spec.Volumes, func(v corev1.Volume) bool { return v.Name == m.Name }) ||
			slices.ContainsFunc(spec.VolumeClaimTemplates, func(v corev1.PersistentVolumeClaim) bool { return v.Name == m.Name })
		if !named {
			t.Errorf("%s is mounted, and there is no such volume", m.Name)
		}
	}
	for name, p := range map[string]*corev1.Probe{"startup": c.StartupProbe, "readiness": c.ReadinessProbe, "liveness": c.LivenessProbe} {
		if p == nil || p.HTTPGet == nil || p.HTTPGet.Path != "/cloudjit/v1/health" || p.HTTPGet.Scheme != corev1.URISchemeHTTPS {
			t.Errorf("%s probe: %+v", name, p)
		}
	}
	if k.budget.Spec.MaxUnavailable.IntValue() != 1 {
		t.Errorf("%v nodes may be away at once", k.budget.Spec.MaxUnavailable)
	}
	if len(k.network.Spec.Ingress) != 2 {
		t.Errorf("network policy: %+v", k.network.Spec)
	}
}

// TestRefused: what could not work, or would let everybody in, is refused with what to do.
func TestRefused(t *testing.T) {
	for want, values := range map[string]map[string]any{
		"replicas":         {"replicas": 2, "clusterTLSSecret": "x", "configSecret": "y"},
		"clusterTLSSecret": {"configSecret": "y"},
		"configSecret":     {"clusterTLSSecret": "x"},
	} {
		if _, err := rendered(t, values); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: error %v, want one about %s", values, err, want)
		}
	}
}

// TestAllSettings: each way to set the chart up makes what Kubernetes takes.
func TestAllSettings(t *testing.T) {
	for _, values := range []map[string]any{
		{"insecure": true},
		{"insecure": true, "replicas": 5, "sandbox": map[string]any{"cgroupHostPath": ""}, "podDisruptionBudget": map[string]any{"enabled": false}},
		{
			"clusterTLSSecret": "a", "configSecret": "b", "persistence": map[string]any{"storageClass": "fast"}, "nodeSelector": map[string]any{"a": "b"},
			"tolerations": []any{map[string]any{"key": "x", "operator": "Exists"}}, "extraArgs": []any{"--log-level=debug"}, "podAnnotations": map[string]any{"p": "1"},
			"imagePullSecrets": []any{map[string]any{"name": "pull"}}, "service": map[string]any{"type": "LoadBalancer", "annotations": map[string]any{"x": "y"}},
		},
	} {
		k := read(t, values)
		if len(k.services) != 2 {
			t.Errorf("%v: %d services", values, len(k.services))
		}
	}
}
