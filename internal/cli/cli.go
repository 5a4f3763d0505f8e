// Package cli is the command line: it parses arguments, calls the packages that do the work,
// and prints what they return.
package cli

import "io"

// Main runs one command line and returns the process's exit code.
func Main(args []string, stdin io.Reader, stdout, stderr io.Writer) int { return 0 }
