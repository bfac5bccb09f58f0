package queueing_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/queueing"
)

// What is not promised: here is how a job comes to be done twice, or never.
func TestNotPromised(t *testing.T) {
	t.Run("a work queue does a job twice if its worker dies between the effect and the ack", func(t *testing.T) {
		natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
			sc := newScene(t, s)
			var charged ledger
			for _, name := range []string{"a", "b"} {
				w, err := queueing.NewWorker(t.Context(), s.JetStream(name), "mail", queueing.Config{})
				require.NoError(t, err)
				run(t, w, func(_ context.Context, msg queueing.Message) error {
					if len(charged.count()) == 0 {
						s.Link(name).Down() // the effect takes place; the ack is not heard
					}
					return charged.did(msg, 0)
				})
			}
			sc.send(t, "job-1")
			time.Sleep(29 * time.Second)
			require.Equal(t, map[string]int{"jobs.mail.job-1": 1}, charged.count())
			time.Sleep(2 * time.Second)
			require.Equal(t, map[string]int{"jobs.mail.job-1": 2}, charged.count())
			require.Equal(t, queueing.Done, sc.outcome(t, "job-1").State)
		})
	})

	t.Run("a queue group loses the job in hand of a member that dies", func(t *testing.T) {
		natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
			var l ledger
			b := bench{form: forms[0], queue: "mail", connect: func(name string) *nats.Conn { return s.Connect(name) }}
			stop := b.start(t, "a", queueing.Config{Grace: time.Second}, func(ctx context.Context, _ queueing.Message) error {
				s.Link("a").Down()
				<-ctx.Done() // it never gets to the effect
				return ctx.Err()
			})
			nc := s.Connect("client")
			require.NoError(t, queueing.Offer(t.Context(), nc, "mail", "job-1", &nats.Msg{}))
			time.Sleep(time.Second)
			b.start(t, "b", queueing.Config{}, func(_ context.Context, msg queueing.Message) error { return l.did(msg, 0) })
			require.NoError(t, queueing.Offer(t.Context(), nc, "mail", "job-2", &nats.Msg{}))
			time.Sleep(time.Hour)
			require.Equal(t, map[string]int{"offers.mail.job-2": 1}, l.count())
			stop()
		})
	})

	t.Run("a queue group without members loses the job, and says nothing", func(t *testing.T) {
		natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
			var l ledger
			b := bench{form: forms[0], queue: "mail", connect: func(name string) *nats.Conn { return s.Connect(name) }}
			require.NoError(t, queueing.Offer(t.Context(), s.Connect("client"), "mail", "job-1", &nats.Msg{}))
			time.Sleep(time.Second)
			b.start(t, "a", queueing.Config{}, func(_ context.Context, msg queueing.Message) error { return l.did(msg, 0) })
			time.Sleep(time.Hour)
			require.Empty(t, l.count())
		})
	})
}

// A member that cannot keep up is not slowed, nor does it slow others: it loses
// jobs, and its log says so.
func TestSlowMember(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		warned := make(chan string, 10)
		log := slog.New(slog.NewTextHandler(lines(warned), nil))
		m, err := queueing.NewMember(t.Context(), s.Connect("a"), "mail", queueing.Config{Prefetch: 9, Log: log})
		require.NoError(t, err)
		var l ledger
		run(t, m, func(_ context.Context, msg queueing.Message) error {
			time.Sleep(time.Second)
			return l.did(msg, 0)
		})
		client := s.Connect("client")
		for i := range 50 {
			require.NoError(t, queueing.Offer(t.Context(), client, "mail", fmt.Sprint("job-", i), &nats.Msg{}))
			if i == 0 {
				time.Sleep(time.Millisecond) // this one is in hand, and none before the rest is
			}
		}
		time.Sleep(time.Minute)
		require.Len(t, l.count(), 11, "one in hand, and room for InHand and Ahead")
		require.Contains(t, <-warned, "jobs are dropped")
	})
}

type lines chan string

func (l lines) Write(p []byte) (int, error) {
	select {
	case l <- string(p):
	default:
	}
	return len(p), nil
}

// Order is kept by neither form: a job that fails is overtaken.
func TestOrder(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		sc := newScene(t, s)
		w, err := queueing.NewWorker(t.Context(), s.JetStream("a"), "mail", queueing.Config{})
		require.NoError(t, err)
		first := true
		run(t, w, func(_ context.Context, msg queueing.Message) error {
			sc.note("%s", msg.Data)
			if first {
				first = false
				return errors.New("not now")
			}
			return nil
		})
		sc.send(t, "job-1", "job-2")
		time.Sleep(time.Minute)
		require.Equal(t, []string{"0s job-1", "0s job-2", "1s job-1"}, sc.noted())
	})
}
