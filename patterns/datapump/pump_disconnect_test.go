package datapump_test

import (
	"context"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/datapump"
	"github.com/natspatterns/catalog/patterns/datapump/storetest"
)

// cutting is a store that cuts a link at some calls, while messages are on it.
type cutting struct {
	datapump.Store
	cut func()
	n   int
}

func (c *cutting) Apply(ctx context.Context, pump string, from, to uint64, rows []datapump.Row) error {
	if c.n++; c.n%5 == 1 && c.n < 50 {
		c.cut()
	}
	return c.Store.Apply(ctx, pump, from, to, rows)
}

// Messages that a disconnect lost are delivered again.
func TestDisconnect(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		store, _ := newSQLite(t)
		js := s.JetStream("test")
		require.NoError(t, datapump.Provision(t.Context(), js, "shops", datapump.Config{}))
		fill(t, js, 3000)
		p, err := datapump.NewPump(t.Context(), s.JetStream("pump"), "shops", "main", &cutting{Store: store, cut: s.Link("pump").Cut}, storetest.Tables, datapump.Config{Batch: 100})
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- p.Run(ctx) }()
		time.Sleep(2 * time.Minute)
		require.Equal(t, datapump.State{Position: 3000, Rows: 3000}, p.State())
		cancel()
		require.NoError(t, <-done)
	})
}

// lossyLink is a link that loses what the server sends while lose is set.
type lossyLink struct {
	nats.InProcessConnProvider
	lose atomic.Bool
}

func (l *lossyLink) InProcessConn() (net.Conn, error) {
	conn, err := l.InProcessConnProvider.InProcessConn()
	return &lossyConn{conn, l}, err
}

type lossyConn struct {
	net.Conn
	link *lossyLink
}

func (c *lossyConn) Read(b []byte) (n int, err error) {
	n, err = c.Conn.Read(b)
	for err == nil && c.link.lose.Load() {
		n, err = c.Conn.Read(b)
	}
	return n, err
}

// A lost message is delivered again: when a later one arrives, or when the client
// reconnects.
func TestLostMessage(t *testing.T) {
	for name, reconnects := range map[string]bool{"a later message arrives": false, "the client reconnects": true} {
		t.Run(name, func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
				store, _ := newSQLite(t)
				link := &lossyLink{InProcessConnProvider: s.Link("pump")}
				js := s.JetStream("test")
				p, err := datapump.NewPump(t.Context(), s.JetStream("pump", nats.InProcessServer(link)), "shops", "main", store, storetest.Tables, datapump.Config{})
				require.NoError(t, err)
				defer runs(t, p)()
				time.Sleep(100 * time.Millisecond)
				publish(t, js, "sales", `{"n":1}`)
				time.Sleep(100 * time.Millisecond)
				link.lose.Store(true)
				last := publish(t, js, "sales", `{"n":2}`)
				time.Sleep(100 * time.Millisecond)
				link.lose.Store(false)
				if reconnects {
					s.Link("pump").Cut()
				} else {
					last = publish(t, js, "sales", `{"n":3}`)
				}
				time.Sleep(10 * time.Second)
				require.Equal(t, datapump.State{Position: last, Rows: last}, p.State())
			})
		})
	}
}
