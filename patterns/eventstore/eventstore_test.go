package eventstore_test

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
	"github.com/natspatterns/catalog/patterns/eventstore"
)

func TestMain(m *testing.M) { natstest.Main(m) }

func open(t *testing.T, js jetstream.JetStream) *eventstore.Store {
	t.Helper()
	store, err := eventstore.New(t.Context(), js, "accounts", eventstore.Config{Storage: jetstream.MemoryStorage})
	require.NoError(t, err)
	return store
}

// What cannot be is refused, with an error that says what to do, and stores nothing.
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
	subscribe := func(f eventstore.Feed) error { _, err := store.Subscribe(ctx, f); return err }
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
		"an id with a dot":                  {add(ctx, "a.b", ok...), eventstore.ErrID, "use 1 to 64 of"},
		"an id with a wildcard":             {load(">"), eventstore.ErrID, `">"`},
		"an id of 65 letters":               {store.Erase(ctx, strings.Repeat("a", 65)), eventstore.ErrID, "1 to 64"},
		"no id":                             {store.SaveSnapshot(ctx, "", eventstore.Version{}, 1), eventstore.ErrID, `""`},
		"a snapshot of a bad id":            {func() error { _, err := store.Snapshot(ctx, "*", nil); return err }(), eventstore.ErrID, "*"},
		"a store of a bad name":             {newStore("a.b", eventstore.Config{}), eventstore.ErrID, "a.b"},
		"an event of a bad type":            {newEvent("", "was paid", nil), eventstore.ErrEvent, "Type"},
		"an event of a bad id":              {newEvent("a b", "paid", nil), eventstore.ErrEvent, "ID"},
		"data that is no JSON":              {newEvent("", "paid", func() {}), eventstore.ErrEvent, "paid"},
		"an event without an id":            {add(ctx, "ann", eventstore.Event{Type: "paid"}), eventstore.ErrEvent, "ID"},
		"no event":                          {add(ctx, "ann"), eventstore.ErrEvent, "at least one"},
		"1,001 events":                      {add(ctx, "ann", numbered(t, "e", 1001)...), eventstore.ErrTooLarge, "at most 1000"},
		"an event over the payload limit":   {add(ctx, "ann", ok[0], eventstore.Event{ID: "big", Type: "paid", Data: make([]byte, nc.MaxPayload())}), eventstore.ErrTooLarge, "event 2 (paid)"},
		"a snapshot over the payload limit": {store.SaveSnapshot(ctx, "ann", eventstore.Version{}, strings.Repeat("a", int(nc.MaxPayload()))), eventstore.ErrTooLarge, "server takes"},
		"a snapshot that is no JSON":        {store.SaveSnapshot(ctx, "ann", eventstore.Version{}, func() {}), eventstore.ErrEvent, "ann"},
		"a snapshot nobody can read":        {func() error { var v int; _, err := store.Snapshot(ctx, "ann", &v); return err }(), eventstore.ErrEvent, "ann"},
		"an event from elsewhere":           {load("foreign"), eventstore.ErrEvent, "purge that subject"},
		"data of another shape":             {ok[0].Decode(new(int)), eventstore.ErrEvent, "deposited"},
		"a context that has ended":          {add(ended, "ann", ok...), context.Canceled, "append to ann"},
		"negative replicas":                 {newStore("x", eventstore.Config{Replicas: -1}), eventstore.ErrConfig, "Replicas"},
		"an AckWait of no time":             {subscribe(eventstore.Feed{Durable: "d", AckWait: 1}), eventstore.ErrConfig, "100ms or more"},
		"a negative retry":                  {subscribe(eventstore.Feed{Retry: -1}), eventstore.ErrConfig, "Retry"},
		"a negative grace":                  {subscribe(eventstore.Feed{Grace: -1}), eventstore.ErrConfig, "Grace"},
		"new, and after":                    {subscribe(eventstore.Feed{New: true, After: 1}), eventstore.ErrConfig, "use one"},
		"a feed of a bad type":              {subscribe(eventstore.Feed{Types: []string{">"}}), eventstore.ErrID, ">"},
		"a feed of a bad name":              {subscribe(eventstore.Feed{Durable: "a.b"}), eventstore.ErrID, "a.b"},
		"a stream to bind to that is not":   {newStore("none", eventstore.Config{Bind: true}), jetstream.ErrStreamNotFound, "stream NONE"},
		"a durable to bind to that is not":  {bound(t, js), jetstream.ErrConsumerNotFound, "nobody"},
		"a stream that is gone":             {gone(t, js), jetstream.ErrStreamNotFound, "append to ann"},
		"a connection that is closed":       {closed(t, js), nats.ErrConnectionClosed, "append to ann"},
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
	store, err := eventstore.New(t.Context(), js, "accounts", eventstore.Config{Bind: true})
	require.NoError(t, err)
	_, err = store.Subscribe(t.Context(), eventstore.Feed{Durable: "nobody"})
	return err
}

func gone(t *testing.T, js jetstream.JetStream) error {
	store, err := eventstore.New(t.Context(), js, "gone", eventstore.Config{})
	require.NoError(t, err)
	require.NoError(t, js.DeleteStream(t.Context(), "GONE"))
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

// What exists is compared and left alone; Provision changes it.
func TestNew(t *testing.T) {
	ctx, js := t.Context(), natstest.Start(t).JetStream("test")
	want, err := eventstore.Stream("accounts", eventstore.Config{})
	require.NoError(t, err)
	other := want
	other.MaxAge = time.Hour
	_, err = js.CreateStream(ctx, other)
	require.NoError(t, err)
	_, err = eventstore.New(ctx, js, "accounts", eventstore.Config{})
	require.ErrorIs(t, err, eventstore.ErrMismatch)
	require.ErrorContains(t, err, "stream ACCOUNTS has MaxAge 1h0m0s, want 0s")
	require.NoError(t, eventstore.Provision(ctx, js, "accounts", eventstore.Config{}))
	_, err = eventstore.New(ctx, js, "accounts", eventstore.Config{Bind: true})
	require.NoError(t, err)
}

// A stream that is full refuses new events; it never lets go of old ones.
func TestFull(t *testing.T) {
	ctx, js := t.Context(), natstest.Start(t).JetStream("test")
	cfg, err := eventstore.Stream("accounts", eventstore.Config{Storage: jetstream.MemoryStorage})
	require.NoError(t, err)
	cfg.MaxMsgs = 2
	_, err = js.CreateStream(ctx, cfg)
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
}

// A store keeps one snapshot of an entity.
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
