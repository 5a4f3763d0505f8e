// Command cloudjit-guest is the first process of a microVM's guest.
package main

import "github.com/cloudjit/cloudjit/internal/worker/microvm/agent"

func main() { agent.Main() }
