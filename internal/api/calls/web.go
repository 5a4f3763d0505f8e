package calls

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/cloudjit/cloudjit/internal/api/gate"
	"github.com/cloudjit/cloudjit/internal/api/urlevent"
	"github.com/cloudjit/cloudjit/internal/disk"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/node"
	"github.com/cloudjit/cloudjit/internal/spool"
	"github.com/cloudjit/cloudjit/internal/store"
	"github.com/cloudjit/cloudjit/internal/worker"
)

const (
	// MaxReplay is the largest request body that is kept, so that the request can be sent again
	// to another worker.
	MaxReplay = 1 << 20
	// MaxStream is how long one request to a web function may take in all, as long as bytes flow.
	MaxStream = 15 * time.Minute
	// eventPath is where a web function that is invoked gets events that are no HTTP requests,
	// unless its environment names another place (the convention of the AWS Lambda Web Adapter).
	eventPath         = "/events"
	eventPathVariable = "AWS_LWA_PASS_THROUGH_PATH"
)

// ErrTooLong is the cause of a context that ended because a request took longer than maxStream.
var ErrTooLong = errors.New("the request took too long in all")

// performWeb invokes a web function through the Lambda API: an event of a function URL becomes
// the request that it describes, any other a POST; the answer goes the same way back.
func (s *Runner) performWeb(ctx context.Context, rev *store.Revision, inv *worker.Invocation) (*node.Result, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, MaxStream, ErrTooLong)
	defer cancel()
	timedOut := func() bool { return errors.Is(context.Cause(ctx), ErrTooLong) }
	req, sent, isHTTP, err := s.webRequest(ctx, rev, inv)
	if err != nil {
		return nil, err
	}
	if sent != nil {
		defer sent.Close()
	}
	res, err := s.Platform.RoundTrip(rev.Spec.ID, req)
	var failed *node.FunctionError
	switch {
	case errors.As(err, &failed):
		return failed.Result, nil
	case timedOut():
		return &node.Result{Outcome: function.OutcomeTimeout}, nil
	case err != nil:
		return nil, err
	}
	defer res.Body.Close()
	kept, err := s.Opt.Bodies.Read(res.Body, maxResponse)
	switch {
	case errors.As(err, &failed):
		return failed.Result, nil
	case timedOut():
		return &node.Result{Outcome: function.OutcomeTimeout}, nil
	case errors.Is(err, spool.ErrTooLarge):
		return &node.Result{Outcome: function.OutcomeTooLarge}, nil
	case errors.Is(err, spool.ErrFull):
		return nil, gate.ErrBusy()
	case errors.Is(err, disk.ErrFull):
		return nil, err
	case err != nil:
		return &node.Result{Outcome: function.OutcomeCrashed}, nil
	}
	defer kept.Close()
	release, err := s.Work(ctx, 4*kept.Size())
	if err != nil {
		return nil, err
	}
	defer release()
	answer, err := kept.Bytes()
	if err != nil {
		return nil, err
	}
	out := &node.Result{Outcome: function.OutcomeOK, Rung: function.Rung(res.Header.Get(gate.HeaderRung)), Cold: res.Header.Get(gate.HeaderCold) != ""}
	res.Header.Del(gate.HeaderCold)
	res.Header.Del(gate.HeaderRung)
	switch {
	case isHTTP:
		out.Payload, err = urlevent.FromResponse(res.StatusCode, res.Header, answer)
	case res.StatusCode >= 400:
		out.Outcome = function.OutcomeHandlerError
		out.Payload = MustJSON(map[string]string{"errorType": "Http." + http.StatusText(res.StatusCode), "errorMessage": gate.Clip(string(answer))})
	case len(answer) > 0 && !json.Valid(answer):
		out.Payload = MustJSON(string(answer))
	default:
		out.Payload = answer
	}
	if err != nil || out.Outcome != function.OutcomeOK {
		return out, err
	}
	payload, body, err := s.Stash(out.Payload)
	if out.Payload = payload; body != nil {
		out.Body = body
	}
	return out, err
}

// webRequest makes the request that an event stands for. sent, if not nil, holds its body, to be closed
// when it is not needed any more.
func (s *Runner) webRequest(ctx context.Context, rev *store.Revision, inv *worker.Invocation) (req *http.Request, sent *spool.Body, isHTTP bool, err error) {
	if inv.Body != nil {
		release, err := s.Work(ctx, 3*inv.Body.Size())
		if err != nil {
			return nil, nil, false, err
		}
		defer release()
	}
	event, err := inv.Event()
	if err != nil {
		return nil, nil, false, err
	}
	method, target, header, body, isHTTP := urlevent.ToRequest(event)
	if !isHTTP {
		method, target, body = http.MethodPost, gate.Or(rev.Spec.Environment[eventPathVariable], eventPath), event
		header = http.Header{"Content-Type": {"application/json"}}
	}
	small, sent, err := s.Stash(body)
	if err != nil {
		return nil, nil, false, err
	}
	req, err = http.NewRequestWithContext(ctx, method, "http://function"+target, bytes.NewReader(small))
	if err != nil {
		if sent != nil {
			sent.Close()
		}
		return nil, nil, false, gate.Fault(http.StatusBadRequest, "InvalidRequestContentException", "The event describes no HTTP request: %v", err)
	}
	if sent != nil {
		Resend(req, sent)
	}
	req.Header = header
	req.Header.Set(gate.HeaderRequest, inv.RequestID)
	return req, sent, isHTTP, nil
}

// Resend makes a kept body that of a request, which can be sent as often as it takes.
func Resend(r *http.Request, b *spool.Body) {
	r.ContentLength = b.Size()
	r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(b.Reader()), nil }
	r.Body, _ = r.GetBody()
}
