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

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/datapump"
	"github.com/natspatterns/catalog/patterns/datapump/storetest"
)

// failing is a store that fails while err is set.
type failing struct {
	datapump.Store
	mu       sync.Mutex
	err      error
	attempts []time.Time
}

func (s *failing) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

func (s *failing) Apply(ctx context.Context, pump string, from, to uint64, rows []datapump.Row) error {
	s.mu.Lock()
	err := s.err
	s.attempts = append(s.attempts, time.Now())
	s.mu.Unlock()
	if errors.Is(err, datapump.ErrInvalidRow) && len(rows) == 0 {
		err = errDown
	}
	if err != nil {
		return err
	}
	return s.Store.Apply(ctx, pump, from, to, rows)
}

// logBuffer is a log that can be read at any time.
type logBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *logBuffer) Write(line []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(line)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// What a pump does while something fails.
func TestPump(t *testing.T) {
	type fixture struct {
		*failing
		s     *natstest.Server
		js    jetstream.JetStream
		pump  *datapump.Pump
		read  storetest.Read
		log   *logBuffer
		ended <-chan error
	}
	cases := map[string]func(t *testing.T, p *fixture){
		"while the store fails the pump retries with backoff and nothing is lost": func(t *testing.T, p *fixture) {
			p.fail(errDown)
			last := publish(t, p.js, "sales", `{"n":1}`)
			time.Sleep(time.Minute)
			require.ErrorIs(t, p.pump.State().Paused, errDown)
			require.Less(t, len(p.attempts), 20) // in a minute, for waits grow
			for i, try := range p.attempts[9:] {
				require.Equal(t, 5*time.Second, try.Sub(p.attempts[i+8]).Round(100*time.Millisecond))
			}
			p.fail(nil)
			time.Sleep(5 * time.Second)
			require.Equal(t, datapump.State{Position: last, Rows: 1}, p.pump.State())
			require.Len(t, salesIn(t, p.read), 1)
			require.Contains(t, p.log.String(), "the store is down")
			require.Contains(t, p.log.String(), "resumed")
		},
		"a rejected row stays rejected even if the store would accept it now": func(t *testing.T, p *fixture) {
			p.fail(fmt.Errorf("%w: no such till yet", datapump.ErrInvalidRow)) // and the position is not moved
			last := publish(t, p.js, "sales", `{"n":1}`)
			time.Sleep(time.Second)
			require.Equal(t, map[string]string{"1": "datapump: invalid row: no such till yet"}, rejected(t, p.js, "main"))
			p.fail(nil)
			time.Sleep(time.Hour) // beyond any window
			require.Equal(t, datapump.State{Position: last, Rejected: 1}, p.pump.State())
			require.Empty(t, salesIn(t, p.read))
			require.Len(t, rejected(t, p.js, "main"), 1)
		},
		"rows that are removed before they are applied are counted": func(t *testing.T, p *fixture) {
			publish(t, p.js, "sales", `{"n":1}`)
			time.Sleep(time.Second)
			p.s.Link("pump").Down() // or the pump has received them
			last := publish(t, p.js, "sales", `{"n":2}`, `{"n":3}`, `{"n":4}`)
			s, err := p.js.Stream(t.Context(), "SHOPS")
			require.NoError(t, err)
			require.NoError(t, s.Purge(t.Context(), jetstream.WithPurgeSequence(last)))
			p.s.Link("pump").Up()
			time.Sleep(time.Minute)
			require.Equal(t, datapump.State{Position: last, Rows: 2, Missed: 2}, p.pump.State())
			require.Contains(t, p.log.String(), "removed")
		},
		"a new pump starts at the first row that is in the stream": func(t *testing.T, p *fixture) {
			p.s.Link("pump").Down()
			last := publish(t, p.js, "sales", `{"n":1}`, `{"n":2}`, `{"n":3}`)
			s, err := p.js.Stream(t.Context(), "SHOPS")
			require.NoError(t, err)
			require.NoError(t, s.Purge(t.Context(), jetstream.WithPurgeSequence(last)))
			p.s.Link("pump").Up()
			time.Sleep(time.Minute)
			require.Equal(t, datapump.State{Position: last, Rows: 1}, p.pump.State())
		},
		"after a disconnect the pump resumes": func(t *testing.T, p *fixture) {
			p.s.Link("pump").Down()
			last := publish(t, p.js, "sales", `{"n":1}`, `{"n":2}`)
			time.Sleep(time.Minute)
			p.s.Link("pump").Up()
			time.Sleep(15 * time.Second)
			require.Equal(t, datapump.State{Position: last, Rows: 2}, p.pump.State())
		},
		"a deleted stream ends Run": func(t *testing.T, p *fixture) {
			require.NoError(t, p.js.DeleteStream(t.Context(), "SHOPS"))
			require.ErrorIs(t, <-p.ended, jetstream.ErrStreamNotFound)
		},
		"a recreated stream ends Run": func(t *testing.T, p *fixture) {
			publish(t, p.js, "sales", `{"n":1}`, `{"n":2}`)
			time.Sleep(time.Second)
			require.NoError(t, p.js.DeleteStream(t.Context(), "SHOPS"))
			require.NoError(t, datapump.Provision(t.Context(), p.js, "shops", datapump.Config{}))
			publish(t, p.js, "sales", `{"n":3}`)
			err := <-p.ended
			require.ErrorIs(t, err, datapump.ErrRecreated)
			require.ErrorContains(t, err, "purge shops.rejected.main.*") // or valid rows would be taken for rejected ones
		},
		"a second Run is refused": func(t *testing.T, p *fixture) {
			require.ErrorIs(t, p.pump.Run(t.Context()), datapump.ErrAlreadyRun)
		},
		"a row as large as a message is rejected without its payload": func(t *testing.T, p *fixture) {
			publish(t, p.js, "sales", `{"card":"`+strings.Repeat("4", int(p.js.Conn().MaxPayload())-20)+`"}`)
			time.Sleep(time.Second)
			m := firstRejected(t, p.js)
			require.Empty(t, m.Data)
			require.Equal(t, "true", m.Header.Get(datapump.HeaderTruncated))
			require.Equal(t, "sales", m.Header.Get(datapump.HeaderTable))
		},
		"a rejected row keeps its headers and its payload": func(t *testing.T, p *fixture) {
			_, err := p.js.PublishMsg(t.Context(), &nats.Msg{Subject: "shops.row.sales", Data: []byte(`{"n":"one"}`),
				Header: nats.Header{"Trace": {"t-1"}, "Pump-Reason": {"forged"}, "Pump-Truncated": {"forged"}, "Nats-Msg-Id": {"w-1"}}})
			require.NoError(t, err)
			time.Sleep(time.Second)
			m := firstRejected(t, p.js)
			require.Equal(t, `{"n":"one"}`, string(m.Data))
			m.Header.Del(jetstream.ExpectedLastSubjSeqHeader)
			require.Equal(t, nats.Header{"Trace": {"t-1"}, datapump.HeaderReason: {`column "n": want an integer of 64 bits`},
				datapump.HeaderTable: {"sales"}, datapump.HeaderSequence: {"1"}}, m.Header)
		},
		"a row with almost 64 KiB of headers is rejected without them": func(t *testing.T, p *fixture) {
			_, err := p.js.PublishMsg(t.Context(), &nats.Msg{Subject: "shops.row.sales", Data: []byte(`{"n":"one"}`),
				Header: nats.Header{"Trace": {strings.Repeat("t", 65_000)}}})
			require.NoError(t, err)
			time.Sleep(time.Second)
			m := firstRejected(t, p.js)
			require.Empty(t, m.Data)
			require.Empty(t, m.Header.Get("Trace"))
			require.Equal(t, "true", m.Header.Get(datapump.HeaderTruncated))
		},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
				store, db := newSQLite(t)
				p := &fixture{failing: &failing{Store: store}, read: reader(db), s: s, js: s.JetStream("test"), log: &logBuffer{}}
				var err error
				p.pump, err = datapump.NewPump(t.Context(), s.JetStream("pump"), "shops", "main", p.failing, storetest.Tables,
					datapump.Config{MaxBackoff: 5 * time.Second, Log: slog.New(slog.NewTextHandler(p.log, nil))})
				require.NoError(t, err)
				ctx, cancel := context.WithCancel(t.Context())
				ended := make(chan error, 1)
				done := make(chan struct{})
				go func() { defer close(done); ended <- p.pump.Run(ctx) }()
				p.ended = ended
				time.Sleep(100 * time.Millisecond)
				test(t, p)
				cancel()
				<-done
			})
		})
	}
}

func firstRejected(t *testing.T, js jetstream.JetStream) *jetstream.RawStreamMsg {
	s, err := js.Stream(t.Context(), "SHOPS_REJECTED")
	require.NoError(t, err)
	m, err := s.GetMsg(t.Context(), 1)
	require.NoError(t, err)
	return m
}
