// Judges resources as Argo CD does: with its own settings, Lua and health code.
//
// The argument is the path of the argocd-cm; standard input holds a JSON list of objects, and standard output
// gets a JSON list of {status, message}, one for each.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/argoproj/argo-cd/v3/util/lua"
	"github.com/argoproj/argo-cd/v3/util/settings"
	"github.com/argoproj/gitops-engine/pkg/health"
	"github.com/sirupsen/logrus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/kubernetes/fake"
	"sigs.k8s.io/yaml"
)

func main() {
	if err := run(os.Args[1], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(path string, in io.Reader, out io.Writer) error {
	logrus.SetLevel(logrus.WarnLevel)
	customizations, err := read(path)
	if err != nil {
		return err
	}
	var objects []*unstructured.Unstructured
	if err := json.NewDecoder(in).Decode(&objects); err != nil {
		return err
	}
	verdicts := make([]*health.HealthStatus, 0, len(objects))
	for _, object := range objects {
		verdict, err := health.GetResourceHealth(object, customizations)
		if err != nil {
			return err
		}
		verdicts = append(verdicts, verdict)
	}
	return json.NewEncoder(out).Encode(verdicts)
}

// read takes the customizations from the file as Argo CD takes them from the cluster.
func read(path string) (lua.ResourceHealthOverrides, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var config corev1.ConfigMap
	if err := yaml.UnmarshalStrict(text, &config); err != nil {
		return nil, err
	}
	secret := corev1.Secret{ObjectMeta: metav1.ObjectMeta{
		Namespace: config.Namespace, Name: "argocd-secret", Labels: config.Labels,
	}}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	cluster := fake.NewClientset(&config, &secret)
	return settings.NewSettingsManager(ctx, cluster, config.Namespace).GetResourceOverrides()
}
