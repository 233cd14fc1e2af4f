// Judges resources as Flux does: with its own code for healthCheckExprs, and with its kstatus, which judges what no
// expression is for.
//
// The argument is the path of a Kustomization; standard input holds a JSON list of objects, and standard output
// gets a JSON list of {kstatus, flux}, each of them {status, message}, one for each object.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/fluxcd/cli-utils/pkg/kstatus/polling/engine"
	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/runtime/cel"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

type verdict struct {
	Status  status.Status `json:"status"`
	Message string        `json:"message"`
}

type verdicts struct {
	Kstatus verdict `json:"kstatus"`
	Flux    verdict `json:"flux"`
}

func main() {
	if err := run(os.Args[1], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(path string, in io.Reader, out io.Writer) error {
	reader, err := read(path)
	if err != nil {
		return err
	}
	var objects []*unstructured.Unstructured
	if err := json.NewDecoder(in).Decode(&objects); err != nil {
		return err
	}
	all := make([]verdicts, 0, len(objects))
	for _, object := range objects {
		judged, err := judge(reader, object)
		if err != nil {
			return err
		}
		all = append(all, judged)
	}
	return json.NewEncoder(out).Encode(all)
}

// read makes of the Kustomization's expressions what kustomize-controller makes of them.
func read(path string) (engine.StatusReader, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var kustomization kustomizev1.Kustomization
	if err := yaml.UnmarshalStrict(text, &kustomization); err != nil {
		return nil, err
	}
	reader, err := cel.NewStatusReader(kustomization.Spec.HealthCheckExprs)
	if err != nil {
		return nil, err
	}
	return reader(nil), nil
}

func judge(reader engine.StatusReader, object *unstructured.Unstructured) (verdicts, error) {
	kstatus, err := status.Compute(object)
	if err != nil {
		return verdicts{}, err
	}
	flux, err := reader.ReadStatusForObject(context.Background(), nil, object)
	if err != nil {
		return verdicts{}, err
	}
	// An expression that can't be evaluated makes the status Unknown, with the error beside it.
	if flux.Error != nil {
		flux.Message = flux.Error.Error()
	}
	return verdicts{
		Kstatus: verdict{kstatus.Status, kstatus.Message},
		Flux:    verdict{flux.Status, flux.Message},
	}, nil
}
