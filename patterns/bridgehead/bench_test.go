package bridgehead_test

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/natspatterns/catalog/internal/ratio"
	"github.com/natspatterns/catalog/internal/server"
	"github.com/natspatterns/catalog/patterns/bridgehead"
)

const messages = 10_000

// catchUp stores messages at the edge while the link is down, and returns how long
// it takes from the link's return until all have arrived at the hub.
func catchUp(permissions string, open func(ctx context.Context, edge, hub jetstream.JetStream) (jetstream.Stream, error)) func(b *testing.B) time.Duration {
	return func(b *testing.B) time.Duration {
		s, err := server.NewSites(b.TempDir(), permissions)
		if err != nil {
			b.Fatal(err)
		}
		defer s.Stop()
		ctx := b.Context()
		site := func(srv *server.Server) jetstream.JetStream {
			nc, err := nats.Connect(srv.ClientURL())
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(nc.Close)
			js, err := jetstream.New(nc)
			if err != nil {
				b.Fatal(err)
			}
			return js
		}
		edge, hub := site(s.Edge), site(s.Hub)
		in, err := open(ctx, edge, hub)
		for active := false; err == nil && !active; { // sourcing has begun
			var info *jetstream.StreamInfo
			if info, err = in.Info(ctx); err == nil {
				active = len(info.Sources) > 0 && info.Sources[0].Active >= 0
			}
		}
		if err == nil {
			err = s.Cut()
		}
		if err != nil {
			b.Fatal(err)
		}
		for range messages {
			if _, err := edge.PublishAsync("orders.order-1.placed", make([]byte, 128)); err != nil {
				b.Fatal(err)
			}
		}
		<-edge.PublishAsyncComplete()
		if err := s.Join(); err != nil {
			b.Fatal(err)
		}
		deadline := time.Now().Add(45 * time.Second)
		var start time.Time // the first arrival; the server decides when it reconnects
		for {
			info, err := in.Info(ctx)
			if err != nil {
				b.Fatal(err)
			}
			if n := info.State.Msgs; n >= messages {
				return time.Since(start)
			} else if n > 0 && start.IsZero() {
				start = time.Now()
			} else if time.Now().After(deadline) {
				b.Fatalf("%d of %d have arrived after 45s", n, messages)
			}
			time.Sleep(time.Millisecond) // lint:bubble: a benchmark
		}
	}
}

func ours() func(b *testing.B) time.Duration {
	route := bridgehead.Route{Name: "orders", From: "edge", To: "hub", Subjects: []string{"orders.*.placed"}}
	permissions, err := bridgehead.Permissions("edge", route)
	if err != nil {
		panic(err) // the route is valid
	}
	return catchUp(permissions, func(ctx context.Context, edge, hub jetstream.JetStream) (jetstream.Stream, error) {
		if _, err := bridgehead.Export(ctx, edge, route, bridgehead.Config{}); err != nil {
			return nil, err
		}
		return bridgehead.Import(ctx, hub, route, bridgehead.Config{})
	})
}

// plain is a sourced stream without permissions, prefix and MaxAge.
func plain() func(b *testing.B) time.Duration {
	return catchUp("", func(ctx context.Context, edge, hub jetstream.JetStream) (jetstream.Stream, error) {
		if _, err := edge.CreateStream(ctx, jetstream.StreamConfig{Name: "OUT", Subjects: []string{"orders.*.placed"}}); err != nil {
			return nil, err
		}
		return hub.CreateStream(ctx, jetstream.StreamConfig{Name: "IN", Sources: []*jetstream.StreamSource{{Name: "OUT", Domain: "edge"}}})
	})
}

func BenchmarkCatchUp(b *testing.B) {
	ratio.Bar{Pattern: "bridgehead", Metric: "catching up, beside a plain sourced stream", AtLeast: 0.8}.Compare(b, plain(), ours())
}
