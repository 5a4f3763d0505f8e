package lambda

import (
	"net/http"

	"github.com/cloudjit/cloudjit/internal/api/calls"
	"github.com/cloudjit/cloudjit/internal/api/gate"
	"github.com/cloudjit/cloudjit/internal/store"
)

// accountRoutes mounts what there is one of, and what clients ask for that is not here.
func (s *API) accountRoutes(mux *http.ServeMux) {
	for pattern, e := range map[string]gate.Endpoint{
		"GET /2016-08-19/account-settings": s.accountSettings,

		"GET /2020-06-30/functions/{name}/code-signing-config":       s.codeSigning,
		"PUT /2020-06-30/functions/{name}/code-signing-config":       refused("Code signing is not supported."),
		"DELETE /2020-06-30/functions/{name}/code-signing-config":    s.noContent,
		"GET /2024-08-31/functions/{name}/recursion-config":          s.recursion,
		"PUT /2024-08-31/functions/{name}/recursion-config":          s.putRecursion,
		"GET /2021-07-20/functions/{name}/runtime-management-config": s.runtimeManagement,
		"PUT /2021-07-20/functions/{name}/runtime-management-config": s.putRuntimeManagement,

		"GET /2015-03-31/event-source-mappings":           empty("EventSourceMappings"),
		"POST /2015-03-31/event-source-mappings":          refused("Event source mappings are not supported: this server has no queues, streams or tables to read from. Invoke the function, or use its URL."),
		"GET /2015-03-31/event-source-mappings/{uuid}":    nothing,
		"PUT /2015-03-31/event-source-mappings/{uuid}":    nothing,
		"DELETE /2015-03-31/event-source-mappings/{uuid}": nothing,

		"GET /2018-10-31/layers":                  layers,
		"GET /2018-10-31/layers/{layer}/versions": empty("LayerVersions"),
		"POST /2018-10-31/layers/{layer}/versions": refused(
			"Layers are not supported: put their files into the function's archive."),
		"GET /2020-04-22/code-signing-configs":  empty("CodeSigningConfigs"),
		"POST /2020-04-22/code-signing-configs": refused("Code signing is not supported."),

		// Of these there is none.
		"/2018-10-31/layers/{layer}/versions/{version}":               nothing,
		"/2018-10-31/layers/{layer}/versions/{version}/policy":        nothing,
		"/2018-10-31/layers/{layer}/versions/{version}/policy/{sid}":  nothing,
		"/2020-04-22/code-signing-configs/{arn}":                      nothing,
		"/2020-04-22/code-signing-configs/{arn}/functions":            nothing,
		"GET /2025-11-30/capacity-providers":                          empty("CapacityProviders"),
		"POST /2025-11-30/capacity-providers":                         refused("Capacity providers are not supported: functions run on this node."),
		"/2025-11-30/capacity-providers/{provider}":                   nothing,
		"/2025-11-30/capacity-providers/{provider}/function-versions": nothing,
		"/2025-11-30/functions/{name}/function-scaling-config":        refused("Scaling configurations are for functions on capacity providers, which are not supported."),
		"/2025-12-01/functions/{name}/durable-executions":             empty("DurableExecutions"),
		"/2025-12-01/durable-executions/{arn}":                        nothing,
		"/2025-12-01/durable-executions/{arn}/{rest...}":              nothing,
		"/2025-12-01/durable-execution-callbacks/{id}/{rest...}":      nothing,
	} {
		s.Route(mux, pattern, e)
	}
}

func (s *API) accountSettings(w http.ResponseWriter, _ *http.Request) error {
	var out struct {
		AccountLimit struct {
			TotalCodeSize, CodeSizeUnzipped, CodeSizeZipped      int64
			ConcurrentExecutions, UnreservedConcurrentExecutions int
		}
		AccountUsage struct{ TotalCodeSize, FunctionCount int64 }
	}
	l := &out.AccountLimit
	l.TotalCodeSize, l.CodeSizeUnzipped, l.CodeSizeZipped = 75<<30, s.Opt.Limits.Unzipped, s.Opt.Limits.Code
	l.ConcurrentExecutions = s.Opt.Concurrency
	l.UnreservedConcurrentExecutions = max(0, s.Opt.Concurrency-s.reserved(""))
	for _, fn := range s.Store.Functions() {
		out.AccountUsage.FunctionCount++
		for _, v := range append([]store.Version{fn.Latest}, fn.Published...) {
			if r, ok := s.Store.Revision(v.Revision); ok {
				out.AccountUsage.TotalCodeSize += r.Spec.CodeSize
			}
		}
	}
	gate.WriteJSON(w, http.StatusOK, out)
	return nil
}

// codeSigning answers for an existing function that it has no such configuration.
func (s *API) codeSigning(w http.ResponseWriter, r *http.Request) error {
	f, err := gate.Target(r)
	if err != nil {
		return err
	}
	if _, err := s.Function(f); err != nil {
		return err
	}
	gate.WriteJSON(w, http.StatusOK, map[string]string{"FunctionName": string(f.Name), "CodeSigningConfigArn": ""})
	return nil
}

func (s *API) noContent(w http.ResponseWriter, r *http.Request) error {
	f, err := gate.Target(r)
	if err != nil {
		return err
	}
	if _, err := s.Function(f); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *API) recursion(w http.ResponseWriter, r *http.Request) error {
	f, err := gate.Target(r)
	if err != nil {
		return err
	}
	if _, err := s.Function(f); err != nil {
		return err
	}
	gate.WriteJSON(w, http.StatusOK, map[string]string{"RecursiveLoop": "Terminate"})
	return nil
}

// putRecursion takes what holds anyway: chains of destinations are always cut after maxHops.
func (s *API) putRecursion(w http.ResponseWriter, r *http.Request) error {
	var in struct{ RecursiveLoop string }
	if err := s.Decode(w, r, &in); err != nil {
		return err
	}
	switch in.RecursiveLoop {
	case "Terminate":
		return s.recursion(w, r)
	case "Allow":
		return gate.Invalid("RecursiveLoop Allow is not supported: a chain of destinations ends after %d steps.", calls.MaxHops)
	}
	return gate.Validation("recursiveLoop", gate.Clip(in.RecursiveLoop), "Member must satisfy enum value set: [Allow, Terminate]")
}

// putRuntimeManagement takes what holds anyway: functions run on the newest suitable runtime here.
func (s *API) putRuntimeManagement(w http.ResponseWriter, r *http.Request) error {
	var in struct{ UpdateRuntimeOn string }
	if err := s.Decode(w, r, &in); err != nil {
		return err
	}
	switch in.UpdateRuntimeOn {
	case "Auto":
		return s.runtimeManagement(w, r)
	case "Manual", "FunctionUpdate":
		return gate.Invalid("UpdateRuntimeOn %s is not supported: functions run on the newest suitable JDK of this machine.", in.UpdateRuntimeOn)
	}
	return gate.Validation("updateRuntimeOn", gate.Clip(in.UpdateRuntimeOn), "Member must satisfy enum value set: [Auto, Manual, FunctionUpdate]")
}

func (s *API) runtimeManagement(w http.ResponseWriter, r *http.Request) error {
	f, err := gate.Target(r)
	if err != nil {
		return err
	}
	if _, _, err := s.Version(f); err != nil {
		return err
	}
	gate.WriteJSON(w, http.StatusOK, map[string]string{"UpdateRuntimeOn": "Auto", "FunctionArn": s.ARN(f.Name, f.Qualifier)})
	return nil
}

func (s *API) putProvisioned(http.ResponseWriter, *http.Request) error {
	return gate.Invalid("Provisioned concurrency is not supported: a native binary starts in milliseconds. Set a longer keep-alive with PUT /cloudjit/v1/functions/{name}/policy to keep workers warm.")
}

func (s *API) getProvisioned(w http.ResponseWriter, r *http.Request) error {
	f, err := gate.Target(r)
	if err != nil {
		return err
	}
	if _, err := s.Function(f); err != nil {
		return err
	}
	if r.URL.Query().Get("List") == "ALL" {
		return empty("ProvisionedConcurrencyConfigs")(w, r)
	}
	return gate.Fault(http.StatusNotFound, "ProvisionedConcurrencyConfigNotFoundException", "No Provisioned Concurrency Config found for this function")
}

func (s *API) deleteProvisioned(w http.ResponseWriter, r *http.Request) error {
	return s.noContent(w, r) // idempotent, as on Lambda
}

// empty answers with an empty list.
func empty(field string) gate.Endpoint {
	return func(w http.ResponseWriter, _ *http.Request) error {
		gate.WriteJSON(w, http.StatusOK, map[string][]string{field: {}})
		return nil
	}
}

func refused(message string) gate.Endpoint {
	return func(http.ResponseWriter, *http.Request) error { return gate.Invalid("%s", message) }
}

// layers lists none; GetLayerVersionByArn has the same path.
func layers(w http.ResponseWriter, r *http.Request) error {
	if r.URL.Query().Get("find") == "LayerVersion" {
		return nothing(w, r)
	}
	return empty("Layers")(w, r)
}

func nothing(http.ResponseWriter, *http.Request) error {
	return gate.NotFound("The resource you requested does not exist.")
}
