package encrypt_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/encrypt"
)

// After Forget, a ciphertext is unreadable wherever it was copied to, unless the key
// was copied too.
func TestForget(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		ctx, js := t.Context(), s.JetStream("clinic")
		v := open(t, js, encrypt.Config{})
		_, err := v.Open(ctx, "p-1", []byte("x"))
		require.ErrorIs(t, err, encrypt.ErrForgotten, "a person without a key cannot be distinguished")
		ann, err := v.Seal(ctx, "p-1", []byte("Ann Lee"))
		require.NoError(t, err)
		bob, err := v.Seal(ctx, "p-2", []byte("Bob Day"))
		require.NoError(t, err)
		plain, err := v.Open(ctx, "p-1", ann)
		require.NoError(t, err)
		require.Equal(t, "Ann Lee", string(plain))
		_, err = v.Open(ctx, "p-2", ann)
		require.ErrorIs(t, err, encrypt.ErrForgotten, "sealed for another person")
		kv := must(js.KeyValue(ctx, "keys"))
		key := must(kv.Get(ctx, "p-1")).Value()
		require.Equal(t, 1, onDisk(t, s, key))
		_, err = js.CreateStream(ctx, jetstream.StreamConfig{Name: "KV_backup", AllowDirect: true, Storage: jetstream.MemoryStorage, MaxMsgsPerSubject: 1,
			Sources: []*jetstream.StreamSource{{Name: "KV_keys", SubjectTransforms: []jetstream.SubjectTransformConfig{{Source: "$KV.keys.>", Destination: "$KV.backup.>"}}}}})
		require.NoError(t, err)
		time.Sleep(15 * time.Second)

		require.NoError(t, v.Forget(ctx, "p-1"))
		require.NoError(t, v.Forget(ctx, "p-1"), "a retry after an error")
		_, err = v.Open(ctx, "p-1", ann)
		require.ErrorIs(t, err, encrypt.ErrForgotten)
		require.Zero(t, onDisk(t, s, key))
		plain, err = v.Open(ctx, "p-2", bob)
		require.NoError(t, err)
		require.Equal(t, "Bob Day", string(plain))

		backup, err := js.KeyValue(ctx, "backup")
		require.NoError(t, err)
		require.Equal(t, key, must(backup.Get(ctx, "p-1")).Value(), "Forget does not reach a copy of the key")

		again, err := v.Seal(ctx, "p-1", []byte("Ann Lee, back again"))
		require.NoError(t, err)
		_, err = v.Open(ctx, "p-1", again)
		require.NoError(t, err)
		_, err = v.Open(ctx, "p-1", ann)
		require.ErrorIs(t, err, encrypt.ErrForgotten, "the new key is another one")
	})
}

func TestCiphertext(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		ctx, v := t.Context(), open(t, s.JetStream("clinic"), encrypt.Config{Storage: jetstream.MemoryStorage})
		ann := must(v.Seal(ctx, "p-1", []byte("Ann Lee")))
		require.Len(t, ann, len("Ann Lee")+28)
		require.NotEqual(t, ann, must(v.Seal(ctx, "p-1", []byte("Ann Lee"))))
		empty := must(v.Seal(ctx, "p-1", nil))
		require.Empty(t, must(v.Open(ctx, "p-1", empty)))
		for i := range ann {
			ann[i] ^= 1
			_, err := v.Open(ctx, "p-1", ann)
			require.ErrorIs(t, err, encrypt.ErrForgotten, "byte %d was changed", i)
			ann[i] ^= 1
		}
		for _, short := range [][]byte{nil, ann[:11], ann[:27]} {
			_, err := v.Open(ctx, "p-1", short)
			require.ErrorIs(t, err, encrypt.ErrForgotten)
		}

		// The associated data binds a ciphertext to its person, even if both have one key.
		kv := must(s.JetStream("operator").KeyValue(ctx, "keys"))
		must(kv.Put(ctx, "p-2", must(kv.Get(ctx, "p-1")).Value()))
		_, err := v.Open(ctx, "p-2", ann)
		require.ErrorIs(t, err, encrypt.ErrForgotten)
	})
}

// Processes that seal for a new person at the same time use one key.
func TestSealConcurrently(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		memory := encrypt.Config{Storage: jetstream.MemoryStorage}
		sealed := make(chan []byte, 8)
		for n := range 8 {
			v := open(t, s.JetStream(fmt.Sprint("writer-", n)), memory)
			s.Link(fmt.Sprint("writer-", n)).Delay(50 * time.Millisecond) // so that each finds no key at first
			go func() { sealed <- must(v.Seal(t.Context(), "p-1", []byte("Ann"))) }()
		}
		memory.Bind = true
		v := open(t, s.JetStream("reader"), memory)
		for range 8 {
			data, err := v.Open(t.Context(), "p-1", <-sealed)
			require.NoError(t, err)
			require.Equal(t, "Ann", string(data))
		}
	})
}

// A Seal whose reply is lost, and that is retried after a Forget, does not bring the
// key back.
func TestForgetDuringSeal(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		ctx, memory := t.Context(), encrypt.Config{Storage: jetstream.MemoryStorage}
		v, other := open(t, s.JetStream("slow"), memory), open(t, s.JetStream("other"), memory)
		s.Link("slow").Delay(1200 * time.Millisecond) // the key is stored after 2.4 s, and the attempt ends after 2 s
		done := make(chan error)
		go func() { _, err := v.Seal(ctx, "p-1", []byte("Ann")); done <- err }()
		time.Sleep(2500 * time.Millisecond)
		sealed := must(other.Seal(ctx, "p-1", []byte("Ann Lee")))
		require.NoError(t, other.Forget(ctx, "p-1"))
		s.Link("slow").Delay(0)
		require.NoError(t, <-done)
		_, err := other.Open(ctx, "p-1", sealed)
		require.ErrorIs(t, err, encrypt.ErrForgotten)
	})
}

// onDisk counts the files of the server that contain text.
func onDisk(t *testing.T, s *natstest.Server, text []byte) (files int) {
	time.Sleep(5 * time.Second) // the store writes in the background
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
