package backoff_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/backoff"
)

// Not promised: a message that is sent under the id of one that waits for long is done, and
// then the other; or, if nobody has had the time for it meanwhile, replaced by the other.
func TestReplaced(t *testing.T) {
	for busy, want := range map[bool][]string{false: {"old", "new", "old"}, true: {"old", "old"}} {
		natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
			js := s.JetStream("worker")
			cfg := backoff.Config{Policy: backoff.Policy{First: 4 * time.Minute, Ceiling: time.Hour}}
			sender, err := backoff.NewSender(t.Context(), js, "bank", cfg)
			require.NoError(t, err)
			var done []string
			work := func() (stop func()) {
				return start(t, js, cfg, func(_ context.Context, msg backoff.Message) error {
					if done = append(done, string(msg.Data)); len(done) == 1 {
						return errDown
					}
					return nil
				})
			}
			require.NoError(t, sender.Send(t.Context(), "pay-1", &nats.Msg{Data: []byte("old")}))
			stop := work()
			time.Sleep(3 * time.Minute)
			if busy {
				stop()
			}
			require.NoError(t, sender.Send(t.Context(), "pay-1", &nats.Msg{Data: []byte("new")}))
			time.Sleep(2 * time.Minute)
			if busy {
				stop = work()
			}
			time.Sleep(time.Minute)
			stop()
			require.Equal(t, want, done)
		})
	}
}

// What was given up is sent again with all its headers: it is tried as if for the first time.
func TestResent(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js := s.JetStream("worker")
		cfg := backoff.Config{Tries: 2}
		sender, err := backoff.NewSender(t.Context(), js, "bank", cfg)
		require.NoError(t, err)
		b := newBank(0, until(time.Minute))
		stop := start(t, js, cfg, b.book)
		require.NoError(t, sender.Send(t.Context(), "pay-1", &nats.Msg{Data: []byte("of pay-1")}))
		time.Sleep(3 * time.Minute)
		st, _ := stream(t, js)
		m, err := st.GetLastMsgForSubject(t.Context(), "backoff.bank.failed.pay-1")
		require.NoError(t, err)
		require.NoError(t, sender.Send(t.Context(), "pay-1", &nats.Msg{Header: m.Header, Data: m.Data}))
		time.Sleep(time.Minute)
		stop()
		require.Len(t, b.all(), 3)
		require.Equal(t, 1, b.all()[2].try)
	})
}

// A worker that is cut off when it has given a message up, and before the server hears
// that, leaves the reason as it is, and the message is not tried again.
func TestGivenUp(t *testing.T) {
	for name, err := range map[string]error{"poison": backoff.ErrPoison, "its last try": errDown} {
		t.Run(name, func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
				js, cfg := s.JetStream("worker"), backoff.Config{Tries: 1, Timeout: 2 * time.Second}
				if err == backoff.ErrPoison {
					cfg.Tries = 5
				}
				calls := 0
				stop := start(t, js, cfg, func(context.Context, backoff.Message) error {
					if calls++; calls == 1 { // what follows takes 100ms there, and the term another 100ms
						s.Link("worker").Delay(100 * time.Millisecond)
						time.AfterFunc(150*time.Millisecond, func() { s.Link("worker").Cut(); s.Link("worker").Delay(0) })
					}
					return err
				})
				shop := s.JetStream("shop")
				send(t, shop, cfg, "pay-1")
				time.Sleep(time.Minute)
				stop()
				require.Equal(t, 1, calls)
				_, reason := failed(t, shop, "pay-1")
				require.Equal(t, err.Error(), reason)
			})
		})
	}
}

// A try that takes longer than AckWait, 2s, and fails when another worker has done the
// message, puts nothing away, and gives nothing up.
func TestLate(t *testing.T) {
	for name, err := range map[string]error{"poison": backoff.ErrPoison, "a failure": errDown} {
		t.Run(name, func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
				cfg := backoff.Config{Policy: backoff.Policy{First: 10 * time.Second, Ceiling: time.Hour}, Timeout: time.Second, Hands: 1}
				var calls atomic.Int64
				for _, worker := range []string{"one", "two"} {
					start(t, s.JetStream(worker), cfg, func(context.Context, backoff.Message) error {
						if calls.Add(1) > 1 {
							return nil
						}
						time.Sleep(4 * time.Second)
						return err
					})
					time.Sleep(7 * time.Millisecond)
				}
				js := s.JetStream("shop")
				send(t, js, cfg, "pay-1")
				time.Sleep(time.Minute)
				require.EqualValues(t, 2, calls.Load())
				_, left := stream(t, js)
				require.Zero(t, left)
			})
		})
	}
}
