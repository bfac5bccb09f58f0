package streaming_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/streaming"
)

func TestMain(m *testing.M) { natstest.Main(m) }

// reading is the value of the events; names is the aggregate of a window.
type reading struct {
	Name string `json:"name"`
}

type names []string

// list keeps the name of every event: lost and duplicate events are visible.
var list = streaming.Flow[reading, names]{Add: func(sum names, ev streaming.Event[reading]) (names, error) {
	return append(sum[:len(sum):len(sum)], ev.Value.Name), nil
}}

// short has a MaxAge of a century: the server expires messages by a clock that is not the
// bubble's, which begins in the year 2000.
var short = streaming.Config{Window: 2 * time.Second, Lateness: 500 * time.Millisecond, MaxAge: 100 * 365 * 24 * time.Hour}

// running is a Processor during Run.
type running struct {
	cancel context.CancelFunc
	ended  chan error
}

func run[In, Out any](t *testing.T, js jetstream.JetStream, flow streaming.Flow[In, Out], cfg streaming.Config) running {
	t.Helper()
	p, err := streaming.NewProcessor(t.Context(), js, "tea", flow, cfg)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	r := running{cancel, make(chan error, 1)}
	go func() { r.ended <- p.Run(ctx) }()
	return r
}

func (r running) stop() error {
	r.cancel()
	return <-r.ended
}

func send(t *testing.T, js jetstream.JetStream, key, name string, at time.Time) {
	t.Helper()
	require.NoError(t, streaming.Send(t.Context(), js, "tea", streaming.Event[reading]{Key: key, At: at, Value: reading{name}}))
}

// stored returns the messages of RESULTS_tea on the subjects that match.
func stored(t *testing.T, js jetstream.JetStream, subject string) (all []*jetstream.RawStreamMsg) {
	t.Helper()
	s, err := js.Stream(t.Context(), "RESULTS_tea")
	require.NoError(t, err)
	for seq := uint64(1); ; {
		msg, err := s.GetMsg(t.Context(), seq, jetstream.WithGetMsgSubject(subject))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return all
		}
		require.NoError(t, err)
		all, seq = append(all, msg), msg.Sequence+1
	}
}

// outcomes returns the results of a flow as "key from-to: names", in seconds of the
// minute, and its refused events as "key refused event: reason".
func outcomes(t *testing.T, js jetstream.JetStream) (all []string) {
	t.Helper()
	for _, msg := range stored(t, js, "results.tea.*") {
		var r streaming.Result[names]
		require.NoError(t, json.Unmarshal(msg.Data, &r))
		require.Equal(t, "results.tea."+r.Key, msg.Subject)
		require.Len(t, r.Value, r.Count)
		all = append(all, fmt.Sprintf("%s %d-%d: %s", r.Key, r.From.Second(), r.To.Second(), strings.Join(r.Value, " ")))
	}
	for _, msg := range stored(t, js, "refused.tea.*") {
		all = append(all, fmt.Sprintf("%s refused %s: %s", strings.TrimPrefix(msg.Subject, "refused.tea."), msg.Data, msg.Header.Get(streaming.HeaderReason)))
	}
	return all
}

// counts returns the stored Counts of the flow.
func counts(t *testing.T, js jetstream.JetStream) streaming.Counts {
	t.Helper()
	last := stored(t, js, "state.tea.position")
	var at struct{ Counts streaming.Counts }
	require.NoError(t, json.Unmarshal(last[len(last)-1].Data, &at))
	return at.Counts
}

// bubble calls f in a bubble with the streams of a flow.
func bubble(t *testing.T, f func(t *testing.T, s *natstest.Server, js jetstream.JetStream)) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js := s.JetStream("test")
		require.NoError(t, streaming.Provision(t.Context(), js, "tea", short))
		f(t, s, js)
	})
}
