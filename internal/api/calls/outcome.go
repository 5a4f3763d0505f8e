package calls

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/cloudjit/cloudjit/internal/api/gate"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/node"
	"github.com/cloudjit/cloudjit/internal/worker"
)

// maxResponse is the limit that the message of a too large answer names (6 MB and 100 bytes).
const maxResponse = 6*1024*1024 + 100

// Values of X-Amz-Function-Error.
const (
	unhandled = "Unhandled"
	handled   = "Handled"
)

// Render turns a result into the body of the answer and the value of X-Amz-Function-Error,
// which is empty if the function answered. Whatever went wrong in the function, the status is 200.
func Render(requestID string, res *node.Result, timeout time.Duration) (payload []byte, failure string) {
	switch res.Outcome {
	case function.OutcomeOK:
		if len(res.Payload) == 0 {
			return []byte("null"), ""
		}
		return res.Payload, ""
	case function.OutcomeHandlerError:
		if res.ErrorType == handled {
			return errorDocument(res.Payload, requestID), handled
		}
		return errorDocument(res.Payload, requestID), unhandled
	case function.OutcomeTimeout:
		return failureDocument("Sandbox.Timedout", requestID, fmt.Sprintf("Task timed out after %.2f seconds", timeout.Seconds())), unhandled
	case function.OutcomeOutOfMemory:
		return failureDocument("Runtime.OutOfMemory", requestID, "Runtime exited with error: signal: killed"), unhandled
	case function.OutcomeTooLarge:
		return MustJSON(map[string]string{
			"errorType":    "Function.ResponseSizeTooLarge",
			"errorMessage": fmt.Sprintf("Response payload size exceeded maximum allowed payload size (%d bytes).", maxResponse),
		}), unhandled
	case function.OutcomeInitError:
		if json.Valid(res.Payload) && len(res.Payload) > 0 {
			return res.Payload, unhandled // what the runtime said of it
		}
		if res.Exit == nil {
			return failureDocument("Runtime.InitError", requestID, "The runtime did not start: "+gate.Or(res.StartError, "it was not ready in its time")), unhandled
		}
		return failureDocument("Runtime.ExitError", requestID, exitMessage(res.Exit)), unhandled
	case function.OutcomeDeoptimized:
		return failureDocument("CloudJIT.MissingMetadata", requestID,
			"The native binary met a dynamic feature that it was not built for; the function runs on a rung below again. Set onMissing to reexecute to have such invocations run again"), unhandled
	case function.OutcomeCancelled:
		return failureDocument("CloudJIT.Cancelled", requestID, "The invocation was given up before it ran"), unhandled
	}
	return failureDocument("Runtime.ExitError", requestID, exitMessage(res.Exit)), unhandled
}

// exitMessage says how a runtime ended, in Lambda's words.
func exitMessage(e *worker.Exit) string {
	switch {
	case e == nil:
		return "Runtime exited without providing a reason"
	case e.OutOfMemory:
		return "Runtime exited with error: signal: killed"
	case e.Signal != "":
		return "Runtime exited with error: signal: " + strings.TrimPrefix(e.Signal, "signal: ")
	case e.Code != 0:
		return fmt.Sprintf("Runtime exited with error: exit status %d", e.Code)
	}
	return "Runtime exited without providing a reason"
}

func failureDocument(kind, requestID, message string) []byte {
	return MustJSON(map[string]string{"errorType": kind, "errorMessage": "RequestId: " + requestID + " Error: " + message})
}

// errorDocument is what the runtime reported, or, if that is not JSON, an account of it.
func errorDocument(doc []byte, requestID string) []byte {
	if len(doc) > 0 && json.Valid(doc) {
		return doc
	}
	return failureDocument("Runtime.Unknown", requestID, "The runtime reported an error that is not JSON")
}

func MustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("encode %T: %v", v, err))
	}
	return b
}
