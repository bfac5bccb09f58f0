package datapump_test

import (
	"context"
	"errors"
	"iter"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/datapump"
)

// endless is a store with rows without end, that tells how many were taken and
// whether anyone reads.
type endless struct {
	datapump.Store
	taken, open atomic.Int64
	slow        time.Duration
	most        int64
}

var errBroken = errors.New("the disk is on fire, in /secret/place")

func (e *endless) Schema() datapump.Schema { return schema }

func (e *endless) Query(ctx context.Context, st datapump.Statement, _ []any) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		e.open.Add(1)
		defer e.open.Add(-1)
		for n := int64(0); (e.most == 0 || n < e.most) && ctx.Err() == nil; n++ {
			select {
			case <-time.After(e.slow):
			case <-ctx.Done():
			}
			e.taken.Add(1)
			if !yield([]byte(`{"n":1,"till":"a long, long name of a till, to fill the chunks"}`), nil) {
				return
			}
		}
		if st.Name == "broken" {
			yield(nil, errBroken)
		} else if ctx.Err() != nil {
			yield(nil, ctx.Err())
		}
	}
}

// In the time of a bubble: how a result is held back, and how it ends.
func TestResult(t *testing.T) {
	type play struct {
		*endless
		s      *natstest.Server
		nc     *nats.Conn
		client *nats.Conn
		stop   func()
	}
	cases := map[string]func(t *testing.T, p *play){
		"rows that nobody takes stay in the store": func(t *testing.T, p *play) {
			for range datapump.Query[sale](t.Context(), p.client, "shops", "sales", nil) {
				time.Sleep(5 * time.Second)
				require.Less(t, p.taken.Load()*64, int64(6*64<<10)) // four chunks on the way, one in hand, one being filled
				break
			}
		},
		"a client that goes on slowly gets all": func(t *testing.T, p *play) {
			p.most = 5000
			n := 0
			for _, err := range datapump.Query[sale](t.Context(), p.client, "shops", "sales", nil) {
				require.NoError(t, err)
				if n++; n%1000 == 0 {
					time.Sleep(9 * time.Second) // less than Patience, for each chunk
				}
			}
			require.Equal(t, 5000, n)
		},
		"a client that takes nothing is given up": func(t *testing.T, p *play) {
			var refused *datapump.Error
			for _, err := range datapump.Query[sale](t.Context(), p.client, "shops", "sales", nil) {
				if err != nil {
					require.ErrorAs(t, err, &refused)
					break
				}
				if p.open.Load() > 0 {
					time.Sleep(12 * time.Second)
					require.Zero(t, p.open.Load())
				}
			}
			require.Equal(t, "408", refused.Code)
		},
		"a client that dies frees the cursor within a second": func(t *testing.T, p *play) {
			for range datapump.Query[sale](t.Context(), p.client, "shops", "sales", nil) {
				require.EqualValues(t, 1, p.open.Load())
				p.s.Link("client").Down()
				time.Sleep(1100 * time.Millisecond)
				require.Zero(t, p.open.Load())
				break
			}
			p.s.Link("client").Up()
		},
		"a slow store is not taken for a dead reader": func(t *testing.T, p *play) {
			p.slow, p.most = 40*time.Second, 1
			rows, err := all[sale](t.Context(), p.client, "sales", nil)
			require.NoError(t, err)
			require.Len(t, rows, 1)
		},
		"a reader that is cut off is noticed": func(t *testing.T, p *play) {
			p.slow = time.Hour
			start := time.Now()
			time.AfterFunc(1500*time.Millisecond, p.s.Link("reader").Down)
			_, err := all[sale](t.Context(), p.client, "sales", nil)
			require.ErrorIs(t, err, datapump.ErrIncomplete)
			require.Equal(t, 6*time.Second, time.Since(start).Truncate(time.Second))
			p.s.Link("reader").Up()
			p.stop()
		},
		"a chunk that is lost is noticed": func(t *testing.T, p *play) {
			var err error
			for _, err = range datapump.Query[sale](t.Context(), p.client, "shops", "sales", nil) {
				if err != nil {
					break
				}
				p.s.Link("client").Cut() // with it what is on the way, and then the credits
			}
			require.Error(t, err)
		},
		"a store that fails ends the result with an error that does not tell why": func(t *testing.T, p *play) {
			p.most = 3
			rows, err := all[sale](t.Context(), p.client, "broken", nil)
			require.EqualError(t, err, "datapump: 500: internal error")
			require.Empty(t, rows)
		},
		"a reader that stops finishes what it has begun, and then breaks it off": func(t *testing.T, p *play) {
			time.AfterFunc(time.Second, p.stop)
			p.slow = 10 * time.Millisecond
			start := time.Now()
			_, err := all[sale](t.Context(), p.client, "sales", nil)
			require.EqualError(t, err, "datapump: 503: the reader is stopping")
			require.Equal(t, 11*time.Second, time.Since(start).Truncate(time.Second))
		},
		"too many queries at once are refused": func(t *testing.T, p *play) {
			for _, err := range datapump.Query[sale](t.Context(), p.client, "shops", "sales", nil) {
				require.NoError(t, err)
				for _, err := range datapump.Query[sale](t.Context(), p.client, "shops", "sales", nil) {
					require.NoError(t, err)
					_, err := all[sale](t.Context(), p.client, "sales", nil)
					require.EqualError(t, err, "datapump: 429: 2 queries are being answered; try again, or start another reader")
					break
				}
				break
			}
		},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
				p := &play{endless: &endless{}, s: s, nc: s.Connect("reader"), client: s.Connect("client")}
				r, err := datapump.NewReader(t.Context(), p.nc, "shops", p.endless, datapump.Config{Window: 4, Limit: 2, Patience: 10 * time.Second})
				require.NoError(t, err)
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan error, 1)
				go func() { done <- r.Run(ctx) }()
				p.stop = cancel
				test(t, p)
				cancel()
				require.NoError(t, <-done)
				require.Zero(t, p.open.Load())
			})
		})
	}
}
