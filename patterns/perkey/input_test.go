package perkey_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/perkey"
)

func TestBadInput(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js, ctx := s.JetStream("owner"), t.Context()
		ended, cancel := context.WithCancel(ctx)
		cancel()
		err := perkey.Publish(ctx, js, "bank", deposit("a"))
		require.ErrorIs(t, err, jetstream.ErrNoStreamResponse)
		require.ErrorContains(t, err, "Provision")
		_, err = perkey.New(ctx, js, "bank", "books", perkey.Config{Bind: true})
		require.ErrorIs(t, err, jetstream.ErrStreamNotFound)
		_, err = perkey.New(ended, js, "bank", "books", perkey.Config{})
		require.ErrorIs(t, err, context.Canceled)

		d, err := perkey.New(ctx, js, "bank", "books", quiet(perkey.Config{}))
		require.NoError(t, err)
		for _, id := range []string{"", "a.b", "*", ">", "a\x00", strings.Repeat("x", 65)} {
			require.ErrorIs(t, perkey.Publish(ctx, js, "bank", deposit(id)), perkey.ErrID, "%.20q", id)
			require.ErrorIs(t, perkey.Publish(ctx, js, id, deposit("a")), perkey.ErrID, "%.20q", id)
			_, err := perkey.New(ctx, js, "bank", id, perkey.Config{})
			require.ErrorIs(t, err, perkey.ErrID, "%.20q", id)
			require.ErrorIs(t, perkey.Provision(ctx, js, "bank", id, perkey.Config{}), perkey.ErrID, "%.20q", id)
			require.ErrorIs(t, perkey.Provision(ctx, js, id, "books", perkey.Config{}), perkey.ErrID, "%.20q", id)
		}
		require.ErrorIs(t, perkey.Publish(ctx, js, "bank", event("a", 0, 1)), perkey.ErrVersion)
		require.ErrorIs(t, perkey.Publish(ctx, js, "bank", perkey.Event{Key: "a", Version: 1, Data: make([]byte, 2<<20)}), nats.ErrMaxPayload)
		require.ErrorIs(t, perkey.Publish(ended, js, "bank", deposit("a")), context.Canceled)
		for field, cfg := range map[string]perkey.Config{
			"Workers": {Workers: -1}, "Room": {Room: 1}, "Patience": {Patience: 1}, "Partitions": {Partitions: -1}, "Reads": {Reads: []int{1}},
			"Takeover": {Takeover: time.Second}, "Grace": {Grace: -1}, "Replicas": {Replicas: 6},
		} {
			_, err := perkey.New(ctx, js, "bank", "books", cfg)
			require.ErrorIs(t, err, perkey.ErrConfig)
			require.ErrorContains(t, err, field)
			require.ErrorIs(t, perkey.Provision(ctx, js, "bank", "books", cfg), perkey.ErrConfig)
		}
		require.ErrorIs(t, d.Run(ctx, nil), perkey.ErrConfig)
		require.NoError(t, d.Run(ended, newBank(0)))
		require.ErrorIs(t, d.Run(ctx, newBank(0)), perkey.ErrTwice)

		closed := s.Connect("closed")
		d, err = perkey.New(ctx, must(jetstream.New(closed)), "bank", "books", quiet(perkey.Config{}))
		require.NoError(t, err)
		closed.Close()
		require.ErrorIs(t, d.Run(ctx, newBank(0)), nats.ErrConnectionClosed)
		require.ErrorIs(t, perkey.Publish(ctx, must(jetstream.New(closed)), "bank", deposit("a")), nats.ErrConnectionClosed)
	})
}

// What exists is used as it is, or not at all; only Provision changes it.
func TestProvision(t *testing.T) {
	s := natstest.Start(t)
	ctx, js := t.Context(), s.JetStream("owner")
	mine := quiet(perkey.Config{Partitions: 2, Metadata: map[string]string{"owner": "bank"}})
	require.NoError(t, perkey.Provision(ctx, js, "bank", "books", mine))
	st := must(js.Stream(ctx, "PERKEY_bank"))
	require.Equal(t, "bank", st.CachedInfo().Config.Metadata["owner"])
	require.Equal(t, jetstream.MemoryStorage, st.CachedInfo().Config.Storage)
	for p := range 2 {
		want, err := perkey.Consumer("bank", "books", p, mine)
		require.NoError(t, err)
		require.Equal(t, want.FilterSubject, must(st.Consumer(ctx, want.Durable)).CachedInfo().Config.FilterSubject)
	}
	_, err := perkey.New(ctx, js, "bank", "books", perkey.Config{Partitions: 2, Bind: true})
	require.NoError(t, err)
	_, err = perkey.New(ctx, js, "bank", "books", perkey.Config{Partitions: 3})
	require.ErrorIs(t, err, perkey.ErrMismatch)
	require.ErrorContains(t, err, "SubjectTransform")
	_, err = perkey.New(ctx, js, "bank", "books", perkey.Config{Partitions: 2, Takeover: time.Minute})
	require.ErrorIs(t, err, perkey.ErrMismatch)
	require.ErrorContains(t, err, "AckWait 10s, want 1m0s")
	mine.Takeover = time.Minute
	require.NoError(t, perkey.Provision(ctx, js, "bank", "books", mine))
	_, err = perkey.New(ctx, js, "bank", "books", mine)
	require.NoError(t, err)
}

// What says no version is refused, told, and does not stop the others. Headers come
// through, but for orders to another stream.
func TestRefused(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js, ctx, b := s.JetStream("owner"), t.Context(), newBank(0)
		operator := s.Connect("operator")
		ended, err := operator.SubscribeSync("$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.PERKEY_bank.>")
		require.NoError(t, err)
		require.NoError(t, operator.Flush())
		var header nats.Header
		b.fails = func(e perkey.Event, _ int) (bool, error) { header = e.Header; return true, nil }
		stop := run(t, s.JetStream("books"), b, perkey.Config{})
		for _, version := range []string{"", "0", "-1", "first"} {
			_, err := js.PublishMsg(ctx, &nats.Msg{Subject: "perkey.bank.a", Header: nats.Header{perkey.HeaderVersion: {version}}})
			require.NoError(t, err)
		}
		e := deposit("a")
		e.Header = nats.Header{"Teller": {"7"}, "Nats-Expected-Stream": {"ANOTHER"}, perkey.HeaderVersion: {"9"}}
		publish(t, js, e)
		time.Sleep(time.Second)
		require.Equal(t, 100, b.now().balance["a"])
		require.Equal(t, "7", header.Get("Teller"))
		require.Empty(t, header.Get("Nats-Expected-Stream"))
		for range 4 {
			told, err := ended.NextMsg(time.Second)
			require.NoError(t, err)
			require.Contains(t, string(told.Data), "bad version")
		}
		require.NoError(t, stop())
		require.Zero(t, unsettled(t, js, 1))
	})
}

// Run ends with an error when it cannot go on.
func TestEnds(t *testing.T) {
	noConsumer := func(ctx context.Context, js jetstream.JetStream, _ *nats.Conn) error {
		return js.DeleteConsumer(ctx, "PERKEY_bank", "books-1")
	}
	noStream := func(ctx context.Context, js jetstream.JetStream, _ *nats.Conn) error {
		return js.DeleteStream(ctx, "PERKEY_bank")
	}
	for name, c := range map[string]struct {
		away bool
		act  func(ctx context.Context, js jetstream.JetStream, own *nats.Conn) error
	}{
		"its consumer is deleted":           {act: noConsumer},
		"its stream is deleted":             {act: noStream},
		"its consumer is deleted meanwhile": {away: true, act: noConsumer},
		"its stream is deleted meanwhile":   {away: true, act: noStream},
		"its consumer is another": {away: true, act: func(ctx context.Context, js jetstream.JetStream, _ *nats.Conn) error {
			err := noConsumer(ctx, js, nil)
			_, too := js.CreateConsumer(ctx, "PERKEY_bank", jetstream.ConsumerConfig{Durable: "books-1", AckPolicy: jetstream.AckExplicitPolicy, PriorityPolicy: jetstream.PriorityPolicyPinned, PriorityGroups: []string{"another"}, PinnedTTL: time.Minute})
			return errors.Join(err, too)
		}},
		"its connection is closed": {act: func(_ context.Context, _ jetstream.JetStream, own *nats.Conn) error { own.Close(); return nil }},
	} {
		t.Run(name, func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
				js, own := s.JetStream("owner"), s.Connect("books")
				d, err := perkey.New(t.Context(), must(jetstream.New(own)), "bank", "books", quiet(perkey.Config{Partitions: 2}))
				require.NoError(t, err)
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				done := make(chan error, 1)
				go func() { done <- d.Run(ctx, newBank(0)) }()
				time.Sleep(time.Second)
				if c.away {
					s.Link("books").Down()
					time.Sleep(time.Second)
				}
				require.NoError(t, c.act(t.Context(), js, own))
				if c.away {
					s.Link("books").Up()
				}
				require.ErrorContains(t, <-done, "perkey: books of bank: ")
				require.NoError(t, ctx.Err(), "in time")
			})
		})
	}
}

// Told to stop, a dispatcher finishes what it is about, within Grace, and puts back
// the rest at once; also while it is cut off.
func TestStop(t *testing.T) {
	for name, c := range map[string]struct {
		takes, want time.Duration
		cut         bool
		applied     int
	}{
		"it finishes":          {takes: 3 * time.Second, want: 2 * time.Second, applied: 2},
		"it is out of grace":   {takes: time.Hour, want: 10 * time.Second},
		"it is cut off":        {takes: 3 * time.Second, want: 2 * time.Second, cut: true, applied: 2},
		"nothing is in hand":   {takes: 0, applied: 7},
		"its ledger is broken": {takes: -1},
	} {
		t.Run(name, func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
				js, b := s.JetStream("owner"), newBank(c.takes)
				if c.takes < 0 {
					b.fails = func(perkey.Event, int) (bool, error) { return false, errors.New("broken") }
				}
				stop := run(t, s.JetStream("books"), b, perkey.Config{Workers: 2})
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
					b.takes, b.fails = 0, nil // nobody is at it
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
