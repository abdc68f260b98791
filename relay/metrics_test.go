package relay

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// TestEveryRouteIsCounted: a request of a route that newMetrics does not know would be answered 500.
func TestEveryRouteIsCounted(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "route.go", nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	m, declared := newMetrics(prometheus.NewRegistry()), 0
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if kind, ok := spec.Type.(*ast.Ident); !ok || kind.Name != "route" {
			return true
		}
		text, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		declared++
		if err != nil || m.routes[route(text)] == nil {
			t.Errorf("newMetrics lacks %s, %v", spec.Names[0], err)
		}
		return true
	})
	if declared != len(m.routes) {
		t.Errorf("route.go declares %d routes, newMetrics has %d", declared, len(m.routes))
	}
}
