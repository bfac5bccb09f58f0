package datatype_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/datatype"
)

// A copy that a cluster reports as in process is not stored yet. One that is refused for
// now is not too large.
func TestNotYetDiverted(t *testing.T) {
	for name, code := range map[string]int{"it is in process": 10164, "resources are short": 10023} {
		t.Run(name, func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
				one, _, _ := visits(t)
				ctx, js := t.Context(), s.JetStream("clinic")
				stop := read(t, js, one, "billing", seen(new([]string), minutes))
				require.NoError(t, js.DeleteStream(ctx, "INVALID_visit"))
				nc, requests := s.Connect("cluster"), 0
				sub := must(nc.Subscribe("invalid.visit.>", func(m *nats.Msg) {
					requests++
					_ = m.Respond(fmt.Appendf(nil, `{"error":{"code":400,"err_code":%d,"description":"not now"}}`, code))
				}))
				require.NoError(t, nc.Flush())
				must(js.PublishMsg(ctx, as("invoice", 1, 1, `{}`)))
				time.Sleep(500 * time.Millisecond)
				require.NoError(t, sub.Drain())
				time.Sleep(100 * time.Millisecond)
				require.Equal(t, 1, requests)
				open(t, js, one)
				time.Sleep(10 * time.Second)
				stop()
				diverted := stored(t, js, "INVALID_visit")
				require.Len(t, diverted, 1)
				require.Equal(t, "{}", string(diverted[0].Data))
				require.Empty(t, diverted[0].Header.Get(datatype.HeaderTruncated))
			})
		})
	}
}

// An error of the codec that a handler returns is about another message: it is no reason
// to divert this one.
func TestHandlersOwnErrors(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		one, _, _ := visits(t)
		js := s.JetStream("clinic")
		must(open(t, js, one).Publish(t.Context(), "ann", VisitV1{"p-1", "Ann Lee", 20}))
		calls := 0
		stop := read(t, js, one, "billing", func(context.Context, datatype.Message[VisitV1]) error {
			if calls++; calls > 2 {
				return nil
			}
			_, _, err := one.Encode(VisitV1{})
			return fmt.Errorf("publish the next one: %w", err)
		})
		time.Sleep(10 * time.Second)
		stop()
		require.Equal(t, 3, calls)
		require.Empty(t, stored(t, js, "INVALID_visit"))
	})
}

// After the end of ctx, a message is not redelivered at once, again and again.
func TestContextEnded(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		one, _, _ := visits(t)
		js := s.JetStream("clinic")
		c := open(t, js, one)
		must(c.Publish(t.Context(), "ann", VisitV1{"p-1", "Ann Lee", 20}))
		ended, end := context.WithCancel(t.Context())
		end()
		cons, delivered := consumer(t, js, "billing"), 0
		h := must(c.Guard(ended, cons, seen(new([]string), minutes)))
		cc := must(cons.Consume(func(m jetstream.Msg) {
			if delivered++; delivered > 9 {
				_ = m.Term()
				return
			}
			h(m)
		}))
		time.Sleep(10 * time.Second)
		cc.Stop()
		<-cc.Closed()
		require.Equal(t, 4, delivered, "after 0, 1, 3 and 7 seconds")
	})
}

// When MaxAckPending messages cannot be diverted, no other message is delivered.
func TestMaxAckPending(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		one, _, _ := visits(t)
		ctx, js := t.Context(), s.JetStream("clinic")
		c := open(t, js, one)
		cons := must(js.CreateConsumer(ctx, "DATATYPE_visit", jetstream.ConsumerConfig{Durable: "billing", AckPolicy: jetstream.AckExplicitPolicy, MaxAckPending: 2}))
		var got []string
		cc := must(cons.Consume(must(c.Guard(ctx, cons, seen(&got, minutes)))))
		require.NoError(t, js.DeleteStream(ctx, "INVALID_visit"))
		for range 2 {
			must(js.PublishMsg(ctx, as("invoice", 1, 1, `{}`)))
		}
		must(c.Publish(ctx, "ann", VisitV1{"p-1", "Ann Lee", 20}))
		time.Sleep(5 * time.Minute)
		require.Empty(t, got)
		open(t, js, one)
		time.Sleep(2 * time.Minute)
		cc.Stop()
		<-cc.Closed()
		require.Equal(t, []string{"ann:20"}, got)
	})
}
