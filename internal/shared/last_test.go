package shared

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
)

func TestLastMessage(t *testing.T) {
	ctx, nc := t.Context(), natstest.Start(t).Connect("test")
	js := natstest.JetStream(t, nc)
	_, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}, AllowDirect: true})
	require.NoError(t, err)
	m, err := lastMessage(ctx, js, "S", "s.>")
	require.NoError(t, err)
	require.Nil(t, m)

	_, err = js.PublishMsg(ctx, &nats.Msg{Subject: "s.one", Data: []byte("first"), Header: nats.Header{"A": {"b", "c"}}})
	require.NoError(t, err)
	_, err = js.Publish(ctx, "s.two", nil)
	require.NoError(t, err)
	m, err = lastMessage(ctx, js, "S", "s.one")
	require.NoError(t, err)
	require.WithinDuration(t, time.Now(), m.Time, time.Minute)
	require.Equal(t, &jetstream.RawStreamMsg{Subject: "s.one", Sequence: 1, Data: []byte("first"), Header: nats.Header{"A": {"b", "c"}}, Time: m.Time}, m)
	m, err = lastMessage(ctx, js, "S", "s.*")
	require.NoError(t, err)
	require.Equal(t, &jetstream.RawStreamMsg{Subject: "s.two", Sequence: 2, Time: m.Time}, m)

	_, err = lastMessage(ctx, js, "NONE", "s.*")
	require.ErrorIs(t, err, jetstream.ErrStreamNotFound)
}

func TestAPISubject(t *testing.T) {
	nc := natstest.Start(t).Connect("test")
	domain, err := jetstream.NewWithDomain(nc, "hub")
	require.NoError(t, err)
	prefixed, err := jetstream.NewWithAPIPrefix(nc, "js.from.hub")
	require.NoError(t, err)
	for want, js := range map[string]jetstream.JetStream{
		"$JS.API.INFO": natstest.JetStream(t, nc), "$JS.hub.API.INFO": domain, "js.from.hub.INFO": prefixed,
	} {
		require.Equal(t, want, apiSubject(js, "INFO"))
	}
}

// A batch with a message that is too large is refused before any of it is sent: an
// open batch would take one of the server's slots.
func TestPublishBatchTooLarge(t *testing.T) {
	ctx, nc := t.Context(), natstest.Start(t).Connect("test")
	js := natstest.JetStream(t, nc)
	_, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}, AllowAtomicPublish: true})
	require.NoError(t, err)
	sent := nc.Stats().OutMsgs
	_, err = publishBatch(ctx, nc, []*nats.Msg{
		{Subject: "s.one", Header: nats.Header{}}, {Subject: "s.two", Header: nats.Header{}, Data: make([]byte, nc.MaxPayload())},
	}, true)
	require.ErrorIs(t, err, nats.ErrMaxPayload)
	require.ErrorContains(t, err, "s.two")
	require.Equal(t, sent, nc.Stats().OutMsgs)
}
