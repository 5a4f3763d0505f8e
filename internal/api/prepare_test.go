package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cloudjit/cloudjit/internal/api"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/policy"
	"github.com/cloudjit/cloudjit/internal/store"
	"github.com/cloudjit/cloudjit/internal/ziptest"
)

// prepares lets the platform prepare revisions; a function's own policy is the platform's business.
func prepares(prepare func(context.Context, function.RevisionID) string) func(*api.Options) {
	return func(o *api.Options) { o.Platform.(*platform).prepare = prepare }
}

// What is prepared at deploy is Pending meanwhile, and an invocation waits for it.
func TestPreparedAtDeploy(t *testing.T) {
	hold := make(chan struct{})
	f := start(t, prepares(func(context.Context, function.RevisionID) string { <-hold; return "" }))
	f.createOnly(t, "f", "echo")
	if s := f.status(t, "f"); s.State != "Pending" || s.StateReasonCode != "Creating" {
		t.Errorf("while it is prepared: got %+v", s)
	}
	time.AfterFunc(50*time.Millisecond, func() { close(hold) })
	if a := f.do(t, "POST", functions+"/f/invocations", `1`); a.Status != 200 || a.Body != "1" {
		t.Errorf("invoke: got %d %s", a.Status, a.Body)
	}
	if s := f.status(t, "f"); s.State != "Active" || s.StateReason != "" {
		t.Errorf("when it is prepared: got %+v", s)
	}
}

// A preparation that fails is said, and loses neither the function nor an update of it.
func TestPreparationThatFails(t *testing.T) {
	hold, why := make(chan struct{}), make(chan string)
	var blocks atomic.Bool
	f := start(t, prepares(func(context.Context, function.RevisionID) string {
		if blocks.Load() {
			<-hold
		}
		return <-why
	}))
	const text = "Something failed while it was prepared for its first invocation, but it serves nevertheless: no worker came up that records."
	f.createOnly(t, "f", "echo")
	why <- "no worker came up that records"
	await(t, func() bool { return f.status(t, "f").State == "Active" })
	if s := f.status(t, "f"); s.StateReason != text || s.StateReasonCode != "FunctionError" || s.LastUpdateStatusReason != "" {
		t.Errorf("after the creation: got %+v", s)
	}
	if a := f.do(t, "POST", functions+"/f/invocations", `1`); a.Status != 200 || a.Body != "1" {
		t.Errorf("invoke: got %d %s", a.Status, a.Body)
	}

	blocks.Store(true)
	if a := f.do(t, "PUT", functions+"/f/configuration", `{"Handler":"fail"}`); a.Status != 200 || !strings.Contains(a.Body, `"LastUpdateStatus":"InProgress"`) {
		t.Fatalf("update: got %d %s", a.Status, a.Body)
	}
	if a := f.do(t, "POST", functions+"/f/invocations", `1`); a.Body != "1" {
		t.Errorf("while the update is prepared: got %d %s, want the former revision's answer", a.Status, a.Body)
	}
	close(hold)
	why <- "no worker came up that records."
	await(t, func() bool { return f.status(t, "f").LastUpdateStatus == "Successful" })
	if s := f.status(t, "f"); s.State != "Active" || s.StateReason != text || s.LastUpdateStatusReason != text {
		t.Errorf("after the update: got %+v", s)
	}
	if a := f.do(t, "POST", functions+"/f/invocations", `1`); a.Header.Get("X-Amz-Function-Error") == "" {
		t.Error("after the update the former revision serves")
	}

	if a := f.do(t, "PUT", functions+"/f/configuration", `{"Handler":"echo"}`); a.Status != 200 {
		t.Fatalf("second update: got %d %s", a.Status, a.Body)
	}
	why <- ""
	await(t, func() bool { return f.status(t, "f").LastUpdateStatus == "Successful" })
	if s := f.status(t, "f"); s.StateReason != "" || s.LastUpdateStatusReason != "" {
		t.Errorf("after one that was prepared: got %+v", s)
	}
}

// A server that stops while it prepares leaves that to the next one, and says nothing of a failure.
func TestPreparationSurvivesARestart(t *testing.T) {
	var opt api.Options
	var fails atomic.Bool
	entered := make(chan struct{}, 1)
	f := start(t, prepares(func(ctx context.Context, _ function.RevisionID) string {
		entered <- struct{}{}
		if fails.Load() {
			<-ctx.Done()
			return ctx.Err().Error()
		}
		return ""
	}), func(o *api.Options) { opt = *o })
	rev := &store.Revision{Spec: function.Spec{ID: store.NewRevisionID(), Function: "f", Version: function.Latest, Kind: function.KindProvided, Handler: "echo", Timeout: time.Second}}
	fn := &store.Function{Name: "f", Latest: store.Version{Version: function.Latest, Revision: rev.Spec.ID, State: store.Status{Value: "Pending"}}}
	if err := f.store.CreateFunction(t.Context(), fn, rev); err != nil {
		t.Fatal(err)
	}
	run := func(until func()) {
		t.Helper()
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- api.New(opt).Run(ctx) }()
		until()
		stop()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	fails.Store(true)
	run(func() { <-entered })
	if s := f.status(t, "f"); s.State != "Pending" {
		t.Errorf("after the first server: got %+v", s)
	}
	fails.Store(false)
	run(func() {
		<-entered
		await(t, func() bool { return f.status(t, "f").State != "Pending" })
	})
	if s := f.status(t, "f"); s.State != "Active" || s.StateReason != "" {
		t.Errorf("after the second: got %+v", s)
	}
}

// A function can be created with its policy, so that the first worker already starts under it.
func TestCreatedWithAPolicy(t *testing.T) {
	f := start(t)
	create := func(own string) answer {
		return f.do(t, "POST", functions, fmt.Sprintf(`{"FunctionName":"f","Runtime":"provided.al2023","Role":"arn:aws:iam::000000000000:role/r","Handler":"echo","CloudjitPolicy":%s,"Code":{"ZipFile":%s}}`,
			own, mustEncode(t, ziptest.Of(t, "bootstrap", "#!/bin/sh"))))
	}
	for _, bad := range []string{`{"prepare":"soon"}`, `{"maxWait":"1h"}`} {
		if a := create(bad); a.Status != 400 {
			t.Errorf("%s: got %d %s", bad, a.Status, a.Body)
		}
	}
	if a := create(`{"prepare":"deploy","maxWait":"200ms"}`); a.Status != 201 {
		t.Fatalf("create: got %d %s", a.Status, a.Body)
	}
	var got struct{ Set store.Policy }
	if err := json.Unmarshal([]byte(f.do(t, "GET", "/cloudjit/v1/functions/f/policy", "").Body), &got); err != nil {
		t.Fatal(err)
	}
	if p := got.Set; p.Prepare == nil || *p.Prepare != policy.PrepareDeploy || p.MaxWait == nil || *p.MaxWait != store.Duration(200*time.Millisecond) || p.KeepAlive != nil {
		t.Errorf("got %+v", p)
	}
}
