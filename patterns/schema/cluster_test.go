package schema_test

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/schema"
)

// A key that is forgotten goes from the store of each replica, and so does an event that
// is redacted. Both stay, for a time that nobody promises, in the log by which they
// agree: hence an encrypted disk.
func TestReplicas(t *testing.T) {
	dir := filepath.Dir(t.TempDir()) // the cluster's directories are beside it
	js := natstest.JetStream(t, natstest.NewCluster(t).Connect("clinic"))
	v, err := schema.NewVault(t.Context(), js, "keys", schema.Config{Replicas: 3})
	require.NoError(t, err)
	_, err = v.Seal(t.Context(), "p-1", []byte("Ann Lee"))
	require.NoError(t, err)
	kv, err := js.KeyValue(t.Context(), "keys")
	require.NoError(t, err)
	entry, err := kv.Get(t.Context(), "p-1")
	require.NoError(t, err)
	one, _, _ := visits(t)
	c, err := schema.NewChannel(t.Context(), js, one, schema.Config{Replicas: 3})
	require.NoError(t, err)
	sequence, err := c.Publish(t.Context(), "ann", VisitV1{"p-1", "Ann Lee of the lane", 20})
	require.NoError(t, err)
	find := func(text []byte) (stores, logs int) {
		require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() && strings.HasSuffix(path, ".blk") {
				if data, _ := os.ReadFile(path); bytes.Contains(data, text) {
					if strings.Contains(path, "$SYS") {
						logs++
					} else {
						stores++
					}
				}
			}
			return nil
		}))
		return stores, logs
	}
	erased := func(text []byte, erase func() error) {
		in := func(want int) {
			natstest.Eventually(t, 10*time.Second, func(context.Context) error {
				if stores, _ := find(text); stores != want {
					return fmt.Errorf("in %d stores, want %d", stores, want)
				}
				return nil
			})
		}
		in(3)
		require.NoError(t, erase())
		in(0)
		_, logs := find(text)
		require.NotZero(t, logs, "if this fails, the server has become better than the page says")
	}
	erased(entry.Value(), func() error { return v.Forget(t.Context(), "p-1") })
	erased([]byte("Ann Lee of the lane"), func() error { return c.Redact(t.Context(), sequence) })
}
