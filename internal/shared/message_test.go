package shared

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestRedeliveryDelay(t *testing.T) {
	for _, tc := range []struct {
		first    time.Duration
		delivery int
		want     time.Duration
	}{
		{time.Second, 1, time.Second}, {time.Second, 2, 2 * time.Second}, {time.Second, 6, 32 * time.Second},
		{time.Second, 7, time.Minute}, {time.Second, 100_000, time.Minute}, {25 * time.Second, 3, time.Minute},
		{time.Hour, 1, time.Hour}, {time.Hour, 9, time.Hour}, {3 * time.Millisecond, 12, 6144 * time.Millisecond},
	} {
		require.Equal(t, tc.want, redeliveryDelay(tc.first, tc.delivery), "%v, delivery %d", tc.first, tc.delivery)
	}
}

// The functions of before run grace after the end of ctx, before the end of work.
func TestWithGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var at time.Duration
		start := time.Now()
		var work context.Context
		work, stop := withGrace(ctx, time.Minute, func() {
			at = time.Since(start)
			require.NoError(t, work.Err())
		})
		defer stop()
		cancel()
		<-work.Done()
		require.Equal(t, time.Minute, at)

		work, stop = withGrace(t.Context(), time.Minute, func() { t.Error("called without the end of ctx") })
		stop()
		<-work.Done()
	})
}
