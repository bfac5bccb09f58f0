package datapump_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/datapump"
)

// switched is a store that fails while err is set.
type switched struct {
	datapump.Store
	mu    sync.Mutex
	err   error
	tries []time.Time
}

func (s *switched) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

func (s *switched) Apply(ctx context.Context, pump string, from, to uint64, rows []datapump.Row) error {
	s.mu.Lock()
	err := s.err
	s.tries = append(s.tries, time.Now())
	s.mu.Unlock()
	if errors.Is(err, datapump.ErrRow) && len(rows) == 0 {
		err = errDown
	}
	if err != nil {
		return err
	}
	return s.Store.Apply(ctx, pump, from, to, rows)
}

// journal is a log that can be read meanwhile.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(line []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(line)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

func sales(t *testing.T, store datapump.Store) (rows []string) {
	for row, err := range store.Query(t.Context(), schema.Statements[2], nil) {
		require.NoError(t, err)
		rows = append(rows, string(row))
	}
	return rows
}

// In the time of a bubble: what a pump does when something is down.
func TestPump(t *testing.T) {
	type play struct {
		*switched
		s    *natstest.Server
		js   jetstream.JetStream
		pump *datapump.Pump
		log  *journal
		end  <-chan error
	}
	cases := map[string]func(t *testing.T, p *play){
		"a store that is down pauses the pump, and nothing is lost": func(t *testing.T, p *play) {
			p.fail(errDown)
			last := publish(t, p.js, "sales", `{"n":1}`)
			time.Sleep(time.Minute)
			require.ErrorIs(t, p.pump.State().Paused, errDown)
			require.Less(t, len(p.tries), 20) // in a minute, for waits grow
			for i, try := range p.tries[9:] {
				require.Equal(t, 5*time.Second, try.Sub(p.tries[i+8]).Round(100*time.Millisecond))
			}
			p.fail(nil)
			time.Sleep(5 * time.Second)
			require.Equal(t, datapump.State{Applied: last, Rows: 1}, p.pump.State())
			require.Len(t, sales(t, p.Store), 1)
			require.Contains(t, p.log.String(), "the store is down")
			require.Contains(t, p.log.String(), "goes on")
		},
		"a row that was diverted stays so, though the store would take it now": func(t *testing.T, p *play) {
			p.fail(fmt.Errorf("%w: no such till yet", datapump.ErrRow)) // and the sequence is not moved
			last := publish(t, p.js, "sales", `{"n":1}`)
			time.Sleep(time.Second)
			require.Equal(t, map[string]string{"1": "the store refuses the row: no such till yet"}, diverted(t, p.js, "main"))
			p.fail(nil)
			time.Sleep(time.Hour) // beyond any window
			require.Equal(t, datapump.State{Applied: last, Diverted: 1}, p.pump.State())
			require.Empty(t, sales(t, p.Store))
			require.Len(t, diverted(t, p.js, "main"), 1)
		},
		"what is removed from the stream too soon is counted": func(t *testing.T, p *play) {
			publish(t, p.js, "sales", `{"n":1}`)
			time.Sleep(time.Second)
			p.s.Link("pump").Down() // or it would have them in hand already
			last := publish(t, p.js, "sales", `{"n":2}`, `{"n":3}`, `{"n":4}`)
			s, err := p.js.Stream(t.Context(), "SHOPS")
			require.NoError(t, err)
			require.NoError(t, s.Purge(t.Context(), jetstream.WithPurgeSequence(last)))
			p.s.Link("pump").Up()
			time.Sleep(time.Minute)
			require.Equal(t, datapump.State{Applied: last, Rows: 2, Missed: 2}, p.pump.State())
			require.Contains(t, p.log.String(), "removed")
		},
		"a cut is gone over": func(t *testing.T, p *play) {
			p.s.Link("pump").Down()
			last := publish(t, p.js, "sales", `{"n":1}`, `{"n":2}`)
			time.Sleep(time.Minute)
			p.s.Link("pump").Up()
			time.Sleep(15 * time.Second)
			require.Equal(t, datapump.State{Applied: last, Rows: 2}, p.pump.State())
		},
		"a stream that is gone ends it": func(t *testing.T, p *play) {
			require.NoError(t, p.js.DeleteStream(t.Context(), "SHOPS"))
			require.ErrorIs(t, <-p.end, jetstream.ErrStreamNotFound)
		},
		"a stream that was replaced ends it": func(t *testing.T, p *play) {
			publish(t, p.js, "sales", `{"n":1}`, `{"n":2}`)
			time.Sleep(time.Second)
			require.NoError(t, p.js.DeleteStream(t.Context(), "SHOPS"))
			require.NoError(t, datapump.Provision(t.Context(), p.js, "shops", datapump.Config{}))
			publish(t, p.js, "sales", `{"n":3}`)
			require.ErrorIs(t, <-p.end, datapump.ErrAhead)
		},
		"a second Run is refused": func(t *testing.T, p *play) {
			require.ErrorIs(t, p.pump.Run(t.Context()), datapump.ErrTwice)
		},
		"a row as large as a message is diverted without its body": func(t *testing.T, p *play) {
			publish(t, p.js, "sales", `{"card":"`+strings.Repeat("4", int(p.js.Conn().MaxPayload())-20)+`"}`)
			time.Sleep(time.Second)
			s, err := p.js.Stream(t.Context(), "SHOPS_DIVERTED")
			require.NoError(t, err)
			m, err := s.GetMsg(t.Context(), 1)
			require.NoError(t, err)
			require.Empty(t, m.Data)
			require.Equal(t, "true", m.Header.Get(datapump.CutHeader))
			require.Equal(t, "sales", m.Header.Get(datapump.TableHeader))
		},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
				store, _ := newSQLite(t)
				p := &play{switched: &switched{Store: store}, s: s, js: s.JetStream("test"), log: &journal{}}
				var err error
				p.pump, err = datapump.NewPump(t.Context(), s.JetStream("pump"), "shops", "main", p.switched,
					datapump.Config{Pause: 5 * time.Second, Log: slog.New(slog.NewTextHandler(p.log, nil))})
				require.NoError(t, err)
				ctx, cancel := context.WithCancel(t.Context())
				end := make(chan error, 1)
				done := make(chan struct{})
				go func() { defer close(done); end <- p.pump.Run(ctx) }()
				p.end = end
				time.Sleep(100 * time.Millisecond)
				test(t, p)
				cancel()
				<-done
			})
		})
	}
}
