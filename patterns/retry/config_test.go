package retry_test

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/patterns/retry"
)

func TestConfig(t *testing.T) {
	for field, cfg := range map[string]retry.Config{
		"Policy":           {Policy: retry.Policy{Initial: time.Second}},
		"Jitter":           {Policy: retry.Policy{Initial: 1, Max: 1, Jitter: 1.1}},
		"MaxAttempts":      {MaxAttempts: -1},
		"Timeout":          {Timeout: -1},
		"Breaker.Failures": {Breaker: &retry.Breaker{Failures: -1}},
		"Breaker.Delay":    {Breaker: &retry.Breaker{Delay: retry.Policy{Max: 1}}},
		"Burst":            {Budget: &retry.Budget{Burst: -1}},
		"Every":            {Budget: &retry.Budget{Every: -1}},
		"Ratio":            {Budget: &retry.Budget{Ratio: math.NaN()}},
	} {
		_, err := retry.NewRetrier(cfg)
		require.ErrorIs(t, err, retry.ErrConfig)
		require.ErrorContains(t, err, field)
	}
	r, err := retry.NewRetrier(retry.Config{})
	require.NoError(t, err)
	require.LessOrEqual(t, r.Delay(1), 100*time.Millisecond)
	require.GreaterOrEqual(t, r.Delay(100), 5*time.Second)
}
