package rules

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/weave"
)

var catalogRow = regexp.MustCompile("(?m)^\\| ([^|]+) \\| (?:\\[(\\w+)\\]\\(patterns/\\w+\\.md\\) \\| `([\\w.]+)` \\| `(Test\\w+)` |(\\w+) \\| not built yet \\| )\\|$")

// Each row of the catalog names a package, a symbol and a test that are there, or says
// that its package is not; and the literature's patterns are all among them.
func TestCatalog(t *testing.T) {
	md, err := os.ReadFile(filepath.Join(root, "docs", "catalog.md"))
	require.NoError(t, err)
	literature, _, found := strings.Cut(string(md), "\n## Topics of the talks\n")
	require.True(t, found)
	seen := map[string]bool{}
	for _, m := range catalogRow.FindAllStringSubmatch(literature, -1) {
		require.False(t, seen[m[1]], "%s is there twice", m[1])
		seen[m[1]] = true
	}
	require.Len(t, seen, 65, "the enterprise integration patterns")
	for line := range strings.Lines(string(md)) {
		if strings.HasPrefix(line, "| ") && !strings.HasSuffix(line, "| Proved by |\n") {
			require.Regexp(t, catalogRow, strings.TrimSpace(line))
		}
	}
	named := map[string]bool{}
	for _, m := range catalogRow.FindAllStringSubmatch(string(md), -1) {
		row, name, symbol, test, planned := m[1], m[2], m[3], m[4], m[5]
		if planned != "" {
			require.NoDirExists(t, filepath.Join(root, "patterns", planned), "%s is built, so say where", row)
			continue
		}
		named[name] = true
		require.True(t, declared(t, name, symbol, false), "%s: package %s has no %s", row, name, symbol)
		require.True(t, declared(t, name, test, true), "%s: package %s has no test %s", row, name, test)
	}
	for _, name := range patterns(t) {
		require.True(t, named[name], "docs/catalog.md has no row for %s", name)
	}
}

// declared reports whether a file of a pattern, of its tests or not, declares a name.
func declared(t *testing.T, pattern, name string, tests bool) bool {
	t.Helper()
	dir := os.DirFS(filepath.Join(root, "patterns", pattern))
	files, err := filepath.Glob(filepath.Join(root, "patterns", pattern, "*.go"))
	require.NoError(t, err)
	for _, f := range files {
		if strings.HasSuffix(f, "_test.go") != tests {
			continue
		}
		if _, err := weave.Quote(dir, filepath.Base(f), name); err == nil {
			return true
		}
	}
	return false
}
