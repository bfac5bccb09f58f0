package encrypt_test

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

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/encrypt"
)

// A destroyed key and a redacted message are erased from the store of each replica.
// Both stay in the Raft log, for a time that is not promised: hence an encrypted disk.
func TestReplicas(t *testing.T) {
	dir := filepath.Dir(t.TempDir()) // the cluster's directories are beside it
	ctx, js := t.Context(), natstest.JetStream(t, natstest.NewCluster(t).Connect("clinic"))
	v := open(t, js, encrypt.Config{Replicas: 3})
	must(v.Seal(ctx, "p-1", []byte("Ann Lee")))
	key := must(must(js.KeyValue(ctx, "keys")).Get(ctx, "p-1")).Value()
	must(js.CreateStream(ctx, jetstream.StreamConfig{Name: "VISITS", Subjects: []string{"visits.*"}, Replicas: 3}))
	must(js.Publish(ctx, "visits.ann", []byte("Ann Lee, in plaintext")))

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
		require.NotZero(t, logs, "if this fails, the server has improved: correct doc.go and the page")
	}
	erased(key, func() error { return v.Forget(ctx, "p-1") })
	erased([]byte("Ann Lee, in plaintext"), func() error { return encrypt.Redact(ctx, js, "VISITS", 1) })

	// Concurrent Seals for a new person use one key on three replicas too.
	sealed := make(chan []byte, 8)
	for range cap(sealed) {
		go func() { sealed <- must(v.Seal(ctx, "p-2", []byte("Bob"))) }()
	}
	for range cap(sealed) {
		require.Equal(t, "Bob", string(must(v.Open(ctx, "p-2", <-sealed))))
	}
}
