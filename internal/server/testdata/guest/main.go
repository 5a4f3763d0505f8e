// Command guest is a small runtime client that does what its events say. The tests upload it as the
// bootstrap of provided functions, and a builder of theirs hands it out as a native binary.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

type event struct {
	Do string `json:"do"` // echo if empty
	ID string `json:"id"`
	MS int    `json:"ms"`
	KB int    `json:"kb"`
}

// answer is what Greeter.java answers too.
type answer struct {
	ID  string `json:"id"`
	Tag string `json:"tag"`
}

func main() {
	base := "http://" + os.Getenv("AWS_LAMBDA_RUNTIME_API") + "/2018-06-01/runtime/invocation/"
	for {
		res, err := http.Get(base + "next")
		if err != nil {
			os.Exit(1)
		}
		payload, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil {
			os.Exit(1)
		}
		id := res.Header.Get("Lambda-Runtime-Aws-Request-Id")
		out, err := do(payload, res.Header)
		where := id + "/response"
		if err != nil {
			where = id + "/error"
			out, _ = json.Marshal(map[string]any{"errorType": "Guest.Error", "errorMessage": err.Error(), "stackTrace": []string{}})
		}
		res, err = http.Post(base+where, "application/json", bytes.NewReader(out))
		if err != nil {
			os.Exit(1)
		}
		_, _ = io.Copy(io.Discard, res.Body) // else the connection is not used again
		res.Body.Close()
	}
}

var kept [][]byte

func do(payload []byte, header http.Header) ([]byte, error) {
	var e event
	if err := json.Unmarshal(payload, &e); err != nil {
		return nil, err
	}
	if os.Getenv("PRINT") != "" {
		fmt.Println(string(payload))
	}
	time.Sleep(time.Duration(e.MS) * time.Millisecond)
	switch e.Do {
	case "trace":
		return json.Marshal(header.Get("Lambda-Runtime-Trace-Id"))
	case "kernel":
		b, err := os.ReadFile("/proc/sys/kernel/osrelease")
		if err != nil {
			return nil, err
		}
		return json.Marshal(strings.TrimSpace(string(b)))
	case "fail":
		return nil, fmt.Errorf("told to fail: %s", e.ID)
	case "exit":
		os.Exit(3)
	case "answer": // of a size
		return json.Marshal(strings.Repeat("x", e.KB<<10))
	case "shout": // long lines
		for line := []byte(strings.Repeat("x", 60<<10) + "\n"); e.KB > 0; e.KB -= 60 {
			_, _ = os.Stdout.Write(line)
		}
	case "print":
		fmt.Println("printed " + e.ID)
	case "allocate":
		for {
			kept = append(kept, bytes.Repeat([]byte("x"), 8<<20))
		}
	case "report": // to who counts what was finished
		if err := report(e.ID); err != nil {
			return nil, err
		}
	}
	return json.Marshal(answer{e.ID, os.Getenv("TAG")})
}

// report hands an identifier to the observer and waits until it has it.
func report(id string) error {
	conn, err := net.Dial("tcp", os.Getenv("OBSERVER"))
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, strings.TrimSpace(id)+"\n"); err != nil {
		return err
	}
	_, err = io.ReadFull(conn, make([]byte, 1))
	return err
}
