package requestreply_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/requestreply"
)

func TestRequest(t *testing.T) {
	for _, tc := range []struct {
		name string
		sku  string
		up   bool
		want price
		err  error
		code string
		took time.Duration
	}{
		{name: "a reply", sku: "apple", up: true, want: price{30}},
		{name: "no responder", sku: "apple", err: requestreply.ErrNoResponders},
		{name: "an Error arrives with its code and text", sku: "unknown", up: true, code: "404: no such sku"},
		{name: "the text of another error is not sent", sku: "broken", up: true, code: "500: internal error"},
		{name: "a panic is an error", sku: "panic", up: true, code: "500: internal error"},
		{name: "the timeout passes", sku: "slow-1", up: true, err: context.DeadlineExceeded, took: 500 * time.Millisecond},
	} {
		t.Run(tc.name, func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
				if tc.up {
					defer respond(t, s.Connect("responder"), requestreply.Config{}, requestreply.Handle("prices.quote", prices))()
				}
				ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
				defer cancel()
				start := time.Now()
				got, err := request(ctx, s.Connect("requester"), tc.sku)
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

// A reply that arrives after the timeout is dropped. The next request receives its own.
func TestLateReply(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		defer respond(t, s.Connect("responder"), requestreply.Config{},
			requestreply.Handle("prices.quote", func(_ context.Context, q quote) (price, error) {
				time.Sleep(time.Second) // longer than the timeout of the first request
				return price{len(q.SKU)}, nil
			}))()
		nc := s.Connect("requester")
		for n := 1; n < 5; n++ {
			short, cancel := context.WithTimeout(t.Context(), 900*time.Millisecond)
			_, err := request(short, nc, strings.Repeat("x", n))
			cancel()
			require.ErrorIs(t, err, context.DeadlineExceeded)
			got, err := request(t.Context(), nc, strings.Repeat("x", 10*n))
			require.NoError(t, err)
			require.Equal(t, price{10 * n}, got)
		}
	})
}

func TestAll(t *testing.T) {
	for _, tc := range []struct {
		name  string
		takes []time.Duration // of each responder
		many  requestreply.Many
		want  string
		took  time.Duration
	}{
		{"every responder replies", []time.Duration{100, 200, 300}, requestreply.Many{}, "0 1 2", 600},
		{"in the order of arrival", []time.Duration{300, 200, 100}, requestreply.Many{}, "2 1 0", 600},
		{"Max replies end it", []time.Duration{100, 200, 300}, requestreply.Many{Max: 2}, "0 1", 200},
		{"silence for Stall ends it", []time.Duration{100, 200, 2000}, requestreply.Many{Stall: 500 * time.Millisecond}, "0 1", 700},
		{"the deadline ends it", []time.Duration{100, 2000}, requestreply.Many{Stall: time.Minute}, "0", 3000},
		{"no responder", nil, requestreply.Many{}, "requestreply: no responders: subject prices.quote; start a responder", 0},
		{"an error reply is a reply", []time.Duration{-1, 200}, requestreply.Many{}, "404: not here 1", 500},
	} {
		t.Run(tc.name, func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
				for i, takes := range tc.takes {
					defer respond(t, s.Connect(fmt.Sprint(i)), requestreply.Config{},
						requestreply.Handle("prices.quote", func(context.Context, quote) (price, error) {
							if takes < 0 {
								return price{}, &requestreply.Error{Code: "404", Text: "not here"}
							}
							time.Sleep(takes * time.Millisecond)
							return price{i}, nil
						}).Each())()
				}
				ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
				defer cancel()
				if tc.name == "the deadline ends it" {
					tc.takes[1] = time.Hour
				}
				start := time.Now()
				var got []string
				for p, err := range requestreply.All[quote, price](ctx, s.Connect("requester"), "prices.quote", quote{}, tc.many) {
					if err != nil {
						got = append(got, err.Error())
					} else {
						got = append(got, fmt.Sprint(p.Cents))
					}
				}
				if tc.name == "the deadline ends it" {
					require.Equal(t, []string{"0", "1"}, got, "the second came within it")
				} else {
					require.Equal(t, tc.want, strings.Join(got, " "))
				}
				require.Equal(t, tc.took*time.Millisecond, time.Since(start))
			})
		})
	}
}
