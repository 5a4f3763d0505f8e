package store

import (
	"fmt"
	"log/slog"
	"strings"
)

// natsLogger hands the embedded server's warnings and errors to slog and its errors to read, and
// drops the rest.
type natsLogger struct {
	log  *slog.Logger
	read func(line string)
	// fatal takes what ends the server; it never blocks.
	fatal chan<- string
}

func (l natsLogger) Noticef(string, ...any) {}
func (l natsLogger) Debugf(string, ...any)  {}
func (l natsLogger) Tracef(string, ...any)  {}

func (l natsLogger) Warnf(format string, v ...any) {
	if strings.HasPrefix(format, "Plaintext passwords") { // of this process alone, new each time
		return
	}
	if l.log != nil {
		l.log.Warn("embedded NATS server", "detail", fmt.Sprintf(format, v...))
	}
}

func (l natsLogger) Errorf(format string, v ...any) {
	line := fmt.Sprintf(format, v...)
	if strings.Contains(line, "connect to route") { // several times a second while another node is down, which is told elsewhere
		if l.log != nil {
			l.log.Debug("embedded NATS server", "detail", line)
		}
		return
	}
	if l.log != nil {
		l.log.Error("embedded NATS server", "detail", line)
	}
	l.read(line)
}

// Fatalf must not end the process: Open and the failing write report the error to their callers.
func (l natsLogger) Fatalf(format string, v ...any) {
	l.Errorf(format, v...)
	select {
	case l.fatal <- fmt.Sprintf(format, v...):
	default:
	}
}
