package requestreply_test

import (
	"context"
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/internal/ratio"
	"github.com/natspatterns/catalog/patterns/requestreply"
)

const requests = 1000

// p50 returns the median time that one request takes.
func p50(b *testing.B, request func() error) time.Duration {
	took := make([]time.Duration, requests)
	for i := range took {
		start := time.Now()
		if err := request(); err != nil {
			b.Fatal(err)
		}
		took[i] = time.Since(start)
	}
	slices.Sort(took)
	return took[requests/2]
}

func ours(b *testing.B) time.Duration {
	s := natstest.Listen(b)
	ctx, stop := context.WithCancel(b.Context())
	r, err := requestreply.NewResponder(ctx, dial(b, s), "prices", requestreply.Config{}, requestreply.Handle("prices.quote", prices))
	if err != nil {
		b.Fatal(err)
	}
	nc := dial(b, s)
	took := p50(b, func() error {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		_, err := request(ctx, nc, "apple")
		return err
	})
	stop()
	if err := r.Run(ctx); err != nil {
		b.Fatal(err)
	}
	return took
}

// plain handles each request on a goroutine of its own, as ours does: otherwise a slow
// request blocks those behind it.
func plain(b *testing.B) time.Duration {
	return beside(b, func(handle nats.MsgHandler) nats.MsgHandler {
		return func(m *nats.Msg) { go handle(m) }
	})
}

// serial handles one request after the other.
func serial(b *testing.B) time.Duration {
	return beside(b, func(handle nats.MsgHandler) nats.MsgHandler { return handle })
}

func beside(b *testing.B, how func(nats.MsgHandler) nats.MsgHandler) time.Duration {
	s := natstest.Listen(b)
	responder := dial(b, s)
	_, err := responder.QueueSubscribe("prices.quote", "q", how(func(m *nats.Msg) {
		var q quote
		if err := json.Unmarshal(m.Data, &q); err != nil {
			return
		}
		p, err := prices(context.Background(), q)
		if err != nil {
			return
		}
		data, err := json.Marshal(p)
		if err == nil {
			_ = m.Respond(data) // the requester would time out, and the benchmark fails
		}
	}))
	if err == nil {
		err = responder.Flush()
	}
	if err != nil {
		b.Fatal(err)
	}
	nc := dial(b, s)
	return p50(b, func() error {
		ctx, cancel := context.WithTimeout(b.Context(), time.Second)
		defer cancel()
		data, err := json.Marshal(quote{"apple"})
		if err != nil {
			return err
		}
		msg, err := nc.RequestWithContext(ctx, "prices.quote", data)
		if err != nil {
			return err
		}
		var p price
		return json.Unmarshal(msg.Data, &p)
	})
}

// dial connects over TCP, as between two processes.
func dial(b *testing.B, s *natstest.Server) *nats.Conn {
	nc, err := nats.Connect(s.ClientURL())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(nc.Close)
	return nc
}

func BenchmarkLatency(b *testing.B) {
	ratio.Bar{Pattern: "requestreply", Metric: "p50 of a request over TCP", AtMost: 1.15, Pairs: 61}.Compare(b, plain, ours)
}

// The cost of handling requests concurrently. It has a bar of its own.
func BenchmarkSerial(b *testing.B) {
	ratio.Bar{Pattern: "requestreply", Metric: "the same, beside one request at a time", AtMost: 1.5, Pairs: 61}.Compare(b, serial, ours)
}
