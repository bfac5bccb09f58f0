package rules

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/weave"
)

var (
	link    = regexp.MustCompile(`\]\(([^)#:]+)(#[^)]*)?\)`)
	woven   = regexp.MustCompile("(?ms)^<!-- weave [^\n]* -->\n```.*?^```$")
	fence   = regexp.MustCompile("(?ms)^```.*?^```$")
	goBlock = regexp.MustCompile("(?m)^```go$")
	command = regexp.MustCompile("`make ([a-z][a-z-]*)")
)

// Pages quote the tree as it is, their links lead somewhere, their make targets
// exist, and no Go stands in them that is not quoted.
func TestDocs(t *testing.T) {
	makefile, err := os.ReadFile(root + "/Makefile")
	require.NoError(t, err)
	for _, file := range pages(t) {
		old, err := os.ReadFile(file)
		require.NoError(t, err)
		page, err := weave.Page(os.DirFS(root), old)
		require.NoError(t, err, file)
		if filepath.Base(file) == "README.md" {
			page = indexed(t, page)
		}
		if update {
			require.NoError(t, os.WriteFile(file, page, 0o666))
		} else if !bytes.Equal(old, page) {
			t.Errorf("%s quotes what has changed; run make docs", file)
		}
		for _, m := range link.FindAllSubmatch(fence.ReplaceAll(page, nil), -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(file), string(m[1]))); err != nil {
				t.Errorf("%s: dead link: %v", file, err)
			}
		}
		if goBlock.Match(woven.ReplaceAll(page, nil)) {
			t.Errorf("%s has a Go block that is not woven from the tree", file)
		}
		for _, m := range command.FindAllSubmatch(page, -1) {
			target := string(m[1])
			name, isDemo := strings.CutPrefix(target, "demo-")
			if isDemo {
				if _, err := os.Stat(filepath.Join(root, "demos", name, "main.go")); err != nil {
					t.Errorf("%s: make %s: there is no such demo", file, target)
				}
			} else if !regexp.MustCompile(`(?m)^` + target + `:`).Match(makefile) {
				t.Errorf("%s: the Makefile has no target %s", file, target)
			}
		}
	}
}

// A pattern's page shows the run and the guarantees, and has exercises.
func TestPages(t *testing.T) {
	for _, name := range patterns(t) {
		file := filepath.Join(root, "docs/patterns", name+".md")
		page, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, part := range []string{
			"weave demos/" + name + "/testdata/transcript.txt", "weave patterns/" + name + "/doc.go #Guarantees",
			"make demo-" + name, "\n## What to try", "\n## What goes wrong without it",
		} {
			if !strings.Contains(string(page), part) {
				t.Errorf("%s lacks %q", file, strings.TrimSpace(part))
			}
		}
	}
}

func pages(t *testing.T) []string {
	files := []string{root + "/README.md"}
	err := filepath.WalkDir(root+"/docs", func(file string, _ fs.DirEntry, err error) error {
		if filepath.Ext(file) == ".md" {
			files = append(files, file)
		}
		return err
	})
	require.NoError(t, err)
	return files
}

var index = regexp.MustCompile(`(?s)<!-- index -->\n.*?<!-- /index -->`)

// indexed fills the index of patterns from the first sentences of their docs.
func indexed(t *testing.T, page []byte) []byte {
	var b strings.Builder
	b.WriteString("<!-- index -->\n| Pattern | What it does for you | Run it |\n|---|---|---|\n")
	for _, name := range patterns(t) {
		what, ok := strings.CutPrefix(synopsis(t, name), "Package "+name+" ")
		if !ok {
			t.Errorf("patterns/%s/doc.go does not begin with Package %s", name, name)
		}
		what = strings.ToUpper(what[:1]) + what[1:]
		fmt.Fprintf(&b, "| [%s](docs/patterns/%s.md) | %s | `make demo-%s` |\n", name, name, what, name)
	}
	require.True(t, index.Match(page), "README.md has no <!-- index -->")
	return index.ReplaceAllLiteral(page, []byte(b.String()+"<!-- /index -->"))
}
