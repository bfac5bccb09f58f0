package shared

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
)

func TestCallAPI(t *testing.T) {
	noLeader := &jetstream.APIError{Code: 503, ErrorCode: codeNoLeader}
	for name, test := range map[string]struct {
		results  []error // of the attempts; the last one repeats
		want     error
		attempts int
	}{
		"success":                              {[]error{nil}, nil, 1},
		"an error is returned at once":         {[]error{jetstream.ErrStreamNotFound}, jetstream.ErrStreamNotFound, 1},
		"without a leader it is tried again":   {[]error{noLeader, noLeader, nil}, nil, 3},
		"a lost reply is asked for again":      {[]error{context.DeadlineExceeded, nil}, nil, 2},
		"after 10 s the last error is the one": {[]error{noLeader}, noLeader, 101},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				attempts, start := 0, time.Now()
				_, err := callAPI(t.Context(), func(context.Context) (int, error) {
					attempts++
					return 0, test.results[min(attempts, len(test.results))-1]
				})
				require.ErrorIs(t, err, test.want)
				require.InDelta(t, test.attempts, attempts, 1)
				require.LessOrEqual(t, time.Since(start), 10*time.Second)
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		_, err := callAPI(t.Context(), func(ctx context.Context) (int, error) { <-ctx.Done(); return 0, ctx.Err() })
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, 10*time.Second, time.Since(start), "a call that gets no reply ends")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = callAPI(ctx, func(ctx context.Context) (int, error) { <-ctx.Done(); return 0, ctx.Err() })
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, 11*time.Second, time.Since(start), "it ends with its context")
	})
}

func TestErrorCodes(t *testing.T) {
	for _, code := range []jetstream.ErrorCode{10071, 10164} {
		require.True(t, isConflict(fmt.Errorf("append: %w", &jetstream.APIError{ErrorCode: code})))
	}
	require.False(t, isConflict(nil))
	require.False(t, isConflict(errors.New("wrong last sequence")))
	require.Zero(t, apiCode(nats.ErrTimeout))
	require.EqualValues(t, 10059, apiCode(jetstream.ErrStreamNotFound))
	require.True(t, isGone(fmt.Errorf("%w", jetstream.ErrConsumerDeleted)))
	require.True(t, isGone(nats.ErrConnectionClosed))
	require.False(t, isGone(nats.ErrDisconnected))
	require.False(t, isGone(nil))
}

func TestCheckConsumer(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js, ctx := s.JetStream("app"), t.Context()
		stream, err := js.CreateStream(ctx, jobs())
		require.NoError(t, err)
		cons, err := stream.CreateConsumer(ctx, jetstream.ConsumerConfig{Durable: "workers"})
		require.NoError(t, err)
		require.NoError(t, checkConsumer(ctx, cons, jetstream.ErrNoHeartbeat))
		require.ErrorIs(t, checkConsumer(ctx, cons, jetstream.ErrConsumerDeleted), jetstream.ErrConsumerDeleted)
		require.NoError(t, stream.DeleteConsumer(ctx, "workers"))
		require.ErrorIs(t, checkConsumer(ctx, cons, jetstream.ErrNoHeartbeat), jetstream.ErrConsumerNotFound)
		require.NoError(t, js.DeleteStream(ctx, "JOBS"))
		require.ErrorIs(t, checkConsumer(ctx, cons, jetstream.ErrNoHeartbeat), jetstream.ErrStreamNotFound)
		js.Conn().Close()
		require.ErrorIs(t, checkConsumer(ctx, cons, jetstream.ErrNoHeartbeat), nats.ErrConnectionClosed)
	})
}

func TestConfig(t *testing.T) {
	require.NoError(t, checkID("A-z_09"))
	long := make([]byte, 65)
	for i := range long {
		long[i] = 'a'
	}
	require.NoError(t, checkID(string(long[:64])))
	for _, bad := range []string{"", "a.b", "a b", "ä", "*", ">", string(long)} {
		require.ErrorIs(t, checkID(bad), ErrID, "%q", bad)
	}
	d := time.Duration(0)
	require.NoError(t, setDefault("Grace", &d, 10*time.Second, time.Second))
	require.Equal(t, 10*time.Second, d)
	require.NoError(t, setDefault("Grace", &d, time.Second, time.Second))
	require.Equal(t, 10*time.Second, d)
	d = -1
	require.EqualError(t, setDefault("Grace", &d, time.Second, time.Second), "shared: bad config: Grace is -1ns; use at least 1s")
}

func TestIsTooLarge(t *testing.T) {
	require.True(t, isTooLarge(fmt.Errorf("publish: %w", nats.ErrMaxPayload)))
	require.True(t, isTooLarge(&jetstream.APIError{ErrorCode: 10097}), "its headers")
	require.True(t, isTooLarge(&jetstream.APIError{ErrorCode: jetstream.JSErrCodeStreamMessageExceedsMaximum}))
	require.False(t, isTooLarge(jetstream.ErrStreamNotFound))
	require.False(t, isTooLarge(nil))
}
