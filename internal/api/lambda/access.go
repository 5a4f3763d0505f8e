package lambda

import (
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/cloudjit/cloudjit/internal/api/gate"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/store"
)

// Resource policies are stored and shown, as infrastructure tools need; they decide nothing
// here: who may call is a matter of credentials.

var (
	actionPattern  = regexp.MustCompile(`^(lambda:[*]|lambda:[a-zA-Z]+|[*])$`)
	accountPattern = regexp.MustCompile(`^\d{12}$`)
)

// maxPolicy is the most bytes of a function's policy (Lambda's limit).
const maxPolicy = 20 << 10

type permissionInput struct {
	StatementID    string `json:"StatementId"`
	Action         string
	Principal      string
	SourceArn      string
	SourceAccount  string
	RevisionID     string `json:"RevisionId"`
	PrincipalOrgID string

	EventSourceToken    string
	FunctionURLAuthType string `json:"FunctionUrlAuthType"`
}

func (in *permissionInput) check() error {
	switch {
	case !gate.IsWord(in.StatementID) || len(in.StatementID) > 100:
		return gate.Validation("statementId", gate.Clip(in.StatementID), "Member must satisfy regular expression pattern: ([a-zA-Z0-9-_]+)")
	case !actionPattern.MatchString(in.Action):
		return gate.Validation("action", gate.Clip(in.Action), "Member must satisfy regular expression pattern: "+actionPattern.String())
	case in.Principal == "" || strings.ContainsAny(in.Principal, " \t\r\n"):
		return gate.Validation("principal", gate.Clip(in.Principal), `Member must satisfy regular expression pattern: [^\s]+`)
	case in.SourceAccount != "" && !accountPattern.MatchString(in.SourceAccount):
		return gate.Validation("sourceAccount", gate.Clip(in.SourceAccount), `Member must satisfy regular expression pattern: \d{12}`)
	}
	return nil
}

// statement is the IAM statement of a permission.
func (in *permissionInput) statement(resource string) (json.RawMessage, error) {
	var principal any
	switch {
	case in.Principal == "*":
		principal = "*"
	case strings.HasPrefix(in.Principal, "arn:"):
		principal = map[string]string{"AWS": in.Principal}
	case accountPattern.MatchString(in.Principal):
		principal = map[string]string{"AWS": "arn:aws:iam::" + in.Principal + ":root"}
	default:
		principal = map[string]string{"Service": in.Principal}
	}
	conditions := map[string]map[string]string{}
	add := func(operator, key, value string) {
		if value == "" {
			return
		}
		if conditions[operator] == nil {
			conditions[operator] = map[string]string{}
		}
		conditions[operator][key] = value
	}
	add("ArnLike", "AWS:SourceArn", in.SourceArn)
	add("StringEquals", "AWS:SourceAccount", in.SourceAccount)
	add("StringEquals", "aws:PrincipalOrgID", in.PrincipalOrgID)
	add("StringEquals", "lambda:EventSourceToken", in.EventSourceToken)
	add("StringEquals", "lambda:FunctionUrlAuthType", in.FunctionURLAuthType)
	return json.Marshal(struct {
		Sid, Effect string
		Principal   any
		Action      string
		Resource    string
		Condition   map[string]map[string]string `json:",omitempty"`
	}{in.StatementID, "Allow", principal, in.Action, resource, conditions})
}

func (s *API) addPermission(w http.ResponseWriter, r *http.Request) error {
	f, err := gate.Target(r)
	if err != nil {
		return err
	}
	q := gate.Qualified(f.Qualifier)
	var in permissionInput
	var doc json.RawMessage
	if _, err := s.Change(w, r, &in, func(fn *store.Function) error {
		if err := in.check(); err != nil {
			return err
		}
		if _, ok := gate.VersionOf(fn, q); !ok {
			return s.NoFunction(fn.Name, f.Qualifier)
		}
		p := fn.Access[q]
		if in.RevisionID != "" && in.RevisionID != p.ETag {
			return gate.Precondition()
		}
		if slices.ContainsFunc(p.Statements, func(x store.Statement) bool { return x.SID == in.StatementID }) {
			return gate.Conflict("The statement id (%s) provided already exists. Please provide a new statement id, or remove the existing statement.", in.StatementID)
		}
		var err error
		if doc, err = in.statement(s.ARN(fn.Name, f.Qualifier)); err != nil {
			return err
		}
		size := len(doc)
		for _, x := range p.Statements {
			size += len(x.Document)
		}
		if size > maxPolicy {
			return gate.Fault(http.StatusBadRequest, "PolicyLengthExceededException", "The final policy size (%d) is bigger than the limit (%d).", size, maxPolicy)
		}
		p.ETag, p.Statements = gate.NewUUID(), append(p.Statements, store.Statement{SID: in.StatementID, Document: doc})
		if fn.Access == nil {
			fn.Access = map[string]store.ResourcePolicy{}
		}
		fn.Access[q] = p
		return nil
	}); err != nil {
		return err
	}
	gate.WriteJSON(w, http.StatusCreated, map[string]string{"Statement": string(doc)})
	return nil
}

func (s *API) noPolicy(name function.Name, qualifier string) *gate.Error {
	return gate.NotFound("No policy is associated with the given resource: %s", s.ARN(name, qualifier))
}

func (s *API) getPolicy(w http.ResponseWriter, r *http.Request) error {
	f, fn, err := s.Targeted(r)
	if err != nil {
		return err
	}
	p := fn.Access[gate.Qualified(f.Qualifier)]
	if len(p.Statements) == 0 {
		return s.noPolicy(f.Name, f.Qualifier)
	}
	statements := make([]json.RawMessage, len(p.Statements))
	for i, x := range p.Statements {
		statements[i] = x.Document
	}
	doc, err := json.Marshal(struct {
		Version, Id string // IAM's spelling
		Statement   []json.RawMessage
	}{"2012-10-17", "default", statements})
	if err != nil {
		return err
	}
	gate.WriteJSON(w, http.StatusOK, map[string]string{"Policy": string(doc), "RevisionId": p.ETag})
	return nil
}

func (s *API) removePermission(w http.ResponseWriter, r *http.Request) error {
	f, err := gate.Target(r)
	if err != nil {
		return err
	}
	q, sid, etag := gate.Qualified(f.Qualifier), r.PathValue("sid"), r.URL.Query().Get("RevisionId")
	if _, err := s.Change(w, r, nil, func(fn *store.Function) error {
		p := fn.Access[q]
		if etag != "" && etag != p.ETag {
			return gate.Precondition()
		}
		i := slices.IndexFunc(p.Statements, func(x store.Statement) bool { return x.SID == sid })
		if i < 0 {
			return gate.NotFound("Statement %s is not found in resource policy.", gate.Clip(sid))
		}
		p.ETag, p.Statements = gate.NewUUID(), slices.Delete(p.Statements, i, i+1)
		fn.Access[q] = p
		return nil
	}); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
