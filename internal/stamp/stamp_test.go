package main

import (
	"io/fs"
	"os"
	"path"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
)

// The generated files are what make stamp would write.
func TestUpToDate(t *testing.T) {
	root := os.DirFS("../..")
	decls, err := readShared(root)
	require.NoError(t, err)
	require.NotEmpty(t, decls)
	dirs, err := fs.Glob(root, "patterns/*")
	require.NoError(t, err)
	for _, dir := range dirs {
		files, err := stamp(root, dir, decls)
		require.NoError(t, err)
		for name, want := range files {
			have, err := fs.ReadFile(root, path.Join(dir, name))
			if want == nil {
				require.ErrorIs(t, err, fs.ErrNotExist, "%s/%s: the pattern uses nothing of it", dir, name)
			} else if string(want) != string(have) {
				t.Errorf("%s/%s is not what make stamp writes: run it", dir, name)
			}
		}
	}
}

const shared = `package shared

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
)

// counter counts.
type counter struct{ n int }

func (c *counter) add() error { c.n++; return limit(c.n) }

// most is the limit.
const most = 3

func limit(n int) error {
	if n > most {
		return fmt.Errorf("shared: %d: %w", n, errFull)
	}
	return nil
}

var errFull = errors.New("full")

func unused(ctx context.Context, nc *nats.Conn) {}
`

func tree(pattern string) fs.FS {
	return fstest.MapFS{
		"internal/shared/shared_test.go": {Data: []byte("package shared\n\nfunc inTest() {}\n")},
		"internal/shared/doc.go":         {Data: []byte("// Package shared is shared.\npackage shared\n\nfunc inDoc() {}\n")},
		"internal/shared/count.go":       {Data: []byte(shared)},
		"patterns/queue/queue.go":        {Data: []byte(pattern)},
	}
}

func TestStamp(t *testing.T) {
	for name, test := range map[string]struct {
		pattern     string
		has, hasNot []string
	}{
		"a type comes with its methods and what they use": {
			"package queue\n\nvar c counter\n",
			[]string{"DO NOT EDIT.\n\npackage queue\n\nimport (\n\t\"errors\"\n\t\"fmt\"\n)\n", "// counter counts.\ntype counter", ") add() error", "func limit", `"queue: %d`, "// most is the limit.\nconst most", "var errFull"},
			[]string{"unused", "context", "inDoc", "inTest"},
		},
		"what the pattern declares itself is not copied": {
			"package queue\n\nvar errFull error\n\nvar _ = limit(1)\n", []string{"func limit", "const most"}, []string{"var errFull", `"errors"`},
		},
		"a field, a local variable and a method are other things": {
			"package queue\n\ntype t int\n\nfunc (t) limit() {}\n\nfunc f(x struct{ most int }) int { limit := x.most; t(0).limit(); return limit }\n", nil, nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			root := tree(test.pattern)
			decls, err := readShared(root)
			require.NoError(t, err)
			files, err := stamp(root, "patterns/queue", decls)
			require.NoError(t, err)
			out := files[messagesFile]
			if test.has == nil {
				require.Nil(t, out)
			}
			require.Nil(t, files[settingsFile])
			for _, text := range test.has {
				require.Contains(t, string(out), text)
			}
			for _, text := range test.hasNot {
				require.NotContains(t, string(out), text)
			}
		})
	}
}

// Settings and messages are separate files, each with its own imports.
func TestStampFiles(t *testing.T) {
	root := tree("package queue\n\nvar _, _ = limit(1), setDefault\n")
	root.(fstest.MapFS)["internal/shared/config.go"] = &fstest.MapFile{Data: []byte("package shared\n\nimport \"time\"\n\nfunc setDefault() time.Duration { return most }\n")}
	decls, err := readShared(root)
	require.NoError(t, err)
	files, err := stamp(root, "patterns/queue", decls)
	require.NoError(t, err)
	require.Contains(t, string(files[settingsFile]), "import (\n\t\"time\"\n)\n\nfunc setDefault")
	require.NotContains(t, string(files[settingsFile]), "limit")
	require.Contains(t, string(files[messagesFile]), "const most = 3")
	require.NotContains(t, string(files[messagesFile]), "setDefault")
}

func TestStampRefuses(t *testing.T) {
	root := tree("package queue\n\nfunc {")
	_, err := stamp(root, "patterns/queue", nil)
	require.ErrorContains(t, err, "patterns/queue/queue.go")
	_, err = readShared(fstest.MapFS{"internal/shared/a.go": {Data: []byte("package")}})
	require.ErrorContains(t, err, "internal/shared/a.go")
}
