package bridgehead_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/internal/server"
	"github.com/natspatterns/catalog/patterns/bridgehead"
)

// sites starts two sites, with the permissions of the routes unless open.
func sites(t *testing.T, open bool, routes ...bridgehead.Route) *server.Sites {
	t.Helper()
	permissions := ""
	if !open {
		var err error
		permissions, err = bridgehead.Permissions("edge", routes...)
		require.NoError(t, err)
	}
	s, err := server.NewSites(t.TempDir(), permissions)
	require.NoError(t, err)
	t.Cleanup(s.Stop)
	return s
}

func connect(t *testing.T, s *server.Server) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(s.ClientURL(), nats.MaxReconnects(-1), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	return nc
}

// open exports and imports a route.
func open(t *testing.T, from, to jetstream.JetStream, route bridgehead.Route, cfg bridgehead.Config) {
	t.Helper()
	_, err := bridgehead.Export(t.Context(), from, route, cfg)
	require.NoError(t, err)
	_, err = bridgehead.Import(t.Context(), to, route, cfg)
	require.NoError(t, err)
}

// up waits until the link of a route is up, as seen at To.
func up(t *testing.T, to jetstream.JetStream, route bridgehead.Route) {
	t.Helper()
	natstest.Eventually(t, 15*time.Second, func(ctx context.Context) error {
		link, err := bridgehead.ReadLink(ctx, to, route)
		if err == nil && !link.Up {
			err = fmt.Errorf("%+v", link)
		}
		return err
	})
}

func crossed(t *testing.T, to jetstream.JetStream, route bridgehead.Route) uint64 {
	t.Helper()
	link, err := bridgehead.ReadLink(t.Context(), to, route)
	require.NoError(t, err)
	return link.Received
}

// arrived returns all messages of a stream, once it has n.
func arrived(t *testing.T, js jetstream.JetStream, stream string, n uint64) []string {
	t.Helper()
	var all []string
	natstest.Eventually(t, 45*time.Second, func(ctx context.Context) error {
		s, err := js.Stream(ctx, stream)
		if err != nil {
			return err
		}
		last := s.CachedInfo().State.LastSeq
		if last < n {
			return fmt.Errorf("%s has %d of %d", stream, last, n)
		}
		cons, err := s.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{})
		if err != nil {
			return err
		}
		batch, err := cons.Fetch(int(last), jetstream.FetchContext(ctx))
		if err != nil {
			return err
		}
		all = nil
		for msg := range batch.Messages() {
			all = append(all, msg.Subject()+" "+string(msg.Data()))
		}
		if batch.Error() != nil || uint64(len(all)) < last {
			return fmt.Errorf("read %d of %d: %w", len(all), last, batch.Error())
		}
		return nil
	})
	return all
}

// once checks that each of n messages on each of the subjects arrived once, in
// order per subject.
func once(t *testing.T, got []string, subjects []string, n int) {
	t.Helper()
	require.Len(t, got, n*len(subjects))
	next := map[string]int{}
	for _, g := range got {
		var subject string
		var i int
		_, err := fmt.Sscanf(g, "%s %d", &subject, &i)
		require.NoError(t, err)
		require.Equal(t, next[subject], i, "on %s", subject)
		next[subject]++
	}
	for _, s := range subjects {
		require.Equal(t, n, next[s], s)
	}
}

// publish stores messages from, up to to, on each subject, every other millisecond.
func publish(t *testing.T, js jetstream.JetStream, subjects []string, from, to int) {
	for i := from; i < to; i++ {
		for _, subject := range subjects {
			_, err := js.Publish(context.Background(), subject, fmt.Append(nil, i))
			assert.NoError(t, err, "a site goes on without the link")
		}
		time.Sleep(2 * time.Millisecond) // lint:bubble: the load has to last as long as the cuts
	}
}
