package ratio_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/ratio"
)

func TestMedian(t *testing.T) {
	require.Equal(t, 2.0, ratio.Median([]float64{3, 1, 2}))
	require.Equal(t, 2.5, ratio.Median([]float64{4, 1, 2, 3}))
	require.EqualValues(t, 7, ratio.Median([]int64{7}))
}
