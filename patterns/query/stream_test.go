package query_test

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
	"github.com/natspatterns/catalog/patterns/query"
)

// endless is a source without an end. It counts its rows and its running queries.
type endless struct {
	taken, open atomic.Int64
	slow        time.Duration
	most        int64
	panics      bool
}

var errSource = errors.New("disk failure in /secret/place")

func (e *endless) Query(ctx context.Context, st query.Statement, _ []any) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		e.open.Add(1)
		defer e.open.Add(-1)
		if e.panics {
			panic(errSource)
		}
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
			yield(nil, errSource)
		} else if ctx.Err() != nil {
			yield(nil, ctx.Err())
		}
	}
}

// How a result is held back, and how it ends.
func TestStream(t *testing.T) {
	type fixture struct {
		*endless
		s      *natstest.Server
		nc     *nats.Conn
		client *nats.Conn
		stop   func()
	}
	cases := map[string]func(t *testing.T, p *fixture){
		"rows that the client does not request stay in the source": func(t *testing.T, p *fixture) {
			for range query.Rows[sale](t.Context(), p.client, "shops", "sales", nil) {
				time.Sleep(5 * time.Second)
				require.Less(t, p.taken.Load()*64, int64(6*64<<10)) // four chunks sent, one waiting, one being filled
				break
			}
		},
		"a slow client receives all rows": func(t *testing.T, p *fixture) {
			p.most = 5000
			n := 0
			for _, err := range query.Rows[sale](t.Context(), p.client, "shops", "sales", nil) {
				require.NoError(t, err)
				if n++; n%1000 == 0 {
					time.Sleep(9 * time.Second) // less than IdleTimeout for each chunk
				}
			}
			require.Equal(t, 5000, n)
		},
		"a client that requests no chunk is refused after IdleTimeout": func(t *testing.T, p *fixture) {
			var refused *query.Error
			for _, err := range query.Rows[sale](t.Context(), p.client, "shops", "sales", nil) {
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
		"the cursor of a disconnected client is closed within a second": func(t *testing.T, p *fixture) {
			for range query.Rows[sale](t.Context(), p.client, "shops", "sales", nil) {
				require.EqualValues(t, 1, p.open.Load())
				p.s.Link("client").Down()
				time.Sleep(1100 * time.Millisecond)
				require.Zero(t, p.open.Load())
				break
			}
			p.s.Link("client").Up()
		},
		"a slow source is not taken for a crashed reader": func(t *testing.T, p *fixture) {
			p.slow, p.most = 40*time.Second, 1
			rows, err := all[sale](t.Context(), p.client, "sales", nil)
			require.NoError(t, err)
			require.Len(t, rows, 1)
		},
		"a disconnected reader is detected": func(t *testing.T, p *fixture) {
			p.slow = time.Hour
			start := time.Now()
			time.AfterFunc(1500*time.Millisecond, p.s.Link("reader").Down)
			_, err := all[sale](t.Context(), p.client, "sales", nil)
			require.ErrorIs(t, err, query.ErrIncomplete)
			require.Equal(t, 6*time.Second, time.Since(start).Truncate(time.Second))
			p.s.Link("reader").Up()
			p.stop()
		},
		"a lost chunk is detected": func(t *testing.T, p *fixture) {
			var err error
			for _, err = range query.Rows[sale](t.Context(), p.client, "shops", "sales", nil) {
				if err != nil {
					break
				}
				p.s.Link("client").Cut() // loses chunks on the link, then requests
			}
			require.Error(t, err)
		},
		"the error of a source is not sent to the client": func(t *testing.T, p *fixture) {
			p.most = 3
			rows, err := all[sale](t.Context(), p.client, "broken", nil)
			require.EqualError(t, err, "query: 500: internal error")
			require.Empty(t, rows)
		},
		"a break from the loop frees the cursor at once": func(t *testing.T, p *fixture) {
			for range query.Rows[sale](t.Context(), p.client, "shops", "sales", nil) {
				time.Sleep(100 * time.Millisecond) // the reader waits for a request
				require.EqualValues(t, 1, p.open.Load())
				break
			}
			time.Sleep(10 * time.Millisecond) // less than until its next message
			require.Zero(t, p.open.Load())
		},
		"a query that is sent while the reader unsubscribes is replied to": func(t *testing.T, p *fixture) {
			p.most = 1
			p.s.Link("reader").Delay(time.Second)
			time.AfterFunc(time.Second, p.stop)
			time.Sleep(1500 * time.Millisecond)
			rows, err := all[sale](t.Context(), p.client, "sales", nil)
			require.NoError(t, err)
			require.Len(t, rows, 1)
		},
		"a panic of a source fails its query only": func(t *testing.T, p *fixture) {
			p.panics, p.most = true, 1
			_, err := all[sale](t.Context(), p.client, "sales", nil)
			require.EqualError(t, err, "query: 500: internal error")
			p.panics = false
			rows, err := all[sale](t.Context(), p.client, "sales", nil)
			require.NoError(t, err)
			require.Len(t, rows, 1)
		},
		"a stopping reader finishes its queries, and cancels them after Grace": func(t *testing.T, p *fixture) {
			time.AfterFunc(time.Second, p.stop)
			p.slow = 10 * time.Millisecond
			start := time.Now()
			_, err := all[sale](t.Context(), p.client, "sales", nil)
			require.EqualError(t, err, "query: 503: the reader is stopping")
			require.Equal(t, 11*time.Second, time.Since(start).Truncate(time.Second))
		},
		"too many queries at once are refused": func(t *testing.T, p *fixture) {
			for _, err := range query.Rows[sale](t.Context(), p.client, "shops", "sales", nil) {
				require.NoError(t, err)
				for _, err := range query.Rows[sale](t.Context(), p.client, "shops", "sales", nil) {
					require.NoError(t, err)
					_, err := all[sale](t.Context(), p.client, "sales", nil)
					require.EqualError(t, err, "query: 429: 2 queries are running; try again, or start another reader")
					break
				}
				break
			}
		},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
				p := &fixture{endless: &endless{}, s: s, nc: s.Connect("reader"), client: s.Connect("client")}
				r, err := query.NewReader(t.Context(), p.nc, "shops", p.endless, statements, query.Config{Prefetch: 4, Concurrency: 2, IdleTimeout: 10 * time.Second})
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
