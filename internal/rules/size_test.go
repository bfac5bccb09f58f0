package rules

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	maxPackage = 700 // hand-written lines of a package without tests, doc.go and shared.go
	maxMean    = 580 // of all packages
	maxEqual   = 250 // hand-written lines that stand in two patterns, in runs of six
)

// Packages that may be longer than maxPackage, and why.
var longer = map[string]struct {
	lines  int
	reason string
}{
	"datapump": {785, "the stores for SQLite and PostgreSQL are part of it, so that it can be used as it is"},
	"queueing": {756, "a work queue and a queue group share the job, the handler and the Config"},
}

// A package fits in one sitting.
func TestSizes(t *testing.T) {
	total, names := 0, patterns(t)
	for _, name := range names {
		lines := 0
		for _, file := range handWritten(t, name) {
			lines += bytes.Count(read(t, file), []byte("\n"))
		}
		most := maxPackage
		if l, ok := longer[name]; ok {
			most = l.lines
		}
		if lines > most {
			t.Errorf("patterns/%s: %d hand-written lines, at most %d", name, lines, most)
		}
		total += lines
	}
	if mean := total / len(names); mean > maxMean {
		t.Errorf("patterns: %d hand-written lines a package on average, at most %d", mean, maxMean)
	}
}

// handWritten returns the non-test files of a pattern without doc.go and generated ones.
func handWritten(t *testing.T, pattern string) []string {
	return slices.DeleteFunc(goFiles(t, pattern), func(file string) bool {
		base := filepath.Base(file)
		return base == "doc.go" || strings.HasPrefix(base, "shared") || strings.HasSuffix(base, "_test.go")
	})
}

func read(t *testing.T, file string) []byte {
	src, err := os.ReadFile(file)
	require.NoError(t, err)
	return src
}

// What two patterns need stands in internal/shared.
func TestEqualLines(t *testing.T) {
	const run = 6
	places := map[string][]string{} // the first place of a run, by pattern
	equal := map[string]bool{}
	for _, name := range patterns(t) {
		for _, file := range handWritten(t, name) {
			lines := strings.Split(string(read(t, file)), "\n")
			for i := range lines {
				lines[i] = strings.TrimSpace(lines[i])
			}
			for i := 0; i+run <= len(lines); i++ {
				if i < importsEnd(lines) {
					continue
				}
				text := strings.Join(lines[i:i+run], "\n")
				place := fmt.Sprintf("%s:%d", file, i+1)
				if first := places[text]; first != nil && first[0] != name {
					for n := range run {
						equal[fmt.Sprintf("%s:%d", file, i+1+n)] = true
					}
					t.Logf("%s stands in %s too", place, first[1])
				} else if first == nil {
					places[text] = []string{name, place}
				}
			}
		}
	}
	if len(equal) >= maxEqual {
		t.Errorf("%d lines stand in two patterns, fewer than %d may; put them into internal/shared", len(equal), maxEqual)
	}
}

// importsEnd returns the index of the first line after the imports.
func importsEnd(lines []string) int {
	if i := slices.Index(lines, "import ("); i >= 0 {
		return i + slices.Index(lines[i:], ")")
	}
	return 0
}
