package lease_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/lease"
)

// Another candidate leads within TTL/3 after the leader has resigned, and within two
// TTL after it was disconnected. Each term has a higher token.
func TestTakeover(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		type leader struct {
			instance string
			token    uint64
		}
		leaders := make(chan leader, 9)
		candidate := func(instance string) func() {
			return lead(t, s, instance, func(_ context.Context, term *lease.Term) { leaders <- leader{instance, term.Token()} })
		}
		ann := candidate("ann")
		time.Sleep(500 * time.Millisecond)
		bob := candidate("bob")
		first := <-leaders
		require.Equal(t, "ann", first.instance)
		time.Sleep(10 * time.Second)
		require.Empty(t, leaders, "one at a time")
		ann()
		resigned := time.Now()
		second := <-leaders
		require.Equal(t, "bob", second.instance)
		require.Greater(t, second.token, first.token)
		require.LessOrEqual(t, time.Since(resigned), time.Second+10*time.Millisecond)
		cleo := candidate("cleo")
		time.Sleep(time.Second)
		disconnected := time.Now()
		s.Link("bob").Down()
		third := <-leaders
		require.Greater(t, third.token, second.token)
		require.LessOrEqual(t, time.Since(disconnected), 6*time.Second)
		s.Link("bob").Up()
		time.Sleep(10 * time.Second)
		require.Empty(t, leaders)
		bob()
		cleo()
	})
}

// The ctx of a disconnected leader ends before another candidate leads.
func TestExpiry(t *testing.T) {
	for _, connected := range []time.Duration{3100 * time.Millisecond, 3500 * time.Millisecond, 3900 * time.Millisecond} {
		natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
			ended, next := make(chan time.Time, 9), make(chan time.Time, 9)
			ann := lead(t, s, "ann", func(ctx context.Context, _ *lease.Term) {
				<-ctx.Done()
				ended <- time.Now()
			})
			time.Sleep(50 * time.Millisecond)
			bob := lead(t, s, "bob", func(context.Context, *lease.Term) { next <- time.Now() })
			time.Sleep(connected)
			s.Link("ann").Down()
			require.GreaterOrEqual(t, (<-next).Sub(<-ended), 300*time.Millisecond, "TTL/10 to return")
			s.Link("ann").Up()
			bob()
			ann()
		})
	}
}

// The leader keeps the lease while lead returns.
func TestStop(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		c, err := lease.NewCandidate(t.Context(), s.JetStream("ann"), "leader", "ann", config)
		require.NoError(t, err)
		ctx, stop := context.WithCancel(t.Context())
		ended, next := make(chan error, 1), make(chan time.Time, 1)
		go func() {
			ended <- c.Run(ctx, func(ctx context.Context, term *lease.Term) error {
				<-ctx.Done()
				time.Sleep(20 * time.Second)
				_, err := term.Put(context.WithoutCancel(ctx), "last", nil)
				assert.NoError(t, err)
				return ctx.Err()
			})
		}()
		time.Sleep(50 * time.Millisecond)
		bob := lead(t, s, "bob", func(context.Context, *lease.Term) { next <- time.Now() })
		time.Sleep(time.Second)
		stop()
		start := time.Now()
		require.NoError(t, <-ended)
		require.Equal(t, 20*time.Second, time.Since(start))
		require.LessOrEqual(t, time.Since(<-next), time.Second, "resigned")
		bob()
	})
}

// Run ends with the error of lead, and a panic of lead is an error. The lease is free
// at once.
func TestLeadFails(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		for _, fail := range []func() error{
			func() error { panic("out of range") },
			func() error { return context.DeadlineExceeded },
		} {
			c, err := lease.NewCandidate(t.Context(), s.JetStream("ann"), "leader", "ann", config)
			require.NoError(t, err)
			start := time.Now()
			var failed *lease.Term
			err = c.Run(t.Context(), func(_ context.Context, term *lease.Term) error {
				failed = term
				return fail()
			})
			require.Error(t, err)
			require.Zero(t, time.Since(start))
			_, err = failed.Put(t.Context(), "late", nil)
			require.ErrorIs(t, err, lease.ErrFenced)
		}
	})
}
