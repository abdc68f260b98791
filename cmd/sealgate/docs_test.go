package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
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
		if d.IsDir() && slices.Contains([]string{"testdata", "demo", "node_modules", ".git"}, d.Name()) {
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
