// Command echo is a function of a provided runtime: it speaks the Lambda Runtime API with
// nothing but the standard library. It answers with its event and writes a line of log; an
// event {"fail": TEXT} makes it fail, {"trace": true} makes it answer with its trace header.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
)

func main() {
	api := "http://" + os.Getenv("AWS_LAMBDA_RUNTIME_API") + "/2018-06-01/runtime/invocation/"
	for {
		next, err := http.Get(api + "next")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		event, err := io.ReadAll(next.Body)
		next.Body.Close()
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		var ask struct {
			Fail  string `json:"fail"`
			Trace bool   `json:"trace"`
		}
		_ = json.Unmarshal(event, &ask) // another event is only echoed
		kind, answer := "response", event
		switch {
		case ask.Fail != "":
			kind, answer = "error", fmt.Appendf(nil, `{"errorType":"echo.Refused","errorMessage":%q,"stackTrace":[]}`, ask.Fail)
		case ask.Trace:
			answer = fmt.Appendf(nil, "%q", next.Header.Get("Lambda-Runtime-Trace-Id"))
		}
		fmt.Printf("event of %d bytes\n", len(event))
		resp, err := http.Post(api+next.Header.Get("Lambda-Runtime-Aws-Request-Id")+"/"+kind, "application/json", bytes.NewReader(answer))
		if err == nil {
			resp.Body.Close()
		}
	}
}
