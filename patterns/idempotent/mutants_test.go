package idempotent_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// The same histories find the violations of the mutants.
func TestSweepMutants(t *testing.T) {
	for _, c := range []struct {
		variant variant
		want    violations
	}{{noRecord, violations{duplicated: 1}}, {recordAfter, violations{duplicated: 1}}, {claimFirst, violations{lost: 1}}, {ackFirst, violations{lost: 1}}} {
		t.Run(c.variant.name, func(t *testing.T) {
			var found violations
			runs := 0
			for seed := uint64(0); seed < *histories && (*histories > 10 || found.duplicated < c.want.duplicated || found.lost < c.want.lost); seed++ {
				times, _ := runHistory(t, seed, c.variant)
				more := countViolations(times, 20)
				found.duplicated, found.lost = found.duplicated+more.duplicated, found.lost+more.lost
				runs += 20
			}
			t.Logf("of %d: %+v", runs, found)
			require.Equal(t, c.want, violations{min(found.duplicated, c.want.duplicated), min(found.lost, c.want.lost)})
		})
	}
}
