package cli

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/cloudjit/cloudjit/internal/client"
)

type invokeCommand struct {
	Function  string `arg:"" help:"Name or ARN of the function."`
	Payload   string `arg:"" optional:"" help:"JSON. @FILE reads a file, and - reads standard input. Without it: {}."`
	Qualifier string `help:"Version or alias."`
	Async     bool   `help:"Queue it and return at once (Event)."`
	Tail      bool   `help:"Print the end of the invocation's log to stderr."`
}

// functionError is an answer of 200 that says that the function failed.
type functionError struct{ kind string }

// newFunctionError takes the type of the error from the answer's document; the message stands on stdout.
func newFunctionError(kind string, answer []byte) *functionError {
	var doc struct {
		Type string `json:"errorType"`
	}
	if json.Unmarshal(answer, &doc) == nil && doc.Type != "" {
		kind = doc.Type
	}
	return &functionError{kind}
}

func (e *functionError) Error() string { return "the function returned an error: " + e.kind }

func (cmd *invokeCommand) Run(c *Context) error {
	payload, err := readPayload(c, cmd.Payload)
	if err != nil {
		return err
	}
	header := http.Header{"Content-Type": {"application/json"}, "X-Amz-Invocation-Type": {"RequestResponse"}}
	if cmd.Async {
		header.Set("X-Amz-Invocation-Type", "Event")
	}
	if cmd.Tail {
		header.Set("X-Amz-Log-Type", "Tail")
	}
	path := client.FunctionPath(cmd.Function) + "/invocations"
	if cmd.Qualifier != "" {
		path += "?Qualifier=" + url.QueryEscape(cmd.Qualifier)
	}
	resp, err := c.Client.Do(c, http.MethodPost, path, header, payload)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Errorf("read answer: %w", err)
	}
	if tail, err := base64.StdEncoding.DecodeString(resp.Header.Get("X-Amz-Log-Result")); err == nil && len(tail) > 0 {
		fmt.Fprint(c.Stderr, string(tail))
	}
	if cmd.Async {
		c.Say("queued, request %s", resp.Header.Get("X-Amzn-Requestid"))
		return nil
	}
	fmt.Fprintln(c.Stdout, strings.TrimSuffix(string(answer), "\n"))
	if kind := resp.Header.Get("X-Amz-Function-Error"); kind != "" {
		return newFunctionError(kind, answer)
	}
	return nil
}

func readPayload(c *Context, arg string) ([]byte, error) {
	var b []byte
	var err error
	switch {
	case arg == "":
		return []byte("{}"), nil
	case arg == "-":
		b, err = c.read("-")
	case strings.HasPrefix(arg, "@"):
		b, err = c.read(arg[1:])
	default:
		b = []byte(arg)
	}
	if err != nil {
		return nil, fmt.Errorf("read payload: %w", err)
	}
	if !json.Valid(b) {
		return nil, &usageError{"the payload is not JSON: quote strings, as in '\"text\"'"}
	}
	return b, nil
}

type deleteCommand struct {
	Functions []string `arg:"" name:"function" help:"Names of the functions."`
}

func (cmd *deleteCommand) Run(c *Context) error {
	var errs []error
	for _, name := range cmd.Functions {
		if err := c.Client.Call(c, http.MethodDelete, client.FunctionPath(name), nil, nil); err != nil {
			errs = append(errs, fmt.Errorf("delete %s: %w", name, err))
			continue
		}
		c.Say("deleted %s", name)
	}
	return errors.Join(errs...)
}
