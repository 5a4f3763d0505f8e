package server_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cloudjit/cloudjit/internal/client"
	"github.com/cloudjit/cloudjit/internal/config"
	"github.com/cloudjit/cloudjit/internal/server"
)

// certificate writes a new certificate of 127.0.0.1 and its key.
func certificate(t *testing.T, files config.TLS, serial int64) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "cloudjit"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	doc, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{files.Cert: {Type: "CERTIFICATE", Bytes: doc}, files.Key: {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestTLS: clients that trust the certificate are served, plain HTTP is not, and a certificate that is
// replaced while the server runs is used from then on.
func TestTLS(t *testing.T) {
	dir := t.TempDir()
	c := config.Default()
	c.Listen, c.Data = "127.0.0.1:0", filepath.Join(dir, "data")
	c.TLS = config.TLS{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	options := server.Options{Config: c, Cache: t.TempDir(), Version: "test", Log: slog.New(slog.DiscardHandler)}
	if _, err := server.Start(t.Context(), options); err == nil || !strings.Contains(err.Error(), "tls: ") || !strings.Contains(err.Error(), c.TLS.Cert) {
		t.Fatalf("without the files: got %v", err)
	}
	certificate(t, c.TLS, 1)
	s, err := server.Start(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	defer stop(t, s)

	t.Setenv("AWS_CA_BUNDLE", c.TLS.Cert)
	cl, err := client.New(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cl.Overview(t.Context()); err != nil {
		t.Errorf("over TLS: %v", err)
	}
	if res, err := http.Get("http://" + s.Addr().String()); err == nil {
		res.Body.Close()
		if res.StatusCode != http.StatusBadRequest {
			t.Errorf("over plain HTTP: got %d", res.StatusCode)
		}
	}
	serial := func() int64 {
		conn, err := tls.Dial("tcp", s.Addr().String(), &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
	}
	if err := os.WriteFile(c.TLS.Cert, []byte("half of a cert"), 0o600); err != nil {
		t.Fatal(err)
	}
	time.Sleep(1100 * time.Millisecond)
	if n := serial(); n != 1 {
		t.Errorf("with a broken file: got certificate %d", n)
	}
	certificate(t, c.TLS, 2)
	until(t, "the new certificate is used", func() bool { return serial() == 2 })
	if _, err := tls.Dial("tcp", s.Addr().String(), &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS11}); err == nil {
		t.Error("TLS 1.1 is accepted")
	}
}
