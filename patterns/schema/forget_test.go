package schema_test

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/schema"
)

// onDisk counts the files of the server in which text can be found.
func onDisk(t *testing.T, s *natstest.Server, text []byte) (files int) {
	time.Sleep(5 * time.Second) // the store writes behind
	require.NoError(t, filepath.WalkDir(s.Server.Server().JetStreamConfig().StoreDir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if bytes.Contains(data, text) {
			files++
		}
		return err
	}))
	return files
}

// filed opens a channel on the disk.
func filed(t *testing.T, js jetstream.JetStream, typ *schema.Type[VisitV1]) *schema.Channel[VisitV1] {
	c, err := schema.NewChannel(t.Context(), js, typ, schema.Config{Log: quiet})
	require.NoError(t, err)
	return c
}

// A correction keeps both, and a reader that does not heed it counts both.
func TestCorrect(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		one, _, _ := visits(t)
		js := s.JetStream("clinic")
		c := open(t, js, one)
		wrong, err := c.Publish(t.Context(), "ann", VisitV1{"p-1", "Ann Lee", 200})
		require.NoError(t, err)
		_, err = c.Publish(t.Context(), "ann", VisitV1{"p-1", "Ann Lee", 30})
		require.NoError(t, err)
		_, err = c.Correct(t.Context(), "ann", wrong, VisitV1{"p-1", "Ann Lee", 20})
		require.NoError(t, err)
		for _, bad := range []struct {
			key string
			seq uint64
		}{{"bob", wrong}, {"ann", 99}, {"a.b", wrong}} {
			_, err = c.Correct(t.Context(), bad.key, bad.seq, VisitV1{"p-1", "Ann Lee", 20})
			require.ErrorIs(t, err, schema.ErrNoEvent)
		}
		heeding, naive := map[uint64]int{}, 0
		stop := read(t, js, one, "billing", func(_ context.Context, m schema.Message[VisitV1]) error {
			naive += m.Value.Minutes
			if m.Corrects > 0 {
				delete(heeding, m.Corrects)
			}
			heeding[m.Sequence] = m.Value.Minutes
			return nil
		})
		time.Sleep(time.Second)
		stop()
		require.Equal(t, map[uint64]int{2: 30, 3: 20}, heeding)
		require.Equal(t, 250, naive)
		require.Len(t, stored(t, js, "SCHEMA_visit"), 3)
	})
}

// A redaction erases the bytes, here and in the invalid message channel; who has read
// or copied them has them still.
func TestRedact(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		one, _, _ := visits(t)
		js := s.JetStream("clinic")
		c := filed(t, js, one)
		name := "Ann Lee"
		_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "COPY", Sources: []*jetstream.StreamSource{{Name: "SCHEMA_visit"}}, Storage: jetstream.MemoryStorage})
		require.NoError(t, err)
		for n := 1; n <= 3; n++ {
			_, err := c.Publish(t.Context(), "ann", VisitV1{"p-1", name + fmt.Sprint(n), n})
			require.NoError(t, err)
		}
		stop := read(t, js, one, "audit", func(_ context.Context, m schema.Message[VisitV1]) error {
			return fmt.Errorf("%w: not today", schema.ErrRefused)
		})
		time.Sleep(15 * time.Second)
		stop()
		require.Len(t, stored(t, js, "INVALID_visit"), 3)
		require.Equal(t, 2, onDisk(t, s, []byte("Ann Lee2")))

		require.NoError(t, c.Redact(t.Context(), 2))
		require.NoError(t, c.Redact(t.Context(), 2), "again, as after an error")
		require.ErrorIs(t, c.Redact(t.Context(), 9), schema.ErrNoEvent, "a slip of the pen must not pass for done")
		require.Zero(t, onDisk(t, s, []byte("Ann Lee2")))
		require.Equal(t, 2, onDisk(t, s, []byte("Ann Lee3")))
		left := stored(t, js, "SCHEMA_visit")
		require.Len(t, left, 2)
		require.Equal(t, []uint64{1, 3}, []uint64{left[0].Sequence, left[1].Sequence}, "the gap stays")
		require.Len(t, stored(t, js, "INVALID_visit"), 2)
		require.Contains(t, string(stored(t, js, "COPY")[1].Data), "Ann Lee2", "a copy knows nothing of it")

		// The twin deletes: out of sight, and on the disk.
		require.NoError(t, must(js.Stream(t.Context(), "SCHEMA_visit")).DeleteMsg(t.Context(), 1))
		require.Len(t, stored(t, js, "SCHEMA_visit"), 1)
		require.NotZero(t, onDisk(t, s, []byte(`"Ann Lee1","minutes"`)))
	})
}

// A reader that has an event in hand while it is redacted may put it aside afterwards.
func TestRedactInHand(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		one, _, _ := visits(t)
		js := s.JetStream("clinic")
		c := open(t, js, one)
		must(c.Publish(t.Context(), "ann", VisitV1{"p-1", "Ann Lee", 20}))
		stop := read(t, js, one, "audit", func(context.Context, schema.Message[VisitV1]) error {
			time.Sleep(2 * time.Second)
			return fmt.Errorf("%w: not today", schema.ErrRefused)
		})
		time.Sleep(time.Second)
		require.NoError(t, c.Redact(t.Context(), 1))
		time.Sleep(2 * time.Second)
		stop()
		require.Len(t, stored(t, js, "INVALID_visit"), 1)
		require.NoError(t, c.Redact(t.Context(), 1))
		require.Empty(t, stored(t, js, "INVALID_visit"))
	})
}

// Once the key is gone, what was sealed is unreadable wherever it has been copied to;
// unless the key has been copied as well.
func TestForget(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		ctx, js := t.Context(), s.JetStream("clinic")
		v, err := schema.NewVault(ctx, js, "keys", schema.Config{})
		require.NoError(t, err)
		_, err = v.Open(ctx, "p-1", []byte("x"))
		require.ErrorIs(t, err, schema.ErrForgotten, "never known is the same")
		ann, err := v.Seal(ctx, "p-1", []byte("Ann Lee"))
		require.NoError(t, err)
		bob, err := v.Seal(ctx, "p-2", []byte("Bob Day"))
		require.NoError(t, err)
		plain, err := v.Open(ctx, "p-1", ann)
		require.NoError(t, err)
		require.Equal(t, "Ann Lee", string(plain))
		_, err = v.Open(ctx, "p-2", ann)
		require.ErrorIs(t, err, schema.ErrForgotten, "sealed for another")
		kv := must(js.KeyValue(ctx, "keys"))
		key := must(kv.Get(ctx, "p-1")).Value()
		require.Equal(t, 1, onDisk(t, s, key))
		_, err = js.CreateStream(ctx, jetstream.StreamConfig{Name: "KV_backup", AllowDirect: true, Storage: jetstream.MemoryStorage, MaxMsgsPerSubject: 1,
			Sources: []*jetstream.StreamSource{{Name: "KV_keys", SubjectTransforms: []jetstream.SubjectTransformConfig{{Source: "$KV.keys.>", Destination: "$KV.backup.>"}}}}})
		require.NoError(t, err)
		time.Sleep(15 * time.Second)

		require.NoError(t, v.Forget(ctx, "p-1"))
		require.NoError(t, v.Forget(ctx, "p-1"), "again, as after an error")
		_, err = v.Open(ctx, "p-1", ann)
		require.ErrorIs(t, err, schema.ErrForgotten)
		require.Zero(t, onDisk(t, s, key))
		plain, err = v.Open(ctx, "p-2", bob)
		require.NoError(t, err)
		require.Equal(t, "Bob Day", string(plain))

		backup, err := js.KeyValue(ctx, "backup")
		require.NoError(t, err)
		require.Equal(t, key, must(backup.Get(ctx, "p-1")).Value(), "a copy of the key undoes it: back up the events, and the keys apart and shortly")

		again, err := v.Seal(ctx, "p-1", []byte("Ann Lee, back again"))
		require.NoError(t, err)
		_, err = v.Open(ctx, "p-1", again)
		require.NoError(t, err)
		_, err = v.Open(ctx, "p-1", ann)
		require.ErrorIs(t, err, schema.ErrForgotten, "she starts anew")
	})
}

// A bucket as CreateKeyValue makes it denies deletes: a purged key stays on the disk.
func TestBucketKeepsKeys(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		ctx, js := t.Context(), s.JetStream("clinic")
		kv := must(js.CreateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: "keys", History: 1}))
		must(kv.Put(ctx, "p-1", []byte("a very secret key")))
		require.NoError(t, kv.Purge(ctx, "p-1"))
		require.Equal(t, 1, onDisk(t, s, []byte("a very secret key")))
		_, err := schema.NewVault(ctx, js, "keys", schema.Config{})
		require.ErrorIs(t, err, schema.ErrMismatch)
		require.ErrorContains(t, err, "DenyDelete true, want false")
		direct := must(schema.Keys("direct", schema.Config{}))
		direct.AllowDirect = true
		must(js.CreateStream(ctx, direct))
		_, err = schema.NewVault(ctx, js, "direct", schema.Config{})
		require.ErrorContains(t, err, "AllowDirect true, want false")
		must(js.CreateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: "history", History: 5}))
		_, err = schema.NewVault(ctx, js, "history", schema.Config{})
		require.ErrorContains(t, err, "MaxMsgsPerSubject 5, want 1")
	})
}
