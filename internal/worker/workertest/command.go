package workertest

import "encoding/json"

// Guest is how the test program inside the sandbox behaves at its start.
type Guest string

// The guests. All but Handler and Web never become ready.
const (
	// Handler asks for invocations and does what the Command in each payload says.
	Handler Guest = "handler"
	// Stubborn is a Handler that ignores SIGTERM, as do the children that it starts.
	Stubborn Guest = "stubborn"
	// InitError posts to /runtime/init/error and exits with code 1.
	InitError Guest = "init-error"
	// ExitAtStart writes "cannot start" to stderr and exits with code 7.
	ExitAtStart Guest = "exit-at-start"
	// Hang never asks for an invocation.
	Hang Guest = "hang"
	// Web listens on $PORT.
	Web Guest = "web"

	// The guests that are jobs: they ask for nothing and end by themselves.

	// JobExit writes "a job" to stdout and "its reason" to stderr, and exits with code 5.
	JobExit Guest = "job-exit"
	// JobHang never ends, and ignores SIGTERM.
	JobHang Guest = "job-hang"
	// JobBusy takes 200 ms of a processor's time and 64 MiB, and leaves children that ignore SIGTERM.
	JobBusy Guest = "job-busy"
	// JobGreedy takes 300 MiB.
	JobGreedy Guest = "job-greedy"
	// JobLeave leaves what the environment variable LeaveEnv says in the folder /out, and exits with code 0
	// if it could.
	JobLeave Guest = "job-leave"
	// JobCurious exits with code 0 if it finds a way out of its sandbox, and says which.
	JobCurious Guest = "job-curious"
)

// LeaveEnv says what a JobLeave leaves: see leave.
const LeaveEnv = "WORKERTEST_LEAVE"

// Env is the name of the environment variable that tells the test program its Guest.
const Env = "WORKERTEST_GUEST"

// Command is the payload of an invocation of a Handler.
type Command struct {
	// Do is one of the names in the table of guest.go.
	Do string `json:"do"`
	// Text is what to answer, print, or write, or the path or address to try.
	Text string `json:"text,omitempty"`
	// N is an exit code, milliseconds, MiB or a count.
	N int `json:"n,omitempty"`
}

// JSON is the payload that carries c.
func (c Command) JSON() []byte {
	b, err := json.Marshal(c)
	if err != nil {
		panic(err)
	}
	return b
}

// ErrorDocument is what a runtime posts when a handler fails.
type ErrorDocument struct {
	ErrorType    string   `json:"errorType"`
	ErrorMessage string   `json:"errorMessage"`
	StackTrace   []string `json:"stackTrace"`
}
