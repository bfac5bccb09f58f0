package requestreply_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/requestreply"
)

func TestMain(m *testing.M) { natstest.Main(m) }

type quote struct {
	SKU string `json:"sku"`
}

type price struct {
	Cents int `json:"cents"`
}

// prices is a service: what it does depends on the sku.
func prices(ctx context.Context, q quote) (price, error) {
	switch {
	case q.SKU == "apple":
		return price{30}, nil
	case q.SKU == "unknown":
		return price{}, &requestreply.Error{Code: "404", Text: "no such sku"}
	case q.SKU == "broken":
		return price{}, errors.New("the database password is hunter2")
	case q.SKU == "panic":
		panic("index out of range")
	case q.SKU == "huge":
		return price{}, nil
	case strings.HasPrefix(q.SKU, "slow"):
		takes := time.Second
		if strings.HasPrefix(q.SKU, "slowish-") { // on the real clock
			takes = 400 * time.Millisecond
		}
		select {
		case <-time.After(takes):
			return price{len(q.SKU)}, nil
		case <-ctx.Done():
			return price{}, ctx.Err()
		}
	}
	return price{len(q.SKU)}, nil
}

// respond starts a Responder, which end stops.
func respond(t *testing.T, nc *nats.Conn, cfg requestreply.Config, endpoints ...requestreply.Endpoint) (end func()) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	r, err := requestreply.NewResponder(ctx, nc, "prices", cfg, endpoints...)
	require.NoError(t, err)
	done := make(chan error)
	go func() { done <- r.Run(ctx) }()
	return func() {
		t.Helper()
		stop()
		require.NoError(t, <-done)
	}
}

func callAPI(ctx context.Context, nc *nats.Conn, sku string) (price, error) {
	return requestreply.Request[quote, price](ctx, nc, "prices.quote", quote{sku})
}

func TestRequest(t *testing.T) {
	for _, tc := range []struct {
		name string
		sku  string
		here bool
		want price
		err  error
		code string
		took time.Duration
	}{
		{name: "the answer comes back", sku: "apple", here: true, want: price{30}},
		{name: "nobody is there", sku: "apple", err: requestreply.ErrNobody},
		{name: "a refusal arrives as it was meant", sku: "unknown", here: true, code: "404: no such sku"},
		{name: "another error does not tell why", sku: "broken", here: true, code: "500: internal error"},
		{name: "a panic is an error like another", sku: "panic", here: true, code: "500: internal error"},
		{name: "the answer takes too long", sku: "slow-1", here: true, err: context.DeadlineExceeded, took: 500 * time.Millisecond},
	} {
		t.Run(tc.name, func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
				if tc.here {
					defer respond(t, s.Connect("responder"), requestreply.Config{}, requestreply.Handle("prices.quote", prices))()
				}
				ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
				defer cancel()
				start := time.Now()
				got, err := callAPI(ctx, s.Connect("asker"), tc.sku)
				require.Equal(t, tc.took, time.Since(start))
				if tc.code != "" {
					var refused *requestreply.Error
					require.ErrorAs(t, err, &refused)
					require.EqualError(t, refused, tc.code)
				} else {
					require.ErrorIs(t, err, tc.err)
				}
				require.Equal(t, tc.want, got)
			})
		})
	}
}

// An answer that comes too late is nobody's: the next question gets its own.
func TestLateReply(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		defer respond(t, s.Connect("responder"), requestreply.Config{},
			requestreply.Handle("prices.quote", func(_ context.Context, q quote) (price, error) {
				time.Sleep(time.Second) // whether or not anybody waits
				return price{len(q.SKU)}, nil
			}))()
		nc := s.Connect("asker")
		for n := 1; n < 5; n++ {
			short, cancel := context.WithTimeout(t.Context(), 900*time.Millisecond)
			_, err := callAPI(short, nc, strings.Repeat("x", n))
			cancel()
			require.ErrorIs(t, err, context.DeadlineExceeded)
			got, err := callAPI(t.Context(), nc, strings.Repeat("x", 10*n))
			require.NoError(t, err)
			require.Equal(t, price{10 * n}, got)
		}
	})
}

// The twin: an asker with one inbox for all its questions takes the late answer to
// the first for the answer to the second.
func TestLateReplyNaive(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		defer respond(t, s.Connect("responder"), requestreply.Config{}, requestreply.Handle("prices.quote", prices))()
		nc := s.Connect("asker")
		inbox, err := nc.SubscribeSync("naive")
		require.NoError(t, err)
		require.NoError(t, nc.PublishRequest("prices.quote", "naive", []byte(`{"sku":"slow-1"}`)))
		_, err = inbox.NextMsg(900 * time.Millisecond)
		require.ErrorIs(t, err, nats.ErrTimeout)
		require.NoError(t, nc.PublishRequest("prices.quote", "naive", []byte(`{"sku":"slow-22222"}`)))
		msg, err := inbox.NextMsg(time.Second)
		require.NoError(t, err)
		require.JSONEq(t, `{"cents":6}`, string(msg.Data), "the price of slow-1")
		time.Sleep(time.Second)
	})
}

// A handler's ctx ends when its asker stops waiting, so that it can too.
func TestHandlerDeadline(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		took := make(chan time.Duration, 1)
		defer respond(t, s.Connect("responder"), requestreply.Config{},
			requestreply.Handle("prices.quote", func(ctx context.Context, _ quote) (price, error) {
				start := time.Now()
				<-ctx.Done()
				took <- time.Since(start)
				return price{}, ctx.Err()
			}))()
		ctx, cancel := context.WithTimeout(t.Context(), 700*time.Millisecond)
		defer cancel()
		_, err := callAPI(ctx, s.Connect("asker"), "x")
		require.Error(t, err)
		require.Equal(t, 700*time.Millisecond, <-took)
	})
}

// Five requests of a second each take a second; with a Limit of two, three.
func TestConcurrent(t *testing.T) {
	for limit, want := range map[int]time.Duration{0: time.Second, 2: 3 * time.Second} {
		natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
			defer respond(t, s.Connect("responder"), requestreply.Config{Limit: limit}, requestreply.Handle("prices.quote", prices))()
			nc, start := s.Connect("asker"), time.Now()
			var all sync.WaitGroup
			for i := range 5 {
				all.Go(func() {
					_, err := callAPI(t.Context(), nc, fmt.Sprintf("slow-%d", i))
					assert.NoError(t, err)
				})
			}
			all.Wait()
			require.Equal(t, want, time.Since(start))
		})
	}
}
