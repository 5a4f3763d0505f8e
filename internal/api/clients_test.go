package api_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/cloudjit/cloudjit/internal/api"
	"github.com/cloudjit/cloudjit/internal/config"
	"github.com/cloudjit/cloudjit/internal/ziptest"
)

// python returns an interpreter that has boto3: the one that "make prerequisites" installed,
// or the system's.
func python(t *testing.T) string {
	cache := os.Getenv("CLOUDJIT_CACHE")
	if cache == "" {
		if dir, err := os.UserCacheDir(); err == nil {
			cache = filepath.Join(dir, "cloudjit")
		}
	}
	for _, p := range []string{filepath.Join(cache, "python", "current", "bin", "python3"), "python3"} {
		if exec.CommandContext(t.Context(), p, "-c", "import boto3").Run() == nil {
			return p
		}
	}
	t.Skip("NO BOTO3 ON THIS MACHINE: real clients are not tested; run scripts/prerequisites")
	return ""
}

// run runs a program to its end, which must be a good one.
func run(t *testing.T, env []string, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.WaitDelay = 5 * time.Second // for children of it that outlive it
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
	return string(out)
}

func TestBoto3(t *testing.T) {
	p := python(t)
	f := start(t)
	t.Log(run(t, nil, p, "testdata/boto3_lambda.py", f.url))
}

// signed are the credentials of a server with several users, all with the secret of AWS's examples.
func signed(o *api.Options) {
	const secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
	o.Credentials = []config.Credential{
		{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: secret, Name: "operator"},
		{AccessKeyID: "AKIDSHOP", SecretAccessKey: secret, Name: "shop", Allow: []string{config.ActionInvoke}, Functions: []string{"shop-*"}},
		{AccessKeyID: "AKIDREADER", SecretAccessKey: secret, Allow: []string{config.ActionRead}, Functions: []string{"shop-*"}},
		{AccessKeyID: "AKIDDEPLOY", SecretAccessKey: secret, Functions: []string{"shop-*"}},
	}
}

func TestBoto3Signed(t *testing.T) {
	p := python(t)
	dir := t.TempDir()
	changes, invocations := auditLogs(t, dir)
	f := start(t, signed, func(o *api.Options) { o.Audit, o.AuditInvocations = changes, invocations })
	t.Log(run(t, nil, p, "testdata/boto3_signed.py", f.url))
	lines := auditLines(t, dir+"/audit.jsonl")
	for _, want := range []string{
		"operator CreateFunction signed 201 ", "operator TagResource signed 204 ", "operator PutFunctionConcurrency signed 200 ",
		"operator PutFunctionConcurrency signed 429 TooManyRequestsException",
		"AKIDDEPLOY CreateFunction shop-new 201 ", "AKIDDEPLOY CreateFunction signed2 403 AccessDeniedException", "shop InvokeFunction signed 403 AccessDeniedException", "shop ListFunctions  403 AccessDeniedException",
		"? ListFunctions  403 InvalidSignatureException", "? ListFunctions  403 UnrecognizedClientException",
	} {
		if !slices.Contains(lines, want) {
			t.Errorf("the audit log does not say %q", want)
		}
	}
	ran := auditLines(t, dir+"/invocations.jsonl")
	for _, want := range []string{"operator InvokeFunction signed 200 ", "operator InvokeFunction signed 202 ", "shop InvokeFunction shop-cart 200 ", "shop InvokeFunctionUrl shop-cart 200 "} {
		if !slices.Contains(ran, want) {
			t.Errorf("the audit log of invocations does not say %q", want)
		}
	}
	if t.Failed() {
		t.Logf("%q", lines)
	}
}

func TestAWSCLI(t *testing.T) {
	aws := filepath.Join(filepath.Dir(python(t)), "aws") // of the same installation, if it has one
	if exec.CommandContext(t.Context(), aws, "--version").Run() != nil {
		aws = "aws"
	}
	path, err := exec.LookPath(aws)
	if err != nil {
		t.Skip("NO AWS CLI ON THIS MACHINE: it is not tested; run scripts/prerequisites")
	}
	f := start(t)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "function.zip"), ziptest.Of(t, "bootstrap", "#!/bin/sh"), 0o600); err != nil {
		t.Fatal(err)
	}
	script, err := filepath.Abs("testdata/aws_cli.sh")
	if err != nil {
		t.Fatal(err)
	}
	run(t, []string{"PATH=" + filepath.Dir(path) + ":" + os.Getenv("PATH")}, "sh", script, f.url, dir)
}

// TestTerraform runs the real AWS provider: make, find nothing to change, change, find nothing to
// change, destroy. It takes half a minute, and a folder with the provider (as "terraform
// providers mirror" makes it), which CLOUDJIT_TERRAFORM_PLUGINS names.
func TestTerraform(t *testing.T) {
	plugins := os.Getenv("CLOUDJIT_TERRAFORM_PLUGINS")
	if plugins == "" {
		t.Skip("CLOUDJIT_TERRAFORM_PLUGINS names no mirror of the AWS provider: Terraform is not tested (its calls are, by TestBoto3)")
	}
	f := start(t)
	dir := t.TempDir()
	zip := filepath.Join(dir, "function.zip")
	doc, err := os.ReadFile("testdata/main.tf")
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{
		zip: ziptest.Of(t, "bootstrap", "#!/bin/sh"), filepath.Join(dir, "main.tf"): doc,
		filepath.Join(dir, "rc"): fmt.Appendf(nil, "provider_installation {\n  filesystem_mirror { path = %q }\n}\n", plugins),
	} {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	env := []string{"TF_CLI_CONFIG_FILE=" + filepath.Join(dir, "rc"), "CHECKPOINT_DISABLE=1", "TF_VAR_endpoint=" + f.url, "TF_VAR_archive=" + zip}
	terraform := func(args ...string) {
		t.Helper()
		run(t, env, "terraform", append([]string{"-chdir=" + dir}, args...)...)
	}
	terraform("init", "-no-color")
	for _, timeout := range []string{"5", "9"} {
		terraform("apply", "-no-color", "-auto-approve", "-var", "timeout="+timeout)
		terraform("plan", "-no-color", "-detailed-exitcode", "-var", "timeout="+timeout) // exit code 2: it finds a difference
	}
	if fn, ok := f.store.Function("terraformed"); !ok || len(fn.Published) != 2 || fn.Aliases["live"].Version != "2" {
		t.Errorf("got %+v", fn)
	}
	terraform("destroy", "-no-color", "-auto-approve")
	if n := len(f.store.Functions()); n != 0 {
		t.Errorf("%d functions are left", n)
	}
}
