package perkey_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/perkey"
)

// Run returns an error when it cannot continue.
func TestRunEnds(t *testing.T) {
	noConsumer := func(ctx context.Context, js jetstream.JetStream, _ *nats.Conn) error {
		return js.DeleteConsumer(ctx, "PERKEY_bank", "books-1")
	}
	noStream := func(ctx context.Context, js jetstream.JetStream, _ *nats.Conn) error {
		return js.DeleteStream(ctx, "PERKEY_bank")
	}
	for name, c := range map[string]struct {
		disconnected bool
		act          func(ctx context.Context, js jetstream.JetStream, own *nats.Conn) error
	}{
		"the consumer is deleted":                     {act: noConsumer},
		"the stream is deleted":                       {act: noStream},
		"the consumer is deleted during a disconnect": {disconnected: true, act: noConsumer},
		"the stream is deleted during a disconnect":   {disconnected: true, act: noStream},
		"the consumer is recreated with another group": {disconnected: true, act: func(ctx context.Context, js jetstream.JetStream, _ *nats.Conn) error {
			err := noConsumer(ctx, js, nil)
			_, too := js.CreateConsumer(ctx, "PERKEY_bank", jetstream.ConsumerConfig{Durable: "books-1", AckPolicy: jetstream.AckExplicitPolicy, PriorityPolicy: jetstream.PriorityPolicyPinned, PriorityGroups: []string{"another"}, PinnedTTL: time.Minute})
			return errors.Join(err, too)
		}},
		"the connection is closed": {act: func(_ context.Context, _ jetstream.JetStream, own *nats.Conn) error { own.Close(); return nil }},
	} {
		t.Run(name, func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
				js, own := s.JetStream("owner"), s.Connect("books")
				d, err := perkey.NewDispatcher(t.Context(), must(jetstream.New(own)), "bank", "books", quiet(perkey.Config{Partitions: 2}))
				require.NoError(t, err)
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				done := make(chan error, 1)
				go func() { done <- d.Run(ctx, newBank(0)) }()
				time.Sleep(time.Second)
				if c.disconnected {
					s.Link("books").Down()
					time.Sleep(time.Second)
				}
				require.NoError(t, c.act(t.Context(), js, own))
				if c.disconnected {
					s.Link("books").Up()
				}
				require.ErrorContains(t, <-done, "perkey: books of bank: ")
				require.NoError(t, ctx.Err(), "in time")
			})
		})
	}
}

// A dispatcher that stops finishes running Apply calls within Grace, and naks the rest;
// also while it is disconnected.
func TestStop(t *testing.T) {
	for name, c := range map[string]struct {
		takes, want time.Duration
		cut         bool
		applied     int
	}{
		"running calls finish":       {takes: 3 * time.Second, want: 2 * time.Second, applied: 2},
		"running calls exceed Grace": {takes: time.Hour, want: 10 * time.Second},
		"it is disconnected":         {takes: 3 * time.Second, want: 2 * time.Second, cut: true, applied: 2},
		"nothing is running":         {takes: 0, applied: 7},
		"the ledger fails":           {takes: -1},
	} {
		t.Run(name, func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
				js, b := s.JetStream("owner"), newBank(c.takes)
				if c.takes < 0 {
					b.fails = func(perkey.Event, int) (bool, error) { return false, errors.New("broken") }
				}
				stop := run(t, s.JetStream("books"), b, perkey.Config{Concurrency: 2})
				for v := range uint64(3) {
					publish(t, js, event("a", v+1, 1), event("b", v+1, 1))
				}
				publish(t, js, event("c", 1, 1), event("d", 2, 1))
				time.Sleep(time.Second / 2)
				if c.cut {
					s.Link("books").Down()
				}
				time.Sleep(time.Second / 2)
				start := time.Now()
				require.NoError(t, stop())
				require.Equal(t, c.want, time.Since(start).Round(10*time.Millisecond))
				require.Equal(t, c.applied, b.now().balance["a"]+b.now().balance["b"]+b.now().balance["c"])
				if !c.cut {
					b.takes, b.fails = 0, nil // no worker is running
					time.Sleep(time.Millisecond)
					next := run(t, s.JetStream("next"), b, perkey.Config{})
					time.Sleep(100 * time.Millisecond)
					require.Equal(t, 7, b.now().balance["a"]+b.now().balance["b"]+b.now().balance["c"], "at once")
					require.NoError(t, next())
				}
			})
		})
	}
}

// The events of an Apply that ignores its context are redelivered after Grace, and not only
// when Apply returns.
func TestGraceIgnored(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js, b, cfg := s.JetStream("owner"), newBank(0), perkey.Config{Takeover: 6 * time.Second, Grace: 10 * time.Second}
		stop := run(t, s.JetStream("one"), stuck{newBank(0)}, cfg)
		publish(t, js, deposit("a"), withdraw("a"))
		time.Sleep(time.Second)
		stopped := make(chan error, 1)
		go func() { stopped <- stop() }()
		next := run(t, s.JetStream("two"), b, cfg)
		time.Sleep(10 * time.Second)
		require.Empty(t, b.now().balance, "not within Grace")
		time.Sleep(12 * time.Second)
		require.Equal(t, 80, b.now().balance["a"], "Takeover after Grace")
		require.NoError(t, next())
		require.NoError(t, <-stopped)
	})
}

// stuck is a ledger whose Apply ignores its context for an hour.
type stuck struct{ *bank }

func (stuck) Apply(context.Context, perkey.Event) error {
	time.Sleep(time.Hour)
	return errRefused
}
