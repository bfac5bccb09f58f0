package eventstore_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/eventstore"
)

// Bad input is refused, with the remedy in the error, and stores nothing.
func TestBadInput(t *testing.T) {
	ctx := t.Context()
	nc := natstest.Start(t).Connect("test")
	js := natstest.JetStream(t, nc)
	store := open(t, js)
	ended, end := context.WithCancel(ctx)
	end()
	ok := events(t, "ok")
	add := func(ctx context.Context, id string, events ...eventstore.Event) error {
		_, err := store.Append(ctx, id, eventstore.Version{}, events...)
		return err
	}
	load := func(id string) (err error) {
		for _, err = range store.Load(ctx, id, eventstore.Version{}) {
		}
		return err
	}
	subscribe := func(f eventstore.SubscriptionConfig) error {
		_, err := eventstore.NewSubscription(ctx, store, f)
		return err
	}
	newStore := func(name string, cfg eventstore.Config) error {
		_, err := eventstore.New(ctx, js, name, cfg)
		return err
	}
	newEvent := func(id, kind string, data any) error { _, err := eventstore.NewEvent(id, kind, data); return err }
	_, err := js.Publish(ctx, "accounts.event.foreign.1.hello", []byte("hello"))
	require.NoError(t, err)
	_, err = js.Publish(ctx, "accounts.snapshot.ann", []byte("{"))
	require.NoError(t, err)
	for name, tc := range map[string]struct {
		err  error
		is   error
		says string
	}{
		"an ID with a dot":                  {add(ctx, "a.b", ok...), eventstore.ErrID, "use 1 to 64 of"},
		"an ID with a wildcard":             {load(">"), eventstore.ErrID, `">"`},
		"an ID of 65 letters":               {store.Erase(ctx, strings.Repeat("a", 65)), eventstore.ErrID, "1 to 64"},
		"no ID":                             {store.SaveSnapshot(ctx, "", eventstore.Version{}, 1), eventstore.ErrID, `""`},
		"a snapshot of a bad ID":            {func() error { _, err := store.Snapshot(ctx, "*", nil); return err }(), eventstore.ErrID, "*"},
		"a store with a bad name":           {newStore("a.b", eventstore.Config{}), eventstore.ErrID, "a.b"},
		"an event with a bad type":          {newEvent("", "was paid", nil), eventstore.ErrEvent, "Type"},
		"an event with a bad ID":            {newEvent("a b", "paid", nil), eventstore.ErrEvent, "ID"},
		"data that is not JSON":             {newEvent("", "paid", func() {}), eventstore.ErrEvent, "paid"},
		"an event without an ID":            {add(ctx, "ann", eventstore.Event{Type: "paid"}), eventstore.ErrEvent, "ID"},
		"no event":                          {add(ctx, "ann"), eventstore.ErrEvent, "at least one"},
		"1,001 events":                      {add(ctx, "ann", numbered(t, "e", 1001)...), eventstore.ErrTooLarge, "at most 1000"},
		"an event over the payload limit":   {add(ctx, "ann", ok[0], eventstore.Event{ID: "big", Type: "paid", Data: make([]byte, nc.MaxPayload())}), eventstore.ErrTooLarge, "accounts.event.ann.2.paid"},
		"a snapshot over the payload limit": {store.SaveSnapshot(ctx, "ann", eventstore.Version{}, strings.Repeat("a", int(nc.MaxPayload()))), eventstore.ErrTooLarge, "max_payload is"},
		"a snapshot that is not JSON":       {store.SaveSnapshot(ctx, "ann", eventstore.Version{}, func() {}), eventstore.ErrEvent, "ann"},
		"a snapshot that cannot be decoded": {func() error { var v int; _, err := store.Snapshot(ctx, "ann", &v); return err }(), eventstore.ErrEvent, "ann"},
		"a message of another program":      {load("foreign"), eventstore.ErrEvent, "purge that subject"},
		"data of another type":              {ok[0].Decode(new(int)), eventstore.ErrEvent, "deposited"},
		"a context that has ended":          {add(ended, "ann", ok...), context.Canceled, "append to ann"},
		"negative MaxBytes":                 {newStore("x", eventstore.Config{MaxBytes: -1}), eventstore.ErrConfig, "MaxBytes"},
		"too many replicas":                 {newStore("x", eventstore.Config{Replicas: 6}), eventstore.ErrConfig, "Replicas is 6; use at most 5"},
		"negative replicas":                 {newStore("x", eventstore.Config{Replicas: -1}), eventstore.ErrConfig, "Replicas"},
		"a short AckWait":                   {subscribe(eventstore.SubscriptionConfig{Durable: "d", AckWait: 1}), eventstore.ErrConfig, "at least 100ms"},
		"a negative backoff":                {subscribe(eventstore.SubscriptionConfig{Backoff: -1}), eventstore.ErrConfig, "Backoff"},
		"a negative grace":                  {subscribe(eventstore.SubscriptionConfig{Grace: -1}), eventstore.ErrConfig, "Grace"},
		"New and After":                     {subscribe(eventstore.SubscriptionConfig{New: true, After: 1}), eventstore.ErrConfig, "use one"},
		"a subscription to a bad type":      {subscribe(eventstore.SubscriptionConfig{Types: []string{">"}}), eventstore.ErrID, ">"},
		"a durable with a bad name":         {subscribe(eventstore.SubscriptionConfig{Durable: "a.b"}), eventstore.ErrID, "a.b"},
		"Bind without the stream":           {newStore("none", eventstore.Config{Bind: true}), jetstream.ErrStreamNotFound, "stream NONE"},
		"Bind without the consumer":         {bound(t, js), jetstream.ErrConsumerNotFound, "nobody"},
		"a deleted stream":                  {deleted(t, js), jetstream.ErrStreamNotFound, "append to ann"},
		"a closed connection":               {closed(t, js), nats.ErrConnectionClosed, "append to ann"},
	} {
		t.Run(name, func(t *testing.T) {
			require.ErrorIs(t, tc.err, tc.is)
			require.ErrorContains(t, tc.err, tc.says)
			require.True(t, strings.HasPrefix(tc.err.Error(), "eventstore: "), tc.err)
		})
	}
	require.NoError(t, load("ann"))
	got, _ := history(t, ctx, store, "ann", eventstore.Version{})
	require.Empty(t, got)
}

func bound(t *testing.T, js jetstream.JetStream) error {
	store, err := eventstore.New(t.Context(), js, "accounts", eventstore.Config{Bind: true, Storage: jetstream.MemoryStorage})
	require.NoError(t, err)
	_, err = eventstore.NewSubscription(t.Context(), store, eventstore.SubscriptionConfig{Durable: "nobody"})
	return err
}

func deleted(t *testing.T, js jetstream.JetStream) error {
	store, err := eventstore.New(t.Context(), js, "deleted", eventstore.Config{})
	require.NoError(t, err)
	require.NoError(t, js.DeleteStream(t.Context(), "DELETED"))
	_, err = store.Append(t.Context(), "ann", eventstore.Version{}, events(t, "a", "b")...)
	return err
}

func closed(t *testing.T, _ jetstream.JetStream) error {
	nc := natstest.Start(t).Connect("closed")
	store := open(t, natstest.JetStream(t, nc))
	nc.Close()
	for _, err := range store.Load(t.Context(), "ann", eventstore.Version{}) {
		require.ErrorIs(t, err, nats.ErrConnectionClosed)
	}
	_, err := store.Append(t.Context(), "ann", eventstore.Version{}, events(t, "a")...)
	return err
}

// A full stream refuses new events, and removes none.
func TestFull(t *testing.T) {
	for name, limit := range map[string]func(*eventstore.Config, *jetstream.StreamConfig){
		"MaxMsgs of an operator": func(_ *eventstore.Config, s *jetstream.StreamConfig) { s.MaxMsgs = 2 },
		"MaxBytes of Config":     func(c *eventstore.Config, _ *jetstream.StreamConfig) { c.MaxBytes = 500 },
	} {
		t.Run(name, func(t *testing.T) {
			ctx, js := t.Context(), natstest.Start(t).JetStream("test")
			cfg := eventstore.Config{Storage: jetstream.MemoryStorage}
			limit(&cfg, new(jetstream.StreamConfig))
			stream, err := eventstore.StreamConfig("accounts", cfg)
			require.NoError(t, err)
			limit(&cfg, &stream)
			_, err = js.CreateStream(ctx, stream)
			require.NoError(t, err)
			store := open(t, js)
			v, err := store.Append(ctx, "ann", eventstore.Version{}, events(t, "a", "b")...)
			require.NoError(t, err)
			for _, more := range [][]string{{"c"}, {"c", "d"}} {
				_, err = store.Append(ctx, "ann", v, events(t, more...)...)
				var api *jetstream.APIError
				require.True(t, errors.As(err, &api), "%v", err)
			}
			got, _ := history(t, ctx, store, "ann", eventstore.Version{})
			require.Equal(t, []string{"a@1", "b@2"}, got)
		})
	}
}

// A new snapshot replaces the one before.
func TestSnapshotReplaces(t *testing.T) {
	ctx, js := t.Context(), natstest.Start(t).JetStream("test")
	store := open(t, js)
	var v eventstore.Version
	for _, id := range []string{"a", "b", "c"} {
		var err error
		v, err = store.Append(ctx, "ann", v, events(t, id)...)
		require.NoError(t, err)
		require.NoError(t, store.SaveSnapshot(ctx, "ann", v, id))
	}
	s, err := js.Stream(ctx, "ACCOUNTS")
	require.NoError(t, err)
	info, err := s.Info(ctx, jetstream.WithSubjectFilter("accounts.snapshot.>"))
	require.NoError(t, err)
	require.Equal(t, map[string]uint64{"accounts.snapshot.ann": 1}, info.State.Subjects)
}
