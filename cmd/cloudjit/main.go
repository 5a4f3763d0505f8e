// Command cloudjit is the whole platform: it serves, deploys, invokes, simulates and measures.
package main

import (
	"os"

	"github.com/cloudjit/cloudjit/internal/cli"
)

func main() { os.Exit(cli.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }
