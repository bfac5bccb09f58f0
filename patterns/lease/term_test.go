package lease_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/lease"
)

// A leader is paused while it holds the lease, and writes when it resumes. The server
// refuses the write, also before the leader has noticed that its term is over, and
// before another one leads.
func TestPausedLeader(t *testing.T) {
	for _, tc := range []struct {
		name   string
		paused time.Duration
		other  bool
		ok     bool
	}{
		{"for less than the TTL: written", time.Second, true, true},
		{"for longer, and nobody else leads: refused", 8 * time.Second, false, false},
		{"for longer, and another instance leads: refused", 8 * time.Second, true, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
				errs := make(chan error, 1)
				ann := lead(t, s, "ann", func(ctx context.Context, term *lease.Term) {
					time.Sleep(100 * time.Millisecond)
					s.Link("ann").Delay(time.Hour) // the server receives nothing, also no renewal
					time.Sleep(tc.paused)
					s.Link("ann").Delay(0)
					s.Link("ann").Cut() // what was delayed is lost; the next write is the late one
					time.Sleep(500 * time.Millisecond)
					_, err := term.Put(context.WithoutCancel(ctx), "next", []byte("ann"))
					select {
					case errs <- err:
					default: // a later term
					}
				})
				time.Sleep(50 * time.Millisecond) // ann is first
				bob := func() {}
				if tc.other {
					bob = lead(t, s, "bob", func(ctx context.Context, term *lease.Term) {
						_, err := term.Put(ctx, "next", []byte("bob"))
						assert.NoError(t, err)
					})
				}
				err := <-errs
				kv, kvErr := s.JetStream("reader").KeyValue(t.Context(), "jobs")
				require.NoError(t, kvErr)
				if tc.ok {
					require.NoError(t, err)
				} else {
					require.ErrorIs(t, err, lease.ErrFenced)
					if tc.other {
						next, err := kv.Get(t.Context(), "next")
						require.NoError(t, err)
						require.Equal(t, "bob", string(next.Value()))
					}
				}
				ann()
				bob()
			})
		})
	}
}

// A renewal that was stored, but whose ack was lost, does not end the term.
func TestLostRenewal(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		ctx, js, ready := t.Context(), s.JetStream("other"), make(chan *lease.Term, 1)
		end := lead(t, s, "ann", func(_ context.Context, term *lease.Term) { ready <- term })
		term := <-ready
		kv, err := js.KeyValue(ctx, "jobs")
		require.NoError(t, err)
		key, err := kv.Get(ctx, "leader")
		require.NoError(t, err)
		_, err = js.Publish(ctx, "$KV.jobs.leader", key.Value(), jetstream.WithMsgTTL(3*time.Second), jetstream.WithExpectLastSequencePerSubject(key.Revision()))
		require.NoError(t, err)
		_, err = term.Put(ctx, "next", nil)
		require.NoError(t, err)
		end()
	})
}

// A write whose reply is lost does not block the renewals: the term goes on.
func TestLostReply(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		var terms atomic.Int32
		end := lead(t, s, "ann", func(ctx context.Context, term *lease.Term) {
			terms.Add(1)
			time.Sleep(100 * time.Millisecond)
			s.Link("ann").Delay(time.Hour)
			_, err := term.Put(context.WithoutCancel(ctx), "next", nil)
			assert.ErrorIs(t, err, context.DeadlineExceeded)
			s.Link("ann").Delay(0)
			s.Link("ann").Cut()
		})
		time.Sleep(time.Minute)
		require.Equal(t, int32(1), terms.Load())
		end()
	})
}

// A leader whose lease was deleted ends its term at its next renewal.
func TestDeletedLease(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		began, ended := make(chan time.Time, 9), make(chan time.Time, 9)
		end := lead(t, s, "ann", func(ctx context.Context, _ *lease.Term) {
			began <- time.Now()
			<-ctx.Done()
			ended <- time.Now()
		})
		time.Sleep(1500 * time.Millisecond)
		kv, err := s.JetStream("admin").KeyValue(t.Context(), "jobs")
		require.NoError(t, err)
		require.NoError(t, kv.Purge(t.Context(), "leader"))
		require.Equal(t, 2*time.Second, (<-ended).Sub(<-began).Round(100*time.Millisecond))
		end()
	})
}
