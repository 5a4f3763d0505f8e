package toolchain

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// downloadTries is how often a download is taken up again that made no progress.
	downloadTries = 4
	// downloadStall is how long a server may send nothing.
	downloadStall = 30 * time.Second
)

// downloader gets files over HTTP and takes up interrupted ones where they broke off.
type downloader struct {
	client   *http.Client
	progress ProgressFunc
	// create opens the partial file; a test injects failing disks.
	create func(path string, flag int) (io.WriteCloser, error)
	// pause is slept before the first repetition, and doubled for each next one.
	pause time.Duration
}

func newDownloader(progress ProgressFunc) *downloader {
	transport := http.DefaultTransport.(*http.Transport).Clone() // honours HTTP_PROXY and its kin
	transport.ResponseHeaderTimeout = downloadStall
	return &downloader{
		client:   &http.Client{Transport: transport},
		progress: progress,
		create: func(path string, flag int) (io.WriteCloser, error) {
			return os.OpenFile(path, flag, 0o644)
		},
		pause: 500 * time.Millisecond,
	}
}

// statusError is an answer that is not the file.
type statusError struct {
	url    string
	status int
}

func (e *statusError) Error() string {
	return fmt.Sprintf("GET %s: %d %s", e.url, e.status, http.StatusText(e.status))
}

// refused reports whether a server did not answer, or not with the file: another one may.
func refused(ctx context.Context, err error) bool {
	var unanswered *url.Error
	var status *statusError
	return errors.As(err, &unanswered) && ctx.Err() == nil || errors.As(err, &status)
}

// permanent reports whether asking again is pointless.
func permanent(err error) bool {
	var status *statusError
	if errors.As(err, &status) {
		return status.status >= 400 && status.status < 500 && status.status != http.StatusTooManyRequests &&
			status.status != http.StatusRequestTimeout
	}
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) || errors.Is(err, os.ErrPermission) ||
		errors.Is(err, ErrChecksum)
}

// fetch downloads url to path, which appears whole and with the wanted SHA-256 or not at all.
// What arrived of an interrupted download stays beside it as path.part for the next call.
func (d *downloader) fetch(ctx context.Context, url, path, sum string) error {
	part := path + ".part"
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	resumed := size(part) > 0
	for {
		err := d.transfer(ctx, url, part)
		if err != nil {
			if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
				os.Remove(part)
				return &Error{Op: "download " + filepath.Base(path), Err: err, Hint: "free space in " + filepath.Dir(path)}
			}
			return fmt.Errorf("download %s: %w", filepath.Base(path), err)
		}
		got, err := fileSHA256(part)
		if err != nil {
			return err
		}
		if got == sum {
			return os.Rename(part, path)
		}
		os.Remove(part)
		if !resumed {
			return fmt.Errorf("download %s: %w: got SHA-256 %s, want %s", url, ErrChecksum, got, sum)
		}
		resumed = false // the part was of another file or damaged: once more from the start
	}
}

// transfer brings part to the length that the server has, over several requests if need be.
func (d *downloader) transfer(ctx context.Context, url, part string) error {
	pause := d.pause
	for try := 1; ; try++ {
		before := size(part)
		err := d.request(ctx, url, part)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if size(part) > before {
			try, pause = 0, d.pause // it gets on, however slowly
		}
		if permanent(err) || try >= downloadTries {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(pause):
		}
		pause *= 2
	}
}

// request asks once for what is missing of the file and appends it.
func (d *downloader) request(ctx context.Context, url, part string) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	offset := size(part)
	if offset > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", offset))
	}
	resp, err := d.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	flag := os.O_CREATE | os.O_WRONLY | os.O_TRUNC
	switch {
	case resp.StatusCode == http.StatusPartialContent && offset > 0:
		start, _, ok := strings.Cut(strings.TrimPrefix(resp.Header.Get("Content-Range"), "bytes "), "-")
		if n, err := strconv.ParseInt(start, 10, 64); !ok || err != nil || n != offset {
			return fmt.Errorf("GET %s: answered range %q, asked for %d-", url, resp.Header.Get("Content-Range"), offset)
		}
		flag = os.O_WRONLY | os.O_APPEND
	case resp.StatusCode == http.StatusOK:
		offset = 0
	case resp.StatusCode == http.StatusRequestedRangeNotSatisfiable && offset > 0:
		// The part is as long as the file or longer; the checksum tells which.
		return nil
	default:
		return &statusError{url, resp.StatusCode}
	}
	out, err := d.create(part, flag)
	if err != nil {
		return err
	}
	total := int64(0)
	if resp.ContentLength > 0 {
		total = offset + resp.ContentLength
	}
	stall := time.AfterFunc(downloadStall, func() {
		cancel(fmt.Errorf("GET %s: nothing came for %v", url, downloadStall))
	})
	defer stall.Stop()
	name := strings.TrimSuffix(filepath.Base(part), ".part")
	done, buffer := offset, make([]byte, 256<<10)
	for {
		n, err := resp.Body.Read(buffer)
		stall.Reset(downloadStall)
		if n > 0 {
			if _, err := out.Write(buffer[:n]); err != nil {
				out.Close()
				return err
			}
			done += int64(n)
			d.progress.report("download "+name, done, total)
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			out.Close()
			if cause := context.Cause(ctx); cause != nil {
				return cause
			}
			return err
		}
	}
	if err := out.Close(); err != nil {
		return err
	}
	if total > 0 && done < total {
		return fmt.Errorf("GET %s: %w", url, io.ErrUnexpectedEOF)
	}
	return nil
}

// size of a file; 0 if it is not there.
func size(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return info.Size()
}

func fileSHA256(path string) (string, error) {
	return fileSum(path, sha256.New())
}

func fileSum(path string, h hash.Hash) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("read %s: %w", path, err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
