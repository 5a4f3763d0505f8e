package gate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"syscall"

	"github.com/cloudjit/cloudjit/internal/artifact"
	"github.com/cloudjit/cloudjit/internal/disk"
	"github.com/cloudjit/cloudjit/internal/engine"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/jar"
	"github.com/cloudjit/cloudjit/internal/node"
	"github.com/cloudjit/cloudjit/internal/store"
)

// Error is an answer that says what went wrong, in AWS's form.
type Error struct {
	Status int
	// Code is the exception's name: X-Amzn-ErrorType.
	Code    string
	Message string
	// Type is "User" or "Service"; Reason says which limit a throttle hit.
	Type, Reason string
}

func (e *Error) Error() string { return e.Code + ": " + e.Message }

func Fault(status int, code, format string, args ...any) *Error {
	kind := "User"
	if status >= 500 {
		kind = "Service"
	}
	return &Error{Status: status, Code: code, Message: fmt.Sprintf(format, args...), Type: kind}
}

func Invalid(format string, args ...any) *Error {
	return Fault(http.StatusBadRequest, "InvalidParameterValueException", format, args...)
}

func Conflict(format string, args ...any) *Error {
	return Fault(http.StatusConflict, "ResourceConflictException", format, args...)
}

func NotFound(format string, args ...any) *Error {
	return Fault(http.StatusNotFound, "ResourceNotFoundException", format, args...)
}

func Precondition() *Error {
	return Fault(http.StatusPreconditionFailed, "PreconditionFailedException",
		"The RevisionId provided does not match the latest RevisionId. Call the GetFunction/GetAlias/GetFunctionConfiguration API to retrieve the latest RevisionId")
}

// Validation is what AWS answers for a value that breaks its model's constraints.
func Validation(field, value, constraint string) *Error {
	return Fault(http.StatusBadRequest, "ValidationException",
		"1 validation error detected: Value '%s' at '%s' failed to satisfy constraint: %s", value, field, constraint)
}

func TooLarge(limit int64) *Error {
	return Fault(http.StatusRequestEntityTooLarge, "RequestEntityTooLargeException", "Request must be smaller than %d bytes for this operation", limit)
}

func (s *Gate) NoFunction(name function.Name, qualifier string) *Error {
	return NotFound("Function not found: %s", s.ARN(name, qualifier))
}

// AsError gives every error of the packages below its answer.
func AsError(err error) *Error {
	var e *Error
	var refused *node.RejectError
	var lost *node.LostError
	var queue *store.QueueFullError
	var archive *jar.Error
	var body *http.MaxBytesError
	switch {
	case errors.As(err, &e):
		return e
	case errors.As(err, &refused):
		return Refusal(refused)
	case errors.As(err, &queue):
		e := Fault(http.StatusTooManyRequests, "TooManyRequestsException", "Rate Exceeded. %v. Try again later, or raise async.queue or async.queueMB.", queue)
		e.Reason = "CallerRateLimitExceeded"
		if !queue.All {
			e.Reason = "FunctionInvocationRateLimitExceeded"
		}
		return e
	case errors.As(err, &archive):
		return Invalid("Could not unzip uploaded file. Please check your file, then try to upload again: %s", describe(archive))
	case errors.As(err, &body):
		return TooLarge(body.Limit)
	case errors.Is(err, disk.ErrFull), errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return Fault(http.StatusInsufficientStorage, "InsufficientStorageException", "Nothing can be stored now: %v", err)
	case errors.Is(err, store.ErrUnavailable):
		return Fault(http.StatusServiceUnavailable, "ServiceUnavailableException", "%v", err)
	case errors.Is(err, artifact.ErrTooLarge):
		return Fault(http.StatusBadRequest, "InvalidParameterValueException", "The uploaded code is too large: %v", err)
	case errors.Is(err, node.ErrNotFound), errors.Is(err, store.ErrNotFound):
		return NotFound("%v", err)
	case errors.Is(err, node.ErrConflict):
		return Conflict("%v", err)
	case errors.As(err, &lost):
		return Fault(http.StatusInternalServerError, "ServiceException", "The invocation was broken off: %v", lost)
	case errors.Is(err, node.ErrDraining):
		return Fault(http.StatusServiceUnavailable, "ServiceUnavailableException", "The server is shutting down")
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return Fault(http.StatusServiceUnavailable, "ServiceUnavailableException", "The request was cancelled before it was finished")
	}
	return Fault(http.StatusInternalServerError, "ServiceException", "The service encountered an internal error: %v", err)
}

// Refusal is the answer to an invocation that a limit kept from running.
func Refusal(r *node.RejectError) *Error {
	e := Fault(http.StatusTooManyRequests, "TooManyRequestsException", "Rate Exceeded.")
	switch r.Reason {
	case engine.ReasonThrottled:
		e.Reason = "ReservedFunctionConcurrentInvocationLimitExceeded"
	case engine.ReasonNodeThrottled, engine.ReasonQueueFull:
		e.Reason = "ConcurrentInvocationLimitExceeded"
	case engine.ReasonWaited:
		e.Reason = "ConcurrentInvocationLimitExceeded"
		e.Message = "Rate Exceeded. The invocation waited as long as it may, but no worker became free."
	case engine.ReasonTooLarge:
		return Invalid("The function's MemorySize is more than all the memory that this server gives to workers.")
	default:
		return Fault(http.StatusInternalServerError, "ServiceException", "%v", r)
	}
	return e
}

func describe(e *jar.Error) string {
	if e.Hint != "" {
		return e.Error() + " (" + e.Hint + ")"
	}
	return e.Error()
}

// write answers with the error: the code in a header, because the body has no field for it,
// and the message under the name that the exception's shape has in AWS's model.
func (e *Error) write(w http.ResponseWriter) {
	body := map[string]string{"Type": e.Type}
	switch e.Code {
	case "ResourceNotFoundException", "ServiceException":
		body["Message"] = e.Message
	default:
		body["message"] = e.Message
		body["Message"] = e.Message // SDKs of different ages look for one or the other
	}
	if e.Reason != "" {
		body["Reason"] = e.Reason
	}
	w.Header().Set("X-Amzn-ErrorType", e.Code)
	e.RetryLater(w)
	WriteJSON(w, e.Status, body)
}

// RetryLater says when to come again, if it is a matter of time.
func (e *Error) RetryLater(w http.ResponseWriter) {
	if e.Status == http.StatusTooManyRequests || e.Status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
}

func WriteJSON(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("encode %T: %v", v, err)) // answers are made of plain fields
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(b) // the client is gone: nobody to tell
}

func PayloadTooLarge(size, limit int64, kind string) *Error {
	return Fault(http.StatusRequestEntityTooLarge, "RequestTooLargeException",
		"%d byte payload is too large for the %s invocation type (limit %d bytes)", size, kind, limit)
}
