package store

import (
	"fmt"
	"log/slog"
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
	if l.log != nil {
		l.log.Warn("embedded NATS server", "detail", fmt.Sprintf(format, v...))
	}
}

func (l natsLogger) Errorf(format string, v ...any) {
	line := fmt.Sprintf(format, v...)
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
