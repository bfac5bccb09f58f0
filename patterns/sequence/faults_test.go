package sequence_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/sequence"
)

// An outage of minutes does not end Run.
func TestOutage(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js := s.JetStream("sender")
		pages(t, js)
		stop := run(t, s.JetStream("reseq"), sequence.Config{})
		put(t, js, "a", 3, 1, 3) // page 2 is waited for
		time.Sleep(time.Second)
		s.Link("reseq").Down()
		put(t, js, "a", 3, 2)
		put(t, js, "b", 2, 1)
		time.Sleep(5 * time.Minute)
		s.Link("reseq").Up()
		time.Sleep(time.Minute)
		put(t, js, "b", 2, 2)
		time.Sleep(time.Minute)
		got, _ := ordered(t, js, "*")
		require.ElementsMatch(t, []string{"a 1", "a 2", "a 3", "b 1", "b 2"}, got)
		require.NoError(t, stop())
	})
}

// The messages of a crashed resequencer are redelivered after AckWait, 30 s. A Skip before
// that skips them.
func TestKilledAndSkipped(t *testing.T) {
	for _, tc := range []struct {
		name    string
		missing func(sequence.Gap) sequence.Decision
		want    string
	}{
		{"a skip before AckWait skips what the crashed one held", skip, "a 1,a 2,a 4"},
		{"a later skip does not", func(g sequence.Gap) sequence.Decision {
			if g.Waited < 35*time.Second {
				return sequence.Wait
			}
			return sequence.Skip
		}, "a 1,a 2,a 3,a 4"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
				js := s.JetStream("sender")
				pages(t, js)
				crashed := run(t, s.JetStream("one"), sequence.Config{})
				put(t, js, "a", 4, 1, 3)
				time.Sleep(time.Second)
				s.Link("one").Down()
				require.NoError(t, crashed()) // it crashed
				stop := run(t, s.JetStream("two"), sequence.Config{Missing: tc.missing})
				put(t, js, "a", 4, 2, 4)
				time.Sleep(2 * time.Minute)
				got, _ := ordered(t, js, "a")
				require.Equal(t, tc.want, strings.Join(got, ","))
				require.NoError(t, stop())
			})
		})
	}
}

// A copy that is stored after its publish has timed out is not stored again, and Run
// continues.
func TestStoredLate(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js := s.JetStream("sender")
		pages(t, js)
		put(t, js, "a", 3, 1)
		stop := run(t, s.JetStream("reseq"), sequence.Config{})
		time.Sleep(time.Second) // the resequencer has the position of a
		s.Link("reseq").Delay(2500 * time.Millisecond)
		put(t, js, "a", 3, 2, 3)
		time.Sleep(3 * time.Second) // a publish times out after 2 s
		s.Link("reseq").Delay(0)
		time.Sleep(time.Minute)
		got, _ := ordered(t, js, "*")
		require.Equal(t, []string{"a 1", "a 2", "a 3"}, got)
		require.NoError(t, stop())
	})
}
