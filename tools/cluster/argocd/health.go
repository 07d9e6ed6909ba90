package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/argoproj/argo-cd/gitops-engine/pkg/health"
	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/argoproj/argo-cd/v3/pkg/apis/application/v1alpha1"
	"github.com/argoproj/argo-cd/v3/util/lua"
)

const healthKey = "resource.customizations.health."

// healthCommand says what Argo CD's own evaluation makes of each object: a list on stdin, a list on stdout.
func healthCommand() *cobra.Command {
	return &cobra.Command{
		Use:  "argocd-health ARGOCD_CM_PATH",
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, arguments []string) error {
			overrides, err := readOverrides(arguments[0])
			if err != nil {
				return err
			}
			return judge(os.Stdin, os.Stdout, overrides)
		},
	}
}

func readOverrides(path string) (lua.ResourceHealthOverrides, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var configMap struct {
		Data map[string]string `json:"data"`
	}
	if err := yaml.Unmarshal(text, &configMap); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	overrides := map[string]v1alpha1.ResourceOverride{}
	for key, script := range configMap.Data {
		if kind, found := strings.CutPrefix(key, healthKey); found {
			overrides[strings.Replace(kind, "_", "/", 1)] = v1alpha1.ResourceOverride{HealthLua: script}
		}
	}
	return overrides, nil
}

func judge(in io.Reader, out io.Writer, overrides lua.ResourceHealthOverrides) error {
	var objects []map[string]any
	if err := json.NewDecoder(in).Decode(&objects); err != nil {
		return err
	}
	statuses := make([]*health.HealthStatus, 0, len(objects))
	for _, object := range objects {
		status, err := health.GetResourceHealth(&unstructured.Unstructured{Object: object}, overrides)
		if err != nil {
			return err
		}
		statuses = append(statuses, status)
	}
	return json.NewEncoder(out).Encode(statuses)
}
