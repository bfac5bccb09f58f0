package requestreply_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/requestreply"
)

// conform holds on every server, on the real clock. connect returns a new connection.
func conform(t *testing.T, connect func(name string) *nats.Conn) {
	nc := connect("requester")
	start := time.Now()
	_, err := request(t.Context(), nc, "apple")
	require.ErrorIs(t, err, requestreply.ErrNoResponders)
	require.Less(t, time.Since(start), time.Second)

	for i := range 3 {
		defer respond(t, connect(fmt.Sprint(i)), requestreply.Config{}, requestreply.Handle("prices.quote", prices),
			requestreply.Handle("prices.all", func(context.Context, quote) (price, error) { return price{i}, nil }).Each())()
	}
	all := func() int {
		n := 0
		for _, err := range requestreply.All[quote, price](t.Context(), nc, "prices.all", quote{}, requestreply.Many{}) {
			if err == nil {
				n++
			}
		}
		return n
	}
	natstest.Eventually(t, 10*time.Second, func(context.Context) error { // a cluster propagates interest
		if n := all(); n != 3 {
			return fmt.Errorf("%d of 3 replied", n)
		}
		return nil
	})
	got, err := request(t.Context(), nc, "apple")
	require.NoError(t, err)
	require.Equal(t, price{30}, got)
	var refused *requestreply.Error
	_, err = request(t.Context(), nc, "unknown")
	require.ErrorAs(t, err, &refused)
	require.Equal(t, "404", refused.Code)
	short, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err = request(short, nc, "slowish-1")
	require.ErrorIs(t, err, context.DeadlineExceeded)
	start = time.Now()
	var requesters sync.WaitGroup
	for i := range 20 {
		requesters.Go(func() {
			_, err := request(t.Context(), nc, fmt.Sprintf("slowish-%d", i))
			assert.NoError(t, err)
		})
	}
	requesters.Wait()
	require.Less(t, time.Since(start), 2*time.Second, "20 requests of 400 ms, handled concurrently; three at a time would take 2.8 s")
}

func TestConformance(t *testing.T) {
	s := natstest.Listen(t)
	conform(t, func(name string) *nats.Conn { return s.Connect(name) })
}
