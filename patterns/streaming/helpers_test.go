package streaming_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/streaming"
)

func TestMain(m *testing.M) { natstest.Main(m) }

// reading is an event of the tests; names is what a window of them adds up to.
type reading struct {
	Name string `json:"name"`
}

type names []string

// list keeps the name of every event, so that one lost or doubled is seen.
var list = streaming.Flow[reading, names]{Add: func(sum names, ev streaming.Event[reading]) (names, error) {
	return append(sum[:len(sum):len(sum)], ev.Value.Name), nil
}}

// short keeps for a century: the server tells the age of messages by a clock that
// is not the bubble's, which begins in the year 2000.
var short = streaming.Config{Window: 2 * time.Second, Lateness: 500 * time.Millisecond, Keep: 100 * 365 * 24 * time.Hour}

// running is a Processor that runs.
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

// stored reads a stream, and tells what is on the subjects that match.
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

// told is what a flow has made of its events so far: results as
// "key from-to: names", seconds of the minute; refusals as "key name: reason".
func told(t *testing.T, js jetstream.JetStream) (all []string) {
	t.Helper()
	for _, msg := range stored(t, js, "results.tea.*") {
		var r streaming.Result[names]
		require.NoError(t, json.Unmarshal(msg.Data, &r))
		require.Equal(t, "results.tea."+r.Key, msg.Subject)
		require.Len(t, r.Value, r.Count)
		all = append(all, fmt.Sprintf("%s %d-%d: %s", r.Key, r.From.Second(), r.To.Second(), strings.Join(r.Value, " ")))
	}
	for _, msg := range stored(t, js, "refused.tea.*") {
		all = append(all, fmt.Sprintf("%s refused %s: %s", strings.TrimPrefix(msg.Subject, "refused.tea."), msg.Data, msg.Header.Get("Reason")))
	}
	return all
}

// counts reads what the flow has counted.
func counts(t *testing.T, js jetstream.JetStream) streaming.Counts {
	t.Helper()
	last := stored(t, js, "state.tea.position")
	var at struct{ Counts streaming.Counts }
	require.NoError(t, json.Unmarshal(last[len(last)-1].Data, &at))
	return at.Counts
}

// ledger collects what goroutines of a test see.
type ledger struct {
	mu  sync.Mutex
	all []string
}

func (l *ledger) add(s string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, s)
}

func (l *ledger) list() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.all...)
}
