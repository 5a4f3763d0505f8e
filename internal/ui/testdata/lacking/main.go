// Command lacking stands in for a native binary that meets a class it was not built for: it comes up, takes an event,
// and ends as a binary of native-image does.
package main

import (
	"fmt"
	"net/http"
	"os"
)

func main() {
	next, err := http.Get("http://" + os.Getenv("AWS_LAMBDA_RUNTIME_API") + "/2018-06-01/runtime/invocation/next")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	next.Body.Close()
	fmt.Print("Cannot reflectively access class 'shop.Discount'. To allow this operation, add the following to the 'reflection' section of " +
		"'reachability-metadata.json' and rebuild the native image:\n\n  {\n    \"type\": \"shop.Discount\"\n  }\n\n")
	os.Exit(172)
}
