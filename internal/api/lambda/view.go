package lambda

import (
	"net/http"
	"time"

	"github.com/cloudjit/cloudjit/internal/api/gate"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/store"
)

// configuration is Lambda's FunctionConfiguration.
type configuration struct {
	FunctionName     string
	FunctionArn      string
	Runtime          string
	Role             string `json:",omitempty"`
	Handler          string `json:",omitempty"`
	CodeSize         int64
	Description      string
	Timeout          int
	MemorySize       int
	LastModified     string
	CodeSha256       string
	Version          string
	Environment      *environment `json:",omitempty"`
	KMSKeyArn        string       `json:",omitempty"`
	TracingConfig    tracing
	RevisionId       string // AWS's spelling
	State            string
	StateReason      string `json:",omitempty"`
	StateReasonCode  string `json:",omitempty"`
	LastUpdateStatus string

	LastUpdateStatusReason     string `json:",omitempty"`
	LastUpdateStatusReasonCode string `json:",omitempty"`

	PackageType          string
	Architectures        []string
	EphemeralStorage     sized
	SnapStart            snapStart
	RuntimeVersionConfig runtimeVersion
	LoggingConfig        logging
}

type environment struct{ Variables map[string]string }

type tracing struct{ Mode string }

type sized struct{ Size int }

type snapStart struct{ ApplyOn, OptimizationStatus string }

type runtimeVersion struct{ RuntimeVersionArn string }

type logging struct {
	LogFormat           string
	ApplicationLogLevel string `json:",omitempty"`
	SystemLogLevel      string `json:",omitempty"`
	LogGroup            string
}

// timeFormat is how Lambda writes LastModified.
const timeFormat = "2006-01-02T15:04:05.000-0700"

// configuration shows a version. qualifier is what the ARN ends in: nothing for an unqualified
// $LATEST.
func (s *API) configuration(fn *store.Function, v *store.Version, qualifier string) (*configuration, error) {
	rev, ok := s.Store.Revision(v.Revision)
	if !ok { // removed between two reads
		return nil, s.NoFunction(fn.Name, qualifier)
	}
	return s.configurationOf(fn, v, rev, qualifier), nil
}

// configurationOf is configuration where the version's revision is known.
func (s *API) configurationOf(fn *store.Function, v *store.Version, rev *store.Revision, qualifier string) *configuration {
	spec, attr := &rev.Spec, &v.Config
	c := &configuration{
		FunctionName: string(fn.Name),
		FunctionArn:  s.ARN(fn.Name, qualifier),
		Runtime:      spec.Runtime,
		Role:         attr.Role,
		Handler:      spec.Handler,
		CodeSize:     spec.CodeSize,
		Description:  attr.Description,
		Timeout:      int(spec.Timeout / time.Second),
		MemorySize:   spec.MemoryMiB,
		LastModified: v.LastModified.UTC().Format(timeFormat),
		CodeSha256:   codeSHA(spec),
		Version:      v.Version,
		KMSKeyArn:    attr.KMSKey,
		RevisionId:   v.ETag,

		State: v.State.Value, StateReason: v.State.Reason, StateReasonCode: v.State.Code,
		LastUpdateStatus: v.LastUpdate.Value, LastUpdateStatusReason: v.LastUpdate.Reason, LastUpdateStatusReasonCode: v.LastUpdate.Code,

		PackageType:          "Zip",
		Architectures:        []string{attr.Architecture},
		EphemeralStorage:     sized{spec.TmpMiB},
		TracingConfig:        tracing{gate.Or(attr.TracingMode, "PassThrough")},
		SnapStart:            snapStart{gate.Or(attr.SnapStart, "None"), "Off"},
		RuntimeVersionConfig: runtimeVersion{"arn:aws:lambda:" + s.Opt.Region + "::runtime:cloudjit-" + spec.Runtime},
		LoggingConfig: logging{
			LogFormat: gate.Or(spec.Logging.Format, function.LogText), LogGroup: gate.Or(spec.Logging.Group, "/aws/lambda/"+string(fn.Name)),
			ApplicationLogLevel: spec.Logging.Level, SystemLogLevel: attr.SysLogLevel,
		},
	}
	if l := &c.LoggingConfig; l.LogFormat == function.LogJSON { // as in Lambda, the levels that hold
		l.ApplicationLogLevel, l.SystemLogLevel = gate.Or(l.ApplicationLogLevel, "INFO"), gate.Or(l.SystemLogLevel, "INFO")
	}
	if len(spec.Environment) > 0 {
		c.Environment = &environment{spec.Environment}
	}
	return c
}

// answer writes a version's configuration.
func (s *API) answer(w http.ResponseWriter, status int, fn *store.Function, v *store.Version, qualifier string) error {
	c, err := s.configuration(fn, v, qualifier)
	if err != nil {
		return err
	}
	gate.WriteJSON(w, status, c)
	return nil
}

// shown is the qualifier of the ARN of a version in a list, or in an answer that made it.
func shown(v *store.Version) string {
	if v.Version == function.Latest {
		return ""
	}
	return v.Version
}
