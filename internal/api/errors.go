package api

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

func fault(status int, code, format string, args ...any) *Error {
	kind := "User"
	if status >= 500 {
		kind = "Service"
	}
	return &Error{Status: status, Code: code, Message: fmt.Sprintf(format, args...), Type: kind}
}

func invalid(format string, args ...any) *Error {
	return fault(http.StatusBadRequest, "InvalidParameterValueException", format, args...)
}

func conflict(format string, args ...any) *Error {
	return fault(http.StatusConflict, "ResourceConflictException", format, args...)
}

func notFound(format string, args ...any) *Error {
	return fault(http.StatusNotFound, "ResourceNotFoundException", format, args...)
}

func precondition() *Error {
	return fault(http.StatusPreconditionFailed, "PreconditionFailedException",
		"The RevisionId provided does not match the latest RevisionId. Call the GetFunction/GetAlias/GetFunctionConfiguration API to retrieve the latest RevisionId")
}

// validation is what AWS answers for a value that breaks its model's constraints.
func validation(field, value, constraint string) *Error {
	return fault(http.StatusBadRequest, "ValidationException",
		"1 validation error detected: Value '%s' at '%s' failed to satisfy constraint: %s", value, field, constraint)
}

func tooLarge(limit int64) *Error {
	return fault(http.StatusRequestEntityTooLarge, "RequestEntityTooLargeException", "Request must be smaller than %d bytes for this operation", limit)
}

func (s *Server) noFunction(name function.Name, qualifier string) *Error {
	return notFound("Function not found: %s", s.arn(name, qualifier))
}

// asError gives every error of the packages below its answer.
func asError(err error) *Error {
	var e *Error
	var refused *node.RejectError
	var queue *store.QueueFullError
	var archive *jar.Error
	var body *http.MaxBytesError
	switch {
	case errors.As(err, &e):
		return e
	case errors.As(err, &refused):
		return refusal(refused)
	case errors.As(err, &queue):
		e := fault(http.StatusTooManyRequests, "TooManyRequestsException", "Rate Exceeded. %v. Try again later, or raise async.queue or async.queueMB.", queue)
		e.Reason = "CallerRateLimitExceeded"
		if !queue.All {
			e.Reason = "FunctionInvocationRateLimitExceeded"
		}
		return e
	case errors.As(err, &archive):
		return invalid("Could not unzip uploaded file. Please check your file, then try to upload again: %s", describe(archive))
	case errors.As(err, &body):
		return tooLarge(body.Limit)
	case errors.Is(err, disk.ErrFull), errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fault(http.StatusInsufficientStorage, "InsufficientStorageException", "Nothing can be stored at this moment: %v", err)
	case errors.Is(err, store.ErrUnavailable):
		return fault(http.StatusServiceUnavailable, "ServiceUnavailableException", "%v", err)
	case errors.Is(err, artifact.ErrTooLarge):
		return fault(http.StatusBadRequest, "InvalidParameterValueException", "The uploaded code is too large: %v", err)
	case errors.Is(err, node.ErrNotFound), errors.Is(err, store.ErrNotFound):
		return notFound("%v", err)
	case errors.Is(err, node.ErrConflict):
		return conflict("%v", err)
	case errors.Is(err, node.ErrDraining):
		return fault(http.StatusServiceUnavailable, "ServiceUnavailableException", "The server is shutting down")
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return fault(http.StatusServiceUnavailable, "ServiceUnavailableException", "The request was given up before it was finished")
	}
	return fault(http.StatusInternalServerError, "ServiceException", "The service encountered an internal error: %v", err)
}

// refusal is the answer to an invocation that a limit kept from running.
func refusal(r *node.RejectError) *Error {
	e := fault(http.StatusTooManyRequests, "TooManyRequestsException", "Rate Exceeded.")
	switch r.Reason {
	case engine.ReasonThrottled:
		e.Reason = "ReservedFunctionConcurrentInvocationLimitExceeded"
	case engine.ReasonNodeThrottled, engine.ReasonQueueFull:
		e.Reason = "ConcurrentInvocationLimitExceeded"
	case engine.ReasonWaited:
		e.Reason = "ConcurrentInvocationLimitExceeded"
		e.Message = "Rate Exceeded. The invocation waited for as long as it may, and no worker was free for it."
	case engine.ReasonTooLarge:
		return invalid("The function's MemorySize is more than all the memory that this server gives to workers.")
	default:
		return fault(http.StatusInternalServerError, "ServiceException", "%v", r)
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
	e.retryLater(w)
	writeJSON(w, e.Status, body)
}

// retryLater says when to come again, if it is a matter of time.
func (e *Error) retryLater(w http.ResponseWriter) {
	if e.Status == http.StatusTooManyRequests || e.Status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("encode %T: %v", v, err)) // answers are made of plain fields
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(b) // the client is gone: nobody to tell
}
