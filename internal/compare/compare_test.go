package compare

import (
	"net/http"
	"strings"
	"testing"

	"github.com/cloudjit/cloudjit/internal/function"
)

func ok(body string) *Answer { return &Answer{Outcome: function.OutcomeOK, Body: []byte(body)} }

func failed(body string) *Answer {
	return &Answer{Outcome: function.OutcomeHandlerError, Body: []byte(body)}
}

func page(status int, body string, header ...string) *Answer {
	a := &Answer{Outcome: function.OutcomeOK, Status: status, Header: http.Header{}, Body: []byte(body)}
	for i := 0; i < len(header); i += 2 {
		a.Header.Add(header[i], header[i+1])
	}
	return a
}

// TestJudge: what an artifact answered (third), where the first rung answered so and so (first two).
func TestJudge(t *testing.T) {
	for name, c := range map[string]struct {
		one, two, artifact *Answer
		path               string // of the difference; empty: none
	}{
		"the same":                     {ok(`{"a":1}`), ok(`{"a":1}`), ok(`{"a":1}`), ""},
		"another order of members":     {ok(`{"a":1,"b":2}`), ok(`{"a":1,"b":2}`), ok(`{ "b":2, "a":1}`), ""},
		"another value":                {ok(`{"a":{"b":[1,2]}}`), ok(`{"a":{"b":[1,2]}}`), ok(`{"a":{"b":[1,3]}}`), "$.a.b[1]"},
		"a number written otherwise":   {ok(`1.0`), ok(`1.0`), ok(`1`), "$"},
		"a member less":                {ok(`{"a":1,"b":null}`), ok(`{"a":1,"b":null}`), ok(`{"a":1}`), "$.b"},
		"a member more":                {ok(`{}`), ok(`{}`), ok(`{"x":1}`), "$.x"},
		"another type":                 {ok(`{"a":"1"}`), ok(`{"a":"1"}`), ok(`{"a":1}`), "$.a"},
		"null and nothing":             {ok(`null`), ok(`null`), ok(``), "$"},
		"an identifier":                {ok(`{"id":"x1","n":2}`), ok(`{"id":"x2","n":2}`), ok(`{"id":"x3","n":2}`), ""},
		"beside an identifier":         {ok(`{"id":"x1","n":2}`), ok(`{"id":"x2","n":2}`), ok(`{"id":"x3","n":3}`), "$.n"},
		"a list's identifiers":         {ok(`[{"id":1,"n":2},{"id":2,"n":2}]`), ok(`[{"id":3,"n":2},{"id":2,"n":2}]`), ok(`[{"id":4,"n":2},{"id":9,"n":2}]`), ""},
		"an order":                     {ok(`["a","b","c"]`), ok(`["b","a","c"]`), ok(`["c","b","a"]`), ""},
		"an order with another":        {ok(`["a","b","c"]`), ok(`["b","a","c"]`), ok(`["c","b","x"]`), "$"},
		"an order that was the same":   {ok(`["a","b"]`), ok(`["a","b"]`), ok(`["b","a"]`), "$[0]"},
		"a list of another length":     {ok(`[1,2]`), ok(`[1,2]`), ok(`[1]`), "$"},
		"a length that varies":         {ok(`[1,2]`), ok(`[1]`), ok(`[1,2,3]`), ""},
		"a time in a text":             {ok(`"took 12 ms for Ada"`), ok(`"took 9 ms for Ada"`), ok(`"took 0 ms for Ada"`), ""},
		"beside a time in a text":      {ok(`"took 12 ms for Ada"`), ok(`"took 9 ms for Ada"`), ok(`"took 0 ms for Bob"`), "$"},
		"a hash of an object":          {ok(`"java.lang.Object@1b2c3d4e"`), ok(`"java.lang.Object@1b2c3d4e"`), ok(`"java.lang.Object@77aa"`), ""},
		"a class made at run time":     {ok(`"a.B$$Lambda/0x00007f1234567890@1b2c3d"`), ok(`"a.B$$Lambda/0x00007f1234567890@1b2c3d"`), ok(`"a.B$$Lambda/a9c34@bcd1"`), ""},
		"a proxy":                      {ok(`"jdk.proxy2.$Proxy7"`), ok(`"jdk.proxy2.$Proxy7"`), ok(`"jdk.proxy2.$Proxy12"`), ""},
		"an error where there is none": {ok(`1`), ok(`1`), failed(`{"errorType":"java.lang.InternalError","errorMessage":"x"}`), "outcome"},
		"the same error": {failed(`{"errorType":"E","errorMessage":"m","stackTrace":["a"]}`), failed(`{"errorType":"E","errorMessage":"m","stackTrace":["a"]}`),
			failed(`{"errorType":"E","errorMessage":"m","stackTrace":["b","c"]}`), ""},
		"another message": {failed(`{"errorType":"E","errorMessage":"because \"x\" is null"}`), failed(`{"errorType":"E","errorMessage":"because \"x\" is null"}`),
			failed(`{"errorType":"E","errorMessage":null}`), "$.errorMessage"},
		"frames in causes": {failed(`{"errorType":"E","cause":{"errorType":"F","stackTrace":["a"]}}`), failed(`{"errorType":"E","cause":{"errorType":"F","stackTrace":["a"]}}`),
			failed(`{"errorType":"E","cause":{"errorType":"F","stackTrace":[]}}`), ""},
		"frames in a text": {ok(`"E: m\n\tat a.B.c(B.java:3)\n\tat d.E.f(E.java:4)\n\t... 3 more\nend"`), ok(`"E: m\n\tat a.B.c(B.java:3)\n\tat d.E.f(E.java:4)\n\t... 3 more\nend"`),
			ok(`"E: m\n\tat a.B.c(B.java)\nend"`), ""},
		"plain text":            {ok("a\nb"), ok("a\nb"), ok("a\nc"), "line 2"},
		"a line that varies":    {ok("a\n12:00"), ok("a\n12:01"), ok("a\n12:02"), ""},
		"lines that vary":       {ok("a\nb\nc"), ok("a\nb"), ok("x"), ""},
		"bytes":                 {ok("\x00\xff\x01"), ok("\x00\xff\x01"), ok("\x00\xff\x02"), "bytes"},
		"a status":              {page(200, ""), page(200, ""), page(500, ""), "status"},
		"a header":              {page(200, "", "X-A", "1", "Date", "x"), page(200, "", "X-A", "1"), page(200, "", "X-A", "2"), "header X-A"},
		"a header that is gone": {page(200, "", "X-A", "1"), page(200, "", "X-A", "1"), page(200, ""), "header X-A"},
		"a session":             {page(200, "", "Set-Cookie", "s=1a; Path=/"), page(200, "", "Set-Cookie", "s=2b; Path=/"), page(200, "", "Set-Cookie", "s=3c; Path=/"), ""},
		"an exit": {&Answer{Outcome: function.OutcomeCrashed, Exit: "exit status 3"}, &Answer{Outcome: function.OutcomeCrashed, Exit: "exit status 3"},
			&Answer{Outcome: function.OutcomeCrashed, Exit: "exit status 1"}, "exit"},
	} {
		t.Run(name, func(t *testing.T) {
			s := Sample{Payload: []byte("1")}
			s.Seal()
			v := Judge([]Asked{{Sample: &s, First: []*Answer{c.one, c.two}, Artifact: []*Answer{c.artifact}}})
			got := ""
			if v.Difference != nil {
				got = v.Difference.Path
				if v.Difference.Digest != s.Digest || len(v.Differs()) != 1 {
					t.Errorf("got %+v", v.Difference)
				}
			}
			if got != c.path || v.Compared != 1 {
				t.Errorf("got %q (%+v), want %q", got, v, c.path)
			}
		})
	}
}

// TestWhatVariesInOneVariesInAll: a time that was the same twice by chance is known from another sample.
func TestWhatVariesInOneVariesInAll(t *testing.T) {
	var a, b Sample
	v := Judge([]Asked{
		{Sample: &a, First: []*Answer{ok(`{"ms":1,"who":"a"}`), ok(`{"ms":1,"who":"a"}`)}, Artifact: []*Answer{ok(`{"ms":0,"who":"a"}`)}},
		{Sample: &b, First: []*Answer{ok(`{"ms":2,"who":"b"}`), ok(`{"ms":1,"who":"b"}`)}, Artifact: []*Answer{ok(`{"ms":0,"who":"b"}`)}},
	})
	if v.Difference != nil || strings.Join(v.Varying, " ") != "$.ms" {
		t.Errorf("got %+v", v)
	}
}

// TestTheAnswerInServiceIsARun, if the first rung gave it: what an artifact of before did wrong is no chance.
func TestTheAnswerInServiceIsARun(t *testing.T) {
	for _, first := range []bool{true, false} {
		s := Sample{Answer: ok(`{"at":"08:46"}`), First: first}
		v := Judge([]Asked{{Sample: &s, First: []*Answer{ok(`{"at":"08:47"}`), ok(`{"at":"08:47"}`)}, Artifact: []*Answer{ok(`{"at":"08:48"}`)}}})
		if (v.Difference == nil) != first {
			t.Errorf("answered by the first rung %t: got %+v", first, v)
		}
	}
}

// TestNotCompared: what the first rung does not answer twice in the same way is not compared, and is counted.
func TestNotCompared(t *testing.T) {
	late := &Answer{Outcome: function.OutcomeTimeout}
	s := Sample{Answer: ok(`1`)}
	for name, c := range map[string]struct {
		a    Asked
		want func(*Verdict) bool
	}{
		"too slow":       {Asked{&s, []*Answer{ok(`1`), late}, []*Answer{ok(`2`)}}, func(v *Verdict) bool { return v.Skipped == 1 }},
		"never asked":    {Asked{&s, []*Answer{ok(`1`), nil}, nil}, func(v *Verdict) bool { return v.Skipped == 1 }},
		"fails at times": {Asked{&s, []*Answer{ok(`1`), failed(`{}`)}, []*Answer{ok(`2`)}}, func(v *Verdict) bool { return v.Skipped == 1 }},
		"artifact late":  {Asked{&s, []*Answer{ok(`1`), ok(`1`)}, []*Answer{late}}, func(v *Verdict) bool { return v.Late == 1 }},
		"no network": {Asked{&s, []*Answer{failed(`{"errorType":"Unknown host"}`), failed(`{"errorType":"Unknown host"}`)},
			[]*Answer{failed(`{"errorType":"Unknown host"}`)}}, func(v *Verdict) bool { return v.Unlike == 1 && v.Compared == 1 }},
	} {
		if v := Judge([]Asked{c.a}); v.Difference != nil || !c.want(v) {
			t.Errorf("%s: got %+v", name, v)
		}
	}
}

// TestASecondRunMayAnswerRight: then it was chance.
func TestASecondRunMayAnswerRight(t *testing.T) {
	var s Sample
	v := Judge([]Asked{{&s, []*Answer{ok(`1`), ok(`1`), ok(`1`)}, []*Answer{ok(`2`), ok(`1`)}}})
	if v.Difference != nil {
		t.Errorf("got %+v", v.Difference)
	}
}

func TestParseOwn(t *testing.T) {
	for name, c := range map[string]struct {
		kind function.Kind
		doc  string
		want string // of the error; empty: none
		n    int
	}{
		"payloads":        {function.KindHandler, "{\"a\":1}\n\n  \"x\"\r\n{\"a\":1}\n", "", 2},
		"a byte order":    {function.KindHandler, "\ufeff{\"a\":1}\r\n", "", 1},
		"not JSON":        {function.KindHandler, "{}\n{", "line 2: not JSON", 0},
		"two in a line":   {function.KindHandler, "{} {}", "line 1: not JSON", 0},
		"too many":        {function.KindHandler, lines(MaxOwn + 1), "more than 100", 0},
		"too long":        {function.KindHandler, `"` + strings.Repeat("x", MaxSample) + `"`, "want 262144 at most", 0},
		"nothing":         {function.KindHandler, "", "", 0},
		"requests":        {function.KindWeb, `{"path":"/a?b=1"}` + "\n" + `{"method":"POST","path":"/","headers":{"Host":"x","A":"b"},"body":"1"}`, "", 2},
		"no path":         {function.KindWeb, `{"method":"GET"}`, "begins with /", 0},
		"unknown member":  {function.KindWeb, `{"path":"/","uri":"/"}`, "unknown field", 0},
		"a bad header":    {function.KindWeb, `{"path":"/","headers":{"A":"b\nC: d"}}`, "header", 0},
		"a bad method":    {function.KindWeb, `{"path":"/","method":"GET / HTTP/1.1"}`, "method", 0},
		"a space in path": {function.KindWeb, `{"path":"/ HTTP/1.1"}`, "path", 0},
		"two bodies":      {function.KindWeb, `{"path":"/","body":"a","bodyBase64":"YQ=="}`, "one of the two", 0},
	} {
		all, err := ParseOwn(c.kind, strings.NewReader(c.doc))
		if c.want == "" && (err != nil || len(all) != c.n) || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: got %d samples, %v; want %d, %q", name, len(all), err, c.n, c.want)
		}
	}
}

func lines(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(strings.Repeat("1", i+1) + "\n")
	}
	return b.String()
}

// FuzzParseOwn: nothing that users give does more than fail.
func FuzzParseOwn(f *testing.F) {
	f.Add(true, `{"path":"/a","headers":{"X":"y"}}`)
	f.Add(false, "{}\n[1]")
	f.Fuzz(func(t *testing.T, web bool, doc string) {
		kind := function.KindHandler
		if web {
			kind = function.KindWeb
		}
		all, err := ParseOwn(kind, strings.NewReader(doc))
		if err == nil && len(all) > MaxOwn {
			t.Errorf("%d samples", len(all))
		}
		for i := range all {
			if r := all[i].Request; web && (r == nil || r.URI == "" || r.URI[0] != '/') {
				t.Errorf("%+v", r)
			}
		}
	})
}

// FuzzJudge: an answer is like itself, whatever the runs before were like, and nothing panics.
func FuzzJudge(f *testing.F) {
	f.Add([]byte(`{"a":[1,"x 2",{"b":null}]}`), []byte(`{"a":[{"b":null},"x 3",1]}`), 200)
	f.Add([]byte("a\nb@1234"), []byte("a"), 0)
	f.Fuzz(func(t *testing.T, a, b []byte, status int) {
		x, y := &Answer{Outcome: function.OutcomeOK, Body: a, Status: status}, &Answer{Outcome: function.OutcomeOK, Body: b, Status: status}
		s := &Sample{}
		if v := Judge([]Asked{{s, []*Answer{x, y}, []*Answer{x}}}); v.Difference != nil {
			t.Errorf("an answer differs from itself: %v", v.Difference)
		}
		v := Judge([]Asked{{s, []*Answer{x, x}, []*Answer{y}}})
		w := Judge([]Asked{{s, []*Answer{y, y}, []*Answer{x}}})
		if (v.Difference == nil) != (w.Difference == nil) {
			t.Errorf("%q and %q differ in one direction alone: %v, %v", a, b, v.Difference, w.Difference)
		}
	})
}

// TestSafe: requests that change something are no questions to ask more often than a client did.
func TestSafe(t *testing.T) {
	for method, want := range map[string]bool{"GET": true, "HEAD": true, "OPTIONS": true, "POST": false, "PUT": false, "PATCH": false, "DELETE": false, "": false} {
		if got := (&Sample{Request: &Request{Method: method}}).Safe(); got != want {
			t.Errorf("%q: got %t", method, got)
		}
	}
	if !(&Sample{Payload: []byte("{}")}).Safe() {
		t.Error("of an invocation nothing is known: it is asked")
	}
}
