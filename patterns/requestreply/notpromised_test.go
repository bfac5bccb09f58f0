package requestreply_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/requestreply"
)

// A request and a reply can be lost, and a requester that repeats a request repeats its
// effect.
func TestNotPromised(t *testing.T) {
	for _, tc := range []struct {
		name    string
		fault   func(s *natstest.Server)
		err     error
		handled int32 // after the request is repeated
	}{
		{
			"a request is not stored for a disconnected responder",
			func(s *natstest.Server) { s.Link("responder").Down() },
			requestreply.ErrNoResponders, 1,
		},
		{
			"a request on the connection is lost with it",
			func(s *natstest.Server) {
				s.Link("requester").Delay(100 * time.Millisecond)
				time.AfterFunc(50*time.Millisecond, s.Link("requester").Cut)
			},
			context.DeadlineExceeded, 1,
		},
		{
			"the reply is lost and the repeated request is handled again",
			func(s *natstest.Server) {
				s.Link("responder").Delay(100 * time.Millisecond)
				time.AfterFunc(50*time.Millisecond, s.Link("responder").Cut)
			},
			context.DeadlineExceeded, 2,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
				var handled atomic.Int32
				defer respond(t, s.Connect("responder"), requestreply.Config{},
					requestreply.Handle("prices.quote", func(context.Context, quote) (price, error) {
						handled.Add(1)
						return price{30}, nil
					}))()
				nc := s.Connect("requester")
				tc.fault(s)
				time.Sleep(time.Millisecond)
				_, err := request(t.Context(), nc, "apple")
				require.ErrorIs(t, err, tc.err)
				for _, client := range []string{"requester", "responder"} {
					s.Link(client).Delay(0)
					s.Link(client).Up()
				}
				time.Sleep(time.Minute)
				_, err = request(t.Context(), nc, "apple")
				require.NoError(t, err)
				require.Equal(t, tc.handled, handled.Load())
			})
		})
	}
}
