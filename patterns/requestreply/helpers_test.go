package requestreply_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
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

// prices is a handler. Its result depends on the SKU.
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

// respond starts a Responder; end stops it.
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

func request(ctx context.Context, nc *nats.Conn, sku string) (price, error) {
	return requestreply.Request[quote, price](ctx, nc, "prices.quote", quote{sku})
}
