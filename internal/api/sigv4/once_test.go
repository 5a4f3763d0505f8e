package sigv4_test

import (
	"errors"
	"net/http"
	"strconv"
	"testing"
	"time"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/cloudjit/cloudjit/internal/api/sigv4"
)

// claimOf is the claim of a request that is signed at a time.
func claimOf(t *testing.T, path string, at time.Time) *sigv4.Claim {
	t.Helper()
	r := request(t, http.MethodPost, path, "")
	if err := v4.NewSigner().SignHTTP(t.Context(), key, r, sha(nil), "lambda", "us-east-1", at); err != nil {
		t.Fatal(err)
	}
	c, err := verifier.Claim(r, at)
	if err == nil {
		err = c.Check(sha(nil))
	}
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestASignatureIsUsedOnce(t *testing.T) {
	start := time.Date(2026, 1, 2, 3, 4, 5, 700e6, time.UTC)
	now := start.Add(time.Second)
	once := sigv4.NewOnce(start)
	for i, c := range []struct {
		path       string
		signed     time.Duration // after now
		from, call string
		repeatable bool
		later      time.Duration
		want       error
	}{
		{"/a", 0, "1", "", true, 0, nil},
		{"/a", 0, "1", "", true, 0, sigv4.ErrUsed},
		{"/a", time.Second, "1", "", true, 0, nil}, // signed anew

		// As boto3 does: the same words in the same second, and another number of the call.
		{"/b", 0, "1", "x attempt=1", true, 0, nil},
		{"/b", 0, "1", "y attempt=1", true, 0, nil},
		{"/b", 0, "1", "y attempt=2", true, 2 * time.Second, nil},
		{"/b", 0, "1", "y attempt=1", true, 0, sigv4.ErrUsed},
		{"/b", 0, "2", "z", true, 0, sigv4.ErrSame},                // from elsewhere
		{"/b", 0, "1", "z", true, 6 * time.Second, sigv4.ErrSame},  // too late
		{"/b", 0, "1", "", true, 0, sigv4.ErrUsed},                 // without a number
		{"/c", 0, "1", "x", false, 0, nil},                         // what a repetition would harm
		{"/c", 0, "1", "y", false, 0, sigv4.ErrSame},               //
		{"/c", time.Second, "1", "y", false, 0, nil},               // and again, as SDKs do then
		{"/d", -3 * time.Second, "1", "", false, 0, sigv4.ErrUsed}, // before the start
		{"/a", 0, "1", "", true, 5*time.Minute - time.Second, sigv4.ErrUsed},
	} {
		_, err := once.Use(claimOf(t, c.path, now.Add(c.signed)), c.from, c.call, c.repeatable, now.Add(c.later))
		if !errors.Is(err, c.want) {
			t.Errorf("%d: %+v: got %v", i, c, err)
		}
	}
	forget, err := once.Use(claimOf(t, "/e", now), "1", "x", false, now)
	if err != nil {
		t.Fatal(err)
	}
	forget()
	if _, err := once.Use(claimOf(t, "/e", now), "1", "x", false, now); err != nil {
		t.Errorf("after it was taken back: %v", err)
	}
}

// TestOnceIsBounded: of too many signatures the oldest are forgotten, and refused.
func TestOnceIsBounded(t *testing.T) {
	start := time.Date(2026, 1, 2, 3, 4, 0, 0, time.UTC)
	once := sigv4.NewOnceOf(start, 100)
	use := func(i int, now time.Time) error {
		_, err := once.Use(claimOf(t, "/"+strconv.Itoa(i), start.Add(time.Duration(i)*time.Second)), "1", "", false, now)
		return err
	}
	for i := range 240 { // four minutes
		if err := use(i, start.Add(time.Duration(i)*time.Second)); err != nil {
			t.Fatalf("%d: %v", i, err)
		}
		if n := once.Size(); n > 100 {
			t.Fatalf("%d signatures are remembered", n)
		}
	}
	for _, i := range []int{0, 50, 119, 239} {
		if err := use(i, start.Add(240*time.Second)); !errors.Is(err, sigv4.ErrUsed) {
			t.Errorf("%d again: got %v", i, err)
		}
	}
	if err := use(240, start.Add(time.Hour)); err != nil {
		t.Errorf("later: %v", err)
	}
	if n := once.Size(); n != 1 {
		t.Errorf("%d signatures are remembered when nearly all have ended", n)
	}
}
