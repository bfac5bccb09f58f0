package idempotent_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/idempotent"
)

// A worker that is cut off between effect and record tries to record it until its
// lease ends, and says whether it could.
func TestInDoubt(t *testing.T) {
	for _, c := range []struct {
		name   string
		cut    time.Duration
		strike func(cancel func()) // between effect and record
		err    error
		sent   int
	}{
		{name: "a cut shorter than the lease leaves no doubt", cut: 3 * time.Second, sent: 1},
		{name: "a cut longer than the lease leaves the effect in doubt, and it is repeated", cut: 20 * time.Second, err: idempotent.ErrInDoubt, sent: 2},
		{name: "an effect that takes longer than the lease is in doubt, and is repeated", strike: func(func()) { time.Sleep(10 * time.Second) }, err: idempotent.ErrInDoubt, sent: 2},
		{name: "a ctx that ends after the effect does not keep it from being recorded", strike: func(cancel func()) { cancel() }, sent: 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
				w := newWorld(t, 1)
				post, err := inKV.open(t.Context(), s.JetStream("worker"), w, "post", soon)
				require.NoError(t, err)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				done, err := post(ctx, "letter-1", func(to execer) error {
					if c.cut > 0 {
						s.Link("worker").Down()
						time.AfterFunc(c.cut, s.Link("worker").Up)
					}
					if c.strike != nil {
						c.strike(cancel)
					}
					return send(to, "letter-1")
				})
				require.True(t, done)
				require.ErrorIs(t, err, c.err)
				time.Sleep(time.Minute)
				done, err = post(t.Context(), "letter-1", sends("letter-1"))
				require.NoError(t, err)
				require.Equal(t, c.sent == 2, done)
				require.Equal(t, c.sent, w.sent()["letter-1"])
			})
		})
	}
}

// What another has recorded meanwhile is not ours: the effect took place twice, and
// the one that was late says so.
func TestRecordOfAnother(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		cfg := idempotent.Config{Keep: ages, Lease: 5 * time.Second}
		late, err := idempotent.NewReceiver(t.Context(), s.JetStream("late"), "post", cfg)
		require.NoError(t, err)
		next, err := idempotent.NewReceiver(t.Context(), s.JetStream("next"), "post", cfg)
		require.NoError(t, err)
		effects := 0
		done, err := late.Once(t.Context(), "letter-1", func(context.Context) error { // heeds nothing
			effects++
			time.Sleep(10 * time.Second)
			done, err := next.Once(t.Context(), "letter-1", func(context.Context) error { effects++; return nil })
			require.NoError(t, err)
			require.True(t, done)
			return nil
		})
		require.True(t, done)
		require.Equal(t, 2, effects)
		require.ErrorIs(t, err, idempotent.ErrInDoubt)
	})
}

// A server counts a time to live in whole seconds: the claim does not end before the
// Lease does.
func TestLeaseOfAFraction(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		r, err := idempotent.NewReceiver(t.Context(), s.JetStream("worker"), "post", idempotent.Config{Keep: ages, Lease: 7900 * time.Millisecond})
		require.NoError(t, err)
		_, err = r.Once(t.Context(), "letter-1", func(ctx context.Context) error {
			for range 78 {
				_, err := r.Once(ctx, "letter-1", func(context.Context) error { return nil })
				require.Error(t, err, "two at a time")
				time.Sleep(100 * time.Millisecond)
			}
			return nil
		})
		require.NoError(t, err)
	})
}

// Messages are independent of each other: one that failed does not hold up the next,
// and comes after it.
func TestOrder(t *testing.T) {
	for _, f := range []form{inKV, inTx} {
		t.Run(f.name, func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
				post, err := f.open(t.Context(), s.JetStream("worker"), newWorld(t, 1), "post", soon)
				require.NoError(t, err)
				var order []string
				for _, delivery := range []struct {
					id  string
					err error
				}{{"letter-1", errFailed}, {"letter-2", nil}, {"letter-1", nil}} {
					_, err := post(t.Context(), delivery.id, func(execer) error {
						if delivery.err == nil {
							order = append(order, delivery.id)
						}
						return delivery.err
					})
					require.ErrorIs(t, err, delivery.err)
				}
				require.Equal(t, []string{"letter-2", "letter-1"}, order)
			})
		})
	}
}
