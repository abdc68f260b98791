package configs_test

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/sealgate/sealgate/configs"
)

// none is an empty environment.
func none(string) (string, bool) { return "", false }

func env(pairs ...string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1], true
			}
		}
		return "", false
	}
}

// defaults is Default with the one key it lacks, and paths from dir.
func defaults(dir string) configs.Config {
	c := configs.Default()
	c.Domain = "social.example"
	return c.In(dir)
}

func TestFilesThatEqualDefault(t *testing.T) {
	for _, file := range []string{"sealgate.yaml", "testdata/contract.yaml", "testdata/good/minimal.yaml", "testdata/good/bom.yaml", "testdata/good/quoted-off.yaml", "testdata/good/empty-sections.yaml"} {
		got, err := configs.Load(file, none)
		if err != nil {
			t.Errorf("%s: %v", file, err)
		}
		if want := defaults(filepath.Dir(file)); !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\ngot  %+v\nwant %+v", file, got, want)
		}
	}
}

// TestFileNamesEveryKey keeps the commented file complete.
func TestFileNamesEveryKey(t *testing.T) {
	text, err := os.ReadFile("sealgate.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range configs.Keys() {
		if name := key[strings.LastIndexByte(key, '.')+1:]; !strings.Contains(string(text), name+":") {
			t.Errorf("sealgate.yaml lacks %s", key)
		}
	}
}

func TestGoodFiles(t *testing.T) {
	for _, file := range glob(t, "testdata/good/*.yaml", 8) {
		if _, err := configs.Load(file, none); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}

// TestBadFiles wants in the error of each file what its comments say, and not what they call unwanted.
func TestBadFiles(t *testing.T) {
	for _, file := range glob(t, "testdata/bad/*.yaml", 14) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		_, err = configs.Load(file, none)
		if err == nil {
			t.Errorf("%s loads", file)
			continue
		}
		wants := 0
		for line := range strings.SplitSeq(string(text), "\n") {
			if want, ok := strings.CutPrefix(line, "# want: "); ok {
				wants++
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%s: no %q in\n%v", file, want, err)
				}
			}
			if not, ok := strings.CutPrefix(line, "# unwanted: "); ok && strings.Contains(err.Error(), not) {
				t.Errorf("%s: %q in\n%v", file, not, err)
			}
		}
		if wants == 0 {
			t.Errorf("%s wants nothing", file)
		}
	}
}

func glob(t *testing.T, pattern string, least int) []string {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) < least {
		t.Fatalf("%s: %d files, %v", pattern, len(files), err)
	}
	return files
}
