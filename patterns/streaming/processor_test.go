package streaming_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/streaming"
)

// The fake clock begins at a full minute: seconds of event time are the seconds slept.
func TestProcessor(t *testing.T) {
	const ms = time.Millisecond
	for name, c := range map[string]struct {
		flow   streaming.Flow[reading, names]
		play   func(t *testing.T, s *natstest.Server, js jetstream.JetStream, t0 time.Time)
		want   []string
		counts streaming.Counts
	}{
		"a newer event closes the windows of every key": {
			play: func(t *testing.T, _ *natstest.Server, js jetstream.JetStream, t0 time.Time) {
				time.Sleep(2600 * ms)
				send(t, js, "green", "a", t0)
				send(t, js, "black", "b", t0.Add(1999*ms))
				send(t, js, "green", "c", t0.Add(500*ms))
				send(t, js, "green", "d", t0.Add(2500*ms))
			},
			want:   []string{"black 0-2: b", "green 0-2: a c"},
			counts: streaming.Counts{Added: 4},
		},
		"an event later than Lateness is refused, an earlier one counts": {
			play: func(t *testing.T, _ *natstest.Server, js jetstream.JetStream, t0 time.Time) {
				time.Sleep(2600 * ms)
				send(t, js, "green", "a", t0.Add(2400*ms))
				send(t, js, "green", "in-time", t0.Add(1900*ms))
				send(t, js, "green", "b", t0.Add(2600*ms))
				send(t, js, "green", "late", t0.Add(1900*ms))
			},
			want:   []string{"green 0-2: in-time", `green refused {"name":"late"}: late: its window closed 100ms before`},
			counts: streaming.Counts{Added: 3, Refused: 1},
		},
		"the clock of the server closes windows when there are no events": {
			play: func(t *testing.T, _ *natstest.Server, js jetstream.JetStream, t0 time.Time) {
				send(t, js, "green", "a", t0)
				time.Sleep(4 * time.Second)
			},
			want:   []string{"green 0-2: a"},
			counts: streaming.Counts{Added: 1},
		},
		"an event is not late because the feed was idle before": {
			play: func(t *testing.T, _ *natstest.Server, js jetstream.JetStream, t0 time.Time) {
				send(t, js, "green", "a", t0)
				time.Sleep(20 * time.Second)
				send(t, js, "green", "b", t0.Add(10*time.Second))
				time.Sleep(4 * time.Second)
			},
			want:   []string{"green 0-2: a", "green 10-12: b"},
			counts: streaming.Counts{Added: 2},
		},
		"an event far ahead of the server is refused and makes no other event late": {
			play: func(t *testing.T, _ *natstest.Server, js jetstream.JetStream, t0 time.Time) {
				send(t, js, "green", "a", t0.Add(time.Hour+10*ms))
				send(t, js, "green", "b", t0)
				time.Sleep(4 * time.Second)
			},
			want:   []string{"green 0-2: b", `green refused {"name":"a"}: dated 1h0m0s ahead of the server`},
			counts: streaming.Counts{Added: 1, Refused: 1},
		},
		"an event without a time has the time when it is stored": {
			play: func(t *testing.T, _ *natstest.Server, js jetstream.JetStream, _ time.Time) {
				send(t, js, "green", "a", time.Time{})
				time.Sleep(4 * time.Second)
			},
			want:   []string{"green 0-2: a"},
			counts: streaming.Counts{Added: 1},
		},
		"Clean filters, enriches and changes the key": {
			flow: streaming.Flow[reading, names]{Add: list.Add, Clean: func(_ context.Context, ev *streaming.Event[reading]) error {
				switch ev.Value.Name {
				case "noise":
					return fmt.Errorf("%w: noise", streaming.ErrSkip)
				case "broken":
					return errors.New("cold\r\ntea")
				case "astray":
					ev.Key = "*"
				}
				ev.Value.Name += "-" + ev.Key
				if ev.Key == "green" {
					ev.Key = "kitchen"
				}
				return nil
			}},
			play: func(t *testing.T, _ *natstest.Server, js jetstream.JetStream, t0 time.Time) {
				for _, name := range []string{"a", "noise", "broken", "astray"} {
					send(t, js, "green", name, t0)
				}
				time.Sleep(4 * time.Second)
			},
			want: []string{"kitchen 0-2: a-green", `green refused {"name":"broken"}: cold tea`,
				`unknown refused {"name":"astray"}: streaming: bad ID: "*"; use 1 to 64 of A-Z a-z 0-9 _ -`},
			counts: streaming.Counts{Added: 1, Skipped: 1, Refused: 2},
		},
		"an event that cannot be decoded or panics is refused and blocks no other event": {
			flow: streaming.Flow[reading, names]{Add: func(sum names, ev streaming.Event[reading]) (names, error) {
				if ev.Value.Name == "spill" {
					panic("tea everywhere")
				}
				return list.Add(sum, ev)
			}},
			play: func(t *testing.T, _ *natstest.Server, js jetstream.JetStream, t0 time.Time) {
				nc := js.Conn()
				require.NoError(t, nc.Publish("feed.tea.green", []byte("{")))
				require.NoError(t, nc.PublishMsg(&nats.Msg{Subject: "feed.tea.green", Header: nats.Header{"Event-Time": {"noon"}}, Data: []byte("{}")}))
				require.NoError(t, nc.Publish("feed.tea.gr$$n", []byte("{}")))
				send(t, js, "green", "spill", t0)
				send(t, js, "green", "a", t0)
				time.Sleep(4 * time.Second)
			},
			want: []string{"green 0-2: a", "green refused {: unexpected end of JSON input",
				`green refused {}: Event-Time: parsing time "noon" as "2006-01-02T15:04:05.999999999Z07:00": cannot parse "noon" as "2006"`,
				`unknown refused {}: streaming: bad ID: "gr$$n"; use 1 to 64 of A-Z a-z 0-9 _ -`, `green refused {"name":"spill"}: panic: tea everywhere`},
			counts: streaming.Counts{Added: 1, Refused: 4},
		},
		"an event sent twice with its ID counts once": {
			play: func(t *testing.T, _ *natstest.Server, js jetstream.JetStream, t0 time.Time) {
				for range 2 {
					require.NoError(t, streaming.Send(t.Context(), js, "tea", streaming.Event[reading]{ID: "e-1", Key: "green", At: t0, Value: reading{"a"}}))
				}
				time.Sleep(4 * time.Second)
			},
			want:   []string{"green 0-2: a"},
			counts: streaming.Counts{Added: 1},
		},
		"more windows than fit a commit are all closed, each once": {
			play: func(t *testing.T, _ *natstest.Server, js jetstream.JetStream, t0 time.Time) {
				for i := range 1000 {
					send(t, js, fmt.Sprintf("pot-%03d", i), "a", t0)
				}
				time.Sleep(4 * time.Second)
			},
			want: func() (all []string) {
				for i := range 1000 {
					all = append(all, fmt.Sprintf("pot-%03d 0-2: a", i))
				}
				return all
			}(),
			counts: streaming.Counts{Added: 1000},
		},
		"events removed from the feed before they were read are counted": {
			play: func(t *testing.T, s *natstest.Server, js jetstream.JetStream, t0 time.Time) {
				s.Link("processor").Down()
				time.Sleep(100 * ms)
				send(t, js, "green", "a", t0)
				send(t, js, "green", "b", t0)
				feed, err := js.Stream(t.Context(), "FEED_tea")
				require.NoError(t, err)
				require.NoError(t, feed.DeleteMsg(t.Context(), 1))
				s.Link("processor").Up()
				time.Sleep(20 * time.Second)
			},
			want:   []string{"green 0-2: b"},
			counts: streaming.Counts{Added: 1, Missed: 1},
		},
	} {
		t.Run(name, func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
				if c.flow.Add == nil {
					c.flow = list
				}
				js := s.JetStream("sender")
				p := run(t, s.JetStream("processor"), c.flow, short)
				time.Sleep(10 * ms)
				c.play(t, s, js, time.Now().Truncate(time.Minute))
				time.Sleep(100 * ms)
				require.Equal(t, c.want, outcomes(t, js))
				require.Equal(t, c.counts, counts(t, js))
				require.NoError(t, p.stop())
			})
		})
	}
}

// The events of a recreated feed have the sequences of processed events: they are not
// taken for those.
func TestRecreated(t *testing.T) {
	for name, running := range map[string]bool{"before Run": false, "during Run": true} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, s *natstest.Server, js jetstream.JetStream) {
				p := run(t, s.JetStream("processor"), list, short)
				send(t, js, "green", "a", time.Time{})
				send(t, js, "green", "b", time.Time{})
				time.Sleep(5300 * time.Millisecond) // between two checks of the feed
				if !running {
					require.NoError(t, p.stop())
				}
				require.NoError(t, js.DeleteStream(t.Context(), "FEED_tea"))
				require.NoError(t, streaming.Provision(t.Context(), js, "tea", short))
				send(t, js, "green", "new", time.Time{})
				if !running {
					p = run(t, s.JetStream("processor"), list, short)
				}
				require.ErrorIs(t, <-p.ended, streaming.ErrRecreated)
				require.Equal(t, []string{"green 0-2: a b"}, outcomes(t, js))
				p.cancel()
			})
		})
	}
}
