package api_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cloudjit/cloudjit/internal/api"
	"github.com/cloudjit/cloudjit/internal/config"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/store"
	"github.com/cloudjit/cloudjit/internal/ziptest"
)

// status is what waiters read.
type status struct {
	State, StateReason, StateReasonCode      string
	LastUpdateStatus, LastUpdateStatusReason string
	Timeout                                  int
	RevisionID                               string `json:"RevisionId"`
}

func (f *fixture) status(t *testing.T, name string) status {
	t.Helper()
	a := f.do(t, "GET", functions+"/"+name+"/configuration", "")
	var s status
	if err := json.Unmarshal([]byte(a.Body), &s); err != nil || a.Status != 200 {
		t.Fatalf("got %d %s", a.Status, a.Body)
	}
	return s
}

func (f *fixture) createOnly(t *testing.T, name, handler string) {
	t.Helper()
	doc := fmt.Sprintf(`{"FunctionName":%q,"Runtime":"provided.al2023","Role":"arn:aws:iam::000000000000:role/r","Handler":%q,"Code":{"ZipFile":%s}}`,
		name, handler, mustEncode(t, ziptest.Of(t, "bootstrap", "#!/bin/sh")))
	if a := f.do(t, "POST", functions, doc); a.Status != 201 || !strings.Contains(a.Body, `"State":"Pending"`) {
		t.Fatalf("create: got %d %s", a.Status, a.Body)
	}
}

func mustEncode(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestCreationThatFails(t *testing.T) {
	f := start(t, func(o *api.Options) {
		o.Prepare = func(context.Context, *store.Revision) error {
			return errors.New("no JDK 25 on this machine: install one")
		}
	})
	f.createOnly(t, "f", "echo")
	await(t, func() bool { return f.status(t, "f").State != "Pending" })
	if s := f.status(t, "f"); s.State != "Failed" || s.StateReason != "no JDK 25 on this machine: install one" || s.StateReasonCode == "" {
		t.Errorf("got %+v", s)
	}
	if a := f.do(t, "POST", functions+"/f/invocations", "{}"); a.Status != 409 || !strings.Contains(a.Body, "install one") {
		t.Errorf("invoke: got %d %s", a.Status, a.Body)
	}
}

// While an update is prepared, and after it failed, the former revision serves.
func TestUpdateThatFails(t *testing.T) {
	var fail atomic.Bool
	hold := make(chan struct{})
	f := start(t, func(o *api.Options) {
		o.Prepare = func(_ context.Context, rev *store.Revision) error {
			if rev.Parent == "" {
				return nil
			}
			<-hold
			if fail.Load() {
				return errors.New("the archive needs a newer JDK")
			}
			return nil
		}
	})
	f.create(t, "f", "echo")
	update := func() answer { return f.do(t, "PUT", functions+"/f/configuration", `{"Handler":"fail","Timeout":9}`) }
	fail.Store(true)
	if a := update(); a.Status != 200 || !strings.Contains(a.Body, `"LastUpdateStatus":"InProgress"`) {
		t.Fatalf("update: got %d %s", a.Status, a.Body)
	}
	serves := func() string {
		return f.do(t, "POST", functions+"/f/invocations", `"in"`).Header.Get("X-Amz-Function-Error")
	}
	if e := serves(); e != "" {
		t.Errorf("during the update the new revision serves: %s", e)
	}
	if a := update(); a.Status != 409 {
		t.Errorf("second update: got %d %s, want 409", a.Status, a.Body)
	}
	hold <- struct{}{}
	await(t, func() bool { return f.status(t, "f").LastUpdateStatus != "InProgress" })
	if s := f.status(t, "f"); s.State != "Active" || s.LastUpdateStatus != "Failed" || s.LastUpdateStatusReason != "the archive needs a newer JDK" {
		t.Errorf("after the failure: got %+v", s)
	}
	if e := serves(); e != "" {
		t.Errorf("after the failure the new revision serves: %s", e)
	}
	fail.Store(false)
	if a := f.do(t, "PUT", functions+"/f/configuration", `{"Timeout":10}`); a.Status != 200 {
		t.Fatalf("third update: got %d %s", a.Status, a.Body)
	}
	hold <- struct{}{}
	await(t, func() bool { return f.status(t, "f").LastUpdateStatus == "Successful" })
	if e := serves(); e != "Unhandled" {
		t.Error("after the update the old revision serves")
	}
}

// An invocation right after the creation waits for it instead of failing.
func TestInvokeWhilePending(t *testing.T) {
	hold := make(chan struct{})
	f := start(t, func(o *api.Options) {
		o.Prepare = func(context.Context, *store.Revision) error { <-hold; return nil }
	})
	f.createOnly(t, "f", "echo")
	time.AfterFunc(50*time.Millisecond, func() { close(hold) })
	if a := f.do(t, "POST", functions+"/f/invocations", `1`); a.Status != 200 || a.Body != "1" {
		t.Errorf("got %d %s", a.Status, a.Body)
	}
}

// What a server had begun when it died, the next one finishes.
func TestPendingIsFinishedAfterARestart(t *testing.T) {
	f := start(t, func(o *api.Options) {
		rev := &store.Revision{Spec: function.Spec{ID: store.NewRevisionID(), Function: "f", Version: function.Latest, Kind: function.KindProvided, Handler: "echo", Timeout: time.Second}}
		fn := &store.Function{Name: "f", Latest: store.Version{Version: function.Latest, Revision: rev.Spec.ID, State: store.Status{Value: "Pending"}}}
		if err := o.Store.CreateFunction(t.Context(), fn, rev); err != nil {
			t.Fatal(err)
		}
	})
	await(t, func() bool { return f.status(t, "f").State == "Active" })
}

func TestDestinationsInACircleEnd(t *testing.T) {
	f := start(t)
	f.create(t, "f", "echo")
	doc := `{"DestinationConfig":{"OnSuccess":{"Destination":"arn:aws:lambda:us-east-1:000000000000:function:f"}}}`
	if a := f.do(t, "PUT", "/2019-09-25/functions/f/event-invoke-config", doc); a.Status != 200 {
		t.Fatalf("configure: got %d %s", a.Status, a.Body)
	}
	f.do(t, "POST", functions+"/f/invocations", "{}", "X-Amz-Invocation-Type", "Event")
	calls := func() int {
		f.mu.Lock()
		defer f.mu.Unlock()
		return len(f.invoked)
	}
	await(t, func() bool { return calls() == 17 })
	await(t, func() bool { return f.store.QueueLength() == 0 })
	if n := calls(); n != 17 {
		t.Errorf("got %d invocations, want the first and 16 more", n)
	}
}

func TestURLsWithIAM(t *testing.T) {
	f := start(t, func(o *api.Options) {
		o.Credentials = []config.Credential{{AccessKeyID: "AKID", SecretAccessKey: "secret"}}
	})
	for qualifier, auth := range map[string]string{"open": "NONE", "closed": "AWS_IAM"} {
		rev := &store.Revision{Spec: function.Spec{ID: store.NewRevisionID(), Function: function.Name(qualifier), Kind: function.KindProvided, Handler: "echo"}}
		fn := &store.Function{Name: function.Name(qualifier), Latest: store.Version{Version: function.Latest, Revision: rev.Spec.ID, State: store.Status{Value: "Active"}},
			URLs: map[string]store.URL{function.Latest: {ID: qualifier, AuthType: auth}}}
		if err := f.store.CreateFunction(t.Context(), fn, rev); err != nil {
			t.Fatal(err)
		}
	}
	if a := f.do(t, "GET", "/cloudjit/v1/urls/open/", ""); a.Status != 200 {
		t.Errorf("NONE: got %d %s", a.Status, a.Body)
	}
	if a := f.do(t, "GET", "/cloudjit/v1/urls/closed/", ""); a.Status != 403 {
		t.Errorf("AWS_IAM: got %d %s", a.Status, a.Body)
	}
	if a := f.do(t, "GET", "/cloudjit/v1/urls/closed/", "", "Host", "closed.lambda-url.localhost"); a.Status != 403 {
		t.Errorf("AWS_IAM by host: got %d %s", a.Status, a.Body)
	}
}

func TestHugeHeadersAreRefused(t *testing.T) {
	f := start(t)
	conn, err := net.Dial("tcp", strings.TrimPrefix(f.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	go func() { // the server answers before it has read all
		_, _ = fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: localhost\r\nX-A: %s\r\n\r\n", strings.Repeat("x", 1<<20))
	}()
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || res.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("got %v, %v, want 431", res, err)
	}
}
