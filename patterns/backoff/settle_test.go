package backoff_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/backoff"
)

// A worker is cut off after it has put a message away and before the server hears that.
// The message is delivered again after AckWait, 4s, and not tried before its time.
func TestAway(t *testing.T) {
	for _, tc := range []struct {
		name string
		wait time.Duration
	}{
		{"it waits for longer than AckWait", 10 * time.Second},
		{"it is back before AckWait is over", 2 * time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
				js := s.JetStream("worker")
				cfg := backoff.Config{Policy: backoff.Policy{First: tc.wait, Ceiling: tc.wait}, Long: time.Second, Timeout: 2 * time.Second}
				b := newBank(0, until(time.Second))
				start(t, js, cfg, func(ctx context.Context, msg backoff.Message) error {
					if msg.Try == 1 { // what follows takes 100ms there, and the ack another 100ms
						s.Link("worker").Delay(100 * time.Millisecond)
						time.AfterFunc(150*time.Millisecond, func() { s.Link("worker").Cut(); s.Link("worker").Delay(0) })
					}
					return b.book(ctx, msg)
				})
				send(t, s.JetStream("shop"), cfg, "pay-1")
				time.Sleep(300 * time.Millisecond)
				cons, err := js.Consumer(t.Context(), "BACKOFF_bank", "workers")
				require.NoError(t, err)
				require.Equal(t, 1, cons.CachedInfo().NumAckPending, "the ack is lost")
				time.Sleep(time.Minute)
				calls := b.all()
				require.Len(t, calls, 2)
				require.Equal(t, tc.wait, calls[1].at.Truncate(time.Second))
				require.Equal(t, 2, calls[1].try)
				_, left := stream(t, js)
				require.Zero(t, left)
			})
		})
	}
}

// A worker that dies with a message has had a try of it; after as many as there are,
// the message is given up, though nobody could say why.
func TestDeath(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		shop := s.JetStream("shop")
		cfg := backoff.Config{Tries: 3, Timeout: 2 * time.Second}
		send(t, shop, cfg, "pay-1")
		var tries []int
		for _, name := range []string{"a", "b", "c", "d"} {
			stop := start(t, s.JetStream(name), cfg, func(_ context.Context, msg backoff.Message) error {
				tries = append(tries, msg.Try)
				s.Link(name).Down()
				return nil
			})
			time.Sleep(6 * time.Second)
			stop()
		}
		require.Equal(t, []int{1, 2, 3}, tries)
		counted, reason := failed(t, shop, "pay-1")
		require.Equal(t, 3, counted)
		require.Contains(t, reason, "no answer")
	})
}

// A call that takes longer than Timeout is told to end, and counts as a failure: the
// breaker is there for what hangs as well.
func TestTimeout(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js := s.JetStream("worker")
		cfg := backoff.Config{Timeout: time.Second, Hands: 1, Breaker: backoff.Breaker{Failures: 2, Wait: backoff.Policy{First: time.Hour, Ceiling: time.Hour}}}
		var calls atomic.Int64
		start(t, js, cfg, func(ctx context.Context, _ backoff.Message) error { calls.Add(1); <-ctx.Done(); return ctx.Err() })
		send(t, js, cfg, numbered(1, 10)...)
		time.Sleep(30 * time.Minute)
		require.EqualValues(t, 2, calls.Load())
	})
}

// Run stopped finishes what it has begun; what reaches it later goes back, and that was
// not a try.
func TestStop(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		first, next := s.JetStream("first"), s.JetStream("next")
		cfg := backoff.Config{Hands: 2}
		b := newBank(3*time.Second, nil)
		stop := start(t, first, cfg, b.book)
		send(t, next, cfg, "pay-1")
		time.Sleep(1500 * time.Millisecond) // a request for one more is out
		stopped := make(chan time.Duration)
		go func() { stop(); stopped <- time.Since(b.start) }()
		time.Sleep(100 * time.Millisecond)
		send(t, next, cfg, "pay-2")
		require.Equal(t, 3*time.Second, (<-stopped).Round(100*time.Millisecond))
		require.Equal(t, []string{"0s pay-1 try 1"}, b.lines())
		start(t, next, cfg, b.book)
		time.Sleep(time.Minute)
		calls := b.all()
		require.Len(t, calls, 2)
		require.Equal(t, 1, calls[1].try)
	})
}

// A long wait is stored: it outlives the server, and a wait that ended meanwhile ends
// at once.
func TestRestart(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js := s.JetStream("worker")
		cfg := backoff.Config{Policy: backoff.Policy{First: time.Minute, Ceiling: time.Hour}}
		b := newBank(0, until(90*time.Second))
		start(t, js, cfg, b.book)
		send(t, js, cfg, "pay-1")
		time.Sleep(30 * time.Second)
		s.Stop()
		require.NoError(t, s.Start())
		time.Sleep(time.Minute) // it has been tried at 60s, and waits until 180s
		s.Stop()
		time.Sleep(5 * time.Minute)
		require.NoError(t, s.Start())
		time.Sleep(time.Minute)
		calls := b.all()
		require.Len(t, calls, 3)
		require.Equal(t, time.Minute, calls[1].at.Truncate(time.Second))
		require.Less(t, calls[2].at, 400*time.Second)
	})
}

// What is sent with a message comes back with it, through nak, schedule and failure;
// orders to the server do not. An id is stored once in two minutes, and then anew.
func TestMessage(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js := s.JetStream("worker")
		cfg := backoff.Config{Policy: backoff.Policy{First: 3 * time.Second, Ceiling: time.Hour}, Tries: 3}
		sender, err := backoff.NewSender(t.Context(), js, "bank", cfg)
		require.NoError(t, err)
		for range 2 {
			require.NoError(t, sender.Send(t.Context(), "pay-1", &nats.Msg{Data: []byte("of pay-1"), Header: nats.Header{"Order": {"7"}}}))
		}
		var tries atomic.Int64
		start(t, js, cfg, func(_ context.Context, msg backoff.Message) error {
			assert.Equal(t, "of pay-1", string(msg.Data))
			assert.Equal(t, "7", msg.Header.Get("Order"))
			assert.EqualValues(t, tries.Add(1), msg.Try)
			return errDown
		})
		time.Sleep(time.Minute)
		require.EqualValues(t, 3, tries.Load())
		st, _ := stream(t, js)
		m, err := st.GetLastMsgForSubject(t.Context(), "backoff.bank.failed.pay-1")
		require.NoError(t, err)
		for k := range m.Header {
			if strings.HasPrefix(k, "Nats-Expected-") { // what it was stored under
				delete(m.Header, k)
			}
		}
		m.Header.Del("Backoff-Of")
		require.Equal(t, nats.Header{"Order": {"7"}, backoff.HeaderTries: {"3"}, backoff.HeaderReason: {errDown.Error()}}, m.Header)
		time.Sleep(2 * time.Minute)
		tries.Store(0)
		require.NoError(t, sender.Send(t.Context(), "pay-1", &nats.Msg{Data: []byte("of pay-1"), Header: nats.Header{"Order": {"7"}}}))
		time.Sleep(time.Minute)
		require.EqualValues(t, 3, tries.Load(), "it is a message anew")
	})
}

// A short wait may be cut by up to a second if the server restarts: it stores when a
// message was delivered, and so when a nak has it come again, in whole seconds.
func TestRestartIsEarly(t *testing.T) {
	earliest := time.Hour
	for _, into := range []time.Duration{0, 200, 400, 600, 800} {
		natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
			js := s.JetStream("worker")
			cfg := backoff.Config{Policy: backoff.Policy{First: 4 * time.Second, Ceiling: time.Hour}}
			time.Sleep(into * time.Millisecond)
			b := newBank(0, until(time.Second))
			start(t, js, cfg, b.book)
			send(t, js, cfg, "pay-1")
			time.Sleep(time.Second)
			s.Stop()
			require.NoError(t, s.Start())
			time.Sleep(time.Minute)
			calls := b.all()
			require.Len(t, calls, 2)
			earliest = min(earliest, calls[1].at)
		})
	}
	require.Less(t, earliest, 4*time.Second)
	require.Greater(t, earliest, 3*time.Second)
}
