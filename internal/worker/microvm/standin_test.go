package microvm

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/cloudjit/cloudjit/internal/worker/microvm/agent"
	"github.com/cloudjit/cloudjit/internal/worker/microvm/wire"
)

// standIn is a process in the place of Firecracker: it speaks its API as its swagger document says, checks what it is asked for
// and when, and has a guest that is the agent alone. It runs no kernel. What the file of the kernel holds are faults, one in a line:
//
//	METHOD PATH refuse   it answers with a fault
//	METHOD PATH hang     it does not answer
//	METHOD PATH die      it ends
//	METHOD PATH garble   it answers what is no answer
//	no socket            it does not listen
//	no guest             nothing of the guest comes
type standIn struct {
	faults map[string]string
	log    *os.File

	mu      sync.Mutex
	config  standInConfig
	started bool
	paused  bool
	memory  int64  // bytes
	touched []byte // of the guest's memory
	conn    net.Conn
	marks   chan []byte // of guests that were reset, and wait
	goOn    chan struct{}
}

// standInConfig is what was said, and what a snapshot keeps.
type standInConfig struct {
	MachineConfig *struct {
		CPUs       int  `json:"vcpu_count"`
		MemoryMiB  int  `json:"mem_size_mib"`
		SMT        bool `json:"smt"`
		TrackDirty bool `json:"track_dirty_pages"`
	}
	BootSource *struct {
		Kernel string `json:"kernel_image_path"`
		Initrd string `json:"initrd_path"`
		Args   string `json:"boot_args"`
	}
	Drives []standInDrive
	VSock  *struct {
		CID  uint32 `json:"guest_cid"`
		Path string `json:"uds_path"`
	}
	Entropy bool
}

type standInRate struct {
	Bandwidth struct {
		Burst  int64 `json:"one_time_burst"`
		Size   int64 `json:"size"`
		Refill int64 `json:"refill_time"` // ms
	} `json:"bandwidth"`
}

type standInDrive struct {
	ID       string `json:"drive_id"`
	Path     string `json:"path_on_host"`
	Root     bool   `json:"is_root_device"`
	ReadOnly bool   `json:"is_read_only"`

	Rate *standInRate `json:"rate_limiter"`
}

// standInLog is the file with the requests, in the folder of the sockets.
const standInLog = "requests"

// isStandIn reports whether this process is to be one.
func isStandIn() bool { return len(os.Args) == 7 && os.Args[1] == "--api-sock" && os.Args[3] == "--id" }

func standInMain() {
	s := &standIn{faults: map[string]string{}, marks: make(chan []byte, 1), goOn: make(chan struct{})}
	script, err := os.ReadFile(kernelAt)
	if err != nil {
		fmt.Fprintln(os.Stderr, "no kernel:", err)
		os.Exit(1)
	}
	for line := range strings.Lines(string(script)) {
		if i := strings.LastIndex(strings.TrimSpace(line), " "); i > 0 {
			s.faults[line[:i]] = strings.TrimSpace(line)[i+1:]
		}
	}
	if s.faults["no"] == "socket" {
		time.Sleep(time.Hour)
	}
	if s.log, err = os.Create(socketsAt + "/" + standInLog); err == nil {
		var l net.Listener
		if l, err = net.Listen("unix", os.Args[2]); err == nil {
			err = http.Serve(l, s)
		}
	}
	fmt.Fprintln(os.Stderr, "stand-in:", err)
	os.Exit(1)
}

// ServeHTTP answers one request. It has one thread for that, as Firecracker has.
func (s *standIn) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	body, _ := io.ReadAll(r.Body)
	what := r.Method + " " + r.URL.Path
	fmt.Fprintln(s.log, what, string(body))
	err := s.do(what, body)
	switch s.faults[what] {
	case "refuse":
		err = errors.New("told to refuse it")
	case "hang":
		select {}
	case "die":
		os.Exit(3)
	case "garble":
		w.WriteHeader(http.StatusTeapot)
		_, _ = w.Write(bytes.Repeat([]byte("<"), 1<<20))
		return
	}
	if err != nil {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		_ = json.NewEncoder(w).Encode(map[string]string{"fault_message": err.Error()})
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// decode reads a body, with nothing in it that Firecracker does not know.
func decode(body []byte, to any) error {
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	return d.Decode(to)
}

func (s *standIn) do(what string, body []byte) error {
	before := func(to any) error {
		if s.started {
			return errors.New("The requested operation is not supported after starting the microVM.")
		}
		return decode(body, to)
	}
	method, path, _ := strings.Cut(what, " ")
	switch {
	case what == "PUT /machine-config":
		return before(&s.config.MachineConfig)
	case what == "PUT /boot-source":
		if err := before(&s.config.BootSource); err != nil {
			return err
		}
		return readable(s.config.BootSource.Kernel, s.config.BootSource.Initrd)
	case method == "PUT" && strings.HasPrefix(path, "/drives/"):
		var d standInDrive
		if err := before(&d); err != nil {
			return err
		}
		if d.ID != strings.TrimPrefix(path, "/drives/") || d.Root || !d.ReadOnly {
			return fmt.Errorf("drive %+v", d)
		}
		s.config.Drives = append(s.config.Drives, d)
		return readable(d.Path)
	case what == "PUT /vsock":
		return before(&s.config.VSock)
	case what == "PUT /entropy":
		s.config.Entropy = true
		return before(&struct {
			Rate *standInRate `json:"rate_limiter"`
		}{})
	case what == "PUT /actions":
		var a struct {
			Type string `json:"action_type"`
		}
		switch err := before(&a); {
		case err != nil:
			return err
		case a.Type != "InstanceStart" || s.config.BootSource == nil || s.config.MachineConfig == nil || s.config.VSock == nil:
			return fmt.Errorf("%s of %+v", a.Type, s.config)
		case len(s.config.Drives)+2 > firecrackerDevices:
			return errors.New("Start microvm error: Could not attach device: Error while registering ACPI with KVM: VMClock: Could not allocate GSI: The requested resource is not available.")
		}
		return s.start(nil)
	case what == "PATCH /vm":
		var v struct{ State string }
		if err := decode(body, &v); err != nil {
			return err
		}
		if !s.started || v.State != "Paused" && v.State != "Resumed" {
			return errors.New("The requested operation is not supported before starting the microVM.")
		}
		if s.paused = v.State == "Paused"; !s.paused {
			close(s.goOn)
			s.goOn = make(chan struct{})
		}
		return nil
	case what == "PUT /snapshot/create":
		return s.create(body)
	case what == "PUT /snapshot/load":
		return s.load(body)
	}
	return errors.New("Invalid request method and/or path: " + what)
}

func readable(files ...string) error {
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		_ = f.Close()
	}
	return nil
}

// start connects the guest, a new one or one that was saved with a mark.
func (s *standIn) start(mark []byte) error {
	s.started, s.memory = true, int64(s.config.MachineConfig.MemoryMiB)<<20
	s.touched = make([]byte, 64<<20) // as much as a kernel that has booted
	for i := 0; i < len(s.touched); i += 4096 {
		s.touched[i] = 1
	}
	if s.faults["no"] == "guest" {
		return nil
	}
	connect := func() (wire.Conn, error) {
		c, err := net.Dial("unix", s.config.VSock.Path+"_1024")
		if err == nil {
			s.conn = c
		}
		return c, err
	}
	conn, err := connect()
	if err != nil {
		return err
	}
	go func() {
		err := agent.Serve(conn, mark, func(mark []byte) (wire.Conn, error) {
			s.marks <- mark
			s.mu.Lock()
			goOn := s.goOn
			s.mu.Unlock()
			<-goOn
			s.mu.Lock()
			defer s.mu.Unlock()
			return connect()
		})
		fmt.Fprintln(os.Stderr, "guest:", err)
		os.Exit(0) // it reboots, which ends the machine
	}()
	return nil
}

// create saves: the guest's memory is where its agent stands. Its connections are reset.
func (s *standIn) create(body []byte) error {
	var c struct {
		Type    string `json:"snapshot_type"`
		Devices string `json:"snapshot_path"`
		Memory  string `json:"mem_file_path"`
	}
	if err := decode(body, &c); err != nil {
		return err
	}
	if !s.paused || c.Type != "Full" {
		return errors.New("Cannot save a microVM that runs")
	}
	_ = s.conn.Close()
	s.mu.Unlock()
	mark := <-s.marks
	s.mu.Lock()
	state, err := json.Marshal(s.config)
	if err != nil {
		return err
	}
	for name, content := range map[string][]byte{c.Devices: state, c.Memory: mark} {
		f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
		if err != nil {
			return err
		}
		_, err = f.Write(content)
		for page := make([]byte, 1<<20); err == nil && name == c.Memory; { // all of it: nothing is left out
			var n int64
			if n, err = f.Seek(0, io.SeekCurrent); err != nil || n == s.memory {
				break
			}
			_, err = f.Write(page[:min(int64(len(page)), s.memory-n)])
		}
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
	return nil
}

func (s *standIn) load(body []byte) error {
	var l struct {
		Devices string `json:"snapshot_path"`
		Backend struct {
			Type string `json:"backend_type"`
			Path string `json:"backend_path"`
		} `json:"mem_backend"`
		Resume bool `json:"resume_vm"`
	}
	if err := decode(body, &l); err != nil {
		return err
	}
	if s.started || s.config.BootSource != nil || s.config.MachineConfig != nil || l.Backend.Type != "File" || !l.Resume {
		return errors.New("Loading a microVM snapshot not allowed after configuring boot-specific resources.")
	}
	state, err := os.ReadFile(l.Devices)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(state, &s.config); err != nil {
		return fmt.Errorf("Failed to deserialize the microVM state: %w", err)
	}
	for _, d := range s.config.Drives {
		if err := readable(d.Path); err != nil {
			return err
		}
	}
	f, err := os.Open(l.Backend.Path)
	if err != nil {
		return err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || info.Size() != int64(s.config.MachineConfig.MemoryMiB)<<20 {
		return fmt.Errorf("memory of another size (%v)", err)
	}
	mark := make([]byte, wire.MarkSize)
	if _, err := io.ReadFull(f, mark); err != nil {
		return err
	}
	return s.start(mark)
}
