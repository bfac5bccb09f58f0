package weave_test

import (
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/weave"
)

var tree = fstest.MapFS{
	"a.go": {Data: []byte(`// Package a is quoted.
//
// # Guarantees
//
//   - [Box.Put] keeps what it is given (TestBox).
//
// # Other
//
// No.
package a

// Box holds.
type Box[K, V any] struct{ m map[K]V }

// Put keeps.
func (b *Box[K, V]) Put(k K, v V) { b.m[k] = v }

var x = 1
`)},
	"t.txt": {Data: []byte("  0.10s  up\n")},
}

func TestPage(t *testing.T) {
	const want = "# A\n\n<!-- weave a.go Box.Put x -->\n```go\n// Put keeps.\nfunc (b *Box[K, V]) Put(k K, v V) { b.m[k] = v }\n\nvar x = 1\n```\n\n" +
		"<!-- weave a.go #Guarantees -->\n>   - `Box.Put` keeps what it is given (TestBox).\n\n" +
		"<!-- weave t.txt -->\n```\n  0.10s  up\n```\nend\n"
	for _, page := range []string{
		"# A\n\n<!-- weave a.go Box.Put x -->\n\n<!-- weave a.go #Guarantees -->\n\n<!-- weave t.txt -->\nend\n",
		want, // a filled block is filled again
	} {
		got, err := weave.Page(tree, []byte(page))
		require.NoError(t, err)
		require.Equal(t, want, string(got))
	}
}

func TestPageMissing(t *testing.T) {
	for _, quote := range []string{"a.go Gone", "a.go #Gone", "gone.txt", "t.txt Name"} {
		_, err := weave.Page(tree, []byte("<!-- weave "+quote+" -->\n"))
		require.Error(t, err, quote)
	}
}
