package cloudjit_test

import (
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// TestTutorial: the commands of the tutorial with AWS's tools work as they stand there. "make test" builds what they need.
func TestTutorial(t *testing.T) {
	if testing.Short() {
		t.Skip("it needs bin/cloudjit, the samples and the AWS CLI")
	}
	out, err := exec.CommandContext(t.Context(), "scripts/tutorial", "docs/tutorial-aws.md").CombinedOutput()
	if err != nil || !strings.Contains(string(out), `"total_cents":900`) || !regexp.MustCompile(`(?m)^ +aot-cache +ready `).Match(out) {
		t.Errorf("%v:\n%s", err, out)
	}
}
