package retry_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/patterns/retry"
)

func TestBudget(t *testing.T) {
	now := time.Now()
	withdraw := func(b *retry.Budget) (n int) {
		for b.WithdrawAt(now) {
			n++
		}
		return n
	}
	b := retry.Budget{Ratio: 0.25, Burst: 4, Every: time.Minute}
	require.Equal(t, 4, withdraw(&b), "it starts with Burst tokens")
	for range 8 {
		b.DepositAt(now)
	}
	require.Equal(t, 2, withdraw(&b), "a quarter of the successes")
	for range 800 {
		b.DepositAt(now)
	}
	require.Equal(t, 4, withdraw(&b), "never more than Burst")
	now = now.Add(2*time.Minute + time.Second)
	require.Equal(t, 2, withdraw(&b), "one token a minute without a success")
	now = now.Add(-time.Hour)
	require.Zero(t, withdraw(&b), "a clock that is set back adds nothing")
	for range 4 {
		b.DepositAt(now)
	}
	require.Equal(t, 1, withdraw(&b), "and takes none away")
	now = now.Add(time.Hour)
	require.Zero(t, withdraw(&b), "nor when it is set forward again")

	var zero retry.Budget
	require.Equal(t, 10, withdraw(&zero))
	zero.DepositAt(now)
	require.Zero(t, withdraw(&zero), "Ratio 0: a success earns nothing")
	now = now.Add(time.Second)
	require.Equal(t, 1, withdraw(&zero))
}
