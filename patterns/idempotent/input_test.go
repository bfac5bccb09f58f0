package idempotent_test

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/idempotent"
)

var badIDs = []string{"", "*", ">", "a.b", "a b", "a\x00", "ä", string(make([]byte, 5000)), "a\r\nPUB x 0"}

func TestBadInput(t *testing.T) {
	for _, f := range forms {
		t.Run(f.name, func(t *testing.T) {
			s := natstest.Start(t)
			w, js, ctx := newWorld(t, 1), s.JetStream("worker"), t.Context()
			ended, cancel := context.WithCancel(ctx)
			cancel()
			post, err := f.open(ctx, js, w, "post", soon)
			require.NoError(t, err)
			for _, id := range badIDs {
				_, err := post(ctx, id, sends("letter-1"))
				require.ErrorIs(t, err, idempotent.ErrID)
				if f.name != onPublish.name { // whose world has a stream's name
					_, err = f.open(ctx, js, w, id, soon)
					require.ErrorIs(t, err, idempotent.ErrID)
				}
			}
			_, err = post(ended, "letter-1", sends("letter-1"))
			require.ErrorIs(t, err, context.Canceled)
			_, err = f.open(ended, js, w, "fax", soon)
			require.ErrorIs(t, err, context.Canceled)
			js.Conn().Close()
			require.NoError(t, w.Close())
			_, err = post(ctx, "letter-1", sends("letter-1"))
			require.ErrorContains(t, err, "idempotent: message letter-1: ")
			require.ErrorContains(t, err, "closed")
			_, err = f.open(ctx, js, w, "fax", soon)
			require.ErrorContains(t, err, "closed")
		})
	}
}

func TestBadMessage(t *testing.T) {
	js := natstest.Start(t).JetStream("client")
	_, p := outbox(t, js, jetstream.LimitsPolicy)
	_, err := p.Publish(t.Context(), "letter-1", nil)
	require.ErrorIs(t, err, idempotent.ErrConfig)
	_, err = p.Publish(t.Context(), "letter-1", &nats.Msg{Subject: "letters.big", Data: make([]byte, js.Conn().MaxPayload()+1)})
	require.ErrorIs(t, err, nats.ErrMaxPayload)
	require.ErrorContains(t, err, "send a reference")
	_, err = p.Publish(t.Context(), "letter-1", &nats.Msg{Subject: "letters with.blanks"})
	require.ErrorIs(t, err, nats.ErrBadSubject)
	_, err = js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "OTHER", Subjects: []string{"other"}})
	require.NoError(t, err)
	_, err = p.Publish(t.Context(), "letter-1", &nats.Msg{Subject: "other"})
	require.ErrorContains(t, err, "expected stream does not match", "its window is another")
	_, err = js.UpdateStream(t.Context(), jetstream.StreamConfig{Name: "OUT", Subjects: []string{"letters.>"}, MaxMsgSize: 10, Duplicates: time.Minute})
	require.NoError(t, err)
	_, err = p.Publish(t.Context(), "letter-1", &nats.Msg{Subject: "letters.big", Data: make([]byte, 100)})
	var api *jetstream.APIError
	require.ErrorAs(t, err, &api, "a refusal is told at once")
}

func TestConfig(t *testing.T) {
	js, w := natstest.Start(t).JetStream("client"), newWorld(t, 1)
	for field, cfg := range map[string]idempotent.Config{
		"Keep": {Keep: -1}, "Lease": {Lease: time.Millisecond}, "Replicas": {Replicas: -1}, "longer than Keep": {Keep: time.Minute, Lease: time.Hour},
	} {
		_, err := idempotent.NewReceiver(t.Context(), js, "post", cfg)
		require.ErrorIs(t, err, idempotent.ErrConfig)
		require.ErrorContains(t, err, field)
		_, err = idempotent.NewTxReceiver(t.Context(), w.DB, "post", cfg)
		require.ErrorIs(t, err, idempotent.ErrConfig)
		require.ErrorIs(t, idempotent.Provision(t.Context(), js, "post", cfg), idempotent.ErrConfig)
	}
	_, err := idempotent.NewTxReceiver(t.Context(), nil, "post", soon)
	require.ErrorIs(t, err, idempotent.ErrConfig)
	kv, err := idempotent.NewReceiver(t.Context(), js, "post", soon)
	require.NoError(t, err)
	_, err = kv.Once(t.Context(), "letter-1", nil)
	require.ErrorIs(t, err, idempotent.ErrConfig)
	tx, err := idempotent.NewTxReceiver(t.Context(), w.DB, "post", soon)
	require.NoError(t, err)
	_, err = tx.Once(t.Context(), "letter-1", nil)
	require.ErrorIs(t, err, idempotent.ErrConfig)
}

// What exists is used as it is, or not at all; only Provision changes it.
func TestExists(t *testing.T) {
	js, w, ctx := natstest.Start(t).JetStream("client"), newWorld(t, 1), t.Context()
	bind := soon
	bind.Bind = true
	_, err := idempotent.NewReceiver(ctx, js, "post", bind)
	require.ErrorIs(t, err, jetstream.ErrBucketNotFound)
	_, err = idempotent.NewTxReceiver(ctx, w.DB, "post", bind)
	require.ErrorContains(t, err, "idempotent_done")
	var tables int
	require.NoError(t, w.QueryRow("SELECT COUNT(*) FROM sqlite_master WHERE name = 'idempotent_done'").Scan(&tables))
	require.Zero(t, tables)

	mine := soon
	mine.Storage, mine.Metadata = jetstream.MemoryStorage, map[string]string{"owner": "post"}
	_, err = idempotent.NewReceiver(ctx, js, "post", mine)
	require.NoError(t, err)
	stream, err := js.Stream(ctx, "KV_done-post")
	require.NoError(t, err)
	have := stream.CachedInfo().Config
	require.Equal(t, jetstream.MemoryStorage, have.Storage)
	require.Equal(t, "post", have.Metadata["owner"])
	_, err = idempotent.NewReceiver(ctx, js, "post", bind)
	require.NoError(t, err)
	_, err = idempotent.NewReceiver(ctx, js, "post", idempotent.Config{Keep: 2 * time.Hour})
	require.ErrorIs(t, err, idempotent.ErrMismatch)
	require.ErrorContains(t, err, "has TTL 1h0m0s, want Keep 2h0m0s")
	mine.Keep = 2 * time.Hour
	require.NoError(t, idempotent.Provision(ctx, js, "post", mine))
	_, err = idempotent.NewReceiver(ctx, js, "post", idempotent.Config{Keep: 2 * time.Hour})
	require.NoError(t, err)

	_, err = js.CreateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: "done-fax", TTL: time.Hour})
	require.NoError(t, err)
	_, err = idempotent.NewReceiver(ctx, js, "fax", soon)
	require.ErrorIs(t, err, idempotent.ErrMismatch)
	require.ErrorContains(t, err, "LimitMarkerTTL")

	_, err = idempotent.NewPublisher(ctx, js, "NONE")
	require.ErrorIs(t, err, jetstream.ErrStreamNotFound)
	_, err = js.CreateStream(ctx, jetstream.StreamConfig{Name: "ALL", Sources: []*jetstream.StreamSource{{Name: "ONE"}}})
	require.NoError(t, err)
	_, err = idempotent.NewPublisher(ctx, js, "ALL")
	require.ErrorIs(t, err, idempotent.ErrMismatch)
	require.ErrorContains(t, err, "window")
}
