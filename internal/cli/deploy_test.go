package cli

import (
	"maps"
	"testing"
)

// TestVariablesOfAKnownFunction: --env replaces the function's own variables, --driver and --concurrency one each of the platform's.
func TestVariablesOfAKnownFunction(t *testing.T) {
	has := map[string]string{"A": "1", "CLOUDJIT_DRIVER": "qemu"}
	for name, tc := range map[string]struct {
		cmd  deployCommand
		want map[string]string
	}{
		"nothing said":  {deployCommand{}, nil},
		"a driver":      {deployCommand{Driver: "process"}, map[string]string{"A": "1", "CLOUDJIT_DRIVER": "process"}},
		"a concurrency": {deployCommand{Concurrency: 2}, map[string]string{"A": "1", "CLOUDJIT_DRIVER": "qemu", "CLOUDJIT_CONCURRENCY": "2"}},
		"a variable":    {deployCommand{Env: map[string]string{"B": "2"}}, map[string]string{"B": "2", "CLOUDJIT_DRIVER": "qemu"}},
		"by hand":       {deployCommand{Env: map[string]string{"CLOUDJIT_DRIVER": ""}}, map[string]string{"CLOUDJIT_DRIVER": ""}},
	} {
		request := map[string]any{}
		tc.cmd.environment(request)
		tc.cmd.keepVariables(request, has)
		var got map[string]string
		if e, ok := request["Environment"].(map[string]any); ok {
			got = e["Variables"].(map[string]string)
		}
		if !maps.Equal(got, tc.want) {
			t.Errorf("%s: got %v, want %v", name, got, tc.want)
		}
	}
}
