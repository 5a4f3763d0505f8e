package cloudjit_test

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
)

// TestAPIReferenceIsCurrent: docs/api.md is made from the OpenAPI document. CLOUDJIT_UPDATE=1 writes it anew.
func TestAPIReferenceIsCurrent(t *testing.T) {
	doc, err := openapi3.NewLoader().LoadFromFile("internal/api/own/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	want := apiReference(doc)
	if os.Getenv("CLOUDJIT_UPDATE") != "" {
		if err := os.WriteFile("docs/api.md", []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile("docs/api.md"); err != nil || string(got) != want {
		t.Errorf("docs/api.md is not what the OpenAPI document says (%v): CLOUDJIT_UPDATE=1 go test . -run APIReference", err)
	}
}

func apiReference(doc *openapi3.T) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# API reference\n\nMade from the OpenAPI document, which every server has at `/cloudjit/v1/openapi.json`; do not edit it here.\n\n%s\n", doc.Info.Description)
	for _, path := range doc.Paths.InMatchingOrder() {
		item := doc.Paths.Value(path)
		operations := item.Operations()
		for _, method := range []string{"GET", "PUT", "POST", "DELETE"} {
			op := operations[method]
			if op == nil {
				continue
			}
			fmt.Fprintf(&b, "\n## %s %s\n\n%s.\n", method, path, strings.TrimSuffix(op.Summary, "."))
			if op.Description != "" {
				fmt.Fprintf(&b, "\n%s\n", op.Description)
			}
			if parameters := append(slices.Clone(item.Parameters), op.Parameters...); len(parameters) > 0 {
				b.WriteString("\n| parameter | in | type | |\n|---|---|---|---|\n")
				for _, p := range parameters {
					fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", p.Value.Name, p.Value.In, typeOf(p.Value.Schema), cell(p.Value.Description))
				}
			}
			if op.RequestBody != nil {
				fmt.Fprintf(&b, "\nBody: %s\n", media(op.RequestBody.Value.Content))
			}
			b.WriteString("\n| status | answer | |\n|---|---|---|\n")
			for _, status := range keys(op.Responses.Map()) {
				r := op.Responses.Value(status).Value
				text := ""
				if r.Description != nil {
					text = cell(*r.Description)
				}
				fmt.Fprintf(&b, "| %s | %s | %s |\n", status, media(r.Content), text)
			}
		}
	}
	b.WriteString("\n# Schemas\n")
	for _, name := range keys(doc.Components.Schemas) {
		s := doc.Components.Schemas[name].Value
		fmt.Fprintf(&b, "\n## %s\n", name)
		if s.Description != "" {
			fmt.Fprintf(&b, "\n%s\n", s.Description)
		}
		if len(s.Properties) > 0 {
			b.WriteString("\n| field | type | |\n|---|---|---|\n")
			for _, field := range keys(s.Properties) {
				fmt.Fprintf(&b, "| `%s` | %s | %s |\n", field, typeOf(s.Properties[field]), cell(s.Properties[field].Value.Description))
			}
		}
	}
	return b.String()
}

func keys[V any](m map[string]V) []string {
	var list []string
	for k := range m {
		list = append(list, k)
	}
	slices.Sort(list)
	return list
}

func media(content openapi3.Content) string {
	var list []string
	for _, kind := range keys(content) {
		list = append(list, strings.TrimSpace(typeOf(content[kind].Schema)+" `"+kind+"`"))
	}
	return strings.Join(list, ", ")
}

func cell(s string) string {
	return strings.ReplaceAll(strings.Join(strings.Fields(s), " "), "|", `\|`)
}

func typeOf(s *openapi3.SchemaRef) string {
	if s == nil || s.Value == nil {
		return ""
	}
	if _, name, ok := strings.Cut(s.Ref, "#/components/schemas/"); ok {
		return "[" + name + "](#" + strings.ToLower(name) + ")"
	}
	if len(s.Value.Enum) > 0 {
		text, err := json.Marshal(s.Value.Enum)
		if err != nil {
			return "enum"
		}
		return "one of `" + strings.ReplaceAll(string(text), "|", `\|`) + "`"
	}
	if s.Value.Type == nil {
		return ""
	}
	kind := strings.Join(s.Value.Type.Slice(), " or ")
	if s.Value.Items != nil {
		kind += " of " + typeOf(s.Value.Items)
	}
	return kind
}
