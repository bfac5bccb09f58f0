package idempotent_test

import (
	"context"
	"fmt"
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
	for _, v := range variants {
		t.Run(v.name, func(t *testing.T) {
			s := natstest.Start(t)
			db, js, ctx := newDB(t, 1), s.JetStream("worker"), t.Context()
			ended, cancel := context.WithCancel(ctx)
			cancel()
			once, err := v.open(ctx, js, db, "mailer", config)
			require.NoError(t, err)
			for _, id := range badIDs {
				_, err := once(ctx, id, effectOf("msg-1"))
				require.ErrorIs(t, err, idempotent.ErrID)
				if v.name != onPublish.name { // it has no name
					_, err = v.open(ctx, js, db, id, config)
					require.ErrorIs(t, err, idempotent.ErrID)
				}
			}
			_, err = once(ended, "msg-1", effectOf("msg-1"))
			require.ErrorIs(t, err, context.Canceled)
			_, err = v.open(ended, js, db, "printer", config)
			require.ErrorIs(t, err, context.Canceled)
			js.Conn().Close()
			require.NoError(t, db.Close())
			_, err = once(ctx, "msg-1", effectOf("msg-1"))
			require.ErrorContains(t, err, "idempotent: message msg-1: ")
			require.ErrorContains(t, err, "closed")
			_, err = v.open(ctx, js, db, "printer", config)
			require.ErrorContains(t, err, "closed")
		})
	}
}

func TestBadMessage(t *testing.T) {
	js := natstest.Start(t).JetStream("client")
	_, p := newOutput(t, js, jetstream.LimitsPolicy)
	_, err := p.Publish(t.Context(), "msg-1", nil)
	require.ErrorIs(t, err, idempotent.ErrConfig)
	_, err = p.Publish(t.Context(), "msg-1", &nats.Msg{Subject: "orders.big", Data: make([]byte, js.Conn().MaxPayload()+1)})
	require.ErrorIs(t, err, nats.ErrMaxPayload)
	require.ErrorContains(t, err, "publish a reference")
	_, err = p.Publish(t.Context(), "msg-1", &nats.Msg{Subject: "orders with.blanks"})
	require.ErrorIs(t, err, nats.ErrBadSubject)
	_, err = js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "OTHER", Subjects: []string{"other"}})
	require.NoError(t, err)
	_, err = p.Publish(t.Context(), "msg-1", &nats.Msg{Subject: "other"})
	require.ErrorContains(t, err, "expected stream does not match", "another stream has another window")
	_, err = js.UpdateStream(t.Context(), jetstream.StreamConfig{Name: "OUT", Subjects: []string{"orders.>"}, MaxMsgSize: 10, Duplicates: time.Minute})
	require.NoError(t, err)
	_, err = p.Publish(t.Context(), "msg-1", &nats.Msg{Subject: "orders.big", Data: make([]byte, 100)})
	var api *jetstream.APIError
	require.ErrorAs(t, err, &api)
	require.NotErrorIs(t, err, idempotent.ErrInDoubt, "a refusal is permanent")
}

// A bucket that is full refuses claims: the effect is not called. What is claimed can still
// be recorded.
func TestFull(t *testing.T) {
	js := natstest.Start(t).JetStream("worker")
	for maxBytes := int64(500); maxBytes < 600; maxBytes += 5 {
		r, err := idempotent.NewReceiver(t.Context(), js, fmt.Sprint("mailer-", maxBytes), idempotent.Config{MaxBytes: maxBytes})
		require.NoError(t, err)
		calls := 0
		var claim func(i int) (bool, error) // claims message i, and in its effect the next one, until the bucket is full
		claim = func(i int) (bool, error) {
			return r.Once(t.Context(), fmt.Sprint("msg-", i), func(context.Context) error {
				calls++
				if done, err := claim(i + 1); !done {
					require.ErrorContains(t, err, "maximum bytes exceeded")
					require.NotErrorIs(t, err, idempotent.ErrInDoubt)
				} else {
					require.NoError(t, err)
				}
				return nil
			})
		}
		done, err := claim(0)
		require.NoError(t, err)
		require.True(t, done)
		require.Greater(t, calls, 2)
	}
}
