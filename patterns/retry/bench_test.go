package retry_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/internal/ratio"
	"github.com/natspatterns/catalog/patterns/retry"
)

const requests = 2_000

// answered times requests to a service, each made by do.
func answered(b *testing.B, do func(ctx context.Context, call func(context.Context) error) error) time.Duration {
	s := natstest.Start(b)
	defer s.Stop()
	service := s.Connect("service")
	_, err := service.Subscribe("prices", func(m *nats.Msg) { _ = m.Respond(m.Data) })
	require.NoError(b, err)
	require.NoError(b, service.Flush())
	nc := s.Connect("client")
	data := make([]byte, 100)
	start := time.Now()
	for range requests {
		require.NoError(b, do(b.Context(), func(ctx context.Context) error {
			_, err := nc.RequestWithContext(ctx, "prices", data)
			return err
		}))
	}
	return time.Since(start)
}

// The work: requests of 100 bytes, each with a timeout, one by one.
func BenchmarkDo(b *testing.B) {
	ratio.Bar{Pattern: "retry", Metric: "Do around Request, beside Request", AtLeast: 0.9, Pairs: 15}.Compare(b,
		func(b *testing.B) time.Duration {
			return answered(b, func(ctx context.Context, call func(context.Context) error) error {
				ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
				defer cancel()
				return call(ctx)
			})
		},
		func(b *testing.B) time.Duration {
			r, err := retry.NewRetrier(retry.Config{})
			require.NoError(b, err)
			return answered(b, r.Do)
		})
}

// The cost of Do itself; there is no bar.
func BenchmarkEmpty(b *testing.B) {
	if b.N > 1 {
		return
	}
	r, err := retry.NewRetrier(retry.Config{})
	require.NoError(b, err)
	const n = 100_000
	start := time.Now()
	for range n {
		_ = r.Do(b.Context(), func(context.Context) error { return nil })
	}
	ratio.Report(b, "retry", "Do of an empty function", fmt.Sprintf("%.2fus", time.Since(start).Seconds()*1e6/n), "price", true)
}
