package idempotent_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/idempotent"
)

// A receiver that is disconnected between effect and record retries the record until its
// Lease ends, and returns ErrInDoubt if that failed.
func TestInDoubt(t *testing.T) {
	for _, c := range []struct {
		name         string
		disconnected time.Duration
		then         func(cancel func()) // between effect and record
		err          error
		executions   int
	}{
		{name: "a disconnect shorter than the Lease: recorded", disconnected: 3 * time.Second, executions: 1},
		{name: "a disconnect longer than the Lease: in doubt and repeated", disconnected: 20 * time.Second, err: idempotent.ErrInDoubt, executions: 2},
		{name: "an effect longer than the Lease: in doubt and repeated",
			then: func(func()) { time.Sleep(10 * time.Second) }, err: idempotent.ErrInDoubt, executions: 2},
		{name: "a ctx that ends after the effect: recorded", then: func(cancel func()) { cancel() }, executions: 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
				db := newDB(t, 1)
				once, err := inKV.open(t.Context(), s.JetStream("worker"), db, "mailer", config)
				require.NoError(t, err)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				done, err := once(ctx, "msg-1", func(to execer) error {
					if c.disconnected > 0 {
						s.Link("worker").Down()
						time.AfterFunc(c.disconnected, s.Link("worker").Up)
					}
					if c.then != nil {
						c.then(cancel)
					}
					return execute(to, "msg-1")
				})
				require.True(t, done)
				require.ErrorIs(t, err, c.err)
				time.Sleep(time.Minute)
				done, err = once(t.Context(), "msg-1", effectOf("msg-1"))
				require.NoError(t, err)
				require.Equal(t, c.executions == 2, done)
				require.Equal(t, c.executions, db.executions()["msg-1"])
			})
		})
	}
}

// An effect outlives its claim, and another receiver records the message in the meantime.
// The late receiver recognizes that the record is not its own.
func TestRecordOfAnother(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		cfg := idempotent.Config{MaxAge: century, Lease: 5 * time.Second}
		late, err := idempotent.NewReceiver(t.Context(), s.JetStream("late"), "mailer", cfg)
		require.NoError(t, err)
		next, err := idempotent.NewReceiver(t.Context(), s.JetStream("next"), "mailer", cfg)
		require.NoError(t, err)
		effects := 0
		done, err := late.Once(t.Context(), "msg-1", func(context.Context) error { // ignores its ctx
			effects++
			time.Sleep(10 * time.Second)
			done, err := next.Once(t.Context(), "msg-1", func(context.Context) error { effects++; return nil })
			require.NoError(t, err)
			require.True(t, done)
			return nil
		})
		require.True(t, done)
		require.Equal(t, 2, effects)
		require.ErrorIs(t, err, idempotent.ErrInDoubt)
	})
}

// The server counts a time to live in whole seconds. The claim does not expire before the
// Lease ends.
func TestLeaseOfAFraction(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		r, err := idempotent.NewReceiver(t.Context(), s.JetStream("worker"), "mailer", idempotent.Config{MaxAge: century, Lease: 7900 * time.Millisecond})
		require.NoError(t, err)
		_, err = r.Once(t.Context(), "msg-1", func(ctx context.Context) error {
			for range 78 {
				_, err := r.Once(ctx, "msg-1", func(context.Context) error { return nil })
				require.Error(t, err, "two claims at a time")
				time.Sleep(100 * time.Millisecond)
			}
			return nil
		})
		require.NoError(t, err)
	})
}

// The order of messages is not promised: the retry of a failed message follows the next
// message.
func TestOrder(t *testing.T) {
	for _, v := range []variant{inKV, inTx} {
		t.Run(v.name, func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
				once, err := v.open(t.Context(), s.JetStream("worker"), newDB(t, 1), "mailer", config)
				require.NoError(t, err)
				var order []string
				for _, delivery := range []struct {
					id  string
					err error
				}{{"msg-1", errFailed}, {"msg-2", nil}, {"msg-1", nil}} {
					_, err := once(t.Context(), delivery.id, func(execer) error {
						if delivery.err == nil {
							order = append(order, delivery.id)
						}
						return delivery.err
					})
					require.ErrorIs(t, err, delivery.err)
				}
				require.Equal(t, []string{"msg-2", "msg-1"}, order)
			})
		})
	}
}
