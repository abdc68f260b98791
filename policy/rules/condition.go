package rules

import (
	"fmt"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	celast "cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// The bounds of one condition. It has no loops, so its cost is bounded, too.
const (
	maxExpression = 4096
	maxDepth      = 48
)

// language is CEL over our variables and the file's lists, without macros.
func language(lists map[string]*domains) (*cel.Env, error) {
	options := []cel.EnvOption{
		cel.StdLib(), cel.ClearMacros(), cel.ParserExpressionSizeLimit(maxExpression), cel.ParserRecursionLimit(maxDepth),
		cel.Function(operators.In, cel.Overload("string_in_list_of_domains", []*cel.Type{cel.StringType, domainsType[0]}, cel.BoolType)),
	}
	for name, f := range variables {
		options = append(options, cel.Variable(name, f.of))
	}
	for name := range lists {
		options = append(options, cel.Variable(listPrefix+name, domainsType[0]))
	}
	return cel.NewCustomEnv(options...)
}

// condition is a compiled `when`.
type condition struct {
	text    string
	program cel.Program
	uses    []string // the variables and lists it names
	terms   []term   // what it joins with &&
}

// fault is a mistake in a condition; line counts from 0, column from 0.
type fault struct {
	line, column int
	reason       string
}

// compile checks and plans one condition.
func compile(env *cel.Env, text string) (*condition, []fault) {
	tree, issues := env.Compile(text)
	if issues.Err() != nil {
		return nil, faultsOf(issues)
	}
	if tree.OutputType() != cel.BoolType {
		return nil, []fault{{reason: fmt.Sprintf("a condition is true or false, this one is %s", tree.OutputType())}}
	}
	w := usage{tree: tree.NativeRep(), uses: map[string]bool{}}
	celast.PreOrderVisit(w.tree.Expr(), celast.NewExprVisitor(w.visit))
	if len(w.faults) > 0 {
		return nil, w.faults
	}
	program, err := env.Program(tree, cel.EvalOptions(cel.OptOptimize))
	if err != nil {
		return nil, []fault{{reason: err.Error()}}
	}
	c := &condition{text: text, program: program, uses: sortedKeys(w.uses)}
	if c.terms, err = w.divide(w.tree.Expr()); err != nil {
		return nil, []fault{{reason: err.Error()}}
	}
	return c, nil
}

// includes says whether c asks for all that other does. nil asks for nothing.
func (c *condition) includes(other *condition) bool {
	if other == nil {
		return true
	}
	return c != nil && !slices.ContainsFunc(other.terms, func(theirs term) bool {
		return !slices.ContainsFunc(c.terms, func(ours term) bool { return ours.implies(theirs) })
	})
}

func faultsOf(issues *cel.Issues) []fault {
	var all []fault
	for _, e := range issues.Errors() {
		all = append(all, fault{line: e.Location.Line() - 1, column: e.Location.Column(), reason: inWords(e.Message)})
	}
	return all
}

// inWords says what CEL says so that an operator knows what to change.
func inWords(message string) string {
	const undeclared, overload = "undeclared reference to '", "found no matching overload for '"
	if rest, ok := strings.CutPrefix(message, undeclared); ok {
		name, hint, _ := strings.Cut(rest, "'")
		switch {
		case slices.Contains(relWords, name), slices.Contains(kindWords, name):
			return fmt.Sprintf("there is no variable %q: a word needs quotes, \"%s\"", name, name)
		case name == "lists":
			return "there is no such list: after lists. comes the name of a list of this file"
		case name == "actor" || name == "msg" || name == "group" || name == "server":
			whole := slices.DeleteFunc(Variables(), func(v string) bool { return !strings.HasPrefix(v, name+".") })
			return fmt.Sprintf("there is no such variable: those of %s are %s", name, strings.Join(whole, ", "))
		}
		if hint == "" {
			hint = meant(name, Variables())
		}
		return fmt.Sprintf("there is no %q%s", name, hint)
	}
	if rest, ok := strings.CutPrefix(message, overload); ok {
		operator, kinds, _ := strings.Cut(rest, "' applied to ")
		operator = strings.Trim(strings.TrimPrefix(operator, "@"), "_")
		return fmt.Sprintf("%s does not go with %s", operator, strings.Trim(kinds, "'"))
	}
	if strings.Contains(message, "recognition error at: '= '") {
		return "one = sets nothing here: compare with =="
	}
	return message
}

// usage looks through a condition for words that can never be: rel == "strnger".
type usage struct {
	tree   *celast.AST
	uses   map[string]bool
	faults []fault
}

func (w *usage) visit(e celast.Expr) {
	if name := w.name(e); name != "" {
		w.uses[name] = true
	}
	if e.Kind() != celast.CallKind {
		return
	}
	call := e.AsCall()
	if f := call.FunctionName(); f != operators.Equals && f != operators.NotEquals && f != operators.In {
		return
	}
	for i, side := range call.Args() {
		w.compare(w.name(side), call.Args()[1-i])
	}
}

// name is the variable that e is, or "".
func (w *usage) name(e celast.Expr) string {
	if r, ok := w.tree.ReferenceMap()[e.ID()]; ok {
		if _, known := variables[r.Name]; known || strings.HasPrefix(r.Name, listPrefix) {
			return r.Name
		}
	}
	return ""
}

// compare checks what a variable is compared with, one literal or a list of them.
func (w *usage) compare(name string, with celast.Expr) {
	if with.Kind() == celast.ListKind {
		for _, one := range with.AsList().Elements() {
			w.compare(name, one)
		}
		return
	}
	if with.Kind() != celast.LiteralKind {
		return
	}
	literal, ok := with.AsLiteral().(types.String)
	if !ok {
		return
	}
	if reason := impossible(name, string(literal)); reason != "" {
		at := w.tree.SourceInfo().GetStartLocation(with.ID())
		w.faults = append(w.faults, fault{line: at.Line() - 1, column: at.Column(), reason: reason})
	}
}

// impossible says why a variable can never have a value, or "".
func impossible(name, value string) string {
	if known := variables[name].words; known != nil && !slices.Contains(known, value) {
		return fmt.Sprintf("%s is never %q%s: it is one of %s", name, value, meant(value, known), strings.Join(known, ", "))
	}
	if name == "actor.domain" {
		if clean, err := canonical(value); err != nil || clean != value {
			return fmt.Sprintf("actor.domain is never %q: domains are lower case and without scheme, port or path", value)
		}
	}
	return ""
}

// holds evaluates the condition; an error means it could not be.
func (c *condition) holds(s *scene) (bool, error) {
	if c == nil {
		return true, nil
	}
	out, _, err := c.program.Eval(s)
	if err != nil {
		return false, err
	}
	return out == ref.Val(types.True), nil
}
