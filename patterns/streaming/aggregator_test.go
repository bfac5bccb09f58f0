package streaming_test

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/streaming"
)

// A sender's clock that is a little ahead does not make events of other senders late.
func TestClocks(t *testing.T) {
	bubble(t, func(t *testing.T, s *natstest.Server, js jetstream.JetStream) {
		p := run(t, s.JetStream("processor"), list, short)
		t0 := time.Now().Truncate(time.Minute)
		time.Sleep(time.Second) // lint:bubble: in bubble
		send(t, js, "green", "dead", time.Date(1500, 1, 1, 0, 0, 0, 0, time.UTC))
		send(t, js, "green", "ahead", t0.Add(31*time.Second))
		send(t, js, "green", "right", t0.Add(900*time.Millisecond))
		time.Sleep(35 * time.Second)
		require.Equal(t, []string{"green 0-2: right", "green 30-32: ahead", `green refused {"name":"dead"}: dated before 1970`}, outcomes(t, js))
		require.NoError(t, p.stop())
	})
}

// An event is refused if its aggregate cannot be stored: otherwise no Processor could
// continue.
func TestSums(t *testing.T) {
	for name, add := range map[string]func(sum, v float64) (any, error){
		"the aggregate is not a number": func(_, v float64) (any, error) { return math.Sqrt(v), nil },
		"the aggregate is too large":    func(_, v float64) (any, error) { return strings.Repeat("x", int(max(0, -v)*1e6)), nil },
		"the aggregate panics":          func(_, _ float64) (any, error) { return panicker{}, nil },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, s *natstest.Server, js jetstream.JetStream) {
				p := run(t, s.JetStream("processor"), streaming.Flow[float64, any]{Add: func(_ any, ev streaming.Event[float64]) (any, error) {
					if ev.Value > 0 {
						return ev.Value, nil
					}
					return add(0, ev.Value)
				}}, short)
				for _, v := range []float64{1, -2, 3} {
					require.NoError(t, streaming.Send(t.Context(), js, "tea", streaming.Event[float64]{Key: "green", Value: v}))
				}
				time.Sleep(5 * time.Second)
				require.Equal(t, streaming.Counts{Added: 2, Refused: 1}, counts(t, js))
				results := stored(t, js, "results.tea.*")
				require.Len(t, results, 1)
				require.Contains(t, string(results[0].Data), `"count":2,"value":3`)
				require.NoError(t, p.stop())
			})
		})
	}
}

type panicker struct{}

func (panicker) MarshalJSON() ([]byte, error) { panic(errors.New("no")) }
