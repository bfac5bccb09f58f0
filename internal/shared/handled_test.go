package shared

import (
	"log/slog"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
)

// received returns the next message of a consumer with an AckWait of 1 s.
func received(t *testing.T, js jetstream.JetStream) (jetstream.Consumer, jetstream.Msg) {
	_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}, Storage: jetstream.MemoryStorage})
	require.NoError(t, err)
	_, err = js.PublishMsg(t.Context(), &nats.Msg{Subject: "s", Header: nats.Header{"A": {"1", "2"}, "B": {"3"}}, Data: []byte("data")})
	require.NoError(t, err)
	cons, err := js.CreateConsumer(t.Context(), "S", jetstream.ConsumerConfig{AckPolicy: jetstream.AckExplicitPolicy, AckWait: time.Second})
	require.NoError(t, err)
	msg, err := cons.Next()
	require.NoError(t, err)
	return cons, msg
}

func TestProgress(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		cons, msg := received(t, s.JetStream("a"))
		p := newProgress(time.Second, slog.New(slog.DiscardHandler))
		for range 3 { // the timer is armed again after a pause
			p.start(msg)
			_, err := cons.Next(jetstream.FetchMaxWait(10 * time.Second))
			require.ErrorIs(t, err, nats.ErrTimeout)
			p.stop(msg)
			msg, err = cons.Next(jetstream.FetchMaxWait(2 * time.Second))
			require.NoError(t, err, "after stop it is redelivered")
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		require.False(t, p.armed)
	})
}

func TestFingerprint(t *testing.T) {
	_, msg := received(t, natstest.Start(t).JetStream("a"))
	first := fingerprint(msg)
	require.Equal(t, first, fingerprint(msg))
	for name, change := range map[string]func(){
		"data":        func() { msg.Data()[0]++ },
		"a value":     func() { msg.Headers().Set("B", "4") },
		"the order":   func() { msg.Headers()["A"] = []string{"2", "1"} },
		"a new name":  func() { msg.Headers().Set("C", "") },
		"no name":     func() { msg.Headers().Del("A") },
		"other names": func() { msg.Headers()["B"], msg.Headers()["A"] = msg.Headers()["A"], msg.Headers()["B"] },
	} {
		before := fingerprint(msg)
		change()
		require.NotEqual(t, before, fingerprint(msg), name)
	}
}
