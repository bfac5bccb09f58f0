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

func large(t *testing.T, s *suite) {
	p := s.pump(t, datapump.Config{})
	runs(t, p)
	s.reader(t)
	const n = 5_000
	fill(t, s.js, n)
	reaches(t, p, n)
	rows := s.sales(t)
	require.Len(t, rows, n)
	for i, row := range rows {
		require.Equal(t, i, row.N)
	}
}

func breaksOff(t *testing.T, s *suite) {
	p := s.pump(t, datapump.Config{})
	runs(t, p)
	s.reader(t)
	fill(t, s.js, 5_000)
	reaches(t, p, 5_000)
	for range 50 { // more than are answered at once
		for row, err := range datapump.Query[sale](t.Context(), s.nc, "shops", "sales", nil) {
			var refused *datapump.Error
			if errors.As(err, &refused) && refused.Code == "429" {
				break // those before are being closed
			}
			require.NoError(t, err)
			require.Zero(t, row.N)
			break
		}
	}
	natstest.Eventually(t, 5*time.Second, func(ctx context.Context) error {
		_, err := all[sale](ctx, s.nc, "sales", nil)
		return err
	})
}

func refusals(t *testing.T, s *suite) {
	_, err := all[sale](t.Context(), s.nc, "sales", nil)
	require.ErrorIs(t, err, datapump.ErrNobody)
	s.reader(t)
	for statement, want := range map[string]string{"unknown": "404", "stock-of": ""} {
		_, err := all[sale](t.Context(), s.nc, statement, nil)
		var refused *datapump.Error
		if want == "" {
			require.NoError(t, err)
		} else {
			require.ErrorAs(t, err, &refused)
			require.Equal(t, want, refused.Code)
		}
	}
	for _, args := range []any{map[string]any{"shop": 1}, map[string]any{"shop; DROP TABLE stock": "x"}, []int{1}} {
		_, err := all[stock](t.Context(), s.nc, "stock-of", args)
		var refused *datapump.Error
		require.ErrorAs(t, err, &refused)
		require.Equal(t, "400", refused.Code)
	}
}

func evil(t *testing.T, s *suite) {
	p := s.pump(t, datapump.Config{})
	runs(t, p)
	s.reader(t)
	names := []string{`n\") VALUES (1); DROP TABLE sales; --`, `n\"`, `rowid`, `N`, ``, `n\u0000`}
	for _, name := range names {
		publish(t, s.js, "sales", `{"`+name+`":1}`)
	}
	last := publish(t, s.js, "sales", `{"n":1,"till":"'); DROP TABLE sales; --"}`)
	reaches(t, p, last)
	require.Equal(t, []sale{{1, `'); DROP TABLE sales; --`}}, s.sales(t))
	require.Len(t, diverted(t, s.js, "main"), len(names))
}

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
				p.s.Line("client").Down()
				time.Sleep(1100 * time.Millisecond)
				require.Zero(t, p.open.Load())
				break
			}
			p.s.Line("client").Up()
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
			time.AfterFunc(1500*time.Millisecond, p.s.Line("reader").Down)
			_, err := all[sale](t.Context(), p.client, "sales", nil)
			require.ErrorIs(t, err, datapump.ErrIncomplete)
			require.Equal(t, 6*time.Second, time.Since(start).Truncate(time.Second))
			p.s.Line("reader").Up()
			p.stop()
		},
		"a chunk that is lost is noticed": func(t *testing.T, p *play) {
			var err error
			for _, err = range datapump.Query[sale](t.Context(), p.client, "shops", "sales", nil) {
				if err != nil {
					break
				}
				p.s.Line("client").Cut() // with it what is on the way, and then the credits
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
