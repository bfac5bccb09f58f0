package outbox_test

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/outbox"
)

// crashing is a publisher whose process is killed, with its connection and its database,
// at a step of one message.
type crashing struct {
	jetstream.JetStream
	kill func()
	at   string
	n    int // of which message
}

func (d *crashing) PublishMsgAsync(m *nats.Msg, opts ...jetstream.PublishOpt) (jetstream.PubAckFuture, error) {
	d.n--
	if d.n == 0 && d.at == "read" {
		d.kill()
	}
	ack, err := d.JetStream.PublishMsgAsync(m, opts...)
	if d.n == 0 && d.at == "published" {
		_ = d.Conn().Flush() // the server has stored it, and the ack is lost
		d.kill()
	}
	if d.n == 0 && d.at == "acknowledged" {
		<-d.PublishAsyncComplete()
		d.kill()
	}
	return ack, err
}

// A relay that is killed at any step is replaced by another: no message is lost or
// stored twice, and the order stays.
func TestCrash(t *testing.T) {
	for _, at := range []string{"read", "published", "acknowledged"} {
		for _, n := range []int{1, 10} {
			t.Run(fmt.Sprint(at, " ", n), func(t *testing.T) {
				each(t, func(t *testing.T, s *natstest.Server, db *sql.DB) {
					js := s.JetStream("shop")
					events(t, js)
					for _, id := range ids(10) {
						require.NoError(t, place(t.Context(), db, "ann", id))
					}
					nc := s.Connect("first")
					its := reopens[db]()
					d := &crashing{JetStream: must(jetstream.New(nc)), at: at, n: n}
					ctx, cancel := context.WithCancel(t.Context())
					d.kill = func() { nc.Close(); _ = its.Close(); cancel() }
					r, err := outbox.NewRelay(ctx, its, nc, d, "shop", outbox.Config{Log: slog.New(slog.DiscardHandler)})
					require.NoError(t, err)
					_ = r.Run(ctx) // it was killed, so its result does not matter
					require.LessOrEqual(t, d.n, 0, "it was killed")
					if at != "read" || n > 1 {
						require.NotEmpty(t, stored(t, js))
					}
					require.NotZero(t, left(t, db), "it could not mark what it had published")
					stop := relay(t, db, s.Connect("second"), outbox.Config{})
					time.Sleep(5 * time.Second) // lint:bubble each runs its test in one
					require.Equal(t, ids(10), stored(t, js))
					require.Zero(t, left(t, db))
					require.NoError(t, stop())
				})
			})
		}
	}
}

// A relay whose context ends between the ack and the mark still marks it.
func TestStop(t *testing.T) {
	each(t, func(t *testing.T, s *natstest.Server, db *sql.DB) {
		js, nc := s.JetStream("shop"), s.Connect("relay")
		events(t, js)
		for _, id := range ids(3) {
			require.NoError(t, place(t.Context(), db, "ann", id))
		}
		ctx, cancel := context.WithCancel(t.Context())
		d := &crashing{JetStream: must(jetstream.New(nc)), at: "acknowledged", n: 1, kill: cancel}
		r, err := outbox.NewRelay(ctx, db, nc, d, "shop", outbox.Config{})
		require.NoError(t, err)
		require.NoError(t, r.Run(ctx))
		require.Equal(t, ids(1), stored(t, js))
		require.Equal(t, 2, left(t, db))
	})
}

// Not promised: a relay crashes between the ack and the mark, and the next one starts
// after the duplicate window. It publishes again. The inbox of the consumer detects the
// duplicate by its ID.
func TestBeyondWindow(t *testing.T) {
	each(t, func(t *testing.T, s *natstest.Server, db *sql.DB) {
		js, nc, its := s.JetStream("shop"), s.Connect("first"), reopens[db]()
		events(t, js)
		require.NoError(t, place(t.Context(), db, "ann", "order-1"))
		d := &crashing{JetStream: must(jetstream.New(nc)), at: "acknowledged", n: 1}
		ctx, cancel := context.WithCancel(t.Context())
		d.kill = func() { nc.Close(); _ = its.Close(); cancel() }
		r, err := outbox.NewRelay(ctx, its, nc, d, "shop", outbox.Config{Log: slog.New(slog.DiscardHandler)})
		require.NoError(t, err)
		_ = r.Run(ctx)
		time.Sleep(3 * time.Minute)
		stop := relay(t, db, s.Connect("second"), outbox.Config{})
		time.Sleep(time.Second)
		require.Equal(t, []string{"order-1", "order-1"}, stored(t, js))
		require.NoError(t, stop())
		cons := must(js.OrderedConsumer(t.Context(), "EVENTS", jetstream.OrderedConsumerConfig{}))
		effects := 0
		for range 2 {
			m, err := cons.Next()
			require.NoError(t, err)
			effects += take(t, db, m.Headers().Get(jetstream.MsgIDHeader))
		}
		require.Equal(t, 1, effects)
	})
}
