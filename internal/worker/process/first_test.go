package process

import (
	"fmt"
	"os"
	"os/exec"
	"testing"
)

// The first process tells how the last of its children ended. That of a worker is told before others end.
func TestFirstProcess(t *testing.T) {
	f, err := firstProgram()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	// The shell's child is inherited by what the shell becomes.
	cmd := exec.Command("/bin/sh", "-c", fmt.Sprintf("(sleep 0.05; exit 7) & exec /proc/%d/fd/%d", os.Getpid(), f.Fd()))
	cmd.ExtraFiles = []*os.File{w}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	w.Close()
	status := make([]byte, 8)
	if n, err := r.Read(status); n != 4 || status[1] != 7 || status[0] != 0 {
		t.Errorf("status is %v, %v", status[:n], err)
	}
}
