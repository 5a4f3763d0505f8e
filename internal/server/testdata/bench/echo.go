// Command bootstrap is the smallest function: it answers every event with itself. Named
// "bootstrap" in a sandbox it speaks the Lambda Runtime API over one connection; with an address
// as its argument it is a plain HTTP server that does the same, for comparison.
package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
)

func main() {
	if len(os.Args) > 1 {
		fail(bare(os.Args[1]))
	}
	fail(serve(os.Getenv("AWS_LAMBDA_RUNTIME_API")))
}

func bare(address string) error {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	fmt.Println("http://" + l.Addr().String())
	return http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(body)
	}))
}

func serve(api string) error {
	c, err := net.Dial("tcp", api)
	if err != nil {
		return err
	}
	br := bufio.NewReader(c)
	var buf []byte
	for {
		buf = fmt.Appendf(buf[:0], "GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: %s\r\n\r\n", api)
		id, body, err := exchange(c, br, buf)
		if err != nil {
			return err
		}
		buf = fmt.Appendf(buf[:0], "POST /2018-06-01/runtime/invocation/%s/response HTTP/1.1\r\nHost: %s\r\n"+
			"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", id, api, len(body), body)
		if _, _, err = exchange(c, br, buf); err != nil {
			return err
		}
	}
}

func exchange(c net.Conn, br *bufio.Reader, request []byte) (id string, body []byte, err error) {
	if _, err = c.Write(request); err != nil {
		return "", nil, err
	}
	res, err := http.ReadResponse(br, nil)
	if err != nil {
		return "", nil, err
	}
	defer res.Body.Close()
	body, err = io.ReadAll(res.Body)
	return res.Header.Get("Lambda-Runtime-Aws-Request-Id"), body, err
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "echo:", err)
	os.Exit(1)
}
