package rules

import (
	"math"

	celast "cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/parser"
)

// term is what a condition joins with &&: in CEL's own spelling, and where it compares a variable with a number, the
// values for which it holds.
type term struct {
	text      string
	name      string // the variable; else ""
	low, high float64
}

// implies says whether other holds wherever t does.
func (t term) implies(other term) bool {
	return t.text == other.text || t.name != "" && t.name == other.name && other.low <= t.low && t.high <= other.high
}

// divide gives the terms of an expression.
func (w *usage) divide(e celast.Expr) ([]term, error) {
	if e.Kind() == celast.CallKind && e.AsCall().FunctionName() == operators.LogicalAnd {
		var all []term
		for _, side := range e.AsCall().Args() {
			terms, err := w.divide(side)
			if err != nil {
				return nil, err
			}
			all = append(all, terms...)
		}
		return all, nil
	}
	text, err := parser.Unparse(e, w.tree.SourceInfo())
	t := term{text: text}
	if e.Kind() == celast.CallKind && len(e.AsCall().Args()) == 2 {
		w.measure(&t, e.AsCall())
	}
	return []term{t}, err
}

// reaches has for each comparison with a number n where it holds: from n or just above it, or however low; and up to where.
var reaches = map[string][2]float64{
	operators.Less:          {math.Inf(-1), -1},
	operators.LessEquals:    {math.Inf(-1), 0},
	operators.Equals:        {0, 0},
	operators.GreaterEquals: {0, math.Inf(1)},
	operators.Greater:       {1, math.Inf(1)},
}

// measure fills in what a comparison of a variable with a number says.
func (w *usage) measure(t *term, call celast.CallExpr) {
	variable, with := call.Args()[0], call.Args()[1]
	reach, compares := reaches[call.FunctionName()]
	if variable.Kind() == celast.LiteralKind {
		variable, with = with, variable
		reach[0], reach[1] = -reach[1], -reach[0]
	}
	if n, ok := number(with); ok && compares {
		t.name, t.low, t.high = w.name(variable), beside(n, reach[0]), beside(n, reach[1])
	}
}

// beside is n, the next number after it in a direction, or without end.
func beside(n, direction float64) float64 {
	if math.IsInf(direction, 0) {
		return direction
	}
	return math.Nextafter(n, n+direction)
}

// number is a literal that a float64 holds exactly.
func number(e celast.Expr) (float64, bool) {
	if e.Kind() != celast.LiteralKind {
		return 0, false
	}
	switch n := e.AsLiteral().(type) {
	case types.Int:
		return float64(n), n > -1<<53 && n < 1<<53
	case types.Double:
		return float64(n), n > -1<<53 && n < 1<<53
	default:
		return 0, false
	}
}
