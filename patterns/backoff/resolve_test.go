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
	"github.com/natspatterns/catalog/patterns/retry"
)

// A message keeps its headers and data through nak, schedule and failure, even if handlers
// change them. Nats-* headers are dropped. An ID is stored once in two minutes.
func TestMessage(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js := s.JetStream("worker")
		cfg := backoff.Config{MaxDeliver: 3, Policy: policy(retry.Config{Policy: retry.Policy{Initial: 3 * time.Second, Max: time.Hour}})}
		sender, err := backoff.NewSender(t.Context(), js, "bank", cfg)
		require.NoError(t, err)
		for range 2 {
			header := nats.Header{"Order": {"7"}, "Nats-TTL": {"1s"}, "Backoff-Deliveries": {"2"}}
			require.NoError(t, sender.Send(t.Context(), "pay-1", &nats.Msg{Data: []byte("of pay-1"), Header: header}))
		}
		var attempts atomic.Int64
		start(t, js, cfg, func(_ context.Context, msg backoff.Message) error {
			assert.Equal(t, "of pay-1", string(msg.Data))
			assert.Equal(t, "7", msg.Header.Get("Order"))
			assert.EqualValues(t, attempts.Add(1), msg.Delivery)
			copy(msg.Data, "changed")
			msg.Header.Set("Order", "changed")
			msg.Header.Set("Extra", "changed")
			return errDown
		})
		time.Sleep(time.Minute)
		require.EqualValues(t, 3, attempts.Load())
		st, _ := stream(t, js)
		m, err := st.GetLastMsgForSubject(t.Context(), "backoff.bank.failed.pay-1")
		require.NoError(t, err)
		for k := range m.Header {
			if strings.HasPrefix(k, "Nats-Expected-") { // the condition of the publish
				delete(m.Header, k)
			}
		}
		m.Header.Del(backoff.HeaderSequence)
		require.Equal(t, nats.Header{"Order": {"7"}, backoff.HeaderDeliveries: {"3"}, backoff.HeaderReason: {errDown.Error()}}, m.Header)
		time.Sleep(2 * time.Minute)
		attempts.Store(0)
		require.NoError(t, sender.Send(t.Context(), "pay-1", &nats.Msg{Data: []byte("of pay-1"), Header: nats.Header{"Order": {"7"}}}))
		time.Sleep(time.Minute)
		require.EqualValues(t, 3, attempts.Load(), "it is a new message")
	})
}

// Ten messages wait for ten minutes. As schedules they hold no slot of MaxAckPending, and
// the eleventh message is handled at once. As delayed naks they hold all ten slots, and
// the eleventh waits for ten minutes.
func TestScheduleAfter(t *testing.T) {
	for _, tc := range []struct {
		name  string
		after time.Duration
		at    time.Duration
		held  int
	}{
		{"a schedule holds no slot", time.Minute, time.Minute, 0},
		{"a delayed nak holds a slot for its whole delay", time.Hour, 10 * time.Minute, 10},
	} {
		t.Run(tc.name, func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
				js := s.JetStream("worker")
				cfg := backoff.Config{ScheduleAfter: tc.after, MaxAckPending: 10, Policy: policy(retry.Config{
					Policy: retry.Policy{Initial: 10 * time.Minute, Max: time.Hour}, Breaker: never()})}
				b := newBank(0, until(time.Second))
				start(t, js, cfg, b.book)
				send(t, js, cfg, numbered(1, 10)...)
				time.Sleep(time.Second) // before AckWait
				cons, err := js.Consumer(t.Context(), "BACKOFF_bank", "workers")
				require.NoError(t, err)
				require.Equal(t, tc.held, cons.CachedInfo().NumAckPending)
				time.Sleep(time.Minute - time.Second)
				send(t, js, cfg, "pay-11")
				time.Sleep(10 * time.Minute)
				var at time.Duration
				for _, c := range b.all() {
					if c.id == "pay-11" {
						at = c.at
					}
				}
				require.Equal(t, tc.at, at.Truncate(time.Minute))
				require.Len(t, b.all(), 21, "all are done")
			})
		})
	}
}

// A failed message is sent again with all its headers: its attempts start at 1.
func TestSendFailedAgain(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js := s.JetStream("worker")
		cfg := backoff.Config{MaxDeliver: 2}
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
		require.Equal(t, 1, b.all()[2].attempt)
	})
}
