package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestOperationsListsEveryLogMessage: messages are an interface, so each stands
// in docs/operations.md.
func TestOperationsListsEveryLogMessage(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, file := range sources(t) {
		ast.Inspect(file, func(n ast.Node) bool {
			if message, ok := logMessage(n); ok {
				found++
				if !strings.Contains(string(text), "`"+message+"`") {
					t.Errorf("docs/operations.md does not list the log message %q", message)
				}
			}
			return true
		})
	}
	if found < 10 {
		t.Errorf("only %d log messages were found: does the test still know how we log?", found)
	}
}

// sources parses the gateway's own packages, without tests and demonstration.
func sources(t *testing.T) []*ast.File {
	t.Helper()
	var files []*ast.File
	root := filepath.Join("..", "..")
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && slices.Contains([]string{"testdata", "demo", "inboxtest", "outboxtest", "node_modules", ".git"}, d.Name()) {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		files = append(files, file)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// logMessage returns the constant message of a call like x.log.Warn("…", …).
func logMessage(n ast.Node) (string, bool) {
	call, ok := n.(*ast.CallExpr)
	if !ok {
		return "", false
	}
	method, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || !slices.Contains([]string{
		"Debug", "Info", "Warn", "Error", "DebugContext", "InfoContext", "WarnContext", "ErrorContext", "Log", "LogAttrs",
	}, method.Sel.Name) {
		return "", false
	}
	for _, argument := range call.Args[:min(3, len(call.Args))] {
		literal, ok := argument.(*ast.BasicLit)
		if !ok || literal.Kind != token.STRING {
			continue
		}
		message, err := strconv.Unquote(literal.Value)
		return message, err == nil
	}
	return "", false
}

// TestThreatsNameTests: what docs/threats.md says is shown by a test, is.
func TestThreatsNameTests(t *testing.T) {
	root := filepath.Join("..", "..")
	text, err := os.ReadFile(filepath.Join(root, "docs", "threats.md"))
	if err != nil {
		t.Fatal(err)
	}
	tests := testNames(t, root)
	named := regexp.MustCompile("`((Test|Fuzz)[A-Za-z0-9]+)`").FindAllStringSubmatch(string(text), -1)
	for _, one := range named {
		if !tests[one[1]] {
			t.Errorf("docs/threats.md names %s, which is no test", one[1])
		}
	}
	if len(named) < 50 {
		t.Errorf("docs/threats.md names only %d tests", len(named))
	}
}

// testNames are the names of all tests and fuzz targets below root.
func testNames(t *testing.T, root string) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	declared := regexp.MustCompile(`(?m)^func ((Test|Fuzz)[A-Za-z0-9]+)\(`)
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && d.Name() == "node_modules" {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		text, err := os.ReadFile(path)
		for _, one := range declared.FindAllSubmatch(text, -1) {
			names[string(one[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}
